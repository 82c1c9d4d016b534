"""Who works on a task: claiming it with a lease token, giving it back, and what a dead holder left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from archive.catalogue import Catalogue
from archive.catalogue.tables import Derivative, Master, Task
from archive.catalogue.vocabulary import DerivativeKind, TaskStatus
from archive.errors import BatchError
from archive.storage import derivative_path, temporary
from restoration.image import Area
from restoration.recipe import Recipe


class LeaseLostError(BatchError):
    """The task was taken by somebody else meanwhile: whatever was made for it must not be published."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A task that this process holds, with all that is needed to work on it outside of any transaction."""

    task_id: int
    token: str
    master_id: int
    master_path: Path
    master_page: int
    master_sha256: str
    picture_area: Area | None
    reference_path: Path | None
    accession_number: str
    sequence: int
    recipe: Recipe
    kind: DerivativeKind
    started_at: datetime  # by the database's clock
    stored_path: str  # the derivative's, relative to the home
    final: Path  # the derivative's, absolute
    already_made: bool  # nothing is held, and nothing is to be done


def claim_next(catalogue: Catalogue, batch_id: int) -> Claim | None:
    """Takes the batch's next pending task, or gives None where none is left.

    Where its derivative was made meanwhile, by another batch, the task is skipped instead, and the claim says so.
    """
    with catalogue.session() as session:
        task = session.scalar(
            select(Task)
            .where(Task.batch_id == batch_id, Task.status == TaskStatus.PENDING)
            .order_by(Task.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return None if task is None else _take(catalogue, session, task)


def _take(catalogue: Catalogue, session: Session, task: Task) -> Claim:
    master = session.execute(
        select(Master).where(Master.id == task.master_id).options(joinedload(Master.item))
    ).scalar_one()
    made = existing_derivative(session, task)
    stored = derivative_path(master.item, master.sequence, task.recipe.kind, task.recipe.sha256)
    claim = Claim(
        task_id=task.id,
        token=uuid4().hex,
        master_id=master.id,
        master_path=catalogue.path_of(master.path),
        master_page=master.page,
        master_sha256=master.sha256,
        picture_area=_area(master),
        reference_path=None if master.reference_path is None else catalogue.path_of(master.reference_path),
        accession_number=master.item.accession_number,
        sequence=master.sequence,
        recipe=Recipe.from_json(task.recipe.canonical_json),
        kind=task.recipe.kind,
        started_at=catalogue.now(session),
        stored_path=stored,
        final=catalogue.path_of(stored),
        already_made=made is not None,
    )
    if made is None:
        task.status, task.lease_token = TaskStatus.RUNNING, claim.token
        task.attempts += 1
        task.error, task.started_at = None, claim.started_at
    else:
        mark_skipped(catalogue, session, task, made)
    return claim


def existing_derivative(session: Session, task: Task) -> int | None:
    """The id of the derivative of the task's recipe and master, which may have come from another batch."""
    return session.scalar(
        select(Derivative.id).where(Derivative.master_id == task.master_id, Derivative.recipe_id == task.recipe_id)
    )


def mark_skipped(catalogue: Catalogue, session: Session, task: Task, derivative_id: int) -> None:
    """Ends the task: its derivative was already made."""
    task.status, task.lease_token, task.derivative_id = TaskStatus.SKIPPED, None, derivative_id
    task.finished_at = catalogue.now(session)
    task.master.last_task_status = TaskStatus.SKIPPED


@contextmanager
def holding(catalogue: Catalogue, claim: Claim) -> Iterator[tuple[Session, Task]]:
    """One transaction in which the claimed task is locked and known to be still ours.

    Raises:
        LeaseLostError: another process has taken the task; nothing is written.
    """
    with catalogue.session() as session:
        task = session.execute(select(Task).where(Task.id == claim.task_id).with_for_update()).scalar_one()
        if task.status is not TaskStatus.RUNNING or task.lease_token != claim.token:
            raise LeaseLostError(
                f"task {claim.task_id} ({claim.accession_number}) was taken over by another process meanwhile; "
                "what was made for it here is thrown away"
            )
        yield session, task


def release(catalogue: Catalogue, claim: Claim) -> None:
    """Puts the task back to pending, as if it had not been begun; does nothing where it is no longer ours."""
    with catalogue.session() as session:
        session.execute(
            update(Task)
            .where(Task.id == claim.task_id, Task.lease_token == claim.token, Task.status == TaskStatus.RUNNING)
            .values(status=TaskStatus.PENDING, lease_token=None, started_at=None)
        )


def take_back(catalogue: Catalogue, batch_id: int) -> None:
    """Puts the tasks that an earlier run of the batch died on back to pending; its tokens can't commit any more."""
    with catalogue.session() as session:
        session.execute(
            update(Task)
            .where(Task.batch_id == batch_id, Task.status == TaskStatus.RUNNING)
            .values(status=TaskStatus.PENDING, lease_token=None, started_at=None)
        )


def sweep(catalogue: Catalogue, final: Path) -> None:
    """Removes what dead holders left beside ``final``: its temporary files whose token no running task holds."""
    # Listed before the tokens are read: a token is committed before its file is made, so no living file is missed.
    # Names in the home hold no characters that mean anything in a pattern.
    pattern = temporary(final, "*").name
    found = {path.name.split(".")[-2]: path for path in final.parent.glob(pattern)}
    if not found:
        return
    with catalogue.reading() as session:
        held = set(
            session.scalars(
                select(Task.lease_token).where(Task.status == TaskStatus.RUNNING, Task.lease_token.in_(found))
            )
        )
    for token in found.keys() - held:
        found[token].unlink(missing_ok=True)


def _area(master: Master) -> Area | None:
    if master.area_x is None or master.area_y is None or master.area_width is None or master.area_height is None:
        return None
    return Area(x=master.area_x, y=master.area_y, width=master.area_width, height=master.area_height)
