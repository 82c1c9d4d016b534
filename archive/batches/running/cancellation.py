"""Cancellation of a batch: pending tasks are cancelled, in-flight tasks are finished."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, update

from archive.batches.running.abandoned_files import remove_abandoned_batch_files
from archive.batches.running.claims import count_running, reclaim_lost_tasks
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import find_batch
from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus


@dataclass(frozen=True, kw_only=True)
class CancellationResult:
    """The result of a cancellation."""

    cancelled: int  # tasks that will not be processed
    running: int  # in-flight tasks, which their processes finish
    cancelled_before: int  # tasks that an earlier cancellation took


def cancel_batch(catalogue: Catalogue, batch_id: int) -> CancellationResult:
    """Cancels the batch's pending tasks, and running ones whose holder is lost.

    Tasks of living processes are finished, because most of their work is done. The next ``restore`` plans the cancelled
    masters again.

    Raises:
        NotFoundError: there is no such batch.
    """
    with catalogue.reading() as session:
        find_batch(session, batch_id)
    reclaim_lost_tasks(catalogue, batch_id)
    with catalogue.session() as session:
        earlier = select(func.count(Task.id)).where(Task.batch_id == batch_id, Task.status == TaskStatus.CANCELLED)
        cancelled_before = session.scalar(earlier) or 0
        statement = (
            update(Task)
            .where(Task.batch_id == batch_id, Task.status == TaskStatus.PENDING)
            .values(status=TaskStatus.CANCELLED, finished_at=catalogue.now(session))
            .execution_options(synchronize_session=False)
        )
        cancelled = len(session.scalars(statement.returning(Task.id)).all())
    remove_abandoned_batch_files(catalogue, batch_id)
    return CancellationResult(
        cancelled=cancelled, running=count_running(catalogue, batch_id), cancelled_before=cancelled_before
    )
