"""Plans a removal: which masters a query or a folder selects, what goes with them, and why they may not go."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, case, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import IS_OPEN
from archive.catalogue.query.file_predicates import HAS_FILE, IS_COPY
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Derivative, Event, Item, Master, Root, Task
from archive.catalogue.schema.vocabularies import EventType
from archive.derivative_traces import Traces, find_traces
from archive.errors import ArchiveError, BatchError, UsageError

_NAMES = 3
_IDS_AT_A_TIME = 10_000
_OTHER = aliased(Master)
_WAS_RELOCATED = exists().where(Event.master_id == Master.id, Event.type == EventType.RELOCATION)


@dataclass(frozen=True, kw_only=True)
class RemovalPlan:
    """The masters to remove, and what goes with them."""

    master_ids: Sequence[int]
    names: tuple[str, ...]
    """The first of them."""
    relocated: int
    """Masters in the given folder that were ingested from elsewhere before, so that they are not removed."""
    items: int
    """Those that have no other master, and go too."""
    derivatives: int
    size_bytes: int
    """Of the files that are deleted: those of derivatives, and copies of masters in the home."""
    refusal: ArchiveError | None
    """Why they can't be removed, if so."""
    with_derivatives: bool
    traces: Traces
    """What still shows the derivatives afterwards."""


def plan_removal(
    catalogue: Catalogue, query: str | None = None, *, path: Path | None = None, with_derivatives: bool = False
) -> RemovalPlan:
    """Plans the removal of the masters that match ``query``, or lie in ``path``, or both if both are given.

    The record of a master follows its bytes: if an ingest of ``path`` found masters of an earlier ingest there, they
    lie in it now. A removal by ``path`` leaves them, because it undoes only the later ingest.

    Args:
        catalogue: the catalogue.
        query: selects masters, in Lucene syntax.
        path: a file or folder, absolute. A copy in the home also lies in the folder that it was ingested from.
        with_derivatives: remove masters that have derivatives too.

    Raises:
        UsageError: neither is given, or the query is empty, so that nothing is ever removed by default.
        QueryError: the query has a mistake.
    """
    if query is None and path is None:
        raise UsageError("name the masters to remove: give a QUERY, or --from PATH, or both")
    if query is not None and not query.strip():  # such as an empty variable of a script: it would match everything
        raise UsageError("the QUERY is empty: write accession_number:* for all masters")
    with catalogue.reading() as session:
        wanted = parse_condition(query)
        relocated = 0
        if path is not None:
            wanted = and_(wanted, _lies_in(catalogue, session, path))
            relocated = _count(session, Master.id.in_(select(Master.id).join(Item).where(wanted, _WAS_RELOCATED)))
            wanted = and_(wanted, ~_WAS_RELOCATED)
        matching = select(Master.id).join(Item).where(wanted).correlate(None)
        with session.scalars(matching.order_by(Master.id).execution_options(yield_per=_IDS_AT_A_TIME)) as ids:
            master_ids = array("q", ids)
        which, of_them = Master.id.in_(matching), Derivative.master_id.in_(matching)
        derivatives, derivative_bytes = session.execute(
            select(func.count(), func.sum(case((HAS_FILE, Derivative.size), else_=0))).where(of_them)
        ).one()
        return RemovalPlan(
            master_ids=master_ids,
            names=_first_names(session, which),
            relocated=relocated,
            items=_count_emptied_items(session, matching),
            derivatives=derivatives,
            size_bytes=int(derivative_bytes or 0) + _copy_bytes(session, matching),
            refusal=find_refusal(session, which, with_derivatives=with_derivatives),
            with_derivatives=with_derivatives,
            traces=find_traces(catalogue, session, of_them),
        )


def _lies_in(catalogue: Catalogue, session: Session, path: Path) -> ColumnElement[bool]:
    """Whether a master's recorded file is ``path`` or lies below it; of a copy, also whether it came from there."""
    home, roots = catalogue.settings.home, catalogue.settings.roots
    # Under the path on this machine also masters are recorded that came before the folder was in [roots].
    recorded = {each for each in (catalogue.stored_path(path), str(path)) if catalogue.path_of(each) == path}
    recorded |= {folder for folder, local in roots if Path(local).is_relative_to(path)}
    if path.is_relative_to(home):
        recorded.add(str(path.relative_to(home)))
    sources = [row.id for row in session.scalars(select(Root)) if catalogue.path_of(row.path).is_relative_to(path)]
    below = [or_(Master.path == each, _begins_with(f"{each.rstrip('/')}/")) for each in sorted(recorded)]
    copies = IS_COPY if home.is_relative_to(path) else and_(IS_COPY, Master.root_id.in_(sources))
    return or_(*below, copies)


def _begins_with(folder: str) -> ColumnElement[bool]:
    """Whether a path begins with ``folder``, which ends with ``/``; unlike LIKE, SQLite compares case too."""
    return and_(Master.path >= folder, Master.path < f"{folder[:-1]}0")  # 0 is the character after /


def _first_names(session: Session, which: ColumnElement[bool], *more: ColumnElement[bool]) -> tuple[str, ...]:
    first = (
        select(Item.accession_number, Master.sequence)
        .join(Item, Item.id == Master.item_id)
        .where(which, *more)
        .order_by(Item.accession_number, Master.sequence)
        .limit(_NAMES)
    )
    return tuple(f"{number} ({sequence})" for number, sequence in session.execute(first))


def _count_emptied_items(session: Session, matching: Select[int]) -> int:
    """The number of items all of whose masters are selected."""
    # Counts instead of NOT IN, which PostgreSQL would check row by row for many masters.
    found = _numbers(Master.item_id, Master.id.in_(matching))
    of_all = _numbers(_OTHER.item_id, _OTHER.item_id.in_(select(found.c.key)))
    both = and_(of_all.c.key == found.c.key, of_all.c.number == found.c.number)
    return session.scalar(select(func.count()).select_from(found).join(of_all, both)) or 0


def _copy_bytes(session: Session, matching: Select[int]) -> int:
    """The size of the copies in the home of which all pictures are selected."""
    found = _numbers(Master.path, IS_COPY, Master.id.in_(matching))
    of_all = _numbers(_OTHER.path, _OTHER.path.in_(select(found.c.key)))
    both = and_(of_all.c.key == found.c.key, of_all.c.number == found.c.number)
    return int(session.scalar(select(func.sum(found.c.size)).join(of_all, both)) or 0)


def _numbers(key: InstrumentedAttribute[Any], *wanted: ColumnElement[bool]) -> Subquery:
    """The number of masters for each ``key``, and the size of one of them."""
    size = func.max(key.class_.size).label("size")
    return select(key.label("key"), func.count().label("number"), size).where(*wanted).group_by(key).subquery()


def find_refusal(session: Session, which: ColumnElement[bool], *, with_derivatives: bool) -> ArchiveError | None:
    """Why the masters can't be removed: they have derivatives that must stay, or tasks of an unfinished batch."""
    has_derivatives = exists().where(Derivative.master_id == Master.id)
    if not with_derivatives and (count := _count(session, which, has_derivatives)):
        names = _shorten(_first_names(session, which, has_derivatives), count)
        return UsageError(
            f"not removed: {_describe_share(count)} derivatives: {names}. To delete the derivatives too, add "
            f"--with-derivatives. To keep {'this master' if count == 1 else 'these masters'}, exclude "
            f"{'it' if count == 1 else 'them'} by the query"
        )
    of_open_batch = exists().where(Task.master_id == Master.id, IS_OPEN)
    if count := _count(session, which, of_open_batch):
        names = _shorten(_first_names(session, which, of_open_batch), count)
        batch_id = session.scalar(select(func.min(Task.batch_id)).join(Master).where(which, IS_OPEN))
        return BatchError(
            f"not removed: {_describe_share(count)} open tasks, in batch {batch_id}: {names}. Finish the batch with "
            f"`archive batch resume {batch_id}`, or end it with `archive batch cancel {batch_id}`, then remove "
            f"{'it' if count == 1 else 'them'}"
        )
    return None


def _describe_share(count: int) -> str:
    return f"{count:,} of the masters {'has' if count == 1 else 'have'}"


def _count(session: Session, *wanted: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count(Master.id)).where(*wanted)) or 0


def _shorten(names: Sequence[str], count: int) -> str:
    return ", ".join(names) + (f" and {count - len(names):,} more" if count > len(names) else "")
