"""``archive list`` and ``archive show``."""

from __future__ import annotations

from itertools import chain

import click

from archive.cli.logging_setup import emit
from archive.cli.options import ChoiceList, Context, command, pass_context, query_argument
from archive.cli.output_formats import as_json, describe_empty_result, print_rows
from archive.display import EXTRA_PREFIX, FURTHER_LIST_FIELDS, LIST_FIELDS

TABLE_FIELDS = ("accession_number", "title", "date", "status", "version", "psnr_reference", "review")


@command(
    "list",
    examples=(
        "archive list 'status:restored AND psnr_reference:[30 TO *]'",
        "archive list 'creator:Lange' --format csv --fields accession_number,title,path",
    ),
)
@query_argument
@click.option("--format", "form", type=click.Choice(["table", "json", "jsonl", "csv"]), default="table")
@click.option(
    "--fields",
    type=ChoiceList((*LIST_FIELDS, *FURTHER_LIST_FIELDS), prefix=EXTRA_PREFIX),
    metavar="a,b,c",
    help=f"Fields to print, in this order: {', '.join(LIST_FIELDS)}; "
    f"also {', '.join(FURTHER_LIST_FIELDS)}, and extra.COLUMN of your own columns.",
)
@click.option("--limit", type=click.IntRange(0, 10**9), metavar="N", help="List at most N items. Default: all.")
@pass_context
def list_command(
    context: Context, query: str | None, form: str, fields: tuple[str, ...] | None, limit: int | None
) -> None:
    """List the items that match QUERY.

    Items are ordered by accession number. Without QUERY, list all items. QUERY uses Lucene syntax: field:value, ranges
    such as date:[1930 TO 1939], AND, OR, NOT, wildcards, and free words, which are searched in title and description.
    Quote it for the shell.
    """
    from archive.catalogue.listings import list_items

    with context.catalogue().reading() as session:
        shown = fields or (TABLE_FIELDS if form == "table" else LIST_FIELDS)
        further = [name for name in shown if name not in LIST_FIELDS]
        items = list_items(session, query, limit, further=further)
        first = next(items, None)
        if first is None and limit != 0:
            emit(describe_empty_result(query))
        print_rows(() if first is None else chain([first], items), shown, form)


@command("show", examples=("archive show 'LC-USF34-9058-C'", "archive show 1906.12 --format json"))
@click.argument("accession_number", metavar="ACCESSION_NUMBER")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@pass_context
def show(context: Context, accession_number: str, form: str) -> None:
    """Show one item and everything that was done to it.

    Shows its masters, their derivatives with quality scores, and its history. Every score names the two images that it
    compares. PSNR is in decibels.
    """
    from archive.catalogue.listings import get_item_details as find
    from archive.cli.item_text import item_lines

    catalogue = context.catalogue()
    with catalogue.reading() as session:
        item = find(catalogue, session, accession_number)
    if form == "json":
        click.echo(as_json(item, indent=2))
    else:
        for line in item_lines(item):
            click.echo(line)
