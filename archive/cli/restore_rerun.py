"""``archive restore`` and ``archive rerun``: plan, ask on a terminal, run, list failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from archive.cli.batch_result_text import print_batch_result, result_object
from archive.cli.confirmation import confirm, is_interactive
from archive.cli.logging_setup import answer_writer, emit, log_setup
from archive.cli.options import (
    ChoiceList,
    Context,
    answer_format_option,
    command,
    device_options,
    operation_options,
    pass_context,
    query_argument,
    worker_options,
)
from archive.cli.output_formats import describe_unapplied_version, pluralise, print_json_object
from archive.cli.plan_text import plan_object, print_plan
from archive.cli.progress_bar import make_progress
from archive.cli.style_options import pop_style_request, style_options
from archive.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from archive.batches.planning.plan_builder import Plan
    from archive.batches.running.worker_count import WorkerCount
    from archive.catalogue import Catalogue
    from archive.report.contact_sheet import ContactSheet

PARTLY = "some masters failed, or the batch is not finished"
_PARAMETERS = ("strength", "texture", "repair")
_DEFECTS = ChoiceList(("noise", "softness", "damage", "fading"))
_VIEWS = ChoiceList(("recto", "verso", "detail", "mount", "target"))
_LARGEST_SAMPLE = 200  # a browser can't display a larger contact sheet, and nobody reviews one


def _plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    yes = click.option("--yes", is_flag=True, help="Start without asking for confirmation.")
    dry_run = click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
    plan = click.option(
        "--plan", "plan_only", is_flag=True, help="Only write the batch. Run it later with `archive batch resume`."
    )
    return plan(dry_run(yes(answer_format_option(function))))


def _sample_options(function: Callable[..., Any]) -> Callable[..., Any]:
    sample = click.option(
        "--sample",
        type=click.IntRange(1, _LARGEST_SAMPLE),
        metavar="N",
        help="Try it on a diverse sample of N masters, and write a contact sheet of 100 % crops, before and after.",
    )
    seed = click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        metavar="N",
        help="Seed of the sample; the same seed gives the same masters. Default: 0.",
    )
    restricted = click.option(
        "--include-restricted", is_flag=True, help="Include restricted and sensitive items in the contact sheet."
    )
    trial = click.option(
        "--trial", is_flag=True, help="Try it: the results are not current until they are accepted or promoted."
    )
    return sample(seed(trial(restricted(function))))


@command(
    "restore",
    examples=(
        "archive restore",
        "archive restore 'collection:Lange AND date:[1930 TO 1939]' --strength 0.8",
        "archive restore access:open --repair noise,damage --texture 0",
        "archive restore --sample 20 --seed 1 --strength 0.8",
        "archive restore accession_number:1906.12 --model damage-repair",
        "archive restore --yes --until 06:00",
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
    help="Restoration model; none applies only a style.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="Share of the model's change that is applied; 0 leaves the picture unchanged. Default: from the model.",
)
@click.option(
    "--texture",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="0 keeps to the picture's content, 1 adds invented fine texture. Default: from the model.",
)
@click.option(
    "--repair",
    type=_DEFECTS,
    metavar="noise,softness,damage,fading",
    help="Defects to repair; the others stay. Default: from the model version; denoise-deblur repairs noise and "
    "softness from 2.0 on, 1.1 also damage.",
)
@style_options
@click.option("--view", "views", type=_VIEWS, metavar="recto,detail", help="Views to restore. Default: recto,detail.")
@click.option(
    "--unsuited", "include_unsuited", is_flag=True, help="Include masters that the model's card calls unsuited."
)
@device_options
@worker_options
@operation_options
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
    """Restore the masters that match QUERY.

    Without QUERY, restore all masters that have no derivative of this recipe. Each result is a new file; masters are
    only read. Existing derivatives are kept and not recreated; failed masters are tried again. --style simulates a
    style after the restoration. The result is a styled derivative, which never replaces a restored one. On a terminal
    the command shows the plan and asks for confirmation. In a pipe, or with --yes, it starts immediately and writes the
    plan to standard error. Failures are listed at the end.
    """
    from archive.batches.planning.planner import RestoreRequest, plan_restore
    from archive.batches.planning.sampling import Sample
    from archive.catalogue.schema.vocabularies import RESTORABLE_VIEWS, View

    wanted = tuple(View(view) for view in views) if views else RESTORABLE_VIEWS
    drawn = None
    if sample is not None:
        drawn = Sample(size=sample, seed=seed or 0, include_restricted=include_restricted)
    elif seed is not None or include_restricted:
        raise click.UsageError("--seed and --include-restricted need --sample")
    given = {name: options.pop(name) for name in _PARAMETERS}
    parameters = {name: value for name, value in given.items() if value is not None}
    style_request = pop_style_request(options)

    def plan(
        catalogue: Catalogue, query: str | None, *, dry_run: bool = False, must_fit: bool = True, **request: Any
    ) -> Plan:
        return plan_restore(catalogue, query, RestoreRequest(**request), dry_run=dry_run, must_fit=must_fit)

    return _plan_and_run(
        context,
        plan,
        query,
        parameters=parameters,
        style_request=style_request,
        views=wanted,
        sample=drawn,
        **options,
    )


@command(
    "rerun",
    examples=("archive rerun", "archive rerun --model denoise-deblur@1.1 --dry-run"),
    partly=PARTLY,
)
@query_argument
@click.option("--model", metavar="REF", help="Version to use. Default: the @approved version.")
@device_options
@worker_options
@operation_options
@_plan_options
@pass_context
def rerun(context: Context, /, query: str | None, **options: Any) -> int:
    """Repeat restorations with another version of their model, newer or older.

    Without QUERY and --model, repeat the stale masters: their current derivative was made by another version than
    the @approved one, and they have none by that one. Earlier derivatives are kept.
    """
    from archive.batches.planning.planner import plan_rerun
    from archive.catalogue.approved_versions import unapplied_versions

    with context.catalogue().reading() as session:
        for unapplied in unapplied_versions(session):
            emit(describe_unapplied_version(**unapplied))
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
    priority: int | None,
    form: str,
    **options: Any,
) -> int:
    run = {name: options.pop(name) for name in ("until", "workers", "ray", "notify", "metrics")}
    if plan_only and dry_run:
        raise click.UsageError("--plan writes a batch, --dry-run writes nothing. Use only one of them")
    if (plan_only or dry_run) and any(run[name] is not None for name in ("until", "notify", "metrics")):
        raise click.UsageError("--until, --notify and --metrics are for a run. Give them to `archive batch resume`")
    options |= {"device": device or "auto", "precision": precision or "auto"}
    catalogue = context.catalogue()
    answer: dict[str, Any] | None = {"batch": None, "plan": None, "result": None} if form == "json" else None
    if dry_run:
        preview = plan(catalogue, query, dry_run=True, **options)
        print_plan(preview, query, err=answer is not None)
        _print_answer(answer, preview)
        return EXIT_DONE if all(volume.fits for volume in preview.volumes) else EXIT_FAILED
    written: Plan | None
    if plan_only:
        written = plan(catalogue, query, dry_run=False, must_fit=False, **options)
        print_plan(written, query, err=answer is not None)
    else:
        from archive.batches.running.runner import check_device

        check_run_options(**{name: value for name, value in run.items() if name != "until"})
        check_device(catalogue, options["device"], options["precision"], ray=run["ray"] is not None)
        asks = not yes and is_interactive()
        written = _write_and_confirm(partial(plan, catalogue, query, **options), query, asks=asks, form=form)
    if written is None or written.batch_id is None:
        _print_answer(answer, written)
        return EXIT_DONE
    if priority is not None:
        from archive.batches.priority import set_priority

        set_priority(catalogue, written.batch_id, priority)
    if plan_only:
        _print_planned(written.batch_id, form)
        _print_answer(answer, written)
        return EXIT_DONE
    code = run_and_report(catalogue, written.batch_id, **run, answer=answer)
    _print_answer(answer, written)
    return code


def _print_answer(answer: dict[str, Any] | None, plan: Plan | None) -> None:
    """Prints the answer in JSON, if one is wanted, with the plan if there is one."""
    if answer is not None:
        print_json_object(answer | ({} if plan is None else {"batch": plan.batch_id, "plan": plan_object(plan)}))


def _write_and_confirm(plan: Callable[..., Plan], query: str | None, *, asks: bool, form: str) -> Plan | None:
    """Writes the batch, and shows its plan, which the user confirms if ``asks``; None if the batch is not to run now.

    A plan is confirmed before it is written. If the catalogue changes meanwhile, the written one is confirmed too.
    """
    shown = plan(dry_run=True) if asks else None
    if shown is not None and not _confirm(shown, query):
        emit("nothing was done")
        return None
    written = plan(dry_run=False, must_fit=True)
    if shown is None:
        print_plan(written, query, err=form == "json" or written.batch_id is not None)
    elif _content(shown) != _content(written):
        emit("the catalogue has changed meanwhile, and so has the plan:")
        if not _confirm(written, query) and written.batch_id is not None:
            _print_planned(written.batch_id, form)
            return None
    return written


def _content(plan: Plan) -> tuple[object, ...]:
    return plan.recipes, plan.drawn_sample, plan.adopted, plan.made_again


def _confirm(plan: Plan, query: str | None) -> bool:
    """Shows the plan and, if there are tasks, asks for confirmation."""
    print_plan(plan, query, err=True)
    return not (plan.tasks or plan.adopted) or confirm()


def _print_planned(batch_id: int, form: str) -> None:
    answer_writer(form)(f"batch {batch_id} is planned. Run it with `archive batch resume {batch_id}`")


def check_run_options(*, workers: WorkerCount, ray: str | None, notify: str | None, metrics: str | None) -> None:
    """Checks the options of a run before anything is written.

    Raises:
        UsageError: the machine has too little memory for the workers, or the metrics or the command can't be used.
    """
    from archive.batches.running.metrics_and_notifications import check_monitoring
    from archive.batches.running.worker_count import check_worker_count

    if ray is None:  # each node of a cluster has its own memory
        check_worker_count(workers)
    check_monitoring(notify=notify, metrics=metrics)


def run_and_report(
    catalogue: Catalogue,
    batch_id: int,
    *,
    device: str | None = None,
    precision: str | None = None,
    until: time | None = None,
    workers: WorkerCount = "auto",
    ray: str | None = None,
    notify: str | None = None,
    metrics: str | None = None,
    answer: dict[str, Any] | None = None,
) -> int:
    """Runs a batch and prints its outcome; returns the exit code.

    If an ``answer`` in JSON is wanted, it gets the key ``result``, and all text goes to standard error.
    """
    from archive.catalogue.batch_queries import list_open_models

    try:
        with catalogue.reading() as session:
            models = list_open_models(session, batch_id)
        if models:  # loading takes seconds in which nothing else is shown
            emit(f"Loading {', '.join(models)} …", batch=batch_id)
        from archive.batches.running.metrics_and_notifications import monitor_batch
        from archive.batches.running.runner import next_occurrence, run_batch

        stop_at = None if until is None else next_occurrence(until, datetime.now(UTC))
        if stop_at is not None:
            emit(f"No master is started after {stop_at:%Y-%m-%d %H:%M}", batch=batch_id)
        with monitor_batch(catalogue, batch_id, notify=notify, metrics=metrics):
            result = run_batch(
                catalogue,
                batch_id,
                device=device,
                precision=precision,
                stop_at=stop_at,
                workers=workers,
                ray=ray,
                progress=make_progress(),
                set_up_worker=log_setup(),
            )
    except KeyboardInterrupt:  # before the first task; later interruptions are part of the result
        click.echo(f"interrupted: continue with `archive batch resume {batch_id}`", err=True)
        return EXIT_INTERRUPTED
    form = "text" if answer is None else "json"
    code = print_batch_result(batch_id, result, form=form)
    sheets = _write_sheets(catalogue, batch_id, form) if result.is_sample and not result.pending else ()
    if answer is not None:
        answer["result"] = result_object(result, sheets)
    if catalogue.settings.views == "batch" and not result.pending:
        _prepare_views(catalogue, batch_id)
    return code


def _prepare_views(catalogue: Catalogue, batch_id: int) -> None:
    from archive.views.view_store import prepare_views

    for problem in prepare_views(catalogue, batch_id, progress=make_progress()):
        emit(problem, batch=batch_id)


def _write_sheets(catalogue: Catalogue, batch_id: int, form: str) -> Sequence[ContactSheet]:
    from archive.report import write_contact_sheets

    sheets = write_contact_sheets(catalogue, batch_id)
    for sheet in sheets:
        answer_writer(form)(f"contact sheet: {sheet.path}: {pluralise(sheet.masters, 'master')}")
        if sheet.not_open:
            left_out = pluralise(sheet.not_open, "master")
            emit(f"{left_out} of the sample left out of the sheet: access not open", batch=batch_id)
    return sheets
