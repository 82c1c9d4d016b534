"""Lists of items and batches. Nothing here writes to the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from archive.catalogue.batch_queries import describe_batch_recipes, find_batch, list_failures, was_begun
from archive.catalogue.batch_workers import format_moment, list_workers
from archive.catalogue.item_details import get_item_details
from archive.catalogue.list_queries import select_derivative_ids, stream_derivatives, stream_items, stream_masters
from archive.catalogue.model_version_lookup import find_version, list_model_versions
from archive.catalogue.query.lucene_parser import parse_condition, parse_tree
from archive.catalogue.query.query_tree import And, Condition, QueryNode
from archive.catalogue.query.status_predicates import STALE
from archive.catalogue.schema.column_types import DatabaseClock
from archive.catalogue.schema.tables import (
    Agent,
    Batch,
    Item,
    Master,
    Task,
)
from archive.catalogue.schema.vocabularies import Access, DerivativeKind, TaskStatus
from archive.catalogue.throughput import measure_open_work, measure_throughput, stage_seconds
from archive.catalogue.version_comparison import compare_versions
from archive.display_labels import LIST_FIELDS

__all__ = [
    "LIST_FIELDS",
    "compare_versions",
    "count_stale_masters",
    "find_version",
    "get_batch",
    "get_item_details",
    "list_batches",
    "list_derivatives",
    "list_items",
    "list_masters",
    "list_model_versions",
    "select_derivatives",
    "select_masters",
]

_ROWS_AT_A_TIME = 500


def select_masters(query: str | None) -> Select[Master]:
    """Selects the masters that match ``query``, by accession number and sequence.

    Raises:
        QueryError: the query has a mistake.
    """
    return select(Master).join(Item).where(parse_condition(query)).order_by(Item.accession_number, Master.sequence)


def list_masters(
    session: Session, query: str | None, limit: int | None = None, *, further: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Streams the matching masters, one flat object each (:data:`archive.display_labels.MASTER_ROW_FIELDS`).

    ``further`` names fields besides, as in :func:`list_items`.

    Raises:
        QueryError: the query has a mistake.
    """
    return stream_masters(session, parse_tree(query), limit, further)


def list_derivatives(
    session: Session, query: str | None, limit: int | None = None, *, further: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Streams derivatives, one flat object each (:data:`archive.display_labels.DERIVATIVE_ROW_FIELDS`).

    ``further`` names fields besides, as in :func:`list_items`.

    Conditions that can be about a derivative are about the row; others are about its master and item.

    Raises:
        QueryError: the query has a mistake.
    """
    return stream_derivatives(session, parse_tree(query), limit, further)


def select_derivatives(query: str | None, *, kind: DerivativeKind | None = None) -> Select[int]:
    """Selects the ids of the derivatives that a query is about, by accession number, sequence and id.

    They are those that it selects (``batch:3``), else the current ones of the matching masters. The statement joins
    ``Master`` and ``Item``.

    Args:
        query: the query, or None for all.
        kind: only of this kind; None means all that the query selects, else the current restored ones.

    Raises:
        QueryError: the query has a mistake.
    """
    return select_derivative_ids(parse_tree(query), kind)


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

    ``further`` names fields besides: those of :data:`archive.display_labels.FURTHER_LIST_FIELDS`, and ``extra.COLUMN``.
    An item is represented by its first matching master, restorable views first; of several matching ones, it has the
    status and the review of the one with the most work left. If the query selects derivatives (``batch:3``), the row is
    about the newest of them, a current one first, and has the further keys
    :data:`archive.display_labels.DERIVATIVE_KEYS`. Paths are absolute.
    ``access`` limits the list to items of these kinds of access, ``after`` to those behind an accession number.

    Raises:
        QueryError: the query has a mistake; raised by the call, not by the first item.
    """
    operands: list[QueryNode] = [parse_tree(query)]
    if set(access) != set(Access):
        operands.append(Condition(predicate=Item.access.in_(access), is_indexed=False))
    if after is not None:
        operands.append(Condition(predicate=Item.accession_number > after, is_indexed=False, is_in_index_order=True))
    node = operands[0] if len(operands) == 1 else And(operands=tuple(operands))
    return stream_items(session, node, limit, further)


def list_batches(session: Session, batch_id: int | None = None) -> Iterator[dict[str, Any]]:
    """Batches by id, all or one.

    Keys: id, created_at, status, recipes and tasks (counted), the count of each status, priority, operator,
    last_worked_at (the last sign of a run, None before the first one).
    """
    statement = _batch_statement()
    for row in session.execute(statement if batch_id is None else statement.where(Batch.id == batch_id)):
        yield _batch_object(row)


def get_batch(session: Session, batch_id: int) -> dict[str, Any]:
    """One batch as in :func:`list_batches`, with its kind, query, options, agent (the planning software) and failures.

    ``recipes_used`` has the recipes in words.

    ``last_run`` has begun_at, ended_at and reason (why tasks were left), or is None if the batch was never run;
    ended_at is None while the run goes on, and if its process was killed; then it also has process (host, pid,
    started). A failure has accession_number, sequence, path (the master's, absolute) and reason. ``rate`` and
    ``seconds_left`` are None until a task is done; ``seconds_left`` is 0 if no task is open. ``stages`` has the seconds
    of each network; ``workers`` is what :func:`list_workers` yields.

    Raises:
        NotFoundError: there is no such batch.
    """
    found = find_batch(session, batch_id)
    rate = measure_throughput(session, Task.batch_id == batch_id)
    return {
        **_batch_object(session.execute(_batch_statement().where(Batch.id == batch_id)).one()),
        "kind": found.kind.value,
        "query": found.query,
        "recipes_used": describe_batch_recipes(session, batch_id),
        "options": found.options,
        "last_run": found.last_run,
        "agent": {"type": found.agent.type.value, "name": found.agent.name, "version": found.agent.version},
        "rate": None if rate is None else asdict(rate),
        "seconds_left": None if rate is None else rate.seconds_for(measure_open_work(session, batch_id).pixels),
        "stages": stage_seconds(session, batch_id),
        "workers": list(list_workers(session, batch_id)),
        "failures": [asdict(failure) for failure in list_failures(session, batch_id)],
    }


def count_stale_masters(session: Session) -> int:
    """The number of masters that ``status:stale`` selects."""
    return session.scalar(select(func.count(Master.id)).where(STALE)) or 0


def _batch_statement() -> Select[*tuple[Any, ...]]:
    is_running = Task.status == TaskStatus.RUNNING
    return (
        select(
            Batch.id,
            Batch.created_at,
            Batch.priority,
            Batch.last_run,
            Agent.name.label("operator"),
            func.count(Task.recipe_id.distinct()).label("recipes"),
            func.count(Task.id).label("tasks"),
            func.max(Task.attempts).label("attempts"),
            func.max(Task.finished_at).filter(Task.status != TaskStatus.CANCELLED).label("finished_at"),
            func.max(Task.lease_renewed_at).label("renewed_at"),
            # The tasks of a machine that lost its power stay running, but their leases expire.
            func.count(Task.id).filter(is_running, Task.lease_expires_at > DatabaseClock()).label("alive"),
            *(func.count(Task.id).filter(Task.status == status).label(status.value) for status in TaskStatus),
        )
        .outerjoin(Task, Task.batch_id == Batch.id)
        .outerjoin(Agent, Agent.id == Batch.operator_id)
        .group_by(Batch.id, Batch.created_at, Batch.priority, Agent.name)
        .order_by(Batch.id)
    )


def _batch_object(row: Any) -> dict[str, Any]:
    counts = {status: getattr(row, status.value) for status in TaskStatus}
    last_run = row.last_run or {"begun_at": None, "ended_at": None}
    begun = was_begun(row.attempts or 0, row.last_run)
    worked = [format_moment(row.finished_at), format_moment(row.renewed_at), last_run["begun_at"], last_run["ended_at"]]
    return {
        "id": row.id,
        "created_at": row.created_at.isoformat(timespec="seconds"),
        "status": _batch_status(counts, was_begun=begun, is_worked_on=row.alive > 0),
        "recipes": row.recipes,
        "tasks": row.tasks,
        **{status.value: count for status, count in counts.items()},
        "priority": row.priority,
        "operator": row.operator,
        "last_worked_at": max(filter(None, worked), default=None),
    }


def _batch_status(counts: dict[TaskStatus, int], *, was_begun: bool, is_worked_on: bool) -> str:
    """The batch's status: failed only if no task succeeded; otherwise the counts show the failures.

    A batch that was begun, of which tasks are open and no process holds one, is interrupted.
    """
    if counts[TaskStatus.PENDING] + counts[TaskStatus.RUNNING] and was_begun and not is_worked_on:
        return "interrupted"
    for status in (TaskStatus.RUNNING, TaskStatus.PENDING, TaskStatus.CANCELLED):
        if counts[status]:
            return status.value
    succeeded = counts[TaskStatus.DONE] + counts[TaskStatus.SKIPPED]
    return (TaskStatus.FAILED if counts[TaskStatus.FAILED] and not succeeded else TaskStatus.DONE).value
