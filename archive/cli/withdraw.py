"""``archive withdraw``."""

from __future__ import annotations

import click

from archive.cli.logging_setup import answer_writer
from archive.cli.options import Context, RowId, answer_format_option, command, pass_context
from archive.cli.output_formats import escape_control_characters, print_json_object
from archive.cli.traces_text import print_traces, traces_object


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
@answer_format_option
@pass_context
def withdraw(
    context: Context,
    accession_number: str,
    derivative: int,
    reason: str,
    reviewer: str | None,
    *,
    lift: bool,
    form: str,
) -> None:
    """Remove a derivative's file for legal or ethical reasons, and keep its record.

    The file and all views in the home are deleted; identifiers, digests, recipe, reason, person and time are kept. A
    withdrawn derivative is never current, and no batch makes it again. The master is not touched.
    """
    from archive.derivative_traces import Traces
    from archive.withdrawal import lift_withdrawal, withdraw_derivative

    catalogue = context.catalogue()
    person = reviewer or catalogue.settings.operator
    name, write = escape_control_characters(accession_number), answer_writer(form)
    about = {"accession_number": accession_number, "derivative": derivative}
    if lift:
        path = lift_withdrawal(catalogue, accession_number, derivative, reason=reason, person=person)
        write(f"{name}: derivative {derivative} is there again: {escape_control_characters(str(path))}")
        if form == "json":
            print_json_object({**about, "path": str(path), "withdrawn": False, **traces_object(Traces())})
        return
    withdrawn = withdraw_derivative(catalogue, accession_number, derivative, reason=reason, person=person)
    write(f"{name}: derivative {derivative} withdrawn")
    print_traces(withdrawn.traces)
    if form == "json":
        print_json_object({**about, "path": str(withdrawn.path), "withdrawn": True, **traces_object(withdrawn.traces)})
