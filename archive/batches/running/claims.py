"""Claims: takes tasks with a lease token, and releases them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import ColumnElement, Row, and_, bindparam, exists, func, or_, select, update
from sqlalchemy.orm import Session

from archive.batches.recipe_rows import parse_recipe
from archive.batches.running.leases import LeaseHolder, lease_expiry
from archive.batches.trial_adoption import adopt_trial_results
from archive.catalogue import Catalogue
from archive.catalogue.query.text_index import fold_words
from archive.catalogue.schema.column_types import CommitWithoutDisk, DatabaseClock
from archive.catalogue.schema.picture_area import PictureArea
from archive.catalogue.schema.tables import Derivative, Item, Master, Recipe, Task
from archive.catalogue.schema.vocabularies import DerivativeKind, FileFault, TaskStatus
from archive.errors import BatchError
from archive.storage import derivative_path, mask_path
from restoration.image import Area, Compression, ItemDescription
from restoration.recipe import Recipe as FullRecipe

_log = logging.getLogger(__name__)

_NO_LEASE: Final = {
    "lease_token": None,
    "lease_expires_at": None,
    "lease_host": None,
    "lease_pid": None,
    "lease_started": None,
    "lease_device": None,
    "lease_renewed_at": None,
}

_EXISTS: Final = Derivative.file_fault.is_(None)
_LOST: Final = and_(
    Derivative.file_fault.in_((FileFault.MISSING, FileFault.CHANGED)), Derivative.withdrawn_at.is_(None)
)

_NEXT_TASK: Final[Any] = (
    select(
        Task.id.label("task_id"),
        *(Task.master_id, Task.recipe_id, Master.path, Master.page, Master.sha256, Master.sequence),
        *(Master.width, Master.height, Master.reference_path),
        *(Master.area_x, Master.area_y, Master.area_width, Master.area_height),
        *(Item.accession_number, Item.title, Item.rights, Item.extra),
        *(Recipe.kind, Recipe.sha256.label("recipe_sha256"), Recipe.canonical_json),
        DatabaseClock().label("now"),
    )
    .join(Master, Master.id == Task.master_id)
    .join(Item, Item.id == Master.item_id)
    .join(Recipe, Recipe.id == Task.recipe_id)
    .where(Task.batch_id == bindparam("batch_id"), Task.status == TaskStatus.PENDING)
    .order_by(Task.attempts, Task.id)
    .limit(1)
    .with_for_update(skip_locked=True, of=Task)
)
"""The next pending task, which it locks, with all that its processing needs to know."""

_IS_IN_THE_WAY: Final = or_(
    and_(
        Derivative.master_id == bindparam("of_master"),
        Derivative.recipe_id == bindparam("of_recipe"),
        or_(_EXISTS, _LOST),
    ),
    and_(Derivative.path == bindparam("usual"), Derivative.master_id != bindparam("of_master")),
)
"""A task's existing and lost derivatives, and another master's with the usual path of the task's."""

_DERIVATIVES: Final = select(
    *(Derivative.id, Derivative.master_id, Derivative.path, Derivative.sha256),
    *(Derivative.file_fault, Derivative.environment),
).where(_IS_IN_THE_WAY)

_TAKE_LEASE: Final = (
    update(Task.__table__)  # type: ignore[arg-type]
    .where(Task.id == bindparam("claimed_id"))
    .values(status=TaskStatus.RUNNING, attempts=Task.attempts + 1, error=None)
)
_TAKE_LEASE_OF_NEW: Final = _TAKE_LEASE.where(~exists().where(_IS_IN_THE_WAY)).returning(CommitWithoutDisk())
"""Takes the lease if no derivative is in the way, as is usual; returns a row if it did.

Its commit does not wait for the disk, which would take longer than all the rest. A claim that is undone because the
database's server crashed is a lost lease: its result is discarded, and the task is claimed again.
"""

_CREDIT_COLUMNS = (("credit",), ("credit", "line"))  # folded names of the museum's own columns


class LeaseLostError(BatchError):
    """The lease has expired or another process holds the task now; its result must not be published."""


@dataclass(frozen=True, kw_only=True)
class LostDerivative:
    """A derivative whose file is missing or changed, with what its record says of the file."""

    id: int
    sha256: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A task that this process holds, with everything that its processing needs outside a transaction."""

    task_id: int
    token: str
    master_id: int
    master_path: Path
    master_page: int
    master_sha256: str
    pixels: int
    picture_area: Area | None
    reference_path: Path | None
    accession_number: str
    sequence: int
    description: ItemDescription  # for the derivative's XMP
    compression: Compression
    recipe: FullRecipe
    mask_path: Path | None
    kind: DerivativeKind
    started_at: datetime  # by the database's clock
    stored_path: str  # the derivative's, relative to the home
    final: Path  # the derivative's, absolute
    already_made: bool  # the task was skipped; no lease is held
    lost: LostDerivative | None  # is recreated from its record, because its file is lost


def claim_next(catalogue: Catalogue, batch_id: int, *, device: str | None = None) -> Claim | None:
    """Takes the batch's next task that is pending, or was left by a holder that lost it; None where there is none.

    Tasks that were tried least often come first, so that a scan on which processes die does not keep others waiting.
    Where the derivative was made meanwhile, by another batch, the task is skipped instead, and the claim says so.
    ``device`` is where this process's networks run, for ``archive batch show``.
    """
    claim = _claim_pending(catalogue, batch_id, device)
    if claim is None and reclaim_lost_tasks(catalogue, batch_id):
        claim = _claim_pending(catalogue, batch_id, device)
    return claim


def _claim_pending(catalogue: Catalogue, batch_id: int, device: str | None) -> Claim | None:
    with catalogue.session() as session:
        # Each statement is a round trip to the database, so there are usually two. Building statements and loading
        # objects would take longer than the database does: the statements are built once, and use columns.
        task = session.connection().execute(_NEXT_TASK, {"batch_id": batch_id}).one_or_none()
        if task is None:
            return None
        token = uuid4().hex
        usual = derivative_path(task, task.sequence, task.kind, task.recipe_sha256)
        of_task = {"of_master": task.master_id, "of_recipe": task.recipe_id, "usual": usual}
        lease = {**_lease(catalogue, task, token, device), "claimed_id": task.task_id}
        if session.connection().execute(_TAKE_LEASE_OF_NEW, {**lease, **of_task}).all():
            return _make_claim(catalogue, task, token, usual)
        existing, lost, stored = _find_derivatives(session, task, of_task)
        if existing is None:
            session.connection().execute(_TAKE_LEASE, lease)
        else:
            mark_skipped(catalogue, session, session.get_one(Task, task.task_id), existing)
        return _make_claim(catalogue, task, token, stored, lost=lost, already_made=existing is not None)


def _make_claim(
    catalogue: Catalogue,
    task: Row[Any],
    token: str,
    stored: str,
    *,
    lost: Row[Any] | None = None,
    already_made: bool = False,
) -> Claim:
    recipe = parse_recipe(task.recipe_id, task.recipe_sha256, task.canonical_json)
    return Claim(
        task_id=task.task_id,
        token=token,
        master_id=task.master_id,
        master_path=catalogue.path_of(task.path),
        master_page=task.page,
        master_sha256=task.sha256,
        pixels=task.width * task.height,
        picture_area=_find_area(task, lost),
        reference_path=None if task.reference_path is None else catalogue.path_of(task.reference_path),
        accession_number=task.accession_number,
        sequence=task.sequence,
        description=_describe_item(task),
        compression=catalogue.settings.compression,
        recipe=recipe,
        mask_path=None if recipe.mask_sha256 is None else catalogue.path_of(mask_path(recipe.mask_sha256)),
        kind=task.kind,
        started_at=task.now,
        stored_path=stored,
        final=catalogue.path_of(stored),
        already_made=already_made,
        lost=None if lost is None else _describe_lost(lost),
    )


def _lease(catalogue: Catalogue, task: Row[Any], token: str, device: str | None) -> dict[str, Any]:
    """The columns that make this process the holder of the locked task."""
    holder = LeaseHolder.this_process()
    return {
        "lease_token": token,
        "lease_expires_at": lease_expiry(catalogue, task.now),
        "lease_host": holder.host,
        "lease_pid": holder.pid,
        "lease_started": holder.started,
        "lease_device": device,
        "lease_renewed_at": task.now,
        "started_at": task.now,
    }


def _find_derivatives(
    session: Session, task: Row[Any], of_task: Mapping[str, Any]
) -> tuple[int | None, Row[Any] | None, str]:
    """The task's :func:`existing_derivative` or else its :func:`lost_derivative`, and the path of the derivative.

    That is another path than usual if the derivative of another master, renumbered since, has the usual one.
    """
    found = session.connection().execute(_DERIVATIVES, of_task).all()
    own = [each for each in found if each.master_id == task.master_id]
    existing = next((each.id for each in own if each.file_fault is None), None)
    if own and existing is None:
        return None, own[0], own[0].path
    if len(own) == len(found):
        return existing, None, of_task["usual"]
    return (
        existing,
        None,
        derivative_path(task, task.sequence, task.kind, task.recipe_sha256, master_sha256=task.sha256),
    )


def existing_derivative(session: Session, task: Task) -> int | None:
    """The id of an existing derivative of the task's recipe and master, made by any batch.

    One whose file is missing or changed does not count.
    """
    return session.scalar(select(Derivative.id).where(_is_of_task(task), _EXISTS))


def lost_derivative(session: Session, task: Task) -> Derivative | None:
    """The derivative of the task's recipe and master whose file is missing or changed, if there is one."""
    return session.scalar(select(Derivative).where(_is_of_task(task), _LOST))


def _is_of_task(task: Task) -> ColumnElement[bool]:
    return and_(Derivative.master_id == task.master_id, Derivative.recipe_id == task.recipe_id)


def _find_area(task: Row[Any], lost: Row[Any] | None) -> Area | None:
    """The picture area to restore in.

    A lost derivative is recreated with the area that was recorded with it, because the master's may have been corrected
    since.
    """
    if lost is not None and (provenance := lost.environment.get("provenance")):
        recorded = provenance["picture_area"]
        return None if recorded is None else Area(**recorded)
    area = PictureArea.of_columns(task.area_x, task.area_y, task.area_width, task.area_height)
    return None if area is None else Area(**area._asdict())


def _describe_item(item: Row[Any]) -> ItemDescription:
    """What the museum's record says of the photograph; the credit line is a column of its own."""
    own = {tuple(fold_words(name)): value for name, value in item.extra.items()}
    credit = next((own[name] for name in _CREDIT_COLUMNS if own.get(name)), None)
    return ItemDescription(identifier=item.accession_number, title=item.title, rights=item.rights, credit=credit)


def _describe_lost(lost: Row[Any]) -> LostDerivative:
    return LostDerivative(id=lost.id, sha256=lost.sha256, provenance=lost.environment.get("provenance") or {})


def mark_skipped(catalogue: Catalogue, session: Session, task: Task, derivative_id: int) -> None:
    """Finishes the task as skipped, because its derivative exists. In a full run, a trial's derivative counts now."""
    task.derivative_id = derivative_id
    finish_task(catalogue, session, task, TaskStatus.SKIPPED)
    if task.batch.adopts_trials and session.get_one(Derivative, derivative_id).is_trial:
        adopt_trial_results(catalogue, session, [derivative_id])


def finish_task(catalogue: Catalogue, session: Session, task: Task, status: TaskStatus) -> None:
    """Sets the task's final status, also on its master's row, and removes its lease."""
    for name, value in {**_NO_LEASE, "status": status, "finished_at": catalogue.now(session)}.items():
        setattr(task, name, value)
    task.master.last_task_status = status


@contextmanager
def locked_task(catalogue: Catalogue, claim: Claim) -> Iterator[tuple[Session, Task]]:
    """One transaction in which the claimed task's row is locked; see :func:`require_lease` for its holder.

    Raises:
        LeaseLostError: the task's master was removed from the catalogue meanwhile.
    """
    with catalogue.session() as session:
        task = session.scalars(select(Task).where(Task.id == claim.task_id).with_for_update()).one_or_none()
        if task is None:
            raise _lease_lost(claim)
        yield session, task


def require_lease(catalogue: Catalogue, session: Session, task: Task, claim: Claim) -> None:
    """Checks that the claim still holds the locked task.

    Raises:
        LeaseLostError: the lease has expired, or another process has taken the task.
    """
    held = task.status is TaskStatus.RUNNING and task.lease_token == claim.token
    # The clock is read after the lock, which may have taken time.
    if not held or task.lease_expires_at is None or task.lease_expires_at <= catalogue.now(session):
        raise _lease_lost(claim)


def _lease_lost(claim: Claim) -> LeaseLostError:
    return LeaseLostError(
        f"the lease of task {claim.task_id} ({claim.accession_number}) was lost meanwhile; its result is discarded"
    )


def release_claims(catalogue: Catalogue, *claims: Claim) -> None:
    """Returns the tasks to pending; tasks that other processes hold by now are not changed."""
    if not claims:
        return
    with catalogue.session() as session:
        _release(session, [claim.task_id for claim in claims], [claim.token for claim in claims])


def reclaim_lost_tasks(catalogue: Catalogue, batch_id: int) -> int:
    """Returns running tasks to pending if their lease has expired or their holder is dead; returns their number.

    The previous holders can no longer commit. A warning names the masters.
    """
    with catalogue.session() as session:
        running = session.scalars(select(Task).where(Task.batch_id == batch_id, Task.status == TaskStatus.RUNNING))
        now = catalogue.now(session)
        lost = [task for task in running if _is_lost(task, now)]
        names = {task.id: f"{task.master.item.accession_number} ({task.master.sequence})" for task in lost}
        released = _release(session, [task.id for task in lost], [task.lease_token or "" for task in lost])
    if released:
        masters = ", ".join(names[task_id] for task_id in released)
        _log.warning("returned to pending, because their worker died or its lease expired: %s", masters)
    return len(released)


def _is_lost(task: Task, now: datetime) -> bool:
    if task.lease_expires_at is None or task.lease_expires_at <= now:
        return True
    if task.lease_host is None or task.lease_pid is None or task.lease_started is None:
        return False
    return LeaseHolder(host=task.lease_host, pid=task.lease_pid, started=task.lease_started).is_known_dead()


def _release(session: Session, ids: Sequence[int], tokens: Sequence[str]) -> Sequence[int]:
    """Returns tasks to pending that still have these tokens; returns their ids."""
    held = func.coalesce(Task.lease_token, "").in_(tokens)
    release = (
        update(Task)
        .where(Task.id.in_(ids), held, Task.status == TaskStatus.RUNNING)
        .values(**_NO_LEASE, status=TaskStatus.PENDING, started_at=None)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(release.returning(Task.id)).all() if ids else []


def count_running(catalogue: Catalogue, batch_id: int) -> int:
    """The number of the batch's tasks that are in flight, in any process."""
    with catalogue.reading() as session:
        of_batch = select(func.count(Task.id)).where(Task.batch_id == batch_id, Task.status == TaskStatus.RUNNING)
        return session.scalar(of_batch) or 0
