"""Priority of batches: which batch the workers of another one help first."""

from __future__ import annotations

from sqlalchemy import exists, select, update

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Batch, Task
from archive.catalogue.schema.vocabularies import TaskStatus

LOWEST, HIGHEST = 0, 9


def set_priority(catalogue: Catalogue, batch_id: int, priority: int) -> None:
    """Sets the batch's priority, from 0 (as all batches have by themselves) to 9 (the most urgent)."""
    with catalogue.session() as session:
        session.execute(update(Batch).where(Batch.id == batch_id).values(priority=priority))


def find_more_urgent_batch(catalogue: Catalogue, batch_id: int) -> int | None:
    """The most urgent begun batch with pending tasks that has a higher priority than this one; None without one."""
    own = select(Batch.priority).where(Batch.id == batch_id).scalar_subquery()
    has_pending = exists().where(Task.batch_id == Batch.id, Task.status == TaskStatus.PENDING)
    statement = (
        select(Batch.id)
        .where(Batch.priority > own, Batch.begun_at.is_not(None), has_pending)
        .order_by(Batch.priority.desc(), Batch.id)
        .limit(1)
    )
    with catalogue.reading() as session:
        return session.scalar(statement)
