"""``archive review``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archive.cli.options import Context, command, login_name, pass_context
from archive.cli.output import visible

if TYPE_CHECKING:
    from archive.catalogue.vocabulary import Decision


@command(
    "review",
    examples=(
        "archive review 1906.12 --accept --reviewer 'A. Curator'",
        "archive review 1906.12 --reject --reason 'the left eye was redrawn'",
    ),
)
@click.argument("accession_number", metavar="ACCESSION_NUMBER")
@click.option("--accept", "decision", flag_value="accepted", help="Accept it: it stays current.")
@click.option("--reject", "decision", flag_value="rejected", help="Reject it: it is never current. Needs --reason.")
@click.option("--derivative", type=int, metavar="ID", help="Which one; else the current restored derivative.")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--reviewer", metavar="NAME", help="Who decides; else the name you are logged in with.")
@pass_context
def review(
    context: Context,
    accession_number: str,
    decision: str | None,
    derivative: int | None,
    reason: str | None,
    reviewer: str | None,
) -> None:
    """Accept or reject one derivative.

    The decision is about its exact bytes and bears your name. An accepted derivative stays current when a newer one
    appears that nobody has seen. A rejected one is kept, but is never current. A later decision about the same
    derivative takes the place of the earlier one.
    """
    from archive.review import decide

    decided = decide(
        context.catalogue(),
        accession_number,
        decision=_decision(decision),
        derivative_id=derivative,
        reason=reason,
        reviewer=reviewer or login_name(),
    )
    click.echo(f"{visible(accession_number)}: derivative {decided.derivative_id} {decided.decision}")


def _decision(word: str | None) -> Decision:
    from archive.catalogue.vocabulary import Decision

    if word is None:
        raise click.UsageError("say --accept or --reject")
    return Decision(word)
