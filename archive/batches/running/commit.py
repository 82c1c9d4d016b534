"""Commit: one transaction publishes a derivative's file and writes its rows; another one records a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.batches.running.claims import (
    Claim,
    existing_derivative,
    finish_task,
    locked_task,
    lost_derivative,
    mark_skipped,
    require_lease,
)
from archive.batches.trial_adoption import adopt_trial_results
from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import update_current_derivatives
from archive.catalogue.events import operator_agent, record_event
from archive.catalogue.schema.tables import Derivative, Master, QualityScore, Task
from archive.catalogue.schema.vocabularies import (
    ComparedWith,
    DerivativeKind,
    EventType,
    FileFault,
    Outcome,
    ScoredImage,
    TaskStatus,
)
from archive.errors import StorageError
from archive.failpoints import failpoint
from archive.storage import digest_file, publish
from restoration.quality import Score


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """A flushed temporary derivative file, and the data for its catalogue rows."""

    temporary: Path
    sha256: str
    size_bytes: int
    pixel_sha256: str
    environment: Mapping[str, Any]
    stage_records: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    scores: Sequence[Score]
    step_seconds: Mapping[str, float]  # on the clock: read, restore, score, digest; device is a part of these


def commit_derivative(catalogue: Catalogue, claim: Claim, result: TaskResult) -> TaskStatus:
    """Publishes the derivative and writes all of its rows, or nothing; returns the task's status. It is idempotent.

    The file gets its final name while the task and its master are locked and the lease is valid. Therefore an existing
    file with that name is one that an earlier holder published without a commit; it is replaced. If another batch has
    made the same derivative meanwhile, the task is skipped.

    A derivative whose file was lost is recreated: the same bytes put its record right; other bytes become another
    derivative, and the lost file is not searched for any more.

    Raises:
        LeaseLostError: the lease has expired, or another process has taken the task; nothing is published.
        StorageError: the file can't be published.
        OSError: likewise; a published file is removed again.
    """
    with locked_task(catalogue, claim) as (session, task):
        if _is_recorded(session, task, result):
            return TaskStatus.DONE
        require_lease(catalogue, session, task, claim)
        # Two batches may each hold a task for the same master and recipe: the master's lock serialises them.
        master = session.execute(select(Master).where(Master.id == claim.master_id).with_for_update()).scalar_one()
        if (existing := existing_derivative(session, task)) is not None:
            # Before the task is finished: only the files of running tasks are searched for later.
            result.temporary.unlink(missing_ok=True)
            mark_skipped(catalogue, session, task, existing)
            return TaskStatus.SKIPPED
        if (lost := lost_derivative(session, task)) is not None:
            if lost.sha256 == result.sha256:
                _put_right(catalogue, session, task, master, lost, claim, result)
                return TaskStatus.DONE
            lost.file_fault = FileFault.LOST
            stored = f"{claim.stored_path.removesuffix('.tif')}-{result.sha256[:8]}.tif"
            claim = replace(claim, stored_path=stored, final=catalogue.path_of(stored))
            session.flush()
        if session.scalar(select(Derivative.id).where(Derivative.path == claim.stored_path)) is not None:
            raise StorageError(f"{claim.final} is the file of another derivative and is not overwritten")
        _check_no_case_conflict(session, claim)
        _publish(claim, result)
        _write_rows(catalogue, session, task, master, claim, result, lost)
        failpoint("commit")
    failpoint("after_commit")
    return TaskStatus.DONE


def _is_recorded(session: Session, task: Task, result: TaskResult) -> bool:
    """Whether an earlier attempt was committed although its reply was lost."""
    if task.status is not TaskStatus.DONE or task.derivative_id is None:
        return False
    return session.get_one(Derivative, task.derivative_id).sha256 == result.sha256


def _check_no_case_conflict(session: Session, claim: Claim) -> None:
    """Checks that an existing file of this name belongs to no derivative, on file systems that ignore case.

    Raises:
        StorageError: it is the file of another derivative.
    """
    if not claim.final.exists():
        return
    same_ignoring_case = (
        select(Derivative.path).where(func.lower(Derivative.path) == func.lower(claim.stored_path)).limit(1)
    )
    if (path := session.scalar(same_ignoring_case)) is not None:
        raise StorageError(
            f"{claim.final} is not overwritten: on a file system that ignores case it is the same file as {path}, "
            "another derivative. Give one of the items another accession number, or move the home to a file system "
            "that distinguishes upper and lower case"
        )


def _put_right(
    catalogue: Catalogue,
    session: Session,
    task: Task,
    master: Master,
    lost: Derivative,
    claim: Claim,
    result: TaskResult,
) -> None:
    """Publishes the bytes that the record of a lost derivative names. A changed file in its place is moved aside."""
    final, moved = catalogue.path_of(lost.path), ""
    if final.exists() and digest_file(final)[0] != result.sha256:
        aside = final.with_name(f"{final.stem}.changed-{task.id}{final.suffix}")
        publish(final, aside)
        moved = f"; the changed file is kept as {aside.name}"
    if final.exists():
        result.temporary.unlink(missing_ok=True)
    else:
        publish(result.temporary, final)
    at = catalogue.now(session)
    lost.file_fault, lost.verified_at = None, at
    task.derivative_id = lost.id
    finish_task(catalogue, session, task, TaskStatus.DONE)
    record_event(
        session,
        EventType.DERIVATION,
        detail=f"recreated from its record with the same bytes, {_recipe_in_events(claim)}{moved}",
        master=master,
        derivative=lost,
        at=at,
    )
    if lost.is_trial and task.batch.adopts_trials:
        adopt_trial_results(catalogue, session, [lost.id])
    update_current_derivatives(session, master)


def _publish(claim: Claim, result: TaskResult) -> None:
    if not result.temporary.exists() and claim.final.exists() and digest_file(claim.final)[0] == result.sha256:
        return  # published by an earlier attempt whose rows were not committed
    try:
        publish(result.temporary, claim.final, replace=claim.final.exists())
    except OSError:
        # No row refers to this file, and it may not be flushed: remove it.
        with suppress(OSError):
            claim.final.unlink(missing_ok=True)
        raise


def record_failure(catalogue: Catalogue, claim: Claim, reason: str) -> None:
    """Marks the task, and its master's last task, as failed with ``reason``.

    Raises:
        LeaseLostError: the lease has expired, or another process has taken the task; nothing is marked.
    """
    with locked_task(catalogue, claim) as (session, task):
        if task.status is TaskStatus.FAILED and task.error == reason:
            return  # an earlier attempt was committed although its reply was lost
        require_lease(catalogue, session, task, claim)
        at = catalogue.now(session)
        task.error = reason
        finish_task(catalogue, session, task, TaskStatus.FAILED)
        record_event(
            session,
            EventType.DERIVATION,
            outcome=Outcome.FAILURE,
            detail=f"{_recipe_in_events(claim)}: {reason}",
            master=task.master,
            at=at,
        )


def _write_rows(
    catalogue: Catalogue,
    session: Session,
    task: Task,
    master: Master,
    claim: Claim,
    result: TaskResult,
    lost: Derivative | None,
) -> None:
    at = catalogue.now(session)
    derivative = Derivative(
        master_id=master.id,
        recipe_id=task.recipe_id,
        batch_id=task.batch_id,
        kind=claim.kind,
        path=claim.stored_path,
        sha256=result.sha256,
        pixel_sha256=result.pixel_sha256,
        size=result.size_bytes,
        master_sha256=claim.master_sha256,
        environment=dict(result.environment),
        stage_records=[dict(record) for record in result.stage_records],
        notes=list(result.notes),
        created_at=at,
        operator=operator_agent(session),
        is_trial=task.batch.is_trial if lost is None else lost.is_trial and not task.batch.adopts_trials,
    )
    derivative.scores = [_score_row(score) for score in result.scores]
    session.add(derivative)
    session.flush()
    task.derivative_id = derivative.id
    task.step_seconds = dict(result.step_seconds)
    finish_task(catalogue, session, task, TaskStatus.DONE)
    record_event(
        session,
        EventType.DERIVATION,
        outcome=Outcome.SUCCESS,
        detail="; ".join([_recipe_in_events(claim), *([] if lost is None else [_replacement(lost)]), *result.notes]),
        master=master,
        derivative=derivative,
        at=at,
    )
    update_current_derivatives(session, master)


def _replacement(lost: Derivative) -> str:
    return f"recreated for derivative {lost.id}, whose file is lost, with other bytes: device or software differ"


def _recipe_in_events(claim: Claim) -> str:
    models = ", ".join(f"{stage.model}@{stage.version}" for stage in claim.recipe.stages)
    look = ", which simulates a look" if claim.kind is DerivativeKind.STYLED else ""
    return f"recipe {claim.recipe.sha256} of {models}{look}"


def _score_row(score: Score) -> QualityScore:
    return QualityScore(
        metric=score.metric,
        value=score.value,
        image=ScoredImage(score.image),
        stage=score.stage,
        compared_with=None if score.compared_with is None else ComparedWith(score.compared_with),
        colour_space=score.colour_space,
        data_range=score.data_range,
        implementation=score.implementation,
        detail=score.detail,
    )
