"""``archive review``."""

from __future__ import annotations

import click

from archive.cli.options import Context, RowId, command, pass_context
from archive.cli.output_formats import escape_control_characters


@command(
    "review",
    examples=(
        "archive review 1906.12 --accept --reviewer 'A. Curator'",
        "archive review 1906.12 --reject --reason 'the left eye was redrawn'",
    ),
)
@click.argument("accession_number", metavar="ACCESSION_NUMBER")
@click.option("--accept", is_flag=True, help="Accept it: it stays current.")
@click.option("--reject", is_flag=True, help="Reject it: it is never current. Needs --reason.")
@click.option(
    "--derivative", type=RowId(), metavar="ID", help="Derivative to review. Default: the current restored one."
)
@click.option("--reason", metavar="TEXT", help="Reason of the decision.")
@click.option("--reviewer", metavar="NAME", help="Name of the reviewer. Default: the operator.")
@pass_context
def review(
    context: Context,
    accession_number: str,
    *,
    accept: bool,
    reject: bool,
    derivative: int | None,
    reason: str | None,
    reviewer: str | None,
) -> None:
    """Accept or reject one derivative.

    The decision is about its exact bytes and bears your name. An accepted derivative stays current when a newer one
    appears that nobody has seen. A rejected one is kept, but is never current. A later decision about the same
    derivative takes the place of the earlier one.
    """
    from archive.catalogue.schema.vocabularies import Decision
    from archive.review import record_decision

    if accept == reject:
        raise click.UsageError("say either --accept or --reject")
    catalogue = context.catalogue()
    decided = record_decision(
        catalogue,
        accession_number,
        decision=Decision.ACCEPTED if accept else Decision.REJECTED,
        derivative_id=derivative,
        reason=reason,
        reviewer=reviewer or catalogue.settings.operator,
    )
    click.echo(f"{escape_control_characters(accession_number)}: derivative {decided.derivative_id} {decided.decision}")
