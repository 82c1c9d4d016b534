"""``archive mapping``: mapping files, which assign a museum's columns to fields."""

from __future__ import annotations

from pathlib import Path

import click

from archive.cli.logging_setup import emit
from archive.cli.options import ArchiveGroup, Context, command, epilog, pass_context
from archive.cli.output_formats import as_json, escape_control_characters
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
    help="File to create. - or default: standard output.",
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
    from archive.export.output_file import STANDARD_OUTPUT
    from archive.ingest.mapping_suggestion import suggest_mapping, write_suggestion
    from archive.storage import require_parent
    from archive.whole_files import whole_file

    if output == STANDARD_OUTPUT:
        output = None
    if output is not None:
        require_parent(output.absolute().parent)
        if output.exists():
            raise UsageError(f"{output} exists already: name another file")
    suggestion = suggest_mapping(spreadsheet, sheet=sheet)
    text = as_json(suggestion.as_object(), indent=2) + "\n" if form == "json" else write_suggestion(suggestion)
    if output is None:
        click.echo(text, nl=False)
        return
    with whole_file(output, replace=False) as file:
        file.write(text.encode())
    emit(f"{output} was written: check each line, then give it to `archive ingest --mapping`")


@command("list", examples=("archive mapping list", "archive mapping list --format json"))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Output format.")
@pass_context
def list_(context: Context, form: str) -> None:
    """List the mapping files that ingests have used."""
    from archive.ingest.kept_mappings import list_mappings

    rows = [
        {
            "sha256": each.sha256,
            "name": each.name,
            "first_used_at": each.first_used_at.isoformat(timespec="seconds"),
        }
        for each in list_mappings(context.catalogue())
    ]
    if form == "json":
        click.echo(as_json(rows, indent=2))
        return
    for row in rows:
        click.echo(escape_control_characters(f"{row['sha256'][:12]}  {row['first_used_at']}  {row['name']}"))
    if not rows:
        emit("no ingest has used a mapping file")


@command("show", examples=("archive mapping show 5d41402abc4b > mapping.toml",))
@click.argument("sha256", metavar="SHA256")
@pass_context
def show(context: Context, sha256: str) -> None:
    """Print a mapping file as an ingest used it.

    SHA256 is its digest, or the first digits of it, as the item's history and `archive mapping list` show it.
    """
    from archive.ingest.kept_mappings import find_mapping

    click.echo(find_mapping(context.catalogue(), sha256).text, nl=False)


mapping.add_command(suggest)
mapping.add_command(list_)
mapping.add_command(show)
