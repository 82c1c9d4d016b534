"""What an ingest did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class IngestReport:
    """Counts and lists, filled while the ingest goes on. Every file is in exactly one of the counts and failures."""

    dry_run: bool
    added: int = 0
    duplicates: int = 0
    """Files whose bytes the catalogue holds and where nothing was to be changed; the recorded files included."""
    moved: int = 0
    """Masters whose bytes were found at another path than the recorded one, which doesn't hold them any more."""
    updated: int = 0
    """Known masters whose row has changed the record."""
    passed_over: int = 0
    """Hidden files, files that are no images, and references."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason: of a file, of a row (the path that it names), or of a folder."""
    rows_without_files: list[str] = field(default_factory=list)
    files_without_rows: list[str] = field(default_factory=list)
    """Images that no row names, where there are rows at all."""
    notes: list[str] = field(default_factory=list)
    """What else a person should know: broken metadata that was left out, rows of duplicates that were not used."""
    lines: list[str] = field(default_factory=list)
    """In a dry run, what would happen to each file, one line a file."""
