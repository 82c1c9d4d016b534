"""``archive ingest``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from archive.cli.logging_setup import answer_writer, emit, warn
from archive.cli.message_lines import print_messages
from archive.cli.options import Context, answer_format_option, command, pass_context
from archive.cli.output_formats import escape_control_characters, pluralise, print_json_object
from archive.cli.progress_bar import make_progress
from archive.errors import EXIT_DONE, EXIT_PARTLY

if TYPE_CHECKING:
    from archive.ingest import IngestReport
    from archive.ingest.table_problems import ProblemEntry, TableProblem


_PROBLEMS_SHOWN = 10  # of each kind
_PLACES_SHOWN = 8


@command(
    "ingest",
    examples=(
        "archive ingest /scans/2024",
        "archive ingest /scans/2024 --metadata glass-plates.csv --dry-run",
        "archive ingest /scans/2024 --metadata export.xlsx --mapping mapping.toml",
        "archive ingest /scans/2024 --manifest /scans/2024/SHA256SUMS",
        "archive ingest /scans/2024 --format json > ingest.json",
    ),
    partly="some files were refused or are missing, or the tables have problems",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--metadata",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="ITEMS.csv|ITEMS.xlsx",
    help="A table with one row per file, CSV or Excel. Default: items.csv in each folder.",
)
@click.option(
    "--mapping",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="MAPPING.toml",
    help="Assignment of the table's columns to fields; `archive mapping suggest` writes one.",
)
@click.option("--sheet", metavar="NAME", help="Sheet of an Excel workbook. Default: the first one.")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="SUMS",
    help="Checksums of the scans, from sha256sum or md5sum; files that differ are refused.",
)
@click.option(
    "--check",
    type=click.Choice(["structure", "pixels"]),
    default="structure",
    help="How new scans are checked: structure walks each file to its end, pixels decodes it whole.",
)
@click.option("--accept-damaged", is_flag=True, help="Take in damaged scans too; the damage is recorded.")
@click.option("--copy", is_flag=True, help="Copy the masters into the home. Default: reference them where they are.")
@click.option("--dry-run", is_flag=True, help="Show what would happen and change nothing.")
@click.option(
    "--problems",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Write each problem, note, refused, missing and passed-over file to this file, one per line. An earlier "
    "list of problems there is replaced; any other file is refused.",
)
@click.option("--verbose", is_flag=True, help="List every message. Default: by kind, with counts and first names.")
@answer_format_option
@pass_context
def ingest(
    context: Context,
    paths: tuple[Path, ...],
    *,
    metadata: Path | None,
    mapping: Path | None,
    sheet: str | None,
    manifest: Path | None,
    check: Literal["structure", "pixels"],
    accept_damaged: bool,
    copy: bool,
    dry_run: bool,
    problems: Path | None,
    verbose: bool,
    form: str,
) -> int:
    """Add scans, or folders of scans, to the catalogue as masters.

    Masters are only read, never changed. The catalogue stores the SHA-256 of each and its metadata from the
    spreadsheet. A scan is added only once. A moved file is recognised. A file whose bytes have changed, or differ from
    the checksums, is refused.

    An unreadable cell is left out and reported; its scan is added nevertheless.
    """
    from archive.export.output_file import OutputForm, check_output, hold_output, open_output, text_writer
    from archive.ingest import Check, is_problems_file, write_problems
    from archive.ingest import ingest as run
    from archive.ingest.temporary_storage import report_full_storage

    table = OutputForm(description="list of problems", suffixes=(".csv",), recognise=is_problems_file)
    if problems is not None:
        check_output(problems, table)
    with report_full_storage():
        report = run(
            context.catalogue(),
            paths,
            metadata=metadata,
            mapping=mapping,
            sheet=sheet,
            manifest=manifest,
            check=Check(depth=check, accept_damaged=accept_damaged),
            copy=copy,
            dry_run=dry_run,
            progress=make_progress(),
        )
        print_ingest(report, verbose=verbose, form=form)
        if problems is not None:
            with hold_output(problems), open_output(problems, table) as file, text_writer(file) as text:
                write_problems(text, chain(report.problems, report.rows_without_files), _messages_by_kind(report))
        if form == "json":
            print_json_object(ingest_object(report))
    return EXIT_PARTLY if report.failures or report.missing or report.problems else EXIT_DONE


def _messages_by_kind(report: IngestReport) -> dict[str, Iterable[tuple[str, str]]]:
    return {
        "note": report.notes,
        "refused": report.failures,
        "passed over": report.passed_over,
        "image without a row": ((path, "") for path in report.files_without_rows),
        "image not in the manifest": ((path, "") for path in report.files_without_sums),
        "file of the manifest not found": ((path, "") for path in report.missing),
    }


def ingest_object(report: IngestReport) -> dict[str, Any]:
    """The answer in JSON; its lists are iterators, because they may be long."""
    return {
        "dry_run": report.dry_run,
        "added": report.added,
        "updated": report.updated,
        "moved": report.moved,
        "unchanged": report.unchanged,
        "duplicates": report.duplicates,
        "passed_over": len(report.passed_over),
        "refused": len(report.failures),
        "as_in_manifest": report.checked,
        "files": ({"path": path, "action": action, "detail": detail} for path, action, detail in report.outcomes),
        "problems": _problem_rows(report),
    }


def _problem_rows(report: IngestReport) -> Iterator[dict[str, Any]]:
    """What --problems writes, as objects."""
    for each in chain(report.problems, report.rows_without_files):
        position = {"file": each.table, "row": each.line, "column": each.column or None, "value": each.value or None}
        yield {"kind": each.kind, **position, "advice": each.advice or None}
    for kind, messages in _messages_by_kind(report).items():
        for about, text in messages:
            yield {
                "kind": kind,
                "file": about or None,
                "row": None,
                "column": None,
                "value": None,
                "advice": text or None,
            }


def print_ingest(report: IngestReport, *, verbose: bool = False, form: str = "text") -> None:
    """Prints counts to standard output, and everything that needs attention to standard error.

    In the format ``json`` the counts go to standard error too, and what happens to each file is left to the JSON.
    """
    for line in () if form == "json" else report.lines:
        click.echo(escape_control_characters(line))
    counts = {
        "added": report.added,
        "updated": report.updated,
        "moved": report.moved,
        "already in the catalogue": report.unchanged,
        "duplicates": report.duplicates,
        "passed over": len(report.passed_over),
        "refused": len(report.failures),
        "as in the manifest": report.checked,
    }
    answer_writer(form)(", ".join(f"{n:,} {what}" for what, n in counts.items() if n or what == "added"))
    if report.dry_run:
        emit("This was a dry run: nothing was written. Leave out --dry-run to do it.")
    _print(report.passed_over, len(report.passed_over), "{} passed over", "file", verbose=verbose)
    without_files = ((f"{_place(row)}: {row.value}", row.advice) for row in report.rows_without_files)
    _print(without_files, len(report.rows_without_files), "{} without a file", "row", verbose=verbose)
    for paths, heading, what, level in (
        (report.files_without_rows, "{} without a row", "image", logging.INFO),
        (report.files_without_sums, "{} not in the manifest", "image", logging.INFO),
        (report.missing, "{} of the manifest not found", "file", logging.WARNING),
    ):
        _print(((path, "") for path in paths), len(paths), heading, what, verbose=verbose, level=level)
    _print(report.notes, len(report.notes), "{}", "note", verbose=verbose)
    _print_problems(report, verbose=verbose)
    _print(report.failures, len(report.failures), "{} refused", "file", verbose=verbose, level=logging.WARNING)


def _place(problem: TableProblem) -> str:
    """The table and the row that a problem is about: ``export.csv line 5``."""
    from archive.ingest import place_word

    return f"{problem.table} {place_word(Path(problem.table))} {problem.line}"


def _places(entry: ProblemEntry) -> str:
    """The table and the first of the rows that have a problem: ``export.csv 12 lines 5, 9, ...``."""
    from archive.ingest import place_word

    if entry.count == 1:
        return _place(entry.problem)
    table, lines = entry.problem.table, ", ".join(map(str, entry.lines))
    more = ", ..." if entry.count > len(entry.lines) else ""
    return f"{table} {entry.count:,} {place_word(Path(table))}s {lines}{more}"


def _print(
    messages: Iterable[tuple[str, str]],
    count: int,
    heading: str,
    what: str,
    *,
    verbose: bool,
    level: int = logging.INFO,
) -> None:
    if count:
        counted = heading.format(pluralise(count, what))
        print_messages(counted, messages, verbose=verbose, all_with="--verbose, or --problems FILE.csv", level=level)


def _print_problems(report: IngestReport, *, verbose: bool) -> None:
    """The problems of the tables by kind, the same value of a column once; all of them in a dry run or verbose."""
    from archive.ingest import group_problems

    if not report.problems:
        return
    warn(f"{pluralise(len(report.problems), 'problem')} in the tables:")
    for group in group_problems(report.problems, places=_PLACES_SHOWN):
        warn(f"  {group.count:,} x {group.kind}")
        shown = group.distinct if report.dry_run or verbose else min(group.distinct, _PROBLEMS_SHOWN)
        for entry in islice(group.entries, shown):
            warn(f"    {escape_control_characters(f'{_places(entry)}: {entry.problem.message}')}")
        if hidden := group.distinct - shown:
            warn(f"    and {hidden:,} more: --verbose, or --problems FILE.csv")
