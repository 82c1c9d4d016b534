"""Plans a repair: missing or changed derivatives are recreated from their records."""

from __future__ import annotations

from sqlalchemy import select

from archive.batches.planning.batch_writer import write_batch
from archive.catalogue import Catalogue
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Derivative, Item, Master
from archive.catalogue.schema.vocabularies import BatchKind, FileFault


def plan_repair(catalogue: Catalogue, query: str | None = None, *, device: str = "auto") -> int | None:
    """Plans to recreate the lost derivatives of the masters that match ``query``.

    Args:
        catalogue: the catalogue, in which the last check marked files as missing or changed.
        query: selects masters; None for all.
        device: where the networks run; ``auto`` means the CPU if all lost derivatives were made on a CPU, so that the
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
        .where(
            Derivative.file_fault.in_((FileFault.MISSING, FileFault.CHANGED)),
            Derivative.withdrawn_at.is_(None),
            parse_condition(query),
        )
        .order_by(Derivative.id)
    )
    with catalogue.reading() as session:
        lost = session.execute(wanted).all()
    if not lost:
        return None
    if device == "auto" and all(str(row.environment.get("device", "")).startswith("cpu") for row in lost):
        device = "cpu"
    precisions = {row.environment.get("precision") for row in lost}
    precision = precisions.pop() if len(precisions) == 1 else None
    options = {"device": device, "precision": precision or "auto"}
    tasks = [(row.master_id, row.recipe_id) for row in lost]
    with catalogue.session() as session:
        return write_batch(catalogue, session, BatchKind.REPAIR, query, options, tasks)
