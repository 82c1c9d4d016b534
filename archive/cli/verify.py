"""``archive verify``."""

from __future__ import annotations

from functools import partial

import click

from archive.cli.logging_setup import emit
from archive.cli.options import Context, command, pass_context, query_argument
from archive.cli.output_formats import describe_empty_result, escape_control_characters, pluralise
from archive.cli.progress_bar import make_progress
from archive.errors import EXIT_DONE, EXIT_PARTLY


@command(
    "verify",
    examples=("archive verify", "archive verify 'collection:Lange' --older-than 90 --limit 1000"),
    partly="some fixity is broken: files are missing, changed, unreadable or damaged",
)
@query_argument
@click.option(
    "--older-than",
    type=click.IntRange(0, 36_500),
    metavar="DAYS",
    help="Check only files whose last check is older.",
)
@click.option("--limit", type=click.IntRange(0, 10**9), metavar="N", help="Check at most N files. Default: all.")
@click.option("--pixels", is_flag=True, help="Also decode every image, and report those that can't be decoded.")
@pass_context
def verify(context: Context, query: str | None, older_than: int | None, limit: int | None, pixels: bool) -> int:
    """Check the bytes of all files against the catalogue.

    Reads all bytes of masters, derivatives and weights and compares their SHA-256; the file with the oldest check comes
    first. Each check is an event in the history. Broken files are listed on standard output, one per line.
    """
    from archive.fixity import verify_files as check
    from archive.ingest.file_inspection import find_pixel_damage

    catalogue = context.catalogue()
    report = check(
        catalogue,
        query,
        older_than_days=older_than,
        limit=limit,
        find_damage=partial(find_pixel_damage, catalogue) if pixels else None,
        progress=make_progress(),
    )
    for kind, path, problem in report.broken:
        click.echo(f"{kind}  {problem}  {escape_control_characters(str(path))}")
    emit(f"{pluralise(report.checked, 'file')} checked, {len(report.broken):,} broken")
    if report.broken:
        emit("restore these files from a backup, then check again")
    if query is not None and not report.checked and older_than is None and limit is None and not report.absent_folders:
        emit(describe_empty_result(query))
    for folder, masters in report.absent_folders.items():
        unchecked = f"{pluralise(masters, 'master')} of {folder} could not be checked"
        emit(f"{escape_control_characters(unchecked)}: the folder is gone or holds none of them. Is its share mounted?")
    return EXIT_PARTLY if report.broken or report.absent_folders else EXIT_DONE
