"""Finds the sequence that a row states for a master of the catalogue, whose file may be a copy or have moved."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Master
from archive.errors import StorageError
from archive.ingest.row_matching import ItemMetadata
from archive.storage import digest_file


class StatedSequences:
    """The sequences that the rows of an item state for its masters.

    A row names a file on this machine. A master is recorded with its path, which may be relative to the home (a copy),
    of another machine (``[roots]``) or out of date. So a master that no row names by its path is looked for by its
    bytes: files of the same size are read, each at most once for an item.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._item = ItemMetadata()
        self._unread: dict[int, deque[Path]] = {}
        self._by_sha256: dict[str, int] = {}

    def find(self, master: Master, item: ItemMetadata) -> int | None:
        """The sequence that one of the rows of ``item`` states for ``master``; None if no row does."""
        path = self._catalogue.path_of(master.path)
        if path in item.numbered:
            return item.numbered[path]
        if item is not self._item:
            self._item, self._unread, self._by_sha256 = item, _group_by_size(item.numbered), {}
        unread = self._unread.get(master.size, deque())
        while master.sha256 not in self._by_sha256 and unread:
            file = unread.popleft()
            with suppress(OSError, StorageError):  # its own inspection reports it
                self._by_sha256.setdefault(digest_file(file)[0], item.numbered[file])
        return self._by_sha256.get(master.sha256)


def _group_by_size(files: Iterable[Path]) -> dict[int, deque[Path]]:
    """Files by their size in bytes, in order."""
    grouped: dict[int, deque[Path]] = defaultdict(deque)
    for file in files:
        with suppress(OSError):
            grouped[file.stat().st_size].append(file)
    return grouped
