"""The workers of a batch: who processes which task, since when, and the last heartbeat."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue.schema.tables import Item, Master, Task
from archive.catalogue.schema.vocabularies import TaskStatus


def list_workers(session: Session, batch_id: int) -> Iterator[dict[str, Any]]:
    """Yields one object for each running task of the batch, ordered by worker.

    Its keys: host, process, device, task (the id), accession_number, sequence, since and last_heartbeat.
    """
    statement = (
        select(Task, Item.accession_number, Master.sequence)
        .join(Master, Master.id == Task.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(Task.batch_id == batch_id, Task.status == TaskStatus.RUNNING)
        .order_by(Task.lease_host, Task.lease_pid, Task.id)
    )
    for task, accession_number, sequence in session.execute(statement):
        yield {
            "host": None if task.lease_host is None else task.lease_host.split()[0],
            "process": task.lease_pid,
            "device": task.lease_device,
            "task": task.id,
            "accession_number": accession_number,
            "sequence": sequence,
            "since": format_moment(task.started_at),
            "last_heartbeat": format_moment(task.lease_renewed_at),
        }


def format_moment(moment: datetime | None) -> str | None:
    """A time in ISO 8601, to the second."""
    return None if moment is None else moment.isoformat(timespec="seconds")
