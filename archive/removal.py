"""Removal: masters leave the catalogue with everything that was recorded about them, as if never ingested.

This undoes an ingest. One event of each removed master remains: who removed it, when and why. Files outside the home
are never touched. Masters are removed in portions, each in one transaction. The files of a portion are deleted at its
end, under the locks and before the commit, so that a repeated command completes an interrupted one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from archive.batches.running.interruption import Interruption, Termination
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import IS_OPEN
from archive.catalogue.current_derivative import lock_masters
from archive.catalogue.events import operator_agent
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.query.text_index import remove_unused_words
from archive.catalogue.schema.identifier_and_mapping_tables import ItemIdentifier
from archive.catalogue.schema.tables import (
    Agent,
    Derivative,
    Event,
    Item,
    Master,
    QualityScore,
    Review,
    Root,
    Task,
)
from archive.catalogue.schema.text_index_tables import ItemWord
from archive.catalogue.schema.vocabularies import EventType, FileFault, Outcome
from archive.catalogue.schema.web_review_tables import Comment, ReviewQueueEntry
from archive.errors import ArchiveError, BatchError, UsageError
from archive.failpoints import failpoint
from archive.progress_reporting import NoProgress, Progress
from archive.storage import MASTERS, SAMPLES
from archive.views.view_store import remove_views

_PORTION = 200  # masters in one transaction, for which other writers wait
_NAMES = 3
_IDS_AT_A_TIME = 10_000
_IN_DATABASE = {"synchronize_session": False}  # no row that is deleted is loaded
_IS_COPY = Master.path.startswith(f"{MASTERS}/", autoescape=True)
_HAS_FILE = and_(
    Derivative.withdrawn_at.is_(None), or_(Derivative.file_fault.is_(None), Derivative.file_fault != FileFault.LOST)
)
_OTHER = aliased(Master)
_OF_DERIVATIVES = (ReviewQueueEntry, Comment, QualityScore, Review)


@dataclass(frozen=True, kw_only=True)
class RemovalPlan:
    """The masters to remove, and what goes with them."""

    master_ids: Sequence[int]
    names: tuple[str, ...]
    """The first of them."""
    items: int
    """Those that have no other master, and go too."""
    derivatives: int
    size_bytes: int
    """Of the files that are deleted: those of derivatives, and copies of masters in the home."""
    refusal: ArchiveError | None
    """Why they can't be removed, if so."""
    with_derivatives: bool
    signed_copies: tuple[str, ...]
    """What the events say about signed copies that were handed over."""
    contact_sheets: tuple[Path, ...]
    """Contact sheets of their batches, which may show parts of them."""


@dataclass(kw_only=True)
class Removal:
    """What was removed."""

    masters: int = 0
    items: int = 0
    derivatives: int = 0
    is_interrupted: bool = False
    error: ArchiveError | OSError | None = field(default=None)
    """Why the rest was not removed, if so."""


class RemovedMaster(NamedTuple):
    """The record of a removed master: when, by whom, and its name, file and reason in words."""

    at: str
    person: str
    detail: str


def plan_removal(
    catalogue: Catalogue, query: str | None = None, *, path: Path | None = None, with_derivatives: bool = False
) -> RemovalPlan:
    """Plans the removal of the masters that match ``query``, or lie in ``path``, or both if both are given.

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
        if path is not None:
            wanted = and_(wanted, _lies_in(catalogue, session, path))
        matching = select(Master.id).join(Item).where(wanted).correlate(None)
        with session.scalars(matching.order_by(Master.id).execution_options(yield_per=_IDS_AT_A_TIME)) as ids:
            master_ids = array("q", ids)
        which, of_them = Master.id.in_(matching), Derivative.master_id.in_(matching)
        derivatives, derivative_bytes = session.execute(
            select(func.count(), func.sum(case((_HAS_FILE, Derivative.size), else_=0))).where(of_them)
        ).one()
        signatures = select(Event.detail).where(
            Event.type == EventType.SIGNATURE, Event.derivative_id.in_(select(Derivative.id).where(of_them))
        )
        batch_ids = session.scalars(select(Derivative.batch_id).where(of_them).distinct().order_by(Derivative.batch_id))
        samples = catalogue.settings.home / SAMPLES
        return RemovalPlan(
            master_ids=master_ids,
            names=_first_names(session, which),
            items=_count_emptied_items(session, matching),
            derivatives=derivatives,
            size_bytes=int(derivative_bytes or 0) + _copy_bytes(session, matching),
            refusal=_find_refusal(session, which, with_derivatives=with_derivatives),
            with_derivatives=with_derivatives,
            signed_copies=tuple(map(str, session.scalars(signatures.order_by(Event.id)))),
            contact_sheets=tuple(sheet for each in batch_ids for sheet in sorted(samples.glob(f"batch-{each}_*.html"))),
        )


def remove_masters(
    catalogue: Catalogue, plan: RemovalPlan, *, reason: str, progress: Progress | None = None
) -> Removal:
    """Removes the masters of a plan, on behalf of the catalogue's operator.

    Ctrl-C ends it after the present portion. A repeated removal completes it, and one that was killed.

    Returns:
        What was removed. Its ``error`` is set if a batch has planned some of the masters meanwhile, they got
        derivatives that were not to be removed, or a file can't be deleted; the portions before are removed.

    Raises:
        UsageError: there is no reason.
        ArchiveError: the plan is refused.
    """
    if not reason.strip():
        raise UsageError("a removal is a person's decision and needs a reason: give --reason TEXT")
    if plan.refusal is not None:
        raise plan.refusal
    done, progress = Removal(), progress or NoProgress()
    progress.start(len(plan.master_ids), "masters")
    with Termination(), Interruption(progress.interrupted) as stop:
        try:
            for start in range(0, len(plan.master_ids), _PORTION):
                if stop.requested:
                    done.is_interrupted = True
                    break
                ids = list(plan.master_ids[start : start + _PORTION])
                _remove_portion(catalogue, ids, done, reason=reason.strip(), with_derivatives=plan.with_derivatives)
                progress.advance(len(ids))
        except (ArchiveError, OSError) as error:
            done.error = error
        finally:
            progress.finish()
        _tidy(catalogue)
    return done


def list_removals(session: Session) -> Iterator[RemovedMaster]:
    """The masters that were removed from the catalogue, the first one first."""
    removals = (
        select(Event.at, Agent.name, Event.detail)
        .join(Agent, Agent.id == Event.agent_id)
        .where(Event.type == EventType.DEACCESSION)
        .order_by(Event.id)
    )
    for at, person, detail in session.execute(removals, execution_options={"yield_per": _IDS_AT_A_TIME}):
        yield RemovedMaster(at.isoformat(timespec="seconds"), person, detail or "")


def _lies_in(catalogue: Catalogue, session: Session, path: Path) -> ColumnElement[bool]:
    """Whether a master's recorded file is ``path`` or lies below it; of a copy, also whether it came from there."""
    home, roots = catalogue.settings.home, catalogue.settings.roots
    # Under the path on this machine also masters are recorded that came before the folder was in [roots].
    recorded = {each for each in (catalogue.stored_path(path), str(path)) if catalogue.path_of(each) == path}
    recorded |= {folder for folder, local in roots if Path(local).is_relative_to(path)}
    if path.is_relative_to(home):
        recorded.add(str(path.relative_to(home)))
    in_home = _IS_COPY if home.is_relative_to(path) else None
    sources = [row.id for row in session.scalars(select(Root)) if catalogue.path_of(row.path).is_relative_to(path)]
    below = [or_(Master.path == each, _begins_with(f"{each.rstrip('/')}/")) for each in sorted(recorded)]
    return or_(*below, and_(_IS_COPY, Master.root_id.in_(sources)), *([] if in_home is None else [in_home]))


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
    of_them = select(Master.item_id).where(Master.id.in_(matching)).correlate(None)
    is_kept = exists().where(_OTHER.item_id == Item.id, _OTHER.id.not_in(matching))
    return session.scalar(select(func.count(Item.id)).where(Item.id.in_(of_them), ~is_kept)) or 0


def _copy_bytes(session: Session, matching: Select[int]) -> int:
    """The size of the copies in the home of which all pictures are selected."""
    is_kept = exists().where(_OTHER.path == Master.path, _OTHER.id.not_in(matching))
    copies = select(Master.path, Master.size).where(_IS_COPY, Master.id.in_(matching), ~is_kept).distinct()
    return int(session.scalar(select(func.sum(copies.subquery().c.size))) or 0)


def _find_refusal(session: Session, which: ColumnElement[bool], *, with_derivatives: bool) -> ArchiveError | None:
    """Why the masters can't be removed: they have derivatives that must stay, or tasks of an unfinished batch."""
    has_derivatives = exists().where(Derivative.master_id == Master.id)
    if not with_derivatives and (count := _count(session, which, has_derivatives)):
        names = _shorten(_first_names(session, which, has_derivatives), count)
        return UsageError(
            f"not removed: {count:,} of the masters have derivatives: {names}. To delete the derivatives too, add "
            "--with-derivatives. To keep these masters, exclude them by the query"
        )
    of_open_batch = exists().where(Task.master_id == Master.id, IS_OPEN)
    if count := _count(session, which, of_open_batch):
        names = _shorten(_first_names(session, which, of_open_batch), count)
        batch_id = session.scalar(select(func.min(Task.batch_id)).join(Master).where(which, IS_OPEN))
        return BatchError(
            f"not removed: {count:,} of the masters have open tasks, in batch {batch_id}: {names}. Finish it with "
            f"`archive batch resume {batch_id}`, or end it with `archive batch cancel {batch_id}`, then remove them"
        )
    return None


def _count(session: Session, *wanted: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count(Master.id)).where(*wanted)) or 0


def _shorten(names: Sequence[str], count: int) -> str:
    return ", ".join(names) + (f" and {count - len(names):,} more" if count > len(names) else "")


def _remove_portion(
    catalogue: Catalogue, ids: Sequence[int], done: Removal, *, reason: str, with_derivatives: bool
) -> None:
    """Removes a few masters in one transaction, and counts what was removed.

    Raises:
        ArchiveError: some have open tasks, or derivatives that must stay; none is removed.
        OSError: a file can't be deleted; no row is deleted.
    """
    which = Master.id.in_(ids)
    with catalogue.session() as session:
        # Items first, as an ingest does. A task that a batch plans meanwhile waits for these locks, or is seen here.
        of_items = Item.id.in_(select(Master.item_id).where(which))
        session.execute(select(Item.id).where(of_items).order_by(Item.id).with_for_update()).all()
        lock_masters(session, which)
        if (refusal := _find_refusal(session, which, with_derivatives=with_derivatives)) is not None:
            raise refusal
        masters = session.execute(
            select(Master.id, Master.item_id, Master.sequence, Master.path, Master.page, Master.sha256)
            .add_columns(Item.accession_number)
            .join(Item, Item.id == Master.item_id)
            .where(which)
            .order_by(Item.accession_number, Master.sequence)
        ).all()
        paths = dict(session.execute(select(Derivative.id, Derivative.path).where(Derivative.master_id.in_(ids))).all())
        _delete_masters(session, ids, list(paths))
        emptied = _delete_emptied_items(session, {master.item_id for master in masters})
        _record_removals(catalogue, session, masters, emptied, reason)
        copies = _unused_copies(session, masters)
        remove_views(catalogue.settings)
        _delete_files([catalogue.path_of(path) for path in (*paths.values(), *copies)])
        failpoint("removal_files")
    done.masters += len(masters)
    done.items += len(emptied)
    done.derivatives += len(paths)


def _delete_masters(session: Session, ids: Sequence[int], derivative_ids: Sequence[int]) -> None:
    """Deletes masters with all rows that refer to them or to their derivatives, which are ``derivative_ids``."""
    refers: dict[Any, ColumnElement[bool]] = {
        Event: or_(Event.master_id.in_(ids), Event.derivative_id.in_(derivative_ids)),
        **{table: table.derivative_id.in_(derivative_ids) for table in _OF_DERIVATIVES},
        Task: Task.master_id.in_(ids),
        Derivative: Derivative.master_id.in_(ids),
        Master: Master.id.in_(ids),
    }
    has_none: dict[str, Any] = {"current_restored_id": None, "current_styled_id": None}
    session.execute(update(Master).where(Master.id.in_(ids)).values(has_none), execution_options=_IN_DATABASE)
    for table, which in refers.items():
        session.execute(delete(table).where(which), execution_options=_IN_DATABASE)


def _delete_emptied_items(session: Session, item_ids: Iterable[int]) -> set[int]:
    """Deletes the items that have no master any more; the records of earlier removals stay. Returns their ids."""
    has_master = exists().where(Master.item_id == Item.id)
    emptied = set(session.scalars(select(Item.id).where(Item.id.in_(item_ids), ~has_master)))
    removals = and_(Event.item_id.in_(emptied), Event.type == EventType.DEACCESSION)
    session.execute(update(Event).where(removals).values(item_id=None), execution_options=_IN_DATABASE)
    for table in (Event, ItemIdentifier, ItemWord):
        session.execute(delete(table).where(table.item_id.in_(emptied)), execution_options=_IN_DATABASE)
    session.execute(delete(Item).where(Item.id.in_(emptied)), execution_options=_IN_DATABASE)
    return emptied


def _record_removals(
    catalogue: Catalogue, session: Session, masters: Sequence[Row[Any]], emptied: set[int], reason: str
) -> None:
    if not masters:
        return
    person = operator_agent(session)
    session.flush()
    at = catalogue.now(session)
    rows = [
        {
            "type": EventType.DEACCESSION,
            "at": at,
            "outcome": Outcome.SUCCESS,
            "detail": f"{each.accession_number} ({each.sequence}), {catalogue.path_of(each.path)}"
            f"{f', picture {each.page}' if each.page > 1 else ''}, SHA-256 {each.sha256}: {reason}",
            "agent_id": person.id,
            "operator_id": person.id,
            "item_id": None if each.item_id in emptied else each.item_id,
        }
        for each in masters
    ]
    session.execute(insert(Event), rows)


def _unused_copies(session: Session, removed: Sequence[Row[Any]]) -> set[str]:
    """The copies in the home of which no picture is a master any more."""
    paths = {each.path for each in removed if each.path.startswith(f"{MASTERS}/")}
    return paths - set(session.scalars(select(Master.path).where(Master.path.in_(paths))))


def _delete_files(paths: Iterable[Path]) -> None:
    """Deletes files of the home, and the changed ones that a repair moved aside, with folders that become empty."""
    for path in paths:
        for each in (path, *path.parent.glob(f"{escape(path.stem)}.changed-*{escape(path.suffix)}")):
            each.unlink(missing_ok=True)
        with suppress(OSError):  # the item may have other files
            path.parent.rmdir()


def _tidy(catalogue: Catalogue) -> None:
    """Deletes what no master needs any more: folders of the record, words of the text index, and new views."""
    with catalogue.session() as session:
        is_used = exists().where(Master.root_id == Root.id)
        unused = session.scalars(select(Root.id).where(~is_used).order_by(Root.id).with_for_update()).all()
        session.execute(delete(Root).where(Root.id.in_(unused), ~is_used))
    with catalogue.session() as session:
        remove_unused_words(session)
    remove_views(catalogue.settings)
