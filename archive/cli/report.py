"""``archive report``."""

from __future__ import annotations

from pathlib import Path

import click

from archive.cli.export import report_left_out
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
    help="File to write. An existing report is replaced; any other file is not. A missing folder is created in an "
    "existing one.",
)
@click.option("--include-restricted", is_flag=True, help="Include items whose access is restricted or sensitive.")
@click.option("--no-crops", is_flag=True, help="Leave out the crops at 100 %, for a smaller file.")
@pass_context
def report(context: Context, query: str | None, output: Path, include_restricted: bool, no_crops: bool) -> None:
    """Write an HTML report with photographs before and after restoration.

    Each photograph is shown with a map of the changes, crops at 100 %, its scores and its history. Styled derivatives
    follow in a section of their own. The file needs no network. It contains only items with open access, unless you
    use --include-restricted.
    """
    from archive.report import write_report

    shown = write_report(
        context.catalogue(), query, output, include_restricted=include_restricted, with_crops=not no_crops
    )
    styled = f", {pluralise(shown.styled, 'simulated look')}" if shown.styled else ""
    click.echo(
        f"{output.absolute()}: {pluralise(shown.items, 'item')}, {pluralise(shown.masters, 'restored master')}{styled}"
    )
    report_left_out(shown.restricted)
    if not shown.items:
        which = "no master" if include_restricted else "no master of open access"
        reason = (
            f"{which} is restored yet" if query is None else describe_empty_result(query, f"{which} that is restored")
        )
        emit(f"the report is empty: {reason}")
