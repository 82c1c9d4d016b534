"""What the rows of a table say, kept in a temporary file, so that a large table doesn't fill the memory."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class RowContents:
    """What a row says of a photograph."""

    item: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def load(self) -> RowContents:
        """Itself."""
        return self


class RowStore:
    """A temporary file without a name that holds the contents of rows."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with this object)
        weakref.finalize(self, self._file.close)
        self._end = 0

    def keep(self, contents: RowContents) -> StoredContents:
        """Write contents; gives what reads them again."""
        data = pickle.dumps((contents.item, contents.extra, contents.identifiers), pickle.HIGHEST_PROTOCOL)
        self._file.seek(self._end)
        self._file.write(data)
        stored = StoredContents(self, self._end)
        self._end += len(data)
        return stored

    def read(self, offset: int) -> RowContents:
        """The contents that were written there."""
        self._file.seek(offset)
        item, extra, identifiers = pickle.load(self._file)  # noqa: S301  (written by this process)
        return RowContents(item=item, extra=extra, identifiers=identifiers)


@dataclass(frozen=True, slots=True)
class StoredContents:
    """The contents of a row in a store."""

    store: RowStore
    offset: int

    def load(self) -> RowContents:
        """Reads them."""
        return self.store.read(self.offset)
