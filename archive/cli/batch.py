"""``archive batch list|show|resume``."""

from __future__ import annotations

from datetime import datetime, time

import click

from archive.cli.options import ArchiveGroup, Context, Id, command, device_options, epilog, pass_context
from archive.cli.output import as_json, print_csv, print_json_array, print_table, visible
from archive.cli.restore import PARTLY, run_and_tell

FIELDS = (
    "id",
    "created_at",
    "status",
    "recipes",
    "tasks",
    "pending",
    "running",
    "done",
    "failed",
    "skipped",
    "cancelled",
)
FAILURE_FIELDS = ("accession_number", "sequence", "path", "reason")


@click.group("batch", cls=ArchiveGroup, epilog=epilog("archive batch list", "archive batch resume 3"))
def batch() -> None:
    """Look at batches, and resume one that was interrupted."""


@command("list", examples=("archive batch list --format json",))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@pass_context
def list_command(context: Context, form: str) -> None:
    """List the batches with how far each has come."""
    from archive.catalogue.search import batches

    with context.catalogue().reading() as session:
        if form == "json":
            print_json_array(batches(session))
        else:
            print_table(batches(session), FIELDS)


@command("show", examples=("archive batch show 3", "archive batch show 3 --format csv > failures.csv"))
@click.argument("batch_id", metavar="ID", type=Id())
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table")
@pass_context
def show(context: Context, batch_id: int, form: str) -> None:
    """Show one batch and what failed in it, with reasons. As csv: the failures alone."""
    from archive.catalogue.search import batch as find

    with context.catalogue().reading() as session:
        found = find(session, batch_id)
    if form == "json":
        click.echo(as_json(found, indent=2))
    elif form == "csv":
        print_csv(({field: row[field] for field in FAILURE_FIELDS} for row in found["failures"]), FAILURE_FIELDS)
    else:
        for field in FIELDS:
            click.echo(f"{field.replace('_', ' '):<12}{visible(str(found[field]))}")
        if found["failures"]:
            click.echo()
            print_table(found["failures"], FAILURE_FIELDS)


@command(
    "resume",
    examples=("archive batch resume 3", "archive batch resume 3 --until 07:30"),
    partly=PARTLY,
)
@click.argument("batch_id", metavar="ID", type=Id())
@click.option("--until", metavar="HH:MM", help="Begin no further master after this time of day.")
@device_options
@pass_context
def resume(context: Context, batch_id: int, until: str | None, device: str | None, precision: str | None) -> int:
    """Go on with a batch that was interrupted, where it stopped."""
    return run_and_tell(
        context.catalogue(), batch_id, device=device, precision=precision, until=_time_of_day(until) if until else None
    )


def _time_of_day(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time of day such as 07:30", param_hint="--until") from error


for each in (list_command, show, resume):
    batch.add_command(each)
