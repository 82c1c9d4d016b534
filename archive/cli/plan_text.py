"""The description of a plan, as text and in JSON answers: tasks, exclusions with reasons, disk space and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archive.cli.confirmation import show_lines
from archive.cli.logging_setup import emit
from archive.cli.output_formats import (
    command_for_query,
    describe_empty_result,
    escape_control_characters,
    format_duration,
    pluralise,
)

if TYPE_CHECKING:
    from archive.batches.planning.plan_builder import Exclusion, Plan
    from archive.batches.planning.sampling import DrawnSample


def print_plan(plan: Plan, query: str | None = None, *, err: bool) -> None:
    """Prints the plan and its exclusions with reasons, on standard error or on standard output.

    A hint on standard error names unfinished batches that restore some of the masters in the same way.
    """
    show_lines(_plan_lines(plan, query), err=err)
    for batch_id, tasks in plan.overlapping_batches.items():
        emit(
            f"batch {batch_id} with the same settings has {pluralise(tasks, 'open master')}. Unless it is still "
            f"running, continue it with `archive batch resume {batch_id}`"
        )


def plan_object(plan: Plan) -> dict[str, Any]:
    """The plan in JSON answers; sizes are in bytes."""
    drawn = plan.drawn_sample
    return {
        "tasks": plan.tasks,
        "recipes": [{"recipe": recipe, "masters": masters} for recipe, masters in plan.recipes.items()],
        "already_made": plan.already_made,
        "adopted": plan.adopted,
        "made_again": plan.made_again,
        "unstated_negatives": plan.unstated_negatives,
        "left_out": [{"reason": reason, **asdict(each)} for reason, each in plan.exclusions.items()],
        "disk": [
            {"folder": str(each.folder), "needed": each.needed_bytes, "free": each.free_bytes, "fits": each.fits}
            for each in plan.volumes
        ],
        "seconds": None if plan.hours is None else plan.hours * 3600,
        "sample": None
        if drawn is None
        else {"seed": drawn.seed, "candidates": drawn.candidates, "masters": [each.name for each in drawn.masters]},
        "overlapping_batches": [
            {"batch": batch_id, "tasks": tasks} for batch_id, tasks in plan.overlapping_batches.items()
        ],
    }


def _plan_lines(plan: Plan, query: str | None) -> Iterator[str]:
    for recipe, n in plan.recipes.items():
        yield f"To do: {pluralise(n, 'master')} with {recipe}"
    if plan.drawn_sample is not None:
        yield from _sample_lines(plan.drawn_sample)
    if not plan.tasks:
        yield f"Nothing to do: {_reason_for_no_tasks(plan, query)}"
    else:
        if plan.unasked_damage_repair is not None:
            yield (
                f"Damage is repaired too, because {plan.unasked_damage_repair} does so by default. What looks like "
                "damage may be part of the picture. To leave it, use `--repair noise,softness`"
            )
        yield from _resource_lines(plan)
    if plan.made_again:
        yield f"Of these, {pluralise(plan.made_again, 'derivative')} recreated: the file is lost"
    if plan.unstated_negatives:
        of_these = pluralise(plan.unstated_negatives, "master")
        yield (
            f"Of these, {of_these} with the process of a negative, but without a polarity: taken for positives. To "
            "leave negatives out, state the polarity in the table and ingest it again"
        )
    if plan.already_made:
        yield f"Already done: {pluralise(plan.already_made, 'master')}"
    if plan.adopted:
        yield f"Of these, {plan.adopted:,} made by a trial: they count from now on"
    if plan.exclusions:
        yield "Left out:"
        yield from _exclusion_lines(plan)


def _reason_for_no_tasks(plan: Plan, query: str | None) -> str:
    """Why a plan has no tasks, and what to do about it."""
    scope = plan.rerun_scope
    if scope is not None and scope.masters and not scope.current:
        restore = command_for_query("archive restore", query)
        return f"no master found has a current restored derivative ({scope.masters:,} without). Run `{restore}`"
    if plan.exclusions and not plan.already_made:
        return "every master found is left out"
    if scope is not None and scope.masters:
        is_about_stale = query is None and scope.version is None
        why = f"every master found has a result by {scope.version or 'the approved version'}"
        current = ", ".join(f"{masters:,} by {version}" for version, masters in scope.current.items())
        return (
            f"{'no derivative is stale' if is_about_stale else why}. Current derivatives: {current}. "
            "To use another version, add `--model NAME@VERSION`; `archive model list` shows the versions"
        )
    if plan.already_made:
        return (
            f"every master found has a derivative with these settings{' or is left out' if plan.exclusions else ''}. "
            "Other settings or another `--model` make further ones"
        )
    return describe_empty_result(query, "no master")


def _resource_lines(plan: Plan) -> Iterator[str]:
    for volume in plan.volumes:
        yield f"{'Disk space needed' if volume.fits else 'Not enough disk space'}: {volume}"
    if plan.hours is None:
        yield "Estimated time: unknown (no earlier run with this model)"
    else:
        yield f"Estimated time: {format_duration(plan.hours * 3600)} (from the throughput of earlier batches)"


def _exclusion_lines(plan: Plan) -> Iterator[str]:
    for reason, exclusion in plan.exclusions.items():
        yield escape_control_characters(f"  {exclusion.masters:,}  {reason}{_format_examples(exclusion)}")
        if exclusion.option:
            yield f"       Use `{exclusion.option}` to include {'it' if exclusion.masters == 1 else 'them'}"


def _sample_lines(drawn: DrawnSample) -> Iterator[str]:
    from archive.batches.planning.sampling import describe_traits

    yield f"Sample: {len(drawn.masters):,} of {pluralise(drawn.candidates, 'master')}, drawn with seed {drawn.seed}:"
    for master in drawn.masters:
        yield escape_control_characters(f"  {master.name}  {'; '.join(describe_traits(master))}")


def _format_examples(exclusion: Exclusion) -> str:
    """``: 1906.1 (2), 1906.2 (2), 1906.5 (1) and 9 more``."""
    further = exclusion.masters - len(exclusion.examples)
    named = ", ".join(exclusion.examples)
    return f": {named}{f' and {further:,} more' if further else ''}" if named else ""
