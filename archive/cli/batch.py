"""``archive batch list|show|cancel|resume``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from typing import TYPE_CHECKING, Any

import click

from archive.cli.logging_setup import emit
from archive.cli.options import (
    ArchiveGroup,
    Context,
    RowId,
    answer_format_option,
    command,
    device_options,
    epilog,
    operation_options,
    pass_context,
    worker_options,
)
from archive.cli.output_formats import (
    as_json,
    escape_control_characters,
    format_duration,
    pluralise,
    print_csv,
    print_json_array,
    print_json_object,
    print_table,
)
from archive.cli.restore_rerun import PARTLY, check_run_options, run_and_report

if TYPE_CHECKING:
    from archive.batches.running.worker_count import WorkerCount

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
    "priority",
    "operator",
)
WORKER_FIELDS = ("host", "process", "device", "accession_number", "sequence", "since", "last_heartbeat")
FAILURE_FIELDS = ("accession_number", "sequence", "path", "reason")


@click.group(
    "batch", cls=ArchiveGroup, epilog=epilog("archive batch list", "archive batch resume 3", partly=f"resume: {PARTLY}")
)
def batch() -> None:
    """List batches, resume an interrupted one, or cancel one."""


@command("list", examples=("archive batch list --format json",))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@pass_context
def list_command(context: Context, form: str) -> None:
    """List the batches and their progress.

    The status pending means that the batch was never begun, interrupted that it was begun and no process works on it:
    `archive batch resume ID` continues both. A killed process counts as working until its leases expire. If it ran on
    this machine, the text form says so at once.
    """
    from archive.batches.running.last_run import list_interrupted_batches
    from archive.catalogue.listings import list_batches

    with context.catalogue().reading() as session:
        if form == "json":
            print_json_array(list_batches(session))
            return
        batches = list(list_batches(session))
        lost = {each.id for each in list_interrupted_batches(session) if each.is_lost}
    print_table(batches, FIELDS)
    for each in batches:
        if each["id"] in lost and each["status"] != "interrupted":
            emit(
                f"batch {each['id']}: its process is probably gone. Continue with `archive batch resume {each['id']}`",
                batch=each["id"],
            )
    if interrupted := [str(each["id"]) for each in batches if each["status"] == "interrupted"]:
        emit(
            f"interrupted: {', '.join(interrupted)}. Run `archive batch show ID` to see why, "
            "`archive batch resume ID` to continue."
        )


@command("show", examples=("archive batch show 3", "archive batch show 3 --format csv > failures.csv"))
@click.argument("batch_id", metavar="ID", type=RowId())
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table")
@pass_context
def show(context: Context, batch_id: int, form: str) -> None:
    """Show a batch: query, recipes, progress, throughput, workers, and failures with reasons.

    A recipe names the models and styles with their settings. The csv format lists the failures only.

    For an interrupted batch it says when and why the last run stopped. If its process was killed on this machine, it
    says so at once, although the batch counts as running until the leases expire.

    A worker's last heartbeat is its last sign of life. It gives one several times in each lease.
    """
    from archive.batches.running.last_run import is_run_lost
    from archive.catalogue.listings import get_batch as find

    with context.catalogue().reading() as session:
        found = find(session, batch_id)
        is_lost = bool(found["pending"] + found["running"]) and is_run_lost(session, batch_id)
    if form == "json":
        click.echo(as_json(found, indent=2))
    elif form == "csv":
        print_csv(({field: row[field] for field in FAILURE_FIELDS} for row in found["failures"]), FAILURE_FIELDS)
    else:
        for name, value in _text_lines(found, is_lost=is_lost):
            click.echo(f"{name:<13}{escape_control_characters(value)}")
        if found["workers"]:
            click.echo()
            print_table(found["workers"], WORKER_FIELDS)
        if found["failures"]:
            click.echo()
            print_table(found["failures"], FAILURE_FIELDS)


def _text_lines(found: dict[str, Any], *, is_lost: bool) -> Iterator[tuple[str, str]]:
    """The description of a batch as text, line by line."""
    for field in FIELDS:
        yield field.replace("_", " "), str(found[field])
    yield "query", found["query"] or "none: all masters"
    for recipe in found["recipes_used"]:
        yield "recipe", recipe
    yield from _last_run_lines(found, is_lost=is_lost)
    if (rate := found["rate"]) is not None:
        yield (
            "rate",
            f"{rate['masters_per_hour']:,.0f} masters per hour, {rate['megapixels_per_second']:.2f} Mpx per second",
        )
        yield "time left", format_duration(found["seconds_left"])
    for stage in found["stages"]:
        each = stage["seconds"] / stage["masters"]
        yield "stage", f"{stage['stage']}: {format_duration(stage['seconds'])}, {each:.2f} s per master"


def _last_run_lines(found: dict[str, Any], *, is_lost: bool) -> Iterator[tuple[str, str]]:
    """When the batch was last worked on, and if it is interrupted, why it stopped and how to continue it."""
    yield "last worked", found["last_worked_at"] or "never"
    if found["status"] != "interrupted" and not is_lost:
        return
    last_run = found["last_run"] or {"ended_at": None, "reason": None}
    if last_run["ended_at"] is not None:
        yield "stopped", f"{last_run['ended_at']}: {last_run['reason']}"
    elif is_lost:
        yield "stopped", "its process is probably gone: killed, or the machine was switched off"
    else:
        yield "stopped", "not recorded: the process is starting, or it was killed"
    yield "to continue", f"archive batch resume {found['id']}"


@command("cancel", examples=("archive batch cancel 3",))
@click.argument("batch_id", metavar="ID", type=RowId())
@pass_context
def cancel(context: Context, batch_id: int) -> None:
    """Cancel the tasks of a batch that have not started.

    In-flight tasks are finished, and existing results are kept. To plan the cancelled masters again, run
    `archive restore` with the settings that `archive batch show ID` names.
    """
    from archive.batches.running.cancellation import cancel_batch

    outcome = cancel_batch(context.catalogue(), batch_id)
    click.echo(f"batch {batch_id}: {pluralise(outcome.cancelled, 'task')} cancelled")
    if outcome.running:
        emit(f"{pluralise(outcome.running, 'task')} in flight will be finished", batch=batch_id)
    elif not outcome.cancelled:
        state = "is cancelled already" if outcome.cancelled_before else "is finished"
        emit(f"nothing was left to cancel: the batch {state}. See `archive batch show {batch_id}`", batch=batch_id)


@command(
    "resume",
    examples=("archive batch resume 3", "archive batch resume 3 --until 07:30 --workers 2"),
    partly=PARTLY,
)
@click.argument("batch_id", metavar="ID", type=RowId())
@device_options
@worker_options
@operation_options
@answer_format_option
@pass_context
def resume(
    context: Context,
    batch_id: int,
    device: str | None,
    precision: str | None,
    workers: WorkerCount,
    ray: str | None,
    until: time | None,
    priority: int | None,
    notify: str | None,
    metrics: str | None,
    form: str,
) -> int:
    """Run a planned batch, or continue an interrupted one.

    Several processes may work on one batch, on one machine (--workers) or on several (--ray, or by hand) that share the
    home and a PostgreSQL database.
    """
    check_run_options(workers=workers, ray=ray, notify=notify, metrics=metrics)
    catalogue = context.catalogue()
    if priority is not None:
        from archive.batches.priority import set_priority

        set_priority(catalogue, batch_id, priority)
    answer: dict[str, Any] | None = {"batch": batch_id, "result": None} if form == "json" else None
    code = run_and_report(
        catalogue,
        batch_id,
        device=device,
        precision=precision,
        until=until,
        workers=workers,
        ray=ray,
        notify=notify,
        metrics=metrics,
        answer=answer,
    )
    if answer is not None:
        print_json_object(answer)
    return code


for each in (list_command, show, cancel, resume):
    batch.add_command(each)
