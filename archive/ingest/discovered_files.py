"""The files that an ingest found, in a temporary database, in which rows are matched with them."""

from __future__ import annotations

import unicodedata
import weakref
from pathlib import Path

from archive.ingest.temporary_storage import StoredList, open_temporary_database, to_bytes, to_text

_TABLES = """
CREATE TABLE file (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, root INTEGER NOT NULL, composed BLOB);
CREATE INDEX file_composed ON file (composed) WHERE composed IS NOT NULL;
"""


class DiscoveredFiles:
    """The files below the given paths, in a stable order: folder by folder, names by code point.

    Attributes:
        database: has the table ``file``: each file with the index of its folder in ``roots`` and, if its path is not
            ASCII, the path with composed accents.
        roots: the ingested folders.
        sheets: each items.csv that lies in an ingested folder.
        neighbours: each items.csv beside a single ingested file; only the rows of ingested files are used.
        hidden: files and folders whose names start with a dot.
        failures: path and reason.
    """

    def __init__(self) -> None:
        self.database = open_temporary_database(_TABLES, memory_mib=32)
        weakref.finalize(self, self.database.close)
        self._has_composed = False
        self.roots: list[Path] = []
        self.sheets: list[Path] = []
        self.neighbours: list[Path] = []
        self.hidden = StoredList[Path]()
        self.failures = StoredList[tuple[str, str]]()

    def add(self, path: Path, root: Path) -> bool:
        """Adds a file that was found in the ingested folder ``root``; returns False if it is there already."""
        if root not in self.roots:
            self.roots.append(root)
        composed = None if str(path).isascii() else _compose(str(path))
        self._has_composed |= composed is not None
        row = to_bytes(path), self.roots.index(root), composed
        added = self.database.execute("INSERT OR IGNORE INTO file (path, root, composed) VALUES (?, ?, ?)", row)
        return added.rowcount > 0

    def find(self, path: str) -> Path | None:
        """The file with this path, whose accents may be composed otherwise."""
        found = self.database.execute("SELECT path FROM file WHERE path = ?", (to_bytes(path),)).fetchone()
        if found is None and self._has_composed:
            found = self.database.execute(
                "SELECT path FROM file WHERE composed = ? ORDER BY id DESC LIMIT 1", (_compose(path),)
            ).fetchone()
        return None if found is None else Path(to_text(found[0]))


def _compose(path: str) -> bytes:
    """The path with composed accents (NFC)."""
    return to_bytes(unicodedata.normalize("NFC", path))
