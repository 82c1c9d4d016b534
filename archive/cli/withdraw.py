"""``archive withdraw``."""

from __future__ import annotations

import click

from archive.cli.logging_setup import emit
from archive.cli.options import Context, RowId, command, pass_context
from archive.cli.output_formats import escape_control_characters


@command(
    "withdraw",
    examples=(
        "archive withdraw 1906.12 --derivative 5 --reason 'the family asked for it'",
        "archive withdraw 1906.12 --derivative 5 --lift --reason 'the family agreed'",
    ),
)
@click.argument("accession_number", metavar="ACCESSION_NUMBER")
@click.option("--derivative", type=RowId(), required=True, metavar="ID", help="Which one; `archive show` lists them.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@click.option("--reviewer", metavar="NAME", help="Who decides; else the operator.")
@click.option("--lift", is_flag=True, help="Take the withdrawal back: the derivative is recreated from its record.")
@pass_context
def withdraw(
    context: Context, accession_number: str, derivative: int, reason: str, reviewer: str | None, *, lift: bool
) -> None:
    """Remove a derivative's file for legal or ethical reasons, and keep its record.

    The file and all views in the home are deleted; identifiers, digests, recipe, reason, person and time are kept. A
    withdrawn derivative is never current, and no batch makes it again. The master is not touched.
    """
    from archive.withdrawal import lift_withdrawal, withdraw_derivative

    catalogue = context.catalogue()
    person = reviewer or catalogue.settings.operator
    name = escape_control_characters(accession_number)
    if lift:
        path = lift_withdrawal(catalogue, accession_number, derivative, reason=reason, person=person)
        click.echo(f"{name}: derivative {derivative} is there again: {escape_control_characters(str(path))}")
        return
    withdrawn = withdraw_derivative(catalogue, accession_number, derivative, reason=reason, person=person)
    click.echo(f"{name}: derivative {derivative} withdrawn")
    for sheet in withdrawn.contact_sheets:
        emit(f"this contact sheet may show parts of it: {escape_control_characters(str(sheet))}")
    for copy in withdrawn.signed_copies:
        emit(f"handed over before: {escape_control_characters(copy)}")
    emit("backups, reports and packages that were made before still hold it")
