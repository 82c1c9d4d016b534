"""``archive restore`` and ``archive rerun``: plan, ask on a terminal, run, tell what failed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import time
from typing import TYPE_CHECKING, Any

import click

from archive.cli.options import Context, Words, command, device_options, pass_context, query_argument
from archive.cli.output import counted, reasons, visible
from archive.cli.progress import make_progress
from archive.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_PARTLY

if TYPE_CHECKING:
    from archive.batches.plan import Plan
    from archive.batches.run import BatchResult
    from archive.catalogue import Catalogue

PARTLY = "done, but some masters failed"
_VIEWS = Words(("recto", "verso", "detail", "mount", "target"))


def _plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    yes = click.option("--yes", is_flag=True, help="Don't ask, on a terminal either.")
    dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
    return dry_run(yes(function))


@command(
    "restore",
    examples=(
        "archive restore",
        "archive restore 'collection:Lange AND date:[1930 TO 1939]' --strength 0.8",
    ),
    partly=PARTLY,
)
@query_argument
@click.option("--model", metavar="REF", default="denoise-deblur", show_default=True, help="Which model restores.")
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="How much of the model's change is taken; 0 leaves the picture as it is. Else the model's default.",
)
@click.option("--view", "views", type=_VIEWS, metavar="recto,detail", help="Which views; else recto and detail.")
@click.option("--unsuited", is_flag=True, help="Also masters that the model's card calls unsuited.")
@device_options
@_plan_options
@pass_context
def restore(context: Context, /, query: str | None, views: tuple[str, ...] | None, **options: Any) -> int:
    """Restore the masters that QUERY finds.

    Without QUERY these are all that have no derivative of this recipe. Each result is a new file beside the
    master's other derivatives; the master is only read. What was made before is not made again, and what failed
    before is tried again. On a terminal the plan is shown first; into a pipe, or with --yes, work starts at once.
    Failures are listed at the end.
    """
    from archive.batches.plan import plan_restore
    from archive.catalogue.vocabulary import RESTORABLE_VIEWS, View

    wanted = tuple(View(view) for view in views) if views else RESTORABLE_VIEWS
    return _plan_and_run(context, plan_restore, query, views=wanted, **options)


@command(
    "rerun",
    examples=("archive rerun", "archive rerun --model denoise-deblur@1.0 --dry-run"),
    partly=PARTLY,
)
@query_argument
@click.option("--model", metavar="REF", help="The version to use; else the one that is @approved.")
@device_options
@_plan_options
@pass_context
def rerun(context: Context, /, query: str | None, **options: Any) -> int:
    """Repeat restorations with a newer version of their model.

    Without QUERY and --model these are the stale masters: those whose current derivative was made by a version that
    is not @approved any more. The derivatives made before are kept.
    """
    from archive.batches.plan import plan_rerun

    return _plan_and_run(context, plan_rerun, query, **options)


def _plan_and_run(
    context: Context,
    plan: Callable[..., Plan],
    query: str | None,
    *,
    dry_run: bool,
    yes: bool,
    device: str | None,
    precision: str | None,
    **options: Any,
) -> int:
    options |= {"device": device or "auto", "precision": precision or "auto"}
    catalogue = context.catalogue()
    if dry_run:
        print_plan(plan(catalogue, query, dry_run=True, **options), err=False)
        return EXIT_DONE
    if not yes and is_conversation():
        intended = plan(catalogue, query, dry_run=True, **options)
        print_plan(intended, err=True)
        if intended.tasks and not click.confirm("Go on?", default=True, err=True):
            click.echo("nothing was done", err=True)
            return EXIT_DONE
    made = plan(catalogue, query, dry_run=False, **options)
    if made.batch_id is None:
        print_plan(made, err=False)
        return EXIT_DONE
    print_plan(made, err=True)
    return run_and_tell(catalogue, made.batch_id)


def is_conversation() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def run_and_tell(
    catalogue: Catalogue,
    batch_id: int,
    *,
    device: str | None = None,
    precision: str | None = None,
    until: time | None = None,
) -> int:
    """Runs a batch and prints its outcome; returns the exit code."""
    try:
        from archive.batches.run import run_batch

        result = run_batch(
            catalogue, batch_id, device=device, precision=precision, until=until, progress=make_progress()
        )
    except KeyboardInterrupt:  # before the first picture: later on it is in the result
        click.echo(f"interrupted: go on with `archive batch resume {batch_id}`", err=True)
        return EXIT_INTERRUPTED
    return tell(batch_id, result)


def tell(batch_id: int, result: BatchResult) -> int:
    """Prints what a batch came to, its failures on standard error; returns the exit code."""
    click.echo(f"batch {batch_id}: {result.done:,} done, {result.failed:,} failed, {result.skipped:,} skipped")
    if result.failures:
        click.echo(f"{counted(len(result.failures), 'master')} failed:", err=True)
        for failure in result.failures:
            name = f"{failure.accession_number} ({failure.sequence})"
            click.echo(f"  {visible(name)}: {visible(failure.reason)}", err=True)
    if result.interrupted:
        click.echo(f"interrupted: go on with `archive batch resume {batch_id}`", err=True)
        return EXIT_INTERRUPTED
    if result.pending:
        click.echo(
            f"{counted(result.pending, 'master')} not begun: go on with `archive batch resume {batch_id}`", err=True
        )
    return EXIT_PARTLY if result.failed else EXIT_DONE


def print_plan(plan: Plan, *, err: bool) -> None:
    """What is going to be done, and what is left out and why."""
    for recipe, n in plan.recipes.items():
        click.echo(f"to do: {counted(n, 'master')} with {recipe}", err=err)
    if not plan.tasks:
        click.echo("nothing to do", err=err)
    if plan.already_made:
        click.echo(f"made before: {counted(plan.already_made, 'master')}", err=err)
    if plan.left_out:
        click.echo("left out:", err=err)
        for line in reasons(plan.left_out):
            click.echo(line, err=err)
