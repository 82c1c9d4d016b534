"""The result of an ingest or of a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from archive.ingest.table_problems import TableProblem
from archive.ingest.temporary_storage import StoredList, open_temporary_database, to_bytes, to_text


@dataclass(kw_only=True)
class IngestReport:
    """Counts and lists, filled during the ingest. Every file is in exactly one of the counts or failures."""

    dry_run: bool
    added: int = 0
    unchanged: int = 0
    """Masters that are in the catalogue already, unchanged."""
    duplicates: int = 0
    """Files with the same bytes as a master whose recorded file still exists."""
    moved: int = 0
    """Masters whose bytes were found at another path than the recorded one, which doesn't hold them any more."""
    updated: int = 0
    """Known masters whose row has changed the record."""
    passed_over: StoredList[tuple[str, str]] = field(default_factory=StoredList)
    """Path and reason: hidden files, files that are not images, and references."""
    failures: StoredList[tuple[str, str]] = field(default_factory=StoredList)
    """Path and reason: of a file, of a row (the path that it names), or of a folder."""
    rows_without_files: StoredList[TableProblem] = field(default_factory=StoredList)
    """Rows that name a file that isn't among those found, with what is known of it. They are no problem of the table:
    a table of a whole collection names scans that lie elsewhere."""
    files_without_rows: StoredList[str] = field(default_factory=StoredList)
    """Images that no row names, if there are any rows."""
    checked: int = 0
    """Files whose bytes match the manifest's checksums."""
    missing: StoredList[str] = field(default_factory=StoredList)
    """Files that the manifest lists and that don't exist."""
    files_without_sums: StoredList[str] = field(default_factory=StoredList)
    """Images that the manifest doesn't list; they are ingested nevertheless."""
    problems: StoredList[TableProblem] = field(default_factory=StoredList)
    """Problems of the tables: ignored cells, and rows and columns that can't be used."""
    notes: StoredList[tuple[str, str]] = field(default_factory=StoredList)
    """What else a person should know, after what it is about (a path, a row, or nothing): broken metadata that was left
    out, rows of duplicates that were not used."""
    outcomes: StoredList[tuple[str, str, str]] = field(default_factory=StoredList)
    """Path, action and detail of each file that was added, updated or moved; in a dry run of each file that was neither
    refused nor passed over."""

    @property
    def lines(self) -> Iterator[str]:
        """In a dry run, what would happen to each file, one line per file, by path."""
        if not self.dry_run:
            return
        with closing(open_temporary_database("CREATE TABLE line (path BLOB, text BLOB)")) as database:
            outcomes = ((path, f"{action}: {detail}") for path, action, detail in self.outcomes)
            for prefix, texts in (
                ("", outcomes),
                ("passed over: ", self.passed_over),
                ("refused: ", self.failures),
            ):
                rows = ((to_bytes(path), to_bytes(f"{prefix}{text}")) for path, text in texts)
                database.executemany("INSERT INTO line VALUES (?, ?)", rows)
            for path, text in database.execute("SELECT path, text FROM line ORDER BY path, text"):
                yield f"{to_text(path)}: {to_text(text)}"
