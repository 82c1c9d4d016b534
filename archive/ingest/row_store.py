"""Stores the contents of rows in a temporary file, so that a large table doesn't fill the memory."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class RowContents:
    """The metadata in a row."""

    item: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def load(self) -> RowContents:
        """Itself."""
        return self


class RowStore:
    """An anonymous temporary file with the contents of rows."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with this object)
        weakref.finalize(self, self._file.close)
        self._end = 0

    def keep(self, contents: RowContents) -> StoredContents:
        """Writes contents; returns an object that reads them again."""
        data = pickle.dumps((contents.item, contents.extra, contents.identifiers), pickle.HIGHEST_PROTOCOL)
        self._file.seek(self._end)
        self._file.write(data)
        stored = StoredContents(self, self._end)
        self._end += len(data)
        return stored

    def read(self, offset: int) -> RowContents:
        """The contents at a location."""
        self._file.seek(offset)
        item, extra, identifiers = pickle.load(self._file)  # noqa: S301  (written by this process)
        return RowContents(item=item, extra=extra, identifiers=identifiers)


@dataclass(frozen=True, slots=True)
class StoredContents:
    """The location of a row's contents in a store."""

    store: RowStore
    offset: int

    def load(self) -> RowContents:
        """Reads them."""
        return self.store.read(self.offset)
