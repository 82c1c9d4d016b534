"""``archive ingest``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli.logging_setup import emit
from archive.cli.options import Context, command, pass_context
from archive.cli.output_formats import escape_control_characters, pluralise
from archive.cli.progress_bar import make_progress
from archive.errors import EXIT_DONE, EXIT_PARTLY

if TYPE_CHECKING:
    from archive.ingest import IngestReport


@command(
    "ingest",
    examples=(
        "archive ingest /scans/2024",
        "archive ingest /scans/2024 --metadata glass-plates.csv --dry-run",
        "archive ingest /scans/2024 --manifest /scans/2024/SHA256SUMS",
    ),
    partly="done, but some files were refused, or are missing",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--metadata",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="ITEMS.csv",
    help="A spreadsheet with a row a file; else the items.csv in each folder.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="SUMS",
    help="Sums of sha256sum or md5sum that came with the scans; what differs is refused.",
)
@click.option("--copy", is_flag=True, help="Copy the masters into the home; else they stay where they are.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
@pass_context
def ingest(
    context: Context, paths: tuple[Path, ...], metadata: Path | None, manifest: Path | None, copy: bool, dry_run: bool
) -> int:
    """Take scans, or folders of scans, into the catalogue as masters.

    Masters are only read, never changed. Each is digested (SHA-256) and its metadata taken from the spreadsheet. What
    the catalogue holds already is not taken in twice; a file that was moved is found again; one whose bytes changed,
    or differ from the sums that came with it, is refused.
    """
    from archive.ingest import ingest as run

    report = run(
        context.catalogue(),
        paths,
        metadata=metadata,
        manifest=manifest,
        copy=copy,
        dry_run=dry_run,
        progress=make_progress(),
    )
    print_ingest(report)
    return EXIT_PARTLY if report.failures or report.missing else EXIT_DONE


def print_ingest(report: IngestReport) -> None:
    """The counts on standard output; what a person should look at on standard error."""
    for line in report.lines:
        click.echo(escape_control_characters(line))
    counts = {
        "added": report.added,
        "updated": report.updated,
        "moved": report.moved,
        "already in the catalogue": report.unchanged,
        "duplicates": report.duplicates,
        "passed over": report.passed_over,
        "refused": len(report.failures),
        "as in the manifest": report.checked,
    }
    click.echo(", ".join(f"{n:,} {what}" for what, n in counts.items() if n or what == "added"))
    _list_on_stderr(f"{pluralise(len(report.rows_without_files), 'row')} without a file", report.rows_without_files)
    _list_on_stderr(f"{pluralise(len(report.files_without_rows), 'image')} without a row", report.files_without_rows)
    _list_on_stderr(
        f"{pluralise(len(report.files_without_sums), 'image')} not in the manifest", report.files_without_sums
    )
    _list_on_stderr(f"{pluralise(len(report.missing), 'file')} of the manifest not found", report.missing)
    _list_on_stderr(pluralise(len(report.notes), "note"), report.notes)
    refused = [f"{path}: {reason}" for path, reason in report.failures]
    _list_on_stderr(f"{pluralise(len(refused), 'file')} refused", refused)


def _list_on_stderr(heading: str, lines: Sequence[str]) -> None:
    if lines:
        emit(f"{heading}:")
        for line in lines:
            emit(f"  {escape_control_characters(line)}")
