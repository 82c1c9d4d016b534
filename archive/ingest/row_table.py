"""The rows of all tables, in the temporary database of the files that they name."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from archive.ingest.discovered_files import DiscoveredFiles
from archive.ingest.metadata_rows import Row
from archive.ingest.temporary_storage import add_tables, to_bytes, to_text

_TABLES = """
CREATE TABLE row (
    id INTEGER PRIMARY KEY, path BLOB, place INTEGER, accession_number BLOB, sequence INTEGER, needs_care INTEGER,
    origin INTEGER, data BLOB
);
CREATE INDEX row_path ON row (path, needs_care, place) WHERE path IS NOT NULL;
CREATE INDEX row_accession_number ON row (accession_number) WHERE accession_number IS NOT NULL;
CREATE TABLE reference (written BLOB PRIMARY KEY, path BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX reference_path ON reference (path);
CREATE TABLE refused (id INTEGER PRIMARY KEY, path BLOB NOT NULL, reason BLOB NOT NULL);
CREATE INDEX refused_path ON refused (path);
"""
_MOST_REASONS = 10  # stated for one path; the list of problems has every one
_OF_THE_TABLE = ("sheet", "mapped_headers")  # the same for all rows of a table, and stored once
_OF_A_ROW = tuple(field.name for field in fields(Row) if field.name not in _OF_THE_TABLE)
_contents: Callable[[Row], tuple[Any, ...]] = attrgetter(*_OF_A_ROW)


class RowTable:
    """Rows with the files that they name, in the order in which the files were assigned; and the refused files.

    A row without a file, and one that can't be used, only state an accession number and a sequence.
    """

    def __init__(self, files: DiscoveredFiles) -> None:
        self._database = files.database
        self._roots = files.roots
        add_tables(self._database, _TABLES)
        self._origins: list[tuple[Path, frozenset[str]]] = []
        self._assigned = 0

    def add(self, row: Row, path: Path | None) -> int:
        """Adds a row, with its file if it is known; returns the row's id."""
        if not self._origins or self._origins[-1] != (row.sheet, row.mapped_headers):
            self._origins.append((row.sheet, row.mapped_headers))
        added = self._database.execute(
            "INSERT INTO row (path, place, accession_number, sequence, needs_care, origin, data) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                None if path is None else to_bytes(path),
                None if path is None else self._next_place(),
                None if row.accession_number is None else to_bytes(row.accession_number),
                row.sequence,
                bool(row.problems or row.cell_problems),
                len(self._origins) - 1,
                pickle.dumps(_contents(row), pickle.HIGHEST_PROTOCOL),
            ),
        )
        return added.lastrowid or 0

    def assign(self, row_id: int, path: Path) -> None:
        """Gives a row its file, after all others."""
        assigned = to_bytes(path), self._next_place(), row_id
        self._database.execute("UPDATE row SET path = ?, place = ? WHERE id = ?", assigned)

    def _next_place(self) -> int:
        self._assigned += 1
        return self._assigned

    def without_file(self) -> Iterator[tuple[int, Row]]:
        """The rows without a file with their ids, in order; they may be assigned to files meanwhile."""
        return self._select("path IS NULL ORDER BY id")

    def repeated_or_problematic(self) -> Iterator[tuple[Path, list[tuple[int, Row]]]]:
        """The files that several rows name, or a row with problems, with these rows; in the order of the first rows."""
        files = self._database.execute(
            "SELECT path FROM row WHERE path IS NOT NULL GROUP BY path "
            "HAVING count(*) > 1 OR max(needs_care) ORDER BY min(place)"
        )
        for (path,) in files:
            yield Path(to_text(path)), list(self._select("path = ? ORDER BY place", path))

    def shared_items(self) -> Iterator[tuple[str, list[tuple[int, Row]]]]:
        """The accession numbers that the rows of several files have, with these rows; in the order of the first."""
        numbers = self._database.execute(
            "SELECT accession_number FROM row WHERE accession_number IS NOT NULL AND path IS NOT NULL "
            "GROUP BY accession_number "
            "HAVING count(*) > 1 ORDER BY min(place)"
        )
        condition = "accession_number = ? AND path IS NOT NULL ORDER BY place"
        for (number,) in numbers:
            yield to_text(number), list(self._select(condition, number))

    def update(self, row_id: int, row: Row) -> None:
        """Replaces the contents of a row."""
        data = pickle.dumps(_contents(row), pickle.HIGHEST_PROTOCOL)
        self._database.execute("UPDATE row SET data = ?, sequence = ? WHERE id = ?", (data, row.sequence, row_id))

    def unassign(self, row_id: int) -> None:
        """Takes the file from a row."""
        self._database.execute("UPDATE row SET path = NULL WHERE id = ?", (row_id,))

    def remove(self, row_id: int) -> None:
        """Removes a row that only repeats another."""
        self._database.execute("DELETE FROM row WHERE id = ?", (row_id,))

    def row_of_file(self, path: Path) -> Row | None:
        """The row that names a file."""
        return next((row for _, row in self._select("path = ?", to_bytes(path))), None)

    def item_of_file(self, path: Path) -> str | None:
        """The accession number of the row that names a file; None without such a row, or without a number."""
        found = self._database.execute("SELECT accession_number FROM row WHERE path = ?", (to_bytes(path),)).fetchone()
        return None if found is None or found[0] is None else to_text(found[0])

    def rows_of_item(self, accession_number: str) -> tuple[dict[Path, Row], frozenset[int]]:
        """The rows with an accession number by their files, in order; and the sequences that rows state for it.

        Rows that can't be used state sequences too.
        """
        rows = self._database.execute(
            "SELECT path, sequence, origin, data FROM row WHERE accession_number = ? ORDER BY place",
            (to_bytes(accession_number),),
        ).fetchall()
        of_files = {Path(to_text(path)): self._row(origin, data) for path, _, origin, data in rows if path is not None}
        return of_files, frozenset(sequence for _, sequence, _, _ in rows if sequence is not None)

    def files(self) -> Iterator[tuple[str, Path]]:
        """The files that rows name, each with its ingested folder, in the order of the rows."""
        return self._files("row JOIN file USING (path) ORDER BY place")

    def files_without_row(self) -> Iterator[tuple[str, Path]]:
        """The files that no row names and that are not refused, each with its ingested folder, in order."""
        return self._files(
            "file WHERE NOT EXISTS (SELECT 1 FROM row WHERE row.path = file.path) "
            "AND NOT EXISTS (SELECT 1 FROM refused WHERE refused.path = file.path) ORDER BY file.id"
        )

    def _files(self, selected: str) -> Iterator[tuple[str, Path]]:
        for path, root in self._database.execute(f"SELECT path, root FROM {selected}"):  # noqa: S608  (constants)
            yield to_text(path), self._roots[root]

    def has_row(self, path: str) -> bool:
        """Whether a row names a file."""
        return self._has("row WHERE path = ?", to_bytes(path))

    def is_stated(self, accession_number: str, sequence: int | None = None) -> bool:
        """Whether rows, unusable ones too, name an accession number, and this sequence in it."""
        number = to_bytes(accession_number)
        if sequence is None:
            return self._has("row WHERE accession_number = ?", number)
        return self._has("row WHERE accession_number = ? AND sequence = ?", number, sequence)

    def add_reference(self, written: Path, path: Path) -> None:
        """Remembers the reference image that a row names, and the path that it has."""
        paths = to_bytes(written), to_bytes(path)
        self._database.execute("INSERT OR IGNORE INTO reference VALUES (?, ?)", paths)

    def reference(self, written: Path) -> Path:
        """The path of a reference image that a row names."""
        found = self._database.execute("SELECT path FROM reference WHERE written = ?", (to_bytes(written),))
        return Path(to_text(found.fetchone()[0]))

    def is_reference(self, path: str) -> bool:
        """Whether rows name a file as a reference image."""
        return self._has("reference WHERE path = ?", to_bytes(path))

    def refuse(self, path: Path, reason: str) -> None:
        """Refuses a file, or a row by the path of its sheet; there may be several reasons."""
        self._database.execute("INSERT INTO refused (path, reason) VALUES (?, ?)", (to_bytes(path), to_bytes(reason)))

    def refused(self) -> Iterator[tuple[Path, str]]:
        """The refused files with their first reasons, in order; a file may not be there."""
        paths = self._database.execute("SELECT path, count(*) FROM refused GROUP BY path ORDER BY min(id)")
        for path, count in paths:
            found = self._database.execute(
                "SELECT reason FROM refused WHERE path = ? ORDER BY id LIMIT ?", (path, _MOST_REASONS)
            )
            reasons = [to_text(reason) for (reason,) in found]
            if count > _MOST_REASONS:
                reasons.append(f"and {count - _MOST_REASONS:,} more")
            yield Path(to_text(path)), "; ".join(reasons)

    def _has(self, condition: str, *values: Any) -> bool:
        found = self._database.execute(f"SELECT 1 FROM {condition} LIMIT 1", values)  # noqa: S608  (constants)
        return found.fetchone() is not None

    def _select(self, condition: str, *values: Any) -> Iterator[tuple[int, Row]]:
        rows = self._database.execute(f"SELECT id, origin, data FROM row WHERE {condition}", values)  # noqa: S608
        for row_id, origin, data in rows:
            yield row_id, self._row(origin, data)

    def _row(self, origin: int, data: bytes) -> Row:
        sheet, mapped_headers = self._origins[origin]
        contents = dict(zip(_OF_A_ROW, pickle.loads(data), strict=True))  # noqa: S301  (written by this process)
        return Row(sheet=sheet, mapped_headers=mapped_headers, **contents)
