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


_PROBLEMS_SHOWN = 10  # of each kind
_PLACES_SHOWN = 8


@command(
    "ingest",
    examples=(
        "archive ingest /scans/2024",
        "archive ingest /scans/2024 --metadata glass-plates.csv --dry-run",
        "archive ingest /scans/2024 --metadata export.xlsx --mapping mapping.toml",
        "archive ingest /scans/2024 --manifest /scans/2024/SHA256SUMS",
    ),
    partly="done, but some files were refused, or are missing",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--metadata",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="ITEMS.csv|ITEMS.xlsx",
    help="A table with one row per file, CSV or Excel; else the items.csv in each folder.",
)
@click.option(
    "--mapping",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="MAPPING.toml",
    help="Which of the table's columns is which of ours; `archive mapping suggest` writes one.",
)
@click.option("--sheet", metavar="NAME", help="Which sheet of an Excel workbook; else the first.")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="SUMS",
    help="Sums of sha256sum or md5sum that came with the scans; what differs is refused.",
)
@click.option("--copy", is_flag=True, help="Copy the masters into the home; else they stay where they are.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
@click.option(
    "--problems",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Write each problem in the tables to this file, one per line.",
)
@pass_context
def ingest(
    context: Context,
    paths: tuple[Path, ...],
    *,
    metadata: Path | None,
    mapping: Path | None,
    sheet: str | None,
    manifest: Path | None,
    copy: bool,
    dry_run: bool,
    problems: Path | None,
) -> int:
    """Take scans, or folders of scans, into the catalogue as masters.

    Masters are only read, never changed. Each is digested (SHA-256) and its metadata taken from the spreadsheet. What
    the catalogue holds already is not taken in twice; a file that was moved is found again; one whose bytes changed,
    or differ from the sums that came with it, is refused.

    A cell that can't be read is left out and reported; its scan is taken in all the same.
    """
    from archive.ingest import ingest as run
    from archive.ingest import write_problems

    report = run(
        context.catalogue(),
        paths,
        metadata=metadata,
        mapping=mapping,
        sheet=sheet,
        manifest=manifest,
        copy=copy,
        dry_run=dry_run,
        progress=make_progress(),
    )
    if problems is not None:
        write_problems(problems, report.problems)
    print_ingest(report)
    return EXIT_PARTLY if report.failures or report.missing or report.problems else EXIT_DONE


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
    _print_problems(report)
    refused = [f"{path}: {reason}" for path, reason in report.failures]
    _list_on_stderr(f"{pluralise(len(refused), 'file')} refused", refused)


def _print_problems(report: IngestReport) -> None:
    """The problems of the tables by kind, the same value of a column once; all of them in a dry run."""
    from archive.ingest import group_problems

    if not report.problems:
        return
    emit(f"{pluralise(len(report.problems), 'problem')} in the tables:")
    for group in group_problems(report.problems):
        emit(f"  {group.count:,} x {group.kind}")
        shown = group.entries if report.dry_run else group.entries[:_PROBLEMS_SHOWN]
        for problem, lines in shown:
            places = ", ".join(map(str, lines[:_PLACES_SHOWN])) + (", ..." if len(lines) > _PLACES_SHOWN else "")
            row = "row" if len(lines) == 1 else f"{len(lines):,} rows"
            emit(f"    {escape_control_characters(f'{problem.table} {row} {places}: {problem.message}')}")
        if hidden := len(group.entries) - len(shown):
            emit(f"    and {hidden:,} more: --problems FILE.csv writes them all")


def _list_on_stderr(heading: str, lines: Sequence[str]) -> None:
    if lines:
        emit(f"{heading}:")
        for line in lines:
            emit(f"  {escape_control_characters(line)}")
