"""``archive export``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from archive.cli.credentials import derivative_signer
from archive.cli.logging_setup import emit
from archive.cli.options import Context, command, pass_context, query_argument
from archive.cli.output_formats import describe_empty_result, pluralise
from archive.cli.progress_bar import make_progress

if TYPE_CHECKING:
    from archive.export.derivative_copies import FileHandover

Format = Literal["csv", "xlsx", "jsonl", "premis", "prov", "iiif"]
RowKind = Literal["items", "masters", "derivatives"]
TABLES = ("csv", "xlsx", "jsonl")
DOCUMENTS = ("premis", "prov", "iiif")
_BASE_URL = re.compile(r"https?://[^\s?#]+")


@command(
    "export",
    examples=(
        "archive export --format csv --output catalogue-export.csv",
        "archive export 'batch:3' --format jsonl --rows derivatives --output - --fields accession_number,path,reviewer",
        "archive export 'review:accepted' --format iiif --output iiif --base-url https://images.example.org",
        "archive export 'collection:Lange' --format xlsx --rows derivatives --sign --output for-the-press.xlsx",
    ),
)
@query_argument
@click.option("--format", "form", type=click.Choice([*TABLES, *DOCUMENTS]), required=True)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="File to write, or - for standard output; a folder for iiif. An earlier export of the same "
    "form there is replaced; any other file is refused. A missing folder is created in an existing one.",
)
@click.option(
    "--rows",
    type=click.Choice(["items", "masters", "derivatives"]),
    help="Subject of each row of csv, xlsx or jsonl. Default: items.",
)
@click.option("--fields", metavar="a,b,c", help="Fields of csv, xlsx or jsonl, in this order. Default: all.")
@click.option("--bom", is_flag=True, help="Start the CSV with a byte order mark, so that Excel recognises UTF-8.")
@click.option(
    "--base-url",
    metavar="URL",
    help="Address at which the iiif folder and the image services are published. Default: http://127.0.0.1:8600, which "
    "works only on this machine.",
)
@click.option(
    "--files", is_flag=True, help="Also copy the current derivatives: into FILE's name with -files, or DIR/files."
)
@click.option(
    "--sign/--no-sign",
    default=None,
    help="Sign these copies with Content Credentials; --sign implies --files. Default: `sign` in archive.toml.",
)
@click.option("--include-restricted", is_flag=True, help="Include items with restricted or sensitive access.")
@pass_context
def export(
    context: Context,
    query: str | None,
    form: Format,
    output: Path,
    rows: RowKind | None,
    fields: str | None,
    bom: bool,
    base_url: str | None,
    files: bool,
    sign: bool | None,
    include_restricted: bool,
) -> None:
    """Export the catalogue's data about the items that QUERY finds, for another system.

    csv, xlsx and jsonl have one row per item, master or derivative; premis (PREMIS 3 XML), prov (PROV-JSON, or PROV-N
    if FILE ends with .provn) and iiif (manifests and a collection) describe whole items. All are ordered by accession
    number. With --files or --sign, copies of the derivatives go with them. Only items with open access are included,
    unless you add --include-restricted.
    """
    from archive.export.export_run import export_documents, export_table, files_folder
    from archive.export.output_file import STANDARD_OUTPUT

    _check_options(form, rows=rows, fields=fields, bom=bom, base_url=base_url)
    handover = _handover(context, output, sign=sign) if files or sign else None
    if form == "csv" or form == "xlsx" or form == "jsonl":
        counts = export_table(
            context.catalogue(),
            query,
            form,
            output,
            rows=rows or "items",
            fields=None if fields is None else tuple(name.strip() for name in fields.split(",") if name.strip()),
            include_restricted=include_restricted,
            byte_order_mark=bom,
            handover=handover,
        )
        told = pluralise(counts.rows, "row")
        if counts.items and not counts.rows:
            told += f". {pluralise(counts.items, 'item')} without {rows}"
    else:
        counts = export_documents(
            context.catalogue(),
            query,
            form,
            output,
            base_url=base_url,
            include_restricted=include_restricted,
            handover=handover,
        )
        told = pluralise(counts.items, "item")
    emit(f"{'standard output' if output == STANDARD_OUTPUT else output}: {told}")
    if handover is not None:
        signed = "" if handover.copy_derivative is None else "signed "
        emit(f"{files_folder(output, form)}: {pluralise(counts.files, f'{signed}copy', f'{signed}copies')}")
    if form == "iiif" and base_url is None and counts.items:
        _warn_of_local_addresses()
    report_left_out(counts.restricted)
    if not counts.items and not counts.restricted:
        emit(describe_empty_result(query))


def _handover(context: Context, output: Path, *, sign: bool | None) -> FileHandover:
    from archive.export.derivative_copies import FileHandover
    from archive.export.output_file import STANDARD_OUTPUT

    if output == STANDARD_OUTPUT:
        raise click.UsageError("Copies can't be written to standard output. Give --output FILE.")
    copy_derivative = derivative_signer(context.catalogue(), sign=sign)
    return FileHandover(copy_derivative=copy_derivative, progress=make_progress())


def _warn_of_local_addresses() -> None:
    from archive.export.iiif import DEFAULT_BASE_URL

    emit(
        f"The addresses in the manifests begin with {DEFAULT_BASE_URL} and work only on this machine. To publish them, "
        "export again with --base-url and the address of your server"
    )


def report_left_out(restricted: int) -> None:
    """Reports how many items were omitted because of their access, if any."""
    if restricted:
        are = "is" if restricted == 1 else "are"
        emit(
            f"{pluralise(restricted, 'item')} {are} left out: access is not open. "
            "Add --include-restricted to include them."
        )


def _check_options(form: Format, *, rows: RowKind | None, fields: str | None, bom: bool, base_url: str | None) -> None:
    """Refuses options that the format can't use, rather than ignoring them."""
    if form not in TABLES:
        for name, value in (("rows", rows), ("fields", fields)):
            if value is not None:
                raise click.UsageError(f"--{name} is for {', '.join(TABLES)}, not for {form}")
    if bom and form != "csv":
        raise click.UsageError("--bom is for csv")
    if base_url is not None:
        if form != "iiif":
            raise click.UsageError("--base-url is for iiif")
        if not _BASE_URL.fullmatch(base_url):
            raise click.UsageError(f"{base_url!r} is not a valid address. Write https://host/path")
