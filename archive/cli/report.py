"""``archive report``."""

from __future__ import annotations

from pathlib import Path

import click

from archive.cli.logging_setup import emit
from archive.cli.options import Context, command, pass_context, query_argument
from archive.cli.output_formats import describe_empty_result, pluralise


@command(
    "report",
    examples=("archive report --output report.html", "archive report 'batch:3' --output batch-3.html"),
)
@query_argument
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Where to write it; a report that is there is replaced, any other file is not.",
)
@click.option("--include-restricted", is_flag=True, help="Also items whose access is restricted or sensitive.")
@pass_context
def report(context: Context, query: str | None, output: Path, include_restricted: bool) -> None:
    """Write an HTML file of photographs before and after.

    Each is shown with its scores and history; those on which a look was simulated stand apart, behind the restored
    ones. The file needs no network. Only items whose access is open enter it
    unless you say otherwise.
    """
    from archive.report import write_report

    shown = write_report(context.catalogue(), query, output, include_restricted=include_restricted)
    looks = f", {pluralise(shown.looks, 'simulated look')}" if shown.looks else ""
    click.echo(
        f"{output.absolute()}: {pluralise(shown.items, 'item')}, {pluralise(shown.masters, 'restored master')}{looks}"
    )
    if not shown.items:
        which = "no master" if include_restricted else "no master of open access"
        reason = (
            f"{which} is restored yet" if query is None else describe_empty_result(query, f"{which} that is restored")
        )
        emit(f"the report is empty: {reason}")
