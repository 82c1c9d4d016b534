"""Lists of items and batches. Nothing here writes to the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import ScalarSelect, Select, and_, func, select, true
from sqlalchemy.orm import Session, aliased

from archive.catalogue.batch_workers import list_workers
from archive.catalogue.item_details import get_item_details
from archive.catalogue.list_fields import further_columns, plain_values
from archive.catalogue.model_versions import find_version, list_model_versions
from archive.catalogue.query.lucene_parser import parse_condition, parse_tree
from archive.catalogue.query.predicates import RESTORABLE_FIRST, REVIEW, STATUS
from archive.catalogue.query.query_planner import as_exists, choose_access_path
from archive.catalogue.query.query_tree import And, Condition, QueryNode, to_sql
from archive.catalogue.schema.tables import (
    Agent,
    Batch,
    Derivative,
    Item,
    Master,
    Model,
    ModelVersion,
    RecipeStage,
    Task,
)
from archive.catalogue.schema.vocabularies import Access, StageTask, TaskStatus
from archive.catalogue.throughput import measure_throughput, pixels_left, stage_seconds
from archive.catalogue.version_comparison import compare_versions
from archive.display import LIST_FIELDS
from archive.errors import NotFoundError

__all__ = [
    "LIST_FIELDS",
    "compare_versions",
    "find_version",
    "get_batch",
    "get_item_details",
    "list_batches",
    "list_items",
    "list_model_versions",
    "select_masters",
]

_ROWS_AT_A_TIME = 500


def select_masters(query: str | None) -> Select[Master]:
    """Selects the masters that match ``query``, by accession number and sequence.

    Raises:
        QueryError: the query has a mistake.
    """
    return select(Master).join(Item).where(parse_condition(query)).order_by(Item.accession_number, Master.sequence)


def list_items(
    session: Session,
    query: str | None,
    limit: int | None = None,
    *,
    access: Collection[Access] = tuple(Access),
    after: str | None = None,
    further: Collection[str] = (),
) -> Iterator[dict[str, Any]]:
    """Streams the items that have a matching master, one flat object each (:data:`LIST_FIELDS`).

    ``further`` names fields besides: those of :data:`archive.display.FURTHER_LIST_FIELDS`, and ``extra.COLUMN``.
    An item is represented by its first matching master, restorable views first. Paths are absolute. ``access`` limits
    the list to items of these kinds of access, ``after`` to those behind an accession number.

    Raises:
        QueryError: the query has a mistake; raised by the call, not by the first item.
    """
    operands: list[QueryNode] = [parse_tree(query)]
    if set(access) != set(Access):
        operands.append(Condition(predicate=Item.access.in_(access), is_indexed=False))
    if after is not None:
        operands.append(Condition(predicate=Item.accession_number > after, is_indexed=False, is_in_index_order=True))
    node = operands[0] if len(operands) == 1 else And(operands=tuple(operands))
    return _stream(session, node, limit, further)


def _stream(session: Session, node: QueryNode, limit: int | None, further: Collection[str]) -> Iterator[dict[str, Any]]:
    home: Path = session.info["home"]
    first_match = _first_match(node)
    statement = _list_statement(first_match, further)
    if limit is None:
        statement = choose_access_path(session, node, statement, matches=true())
    else:  # details are read for the items on the page only
        page = choose_access_path(session, node, select(Item.id), matches=first_match.is_not(None))
        page = page.correlate(None).limit(limit)
        statement = statement.where(Item.id.in_(page)).order_by(func.coalesce(Item.accession_number, ""))
    with session.execute(statement, execution_options={"yield_per": _ROWS_AT_A_TIME}) as rows:
        for row in rows.mappings():
            yield plain_values(row, further, home)


def _first_match(node: QueryNode) -> ScalarSelect[int]:
    """The id of the master that represents an item in a list; NULL if no master of the item matches."""
    return (
        select(Master.id)
        .where(Master.item_id == Item.id, as_exists(to_sql(node, per_row=True)))
        .order_by(RESTORABLE_FIRST, Master.sequence)
        .limit(1)
        .correlate(Item)
        .scalar_subquery()
    )


def _list_statement(first_match: ScalarSelect[int], further: Collection[str]) -> Select[*tuple[Any, ...]]:
    current, first_stage, counted = aliased(Derivative), aliased(RecipeStage), aliased(Master)
    earliest = (
        select(func.min(RecipeStage.position))
        .where(RecipeStage.recipe_id == Master.current_restored_recipe_id, RecipeStage.task == StageTask.RESTORATION)
        .scalar_subquery()
    )
    count = (
        select(func.count(Derivative.id))
        .join(counted, counted.id == Derivative.master_id)
        .where(counted.item_id == Item.id)
        .scalar_subquery()
    )
    return (
        select(
            Item.id,
            Item.accession_number,
            Item.title,
            Item.creator,
            Item.date,
            STATUS.label("status"),
            Model.name.label("model"),
            ModelVersion.version,
            Master.psnr_source,
            Master.ssim_source,
            Master.psnr_reference,
            Master.ssim_reference,
            REVIEW.label("review"),
            count.label("derivatives"),
            current.path,
            *further_columns(further, current),
        )
        .select_from(Item)
        .join(Master, Master.id == first_match)
        .outerjoin(current, current.id == Master.current_restored_id)
        .outerjoin(first_stage, and_(first_stage.recipe_id == current.recipe_id, first_stage.position == earliest))
        .outerjoin(ModelVersion, ModelVersion.id == first_stage.version_id)
        .outerjoin(Model, Model.id == ModelVersion.model_id)
    )


def list_batches(session: Session) -> Iterator[dict[str, Any]]:
    """All batches by id: id, created_at, status, recipes and tasks (counted), the count of each status, operator."""
    for row in session.execute(_batch_statement()):
        yield _batch_object(row)


def get_batch(session: Session, batch_id: int) -> dict[str, Any]:
    """One batch as in :func:`list_batches`, with its kind, query, options, agent (the planning software) and failures.

    A failure has accession_number, sequence, path (the master's, absolute) and reason. ``rate`` and ``seconds_left``
    are None until a task is done; ``seconds_left`` is 0 if no task is open. ``stages`` has the seconds of each network;
    ``workers`` is what :func:`list_workers` yields.

    Raises:
        NotFoundError: there is no such batch.
    """
    found = session.get(Batch, batch_id)
    if found is None:
        raise NotFoundError(f"No batch {batch_id}. Run `archive batch list` to see the batches.")
    failures = session.execute(
        select(Item.accession_number, Master.sequence, Master.path, Task.error)
        .select_from(Task)
        .join(Master, Master.id == Task.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(Task.batch_id == batch_id, Task.status == TaskStatus.FAILED)
        .order_by(Item.accession_number, Master.sequence)
    )
    rate = measure_throughput(session, Task.batch_id == batch_id)
    return {
        **_batch_object(session.execute(_batch_statement().where(Batch.id == batch_id)).one()),
        "kind": found.kind.value,
        "query": found.query,
        "options": found.options,
        "agent": {"type": found.agent.type.value, "name": found.agent.name, "version": found.agent.version},
        "rate": None if rate is None else asdict(rate),
        "seconds_left": None if rate is None else rate.seconds_for(pixels_left(session, batch_id)),
        "stages": stage_seconds(session, batch_id),
        "workers": list(list_workers(session, batch_id)),
        "failures": [
            {
                "accession_number": accession_number,
                "sequence": sequence,
                "path": str(session.info["home"] / path),
                "reason": error,
            }
            for accession_number, sequence, path, error in failures
        ],
    }


def _batch_statement() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Batch.id,
            Batch.created_at,
            Agent.name.label("operator"),
            func.count(Task.recipe_id.distinct()).label("recipes"),
            func.count(Task.id).label("tasks"),
            *(func.count(Task.id).filter(Task.status == status).label(status.value) for status in TaskStatus),
        )
        .outerjoin(Task, Task.batch_id == Batch.id)
        .outerjoin(Agent, Agent.id == Batch.operator_id)
        .group_by(Batch.id, Batch.created_at, Agent.name)
        .order_by(Batch.id)
    )


def _batch_object(row: Any) -> dict[str, Any]:
    counts = {status: getattr(row, status.value) for status in TaskStatus}
    return {
        "id": row.id,
        "created_at": row.created_at.isoformat(timespec="seconds"),
        "status": _batch_status(counts).value,
        "recipes": row.recipes,
        "tasks": row.tasks,
        **{status.value: count for status, count in counts.items()},
        "operator": row.operator,
    }


def _batch_status(counts: dict[TaskStatus, int]) -> TaskStatus:
    """The batch's status: failed only if no task succeeded; otherwise the counts show the failures."""
    for status in (TaskStatus.RUNNING, TaskStatus.PENDING, TaskStatus.CANCELLED):
        if counts[status]:
            return status
    succeeded = counts[TaskStatus.DONE] + counts[TaskStatus.SKIPPED]
    return TaskStatus.FAILED if counts[TaskStatus.FAILED] and not succeeded else TaskStatus.DONE
