"""``archive restore`` and ``archive rerun``: plan, ask on a terminal, run, tell what failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import time
from typing import TYPE_CHECKING, Any

import click

from archive.cli.logging_setup import emit, log_setup
from archive.cli.options import (
    ChoiceList,
    Context,
    command,
    device_options,
    pass_context,
    query_argument,
    worker_options,
)
from archive.cli.output_formats import describe_empty_result, escape_control_characters, format_duration, pluralise
from archive.cli.progress_bar import make_progress
from archive.cli.style_options import pop_style_request, style_options
from archive.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_PARTLY

if TYPE_CHECKING:
    from archive.batches.planning.plan_builder import Exclusion, Plan
    from archive.batches.planning.sampling import DrawnSample
    from archive.batches.running.runner import BatchResult
    from archive.batches.running.worker_count import WorkerCount
    from archive.catalogue import Catalogue

PARTLY = "some masters failed, or the batch is not finished"
_PARAMETERS = ("strength", "texture", "repair")
_DEFECTS = ChoiceList(("noise", "softness", "damage", "fading"))
_VIEWS = ChoiceList(("recto", "verso", "detail", "mount", "target"))
_LARGEST_SAMPLE = 200  # more are neither looked at nor shown by a browser


def _plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    yes = click.option("--yes", is_flag=True, help="Don't ask, on a terminal either.")
    dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
    plan = click.option(
        "--plan", "plan_only", is_flag=True, help="Only write the batch; `archive batch resume` runs it, now or later."
    )
    return plan(dry_run(yes(function)))


def _sample_options(function: Callable[..., Any]) -> Callable[..., Any]:
    sample = click.option(
        "--sample",
        type=click.IntRange(1, _LARGEST_SAMPLE),
        metavar="N",
        help="Only a spread of N of these masters, and a contact sheet of crops at 100 %, before and after.",
    )
    seed = click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        metavar="N",
        help="Which spread: the same N, the same masters; else 0.",
    )
    restricted = click.option(
        "--include-restricted", is_flag=True, help="Show restricted and sensitive items on the contact sheet, too."
    )
    return sample(seed(restricted(function)))


@command(
    "restore",
    examples=(
        "archive restore",
        "archive restore 'collection:Lange AND date:[1930 TO 1939]' --strength 0.8",
        "archive restore access:open --repair noise,damage --texture 0",
        "archive restore --sample 20 --seed 1 --strength 0.8",
        "archive restore 'collection:Lange' --model none --style simulated-toned-print --style-strength 0.8",
    ),
    partly=PARTLY,
)
@query_argument
@click.option(
    "--model",
    metavar="REF|none",
    default="denoise-deblur",
    show_default=True,
    help="Which model restores; none, where a style alone is wanted.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="How much of the model's change is taken; 0 leaves the picture as it is. Else the model's default.",
)
@click.option(
    "--texture",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="From 0, which keeps to what the picture shows, to 1, which invents fine texture. Else the model's default.",
)
@click.option(
    "--repair",
    type=_DEFECTS,
    metavar="noise,softness,damage,fading",
    help="What to mend; what is not named stays. Else the model's default, which leaves fading.",
)
@style_options
@click.option("--view", "views", type=_VIEWS, metavar="recto,detail", help="Which views; else recto and detail.")
@click.option("--unsuited", is_flag=True, help="Also masters that the model's card calls unsuited.")
@device_options
@worker_options
@_sample_options
@_plan_options
@pass_context
def restore(
    context: Context,
    /,
    query: str | None,
    views: tuple[str, ...] | None,
    sample: int | None,
    seed: int | None,
    include_restricted: bool,
    **options: Any,
) -> int:
    """Restore the masters that QUERY finds.

    Without QUERY these are all that have no derivative of this recipe. Each result is a new file beside the
    master's other derivatives; the master is only read. Existing derivatives are kept and not repeated, and what failed
    before is tried again. With --style a look is simulated after the restoration: a styled derivative, which never
    takes the place of a restored one. On a terminal the plan is shown first; into a pipe, or with --yes, work starts
    at once, and the plan goes to standard error. Failures are listed at the end.
    """
    from archive.batches.planning.planner import plan_restore
    from archive.batches.planning.sampling import Sample
    from archive.catalogue.schema.vocabularies import RESTORABLE_VIEWS, View

    wanted = tuple(View(view) for view in views) if views else RESTORABLE_VIEWS
    drawn = None
    if sample is not None:
        drawn = Sample(size=sample, seed=seed or 0, include_restricted=include_restricted)
    elif seed is not None or include_restricted:
        raise click.UsageError("--seed and --include-restricted are about a sample: give --sample with them")
    given = {name: options.pop(name) for name in _PARAMETERS}
    parameters = {name: value for name, value in given.items() if value is not None}
    styling = pop_style_request(options)
    return _plan_and_run(
        context, plan_restore, query, parameters=parameters, styling=styling, views=wanted, sample=drawn, **options
    )


@command(
    "rerun",
    examples=("archive rerun", "archive rerun --model denoise-deblur@1.0 --dry-run"),
    partly=PARTLY,
)
@query_argument
@click.option("--model", metavar="REF", help="The version to use; else the one that is @approved.")
@device_options
@worker_options
@_plan_options
@pass_context
def rerun(context: Context, /, query: str | None, **options: Any) -> int:
    """Repeat restorations with a newer version of their model.

    Without QUERY and --model these are the stale masters: those whose current derivative was made by a version that
    is not @approved any more. The derivatives made before are kept.
    """
    from archive.batches.planning.planner import plan_rerun

    return _plan_and_run(context, plan_rerun, query, **options)


def _plan_and_run(
    context: Context,
    plan: Callable[..., Plan],
    query: str | None,
    *,
    plan_only: bool,
    dry_run: bool,
    yes: bool,
    device: str | None,
    precision: str | None,
    workers: WorkerCount,
    **options: Any,
) -> int:
    if plan_only and dry_run:
        raise click.UsageError("--plan writes a batch and --dry-run writes nothing: give one of them")
    options |= {"device": device or "auto", "precision": precision or "auto"}
    catalogue = context.catalogue()
    if not plan_only and not dry_run:
        from archive.batches.running.runner import check_device

        check_device(catalogue, options["device"], options["precision"])
    if dry_run:
        intended = plan(catalogue, query, dry_run=True, **options)
        print_plan(intended, query, err=False)
        return EXIT_DONE if all(volume.fits for volume in intended.volumes) else EXIT_FAILED
    shown: Plan | None = None
    if not plan_only and not yes and is_interactive():
        shown = plan(catalogue, query, dry_run=True, **options)
        if not _is_agreed(shown, query):
            return EXIT_DONE
    made = plan(catalogue, query, dry_run=False, must_fit=not plan_only, **options)
    if shown is None or (shown.recipes, shown.drawn) != (made.recipes, made.drawn):  # else it was agreed to just so
        print_plan(made, query, err=not plan_only and made.batch_id is not None)
    if made.batch_id is None:
        return EXIT_DONE
    if plan_only:
        click.echo(f"batch {made.batch_id} is planned: run it with `archive batch resume {made.batch_id}`")
        return EXIT_DONE
    return run_and_report(catalogue, made.batch_id, workers=workers)


def _is_agreed(plan: Plan, query: str | None) -> bool:
    """Shows what is going to be done, and asks where that is anything."""
    print_plan(plan, query, err=True)
    if not plan.tasks or click.confirm("Go on?", default=True, err=True):
        return True
    emit("nothing was done")
    return False


def is_interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def run_and_report(
    catalogue: Catalogue,
    batch_id: int,
    *,
    device: str | None = None,
    precision: str | None = None,
    until: time | None = None,
    workers: WorkerCount = "auto",
) -> int:
    """Runs a batch and prints its outcome; returns the exit code."""
    try:
        from archive.batches.running.runner import run_batch

        result = run_batch(
            catalogue,
            batch_id,
            device=device,
            precision=precision,
            until=until,
            workers=workers,
            progress=make_progress(),
            set_up_worker=log_setup(),
        )
    except KeyboardInterrupt:  # before the first picture: later on it is in the result
        click.echo(f"interrupted: go on with `archive batch resume {batch_id}`", err=True)
        return EXIT_INTERRUPTED
    code = print_batch_result(batch_id, result)
    if result.is_sample and not result.pending:
        _write_sheets(catalogue, batch_id)
    return code


def _write_sheets(catalogue: Catalogue, batch_id: int) -> None:
    from archive.report import write_contact_sheets

    for sheet in write_contact_sheets(catalogue, batch_id):
        click.echo(f"contact sheet: {sheet.path}: {pluralise(sheet.masters, 'master')}")
        if sheet.not_open:
            left_out = pluralise(sheet.not_open, "master")
            emit(f"{left_out} of the sample left out of the sheet: access not open", batch=batch_id)


def print_batch_result(batch_id: int, result: BatchResult) -> int:
    """Prints what a batch came to, its failures on standard error; returns the exit code."""
    cancelled = f", {result.cancelled:,} cancelled" if result.cancelled else ""
    click.echo(
        f"batch {batch_id}: {result.done:,} done, {result.failed:,} failed, {result.skipped:,} skipped{cancelled}"
    )
    if result.failures:
        emit(f"{pluralise(len(result.failures), 'master')} failed:", batch=batch_id)
        for failure in result.failures:
            name = f"{failure.accession_number} ({failure.sequence})"
            told = f"  {escape_control_characters(name)}: {escape_control_characters(failure.reason)}"
            emit(told, batch=batch_id, item=failure.accession_number, reason=failure.reason)
    if result.with_notes:
        emit(f"{pluralise(result.with_notes, 'derivative')} with notes: see `archive show`", batch=batch_id)
    if result.interrupted:
        emit(f"interrupted: go on with `archive batch resume {batch_id}`", batch=batch_id)
        return EXIT_INTERRUPTED
    if result.pending:
        open_masters = pluralise(result.pending, "master")
        emit(f"{open_masters} not begun: go on with `archive batch resume {batch_id}`", batch=batch_id)
    if result.was_over:
        emit(_over(batch_id, result), batch=batch_id)
    return EXIT_PARTLY if result.failed or result.pending else EXIT_DONE


def _over(batch_id: int, result: BatchResult) -> str:
    """That a batch was at its end already, and what to do with what it has not made."""
    if result.cancelled:
        return f"batch {batch_id} was cancelled before: `archive restore` plans its masters anew"
    again = ": `archive restore` tries the failed masters again" if result.failed else ""
    return f"batch {batch_id} was finished before, and nothing is left to do in it{again}"


def print_plan(plan: Plan, query: str | None = None, *, err: bool) -> None:
    """What is going to be done, and what is left out and why; on standard error, or as the answer."""
    for line in _in_lines(plan, query):
        if err:
            emit(line)
        else:
            click.echo(line)


def _in_lines(plan: Plan, query: str | None) -> Iterator[str]:
    for recipe, n in plan.recipes.items():
        yield f"to do: {pluralise(n, 'master')} with {recipe}"
    if plan.drawn is not None:
        yield from _sample_in_lines(plan.drawn)
    if not plan.tasks:
        is_unmatched = query is not None and not plan.already_made and not plan.left_out
        yield f"nothing to do: {describe_empty_result(query, 'no master for it')}" if is_unmatched else "nothing to do"
    else:
        yield from _costs_in_lines(plan)
    if plan.already_made:
        yield f"made before: {pluralise(plan.already_made, 'master')}"
    if plan.left_out:
        yield "left out:"
        for reason, of_reason in plan.left_out.items():
            yield escape_control_characters(f"  {of_reason.masters:,}  {reason}{_named(of_reason)}")
            if of_reason.option:
                yield f"       `{of_reason.option}` takes {'it' if of_reason.masters == 1 else 'them'} in"


def _costs_in_lines(plan: Plan) -> Iterator[str]:
    for volume in plan.volumes:
        yield f"{'needs' if volume.fits else 'does not fit: needs'} {volume}"
    if plan.hours is None:
        yield "expected: not known, as nothing was made with this model here yet"
    else:
        yield f"expected: {format_duration(plan.hours * 3600)} at the pace of earlier batches"


def _sample_in_lines(drawn: DrawnSample) -> Iterator[str]:
    from archive.batches.planning.sampling import describe_traits

    yield f"sample: {len(drawn.masters):,} of {pluralise(drawn.offered, 'master')}, drawn with seed {drawn.seed}:"
    for master in drawn.masters:
        yield escape_control_characters(f"  {master.name}  {'; '.join(describe_traits(master))}")


def _named(left_out: Exclusion) -> str:
    """``: 1906.1 (2), 1906.2 (2), 1906.5 (1) and 9 more``."""
    further = left_out.masters - len(left_out.named)
    named = ", ".join(left_out.named)
    return f": {named}{f' and {further:,} more' if further else ''}" if named else ""
