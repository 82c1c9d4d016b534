"""Batch writer: the rows of a batch and its tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.events import operator_agent, software_agent
from archive.catalogue.schema.tables import Batch, Master, Task
from archive.catalogue.schema.vocabularies import BatchKind, TaskStatus
from archive.chunks import chunks

_TASKS_PER_INSERT = 5_000  # bounds memory and the number of round trips


def write_batch(
    catalogue: Catalogue,
    session: Session,
    kind: BatchKind,
    query: str | None,
    options: dict[str, Any],
    tasks: Iterable[tuple[int, int]],
) -> int:
    """Writes a batch with a pending task for each pair of a master's id and a recipe's; returns the batch's id.

    Masters that were removed from the catalogue meanwhile are left out. The others can't be removed until the
    transaction ends.
    """
    batch = Batch(
        kind=kind,
        query=query,
        options=options,
        created_at=catalogue.now(session),
        agent=software_agent(session),
        operator=operator_agent(session),
    )
    session.add(batch)
    session.flush()
    for chunk in chunks(tasks, _TASKS_PER_INSERT):
        of_chunk = select(Master.id).where(Master.id.in_({master_id for master_id, _ in chunk})).order_by(Master.id)
        present = set(session.scalars(of_chunk.with_for_update(read=True, key_share=True)))
        rows = [
            {"batch_id": batch.id, "master_id": master_id, "recipe_id": recipe_id, "status": TaskStatus.PENDING}
            for master_id, recipe_id in chunk
            if master_id in present
        ]
        if rows:
            session.execute(insert(Task), rows)
    return batch.id
