"""``archive export``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from archive.cli.logging_setup import emit
from archive.cli.options import Context, command, pass_context, query_argument
from archive.cli.output_formats import describe_empty_result, pluralise

TABLES = ("csv", "xlsx", "jsonl")
DOCUMENTS = ("premis", "prov", "iiif")
_BASE_URL = re.compile(r"https?://[^\s?#]+")


@command(
    "export",
    examples=(
        "archive export --format csv --output items.csv",
        "archive export 'batch:3' --format jsonl --rows derivatives --output - --fields accession_number,path,reviewer",
        "archive export 'review:accepted' --format iiif --output iiif --base-url https://images.example.org",
    ),
)
@query_argument
@click.option("--format", "form", type=click.Choice([*TABLES, *DOCUMENTS]), required=True)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="The file, or - for standard output; of iiif a folder. An earlier export there is replaced.",
)
@click.option(
    "--rows",
    type=click.Choice(["items", "masters", "derivatives"]),
    help="What a row of csv, xlsx or jsonl is about; items unless told otherwise.",
)
@click.option("--fields", metavar="a,b,c", help="Which fields of csv, xlsx or jsonl, in which order; else all.")
@click.option("--bom", is_flag=True, help="Start the CSV with a byte order mark, by which Excel recognises UTF-8.")
@click.option("--base-url", metavar="URL", help="Of iiif: where the folder and the image services are published.")
@click.option("--include-restricted", is_flag=True, help="Also items whose access is restricted or sensitive.")
@pass_context
def export(context: Context, query: str | None, form: str, output: Path, **options: Any) -> None:
    """Write what the catalogue knows of the items that QUERY finds, for another system.

    csv, xlsx and jsonl have one row per item, master or derivative; premis (PREMIS 3 XML), prov (PROV-JSON, or PROV-N
    if FILE ends with .provn) and iiif (manifests and a collection) describe whole items. All are ordered by accession
    number. Only items whose access is open enter them, unless you say otherwise.
    """
    from archive.export.export_run import export_documents, export_table

    _check_options(form, options)
    if form in TABLES:
        fields = options["fields"] and tuple(name.strip() for name in options["fields"].split(",") if name.strip())
        counts = export_table(
            context.catalogue(),
            query,
            form,
            output,
            rows=options["rows"] or "items",
            fields=fields,
            include_restricted=options["include_restricted"],
            byte_order_mark=options["bom"],
        )
        told = pluralise(counts.rows, "row")
    else:
        counts = export_documents(
            context.catalogue(),
            query,
            form,
            output,
            base_url=options["base_url"],
            include_restricted=options["include_restricted"],
        )
        told = pluralise(counts.items, "item")
    emit(f"{output}: {told}")
    report_left_out(counts.restricted)
    if not counts.items and not counts.restricted:
        emit(describe_empty_result(query))


def report_left_out(restricted: int) -> None:
    """Says how many items were left out because of their access, if any were."""
    if restricted:
        are = "is" if restricted == 1 else "are"
        emit(f"{pluralise(restricted, 'item')} {are} left out: access is not open. --include-restricted takes them in")


def _check_options(form: str, options: dict[str, Any]) -> None:
    """Refuses options that the format has no use for, instead of passing over them in silence."""
    for name in ("rows", "fields"):
        if options[name] is not None and form not in TABLES:
            raise click.UsageError(f"--{name} is for {', '.join(TABLES)}, not for {form}")
    if options["bom"] and form != "csv":
        raise click.UsageError("--bom is for csv")
    if options["base_url"] is not None:
        if form != "iiif":
            raise click.UsageError("--base-url is for iiif")
        if not _BASE_URL.fullmatch(options["base_url"]):
            raise click.UsageError(f"{options['base_url']!r} is not a valid address. Write https://host/path")
