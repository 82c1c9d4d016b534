"""The result of a batch as text: counts, and failures and notes by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archive.cli.logging_setup import answer_writer, emit, is_json, warn
from archive.cli.message_lines import print_groups
from archive.cli.output_formats import escape_control_characters, pluralise
from archive.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_PARTLY
from archive.message_groups import group_messages

if TYPE_CHECKING:
    from archive.batches.running.runner import BatchResult
    from archive.catalogue.batch_queries import Failure
    from archive.report.contact_sheet import ContactSheet


def print_batch_result(batch_id: int, result: BatchResult, *, form: str = "text") -> int:
    """Prints the result of a batch, with failures on standard error; returns the exit code."""
    cancelled = f", {result.cancelled:,} cancelled" if result.cancelled else ""
    answer_writer(form)(
        f"batch {batch_id}: {result.done:,} done, {result.failed:,} failed, {result.skipped:,} skipped{cancelled}"
    )
    if result.failures:
        _print_failures(batch_id, result.failures)
    if result.with_notes:
        emit(f"{pluralise(result.with_notes, 'derivative')} with notes:", batch=batch_id)
        print_groups(
            result.notes,
            all_with=f"`archive list batch:{batch_id} --rows derivatives --fields accession_number,sequence,notes`",
        )
    if result.smoothed:
        _print_smoothed(batch_id, result)
    if result.hardly_changed:
        _print_hardly_changed(batch_id, result)
    if result.not_current:
        _print_not_current(batch_id, result.not_current)
    if result.interrupted:
        emit(f"interrupted: continue with `archive batch resume {batch_id}`", batch=batch_id)
        return EXIT_INTERRUPTED
    if result.pending:
        open_masters = pluralise(result.pending, "master")
        warn(f"{open_masters} not started: continue with `archive batch resume {batch_id}`", batch=batch_id)
    if result.was_over:
        emit(_describe_finished_batch(batch_id, result), batch=batch_id)
    return EXIT_PARTLY if result.failed or result.pending else EXIT_DONE


def result_object(result: BatchResult, sheets: Iterable[ContactSheet]) -> dict[str, Any]:
    """The result of a batch in JSON answers, with the contact sheets that were written."""
    counts = ("done", "failed", "skipped", "cancelled", "pending", "interrupted")
    of_derivatives = ("with_notes", "smoothed", "hardly_changed", "not_current")
    return {
        **{name: getattr(result, name) for name in (*counts, *of_derivatives)},
        "failures": [asdict(each) for each in result.failures],
        "contact_sheets": [
            {"path": str(each.path), "masters": each.masters, "not_open": each.not_open} for each in sheets
        ],
    }


def _print_smoothed(batch_id: int, result: BatchResult) -> None:
    from archive.batches.running.batch_result import SMOOTHED

    query = f"batch:{batch_id} AND smoothed_share:{{{SMOOTHED} TO *]"
    emit(
        f"smoothed: {result.smoothed:,} of {pluralise(result.done, 'derivative')} (in more than {SMOOTHED:.0%} of the "
        "blocks texture may have been taken for grain). Compare these with their masters first. List with "
        f"`archive list '{query}' --rows derivatives`",
        batch=batch_id,
    )


def _print_hardly_changed(batch_id: int, result: BatchResult) -> None:
    from archive.batches.running.batch_result import HARDLY_CHANGED, SMOOTHED

    query = f"batch:{batch_id} AND changed_share:[* TO {HARDLY_CHANGED}] NOT smoothed_share:{{{SMOOTHED} TO *]"
    emit(
        f"hardly changed: {result.hardly_changed:,} of {pluralise(result.done, 'derivative')} (at most "
        f"{HARDLY_CHANGED:.0%} of the pixels changed visibly), so their masters may serve as well. List with "
        f"`archive list '{query}' --rows derivatives`",
        batch=batch_id,
    )


def _print_not_current(batch_id: int, count: int) -> None:
    emit(
        f"not current: {pluralise(count, 'derivative')} of this batch, because another one was accepted, comes from "
        f"the approved version or is newer. They are kept: see `archive list batch:{batch_id} --rows derivatives`",
        batch=batch_id,
    )


def _print_failures(batch_id: int, failures: Sequence[Failure]) -> None:
    """Prints failures by kind; in the json log format one by one."""
    warn(f"{pluralise(len(failures), 'master')} failed:", batch=batch_id)
    named = [(f"{failure.accession_number} ({failure.sequence})", failure.reason) for failure in failures]
    if not is_json():
        print_groups(group_messages(named), all_with=f"`archive batch show {batch_id}`")
        return
    for failure, (name, reason) in zip(failures, named, strict=True):
        line = escape_control_characters(f"{name}: {reason}")
        warn(line, batch=batch_id, item=failure.accession_number, reason=reason)


def _describe_finished_batch(batch_id: int, result: BatchResult) -> str:
    """The message for a batch that had ended already, and what to do with its unfinished tasks."""
    again = f"use `archive restore` with the settings that `archive batch show {batch_id}` names"
    if result.cancelled:
        return f"batch {batch_id} was already cancelled. To plan its masters again, {again}"
    again = f". To try the failed masters again, {again}" if result.failed else ""
    return f"batch {batch_id} was already finished; it has no open tasks{again}"
