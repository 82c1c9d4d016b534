"""``archive mapping``: mapping files, which assign a museum's columns to fields."""

from __future__ import annotations

from pathlib import Path

import click

from archive.cli.logging_setup import emit
from archive.cli.options import ArchiveGroup, command, epilog
from archive.cli.output_formats import as_json
from archive.errors import UsageError


@click.group("mapping", cls=ArchiveGroup, epilog=epilog("archive mapping suggest export.csv --output mapping.toml"))
def mapping() -> None:
    """Mapping files for tables from collection systems."""


@command(
    "suggest",
    examples=(
        "archive mapping suggest export.xlsx --output mapping.toml",
        "archive mapping suggest export.csv --format json",
    ),
)
@click.argument("spreadsheet", metavar="SPREADSHEET", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--sheet", metavar="NAME", help="Sheet of an Excel workbook. Default: the first one.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="MAPPING.toml",
    help="File to create. Default: standard output.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="text: the mapping file. json: its suggestions as data.",
)
def suggest(spreadsheet: Path, sheet: str | None, output: Path | None, form: str) -> None:
    """Suggest a mapping file for a table, CSV or Excel.

    Each line states its certainty and the reason. Check them, then use the file with `archive ingest --mapping`.
    """
    from archive.ingest.mapping_suggestion import suggest_mapping, write_suggestion

    suggestion = suggest_mapping(spreadsheet.absolute(), sheet=sheet)
    text = as_json(suggestion.as_object(), indent=2) + "\n" if form == "json" else write_suggestion(suggestion)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{output} exists already: name another file") from error
    emit(f"{output} was written: check each line, then give it to `archive ingest --mapping`")


mapping.add_command(suggest)
