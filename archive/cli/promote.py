"""``archive promote``."""

from __future__ import annotations

from dataclasses import asdict

import click

from archive.cli.logging_setup import answer_writer, emit
from archive.cli.options import Context, RowId, answer_format_option, command, pass_context, query_argument
from archive.cli.output_formats import pluralise, print_json_object


@command(
    "promote",
    examples=("archive promote --batch 4", "archive promote 'collection:Lange' --batch 4 --reviewer 'A. Curator'"),
)
@query_argument
@click.option("--batch", "batch_id", required=True, type=RowId(), metavar="N", help="Whose results.")
@click.option("--reviewer", metavar="NAME", help="Who decides; else the operator.")
@answer_format_option
@pass_context
def promote(context: Context, query: str | None, batch_id: int, reviewer: str | None, form: str) -> None:
    """Make the results of a trial, or of an earlier batch, current.

    They count as if the batch had been run now, for the masters that QUERY finds, else for all of the batch. An
    accepted derivative stays current, and one by the approved version comes before others. Nothing is recreated.
    """
    from archive.batch_promotion import promote_batch

    catalogue = context.catalogue()
    done = promote_batch(catalogue, query, batch_id, reviewer=reviewer or catalogue.settings.operator)
    answer_writer(form)(f"batch {batch_id}: {pluralise(done.promoted, 'derivative')} made current")
    if done.current_before:
        emit(f"{pluralise(done.current_before, 'derivative')} current before")
    if done.not_current:
        emit(
            f"{pluralise(done.not_current, 'derivative')} not current, behind an accepted one or one by the approved "
            "version, rejected, or lost"
        )
    if form == "json":
        print_json_object({"batch": batch_id, **asdict(done)})
