"""Planning a repair: derivatives whose files are missing or changed, to be recreated from their records."""

from __future__ import annotations

from sqlalchemy import insert, select

from archive.catalogue import Catalogue
from archive.catalogue.events import operator_agent, software_agent
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Batch, Derivative, Item, Master, Task
from archive.catalogue.schema.vocabularies import BatchKind, FileFault, TaskStatus


def plan_repair(catalogue: Catalogue, query: str | None = None, *, device: str = "auto") -> int | None:
    """Plans to make again the lost derivatives of the masters that match ``query``.

    Args:
        catalogue: where the last check marked the files as missing or changed.
        query: which masters; None for all.
        device: where the networks run; ``auto`` runs on the CPU if all lost derivatives were made on one, so that the
            bytes can be the same.

    Returns:
        The id of the batch; None if nothing is lost.

    Raises:
        QueryError: the query has a mistake.
    """
    wanted = (
        select(Derivative.master_id, Derivative.recipe_id, Derivative.environment)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(Derivative.file_fault.in_((FileFault.MISSING, FileFault.CHANGED)), parse_condition(query))
        .order_by(Derivative.id)
    )
    with catalogue.session() as session:
        lost = session.execute(wanted).all()
        if not lost:
            return None
        if device == "auto" and all(str(row.environment.get("device", "")).startswith("cpu") for row in lost):
            device = "cpu"
        precisions = {row.environment.get("precision") for row in lost}
        precision = precisions.pop() if len(precisions) == 1 else None
        batch = Batch(
            kind=BatchKind.REPAIR,
            query=query,
            options={"device": device, "precision": precision or "auto"},
            created_at=catalogue.now(session),
            agent=software_agent(session),
            operator=operator_agent(session),
        )
        session.add(batch)
        session.flush()
        session.execute(
            insert(Task),
            [
                {
                    "batch_id": batch.id,
                    "master_id": row.master_id,
                    "recipe_id": row.recipe_id,
                    "status": TaskStatus.PENDING,
                }
                for row in lost
            ],
        )
        return batch.id
