"""Recording: the one transaction in which a derivative's file and its rows become one fact, and the other outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.batches.running.claims import (
    Claim,
    existing_derivative,
    finish_task,
    locked_task,
    mark_skipped,
    require_lease,
)
from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import update_current_derivatives
from archive.catalogue.events import operator_agent, record_event
from archive.catalogue.schema.tables import Derivative, Master, QualityScore, Task
from archive.catalogue.schema.vocabularies import (
    ComparedWith,
    DerivativeKind,
    EventType,
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
    """A derivative that lies, flushed, under its temporary name, and what the catalogue is to know of it."""

    temporary: Path
    sha256: str
    size_bytes: int
    pixel_sha256: str
    environment: Mapping[str, Any]
    stage_records: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    scores: Sequence[Score]


def commit_derivative(catalogue: Catalogue, claim: Claim, made: TaskResult) -> TaskStatus:
    """Publishes the derivative and writes all of its rows, or nothing; the task's status. Done again it does no harm.

    The file gets its final name while the task and its master are locked and the lease is known to be ours: a file
    under that name can only be what an earlier holder published and did not commit, and is replaced. Where another
    batch made the same derivative meanwhile, the task is skipped.

    Raises:
        LeaseLostError: the lease has expired, or another process has taken the task; nothing is published.
        StorageError: the file can't be published.
        OSError: likewise; what was published is taken away again.
    """
    with locked_task(catalogue, claim) as (session, task):
        if _is_recorded(session, task, made):
            return TaskStatus.DONE
        require_lease(catalogue, session, task, claim)
        # Two batches may hold a task each for one master and recipe: the master's lock lets one after the other in.
        master = session.execute(select(Master).where(Master.id == claim.master_id).with_for_update()).scalar_one()
        if (existing := existing_derivative(session, task)) is not None:
            # Before the task is ended: afterwards nobody would look for the file.
            made.temporary.unlink(missing_ok=True)
            mark_skipped(catalogue, session, task, existing)
            return TaskStatus.SKIPPED
        if session.scalar(select(Derivative.id).where(Derivative.path == claim.stored_path)) is not None:
            raise StorageError(f"{claim.final} is the file of another derivative: it is not written over")
        _refuse_a_namesake(session, claim)
        _publish(claim, made)
        _write_rows(catalogue, session, task, master, claim, made)
        failpoint("commit")
    failpoint("after_commit")
    return TaskStatus.DONE


def _is_recorded(session: Session, task: Task, made: TaskResult) -> bool:
    """Whether an earlier try was committed although its answer was lost."""
    if task.status is not TaskStatus.DONE or task.derivative_id is None:
        return False
    return session.get_one(Derivative, task.derivative_id).sha256 == made.sha256


def _refuse_a_namesake(session: Session, claim: Claim) -> None:
    """Checks that a file which has the final name is nobody's, where the file system takes ``A1`` for ``a1`` too.

    Raises:
        StorageError: it is the file of another derivative.
    """
    if not claim.final.exists():
        return
    alike = select(Derivative.path).where(func.lower(Derivative.path) == func.lower(claim.stored_path)).limit(1)
    if (path := session.scalar(alike)) is not None:
        raise StorageError(
            f"{claim.final} is taken by {path}, the file of another derivative, which this file system does not tell "
            "from it, or which something put there: it is not written over. Give one of the items another accession "
            "number, or move the home to a file system that tells upper from lower case"
        )


def _publish(claim: Claim, made: TaskResult) -> None:
    if not made.temporary.exists() and claim.final.exists() and digest_file(claim.final)[0] == made.sha256:
        return  # published by an earlier try, whose rows were not committed
    try:
        publish(made.temporary, claim.final, replace=claim.final.exists())
    except OSError:
        # No row names this file, so nothing is lost with it. It may not be safe on the disk.
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
            return  # an earlier try was committed although its answer was lost
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
    catalogue: Catalogue, session: Session, task: Task, master: Master, claim: Claim, made: TaskResult
) -> None:
    at = catalogue.now(session)
    derivative = Derivative(
        master_id=master.id,
        recipe_id=task.recipe_id,
        batch_id=task.batch_id,
        kind=claim.kind,
        path=claim.stored_path,
        sha256=made.sha256,
        pixel_sha256=made.pixel_sha256,
        size=made.size_bytes,
        master_sha256=claim.master_sha256,
        environment=dict(made.environment),
        stage_records=[dict(record) for record in made.stage_records],
        notes=list(made.notes),
        created_at=at,
        operator=operator_agent(session),
    )
    derivative.scores = [_score_row(score) for score in made.scores]
    session.add(derivative)
    session.flush()
    task.derivative_id = derivative.id
    finish_task(catalogue, session, task, TaskStatus.DONE)
    record_event(
        session,
        EventType.DERIVATION,
        outcome=Outcome.SUCCESS,
        detail="; ".join([_recipe_in_events(claim), *made.notes]),
        master=master,
        derivative=derivative,
        at=at,
    )
    update_current_derivatives(session, master)


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
