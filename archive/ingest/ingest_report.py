"""The result of an ingest or of a dry run."""

from __future__ import annotations

from dataclasses import dataclass, field

from archive.ingest.table_problems import TableProblem


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
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason: hidden files, files that are not images, and references."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason: of a file, of a row (the path that it names), or of a folder."""
    rows_without_files: list[TableProblem] = field(default_factory=list)
    """Rows that name a file that isn't among those found, with what is known of it. They are no problem of the table:
    a table of a whole collection names scans that lie elsewhere."""
    files_without_rows: list[str] = field(default_factory=list)
    """Images that no row names, if there are any rows."""
    checked: int = 0
    """Files whose bytes match the manifest's checksums."""
    missing: list[str] = field(default_factory=list)
    """Files that the manifest lists and that don't exist."""
    files_without_sums: list[str] = field(default_factory=list)
    """Images that the manifest doesn't list; they are ingested nevertheless."""
    problems: list[TableProblem] = field(default_factory=list)
    """Problems of the tables: ignored cells, and rows and columns that can't be used."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """What else a person should know, after what it is about (a path, a row, or nothing): broken metadata that was left
    out, rows of duplicates that were not used."""
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    """In a dry run, the path of each file that was neither refused nor passed over, and what would happen to it."""

    @property
    def lines(self) -> list[str]:
        """In a dry run, what would happen to each file, one line per file, by path; built with each use."""
        if not self.dry_run:
            return []
        others = (
            *((path, f"passed over: {reason}") for path, reason in self.passed_over),
            *((path, f"refused: {reason}") for path, reason in self.failures),
        )
        return [f"{path}: {text}" for path, text in sorted([*self.outcomes, *others])]
