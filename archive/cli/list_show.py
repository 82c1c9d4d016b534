"""``archive list`` and ``archive show``."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import click

from archive.cli.logging_setup import emit
from archive.cli.options import ChoiceList, Context, command, pass_context, query_argument
from archive.cli.output_formats import as_json, command_for_query, describe_empty_result, print_rows
from archive.display_labels import (
    DERIVATIVE_KEYS,
    DERIVATIVE_ROW_FIELDS,
    EXTRA_PREFIX,
    FURTHER_LIST_FIELDS,
    LIST_FIELDS,
    MASTER_ROW_FIELDS,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TABLE_FIELDS = ("accession_number", "title", "date", "status", "version", "psnr_reference", "review")
MASTER_TABLE_FIELDS = ("accession_number", "sequence", "view", "status", "review", "file", "path")
DERIVATIVE_TABLE_FIELDS = (
    *("accession_number", "sequence", "derivative", "batch", "made", "operator", "model", "version", "strength"),
    *("current", "file", "decision", "reviewer"),
)

_ALL_FIELDS = tuple(
    dict.fromkeys((*LIST_FIELDS, *FURTHER_LIST_FIELDS, *DERIVATIVE_KEYS, *MASTER_ROW_FIELDS, *DERIVATIVE_ROW_FIELDS))
)


@command(
    "list",
    examples=(
        "archive list 'status:restored AND psnr_reference:[30 TO *]'",
        "archive list 'creator:Lange' --format csv --fields accession_number,title,path",
        "archive list 'batch:3 AND decision:none' --rows derivatives --format csv --bom > decisions.csv",
    ),
)
@query_argument
@click.option("--format", "form", type=click.Choice(["table", "json", "jsonl", "csv"]), default="table")
@click.option(
    "--rows",
    type=click.Choice(["items", "masters", "derivatives"]),
    default="items",
    help="One row per item, per master or per derivative.",
)
@click.option(
    "--fields",
    type=ChoiceList(_ALL_FIELDS, prefix=EXTRA_PREFIX),
    metavar="a,b,c",
    help=f"Which, and in which order. Items: {', '.join(LIST_FIELDS)}; with a query about derivatives also "
    f"{', '.join(DERIVATIVE_KEYS)}. Masters: {', '.join(MASTER_ROW_FIELDS)}. "
    f"Derivatives: {', '.join(DERIVATIVE_ROW_FIELDS)}. "
    f"All of them: {', '.join(FURTHER_LIST_FIELDS)}, and extra.COLUMN.",
)
@click.option("--limit", type=click.IntRange(0, 10**9), metavar="N", help="List at most N items. Default: all.")
@click.option("--bom", is_flag=True, help="Start CSV with a byte order mark, so that Excel recognises UTF-8.")
@pass_context
def list_command(
    context: Context,
    query: str | None,
    form: str,
    rows: str,
    fields: tuple[str, ...] | None,
    limit: int | None,
    bom: bool,
) -> None:
    """List the items that match QUERY.

    They are ordered by accession number; without QUERY they are all. QUERY is Lucene syntax: field:value, ranges
    such as date:[1930 TO 1939], AND, OR, NOT, wildcards, and free words over title and description. Quote it for
    the shell.

    A query about derivatives, such as batch:3 or made:[2026-11-01 TO *], lists what it selects: path, scores and review
    are that derivative's, also where it is not current. An item with several masters has the status of the one with the
    most work left; --rows masters shows each.

    In rows about masters and derivatives, file is the fault that the last `archive verify` found: missing, changed, or
    lost (recreated as another derivative). – means no fault, or not checked yet. The field path is where the file is.
    """
    from archive.catalogue import listings

    if bom and form != "csv":
        raise click.UsageError("--bom is for --format csv")
    with context.catalogue().reading() as session:
        known, in_table = _fields(rows, query)
        further = [name for name in fields or () if name not in known]
        unknown = [name for name in further if name not in FURTHER_LIST_FIELDS and not name.startswith(EXTRA_PREFIX)]
        if unknown:
            also = (*known, *(name for name in FURTHER_LIST_FIELDS if name not in known))
            raise click.BadParameter(
                f"rows about {rows} have no {', '.join(unknown)}. Known: {', '.join(also)}", param_hint="--fields"
            )
        lists = {
            "items": listings.list_items,
            "masters": listings.list_masters,
            "derivatives": listings.list_derivatives,
        }
        found = lists[rows](session, query, limit, further=further)
        first = next(found, None)
        if first is None and limit != 0:
            emit(_describe_no_rows(session, rows, query))
        shown = fields or (in_table if form == "table" else known)
        if bom:
            click.echo("\ufeff", nl=False)
        print_rows(() if first is None else chain([first], found), shown, form)


def _describe_no_rows(session: Session, rows: str, query: str | None) -> str:
    """Why a list is empty: nothing matches, or what matches has no derivatives."""
    from archive.catalogue import listings

    if rows == "derivatives" and next(listings.list_items(session, query, 1), None) is not None:
        return f"the items found have no derivatives. Run `{command_for_query('archive restore', query)}` to make them"
    return describe_empty_result(query)


def _fields(rows: str, query: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields of a kind of row, and those of them in a table."""
    if rows == "masters":
        return MASTER_ROW_FIELDS, MASTER_TABLE_FIELDS
    if rows == "derivatives":
        return DERIVATIVE_ROW_FIELDS, DERIVATIVE_TABLE_FIELDS
    from archive.catalogue.query.lucene_parser import parse_tree
    from archive.catalogue.query.query_tree import selects_derivatives

    if selects_derivatives(parse_tree(query)):
        return (*LIST_FIELDS, *DERIVATIVE_KEYS), (*TABLE_FIELDS, "current")
    return LIST_FIELDS, TABLE_FIELDS


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
