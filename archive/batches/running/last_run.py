"""The last run of a batch: when it began, when it ended, and why it ended before the last task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.batches.running.leases import LeaseHolder
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import IS_OPEN, was_begun
from archive.catalogue.batch_workers import format_moment
from archive.catalogue.schema.column_types import DatabaseClock
from archive.catalogue.schema.tables import Batch, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import ArchiveError
from archive.interruption import Interruption

TIME_IS_UP: Final = "the time of --until was reached"


@dataclass(frozen=True, kw_only=True)
class InterruptedBatch:
    """A batch that was begun, has open tasks, and that no process works on."""

    id: int
    is_lost: bool  # as in is_run_lost; until the leases expire, lists count such a batch as running


def record_begin(catalogue: Catalogue, batch_id: int) -> datetime:
    """Records that a run of the batch begins; returns the time by the database's clock.

    From the first run on, the workers of less urgent batches help the batch.
    """
    with catalogue.session() as session:
        batch = session.get_one(Batch, batch_id, with_for_update=True)
        now = catalogue.now(session)
        batch.begun_at = batch.begun_at or now
        batch.last_run = {
            "begun_at": format_moment(now),
            "ended_at": None,
            "reason": None,
            "process": asdict(LeaseHolder.this_process()),
        }
        return now


def record_end(catalogue: Catalogue, batch_id: int, begun_at: datetime, reason: str | None) -> None:
    """Records that the run that began at ``begun_at`` has ended, and why, unless no task was left.

    If another run of the batch began later, nothing is recorded.
    """
    with catalogue.session() as session:
        batch = session.get_one(Batch, batch_id, with_for_update=True)
        if (batch.last_run or {}).get("begun_at") != format_moment(begun_at):
            return
        batch.last_run = {
            "begun_at": format_moment(begun_at),
            "ended_at": format_moment(catalogue.now(session)),
            "reason": reason,
        }


@contextmanager
def recording_error(catalogue: Catalogue, batch_id: int, begun_at: datetime, stop: Interruption) -> Iterator[None]:
    """Records an error or interruption that ends the run; while the database is unavailable, nothing is recorded."""
    try:
        yield
    except BaseException as error:
        with suppress(*DATABASE_UNAVAILABLE):
            record_end(catalogue, batch_id, begun_at, _describe(error, stop))
        raise


def _describe(error: BaseException, stop: Interruption) -> str:
    if isinstance(error, KeyboardInterrupt):
        return stop.reason
    return str(error) if isinstance(error, ArchiveError) else f"unexpected {type(error).__name__}: {error}"


def is_run_lost(session: Session, batch_id: int) -> bool:
    """Whether the process of the last run has ended without a record of it, and so have all that hold tasks.

    False for a process on another machine. If this machine was switched off meanwhile, True once no lease is valid.
    """
    process = (session.get_one(Batch, batch_id).last_run or {}).get("process")
    if process is None:
        return False
    running = session.execute(
        select(Task.lease_host, Task.lease_pid, Task.lease_started).where(
            Task.batch_id == batch_id, Task.status == TaskStatus.RUNNING, Task.lease_expires_at > DatabaseClock()
        )
    ).all()
    runner = LeaseHolder(**process)
    if not running and runner.ran_before_restart():
        return True
    holders = [LeaseHolder(host=host or "", pid=pid or 0, started=started or 0) for host, pid, started in running]
    return all(holder.is_known_dead() for holder in (runner, *holders))


def list_interrupted_batches(session: Session) -> list[InterruptedBatch]:
    """The interrupted batches, newest first. Each costs a few lookups in an index, whatever its size."""
    tasks = Task.batch_id == Batch.id
    is_open = exists().where(tasks, IS_OPEN)
    is_worked_on = exists().where(tasks, Task.status == TaskStatus.RUNNING, Task.lease_expires_at > DatabaseClock())
    # All statuses, so that the index on batch, status and attempts serves.
    was_attempted = exists().where(tasks, Task.status.in_(tuple(TaskStatus)), Task.attempts > 0)
    rows = session.execute(
        select(Batch.id, Batch.last_run, is_worked_on, was_attempted).where(is_open).order_by(Batch.id.desc())
    ).all()
    found = []
    for batch_id, last_run, worked_on, attempted in rows:
        is_lost = is_run_lost(session, batch_id)
        if is_lost or (was_begun(attempted, last_run) and not worked_on):
            found.append(InterruptedBatch(id=batch_id, is_lost=is_lost))
    return found
