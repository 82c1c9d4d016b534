"""Removal: masters leave the catalogue with everything that was recorded about them, as if never ingested.

This undoes an ingest. One event of each removed master remains: who removed it, when and why. Files outside the home
are never touched. Masters are removed in portions, each in one transaction. The files of a portion are deleted at its
end, under the locks and before the commit, so that a repeated command completes an interrupted one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, delete, exists, insert, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import lock_masters
from archive.catalogue.events import operator_agent
from archive.catalogue.query.file_predicates import IS_COPY
from archive.catalogue.query.text_index import remove_unused_words
from archive.catalogue.schema.identifier_and_mapping_tables import ItemIdentifier
from archive.catalogue.schema.tables import Agent, Derivative, Event, Item, Master, QualityScore, Review, Root, Task
from archive.catalogue.schema.text_index_tables import ItemWord
from archive.catalogue.schema.vocabularies import EventType, Outcome
from archive.catalogue.schema.web_review_tables import Comment, ReviewQueueEntry
from archive.chunks import chunks
from archive.errors import ArchiveError, UsageError
from archive.failpoints import failpoint
from archive.interruption import Interruption
from archive.progress_reporting import NoProgress, Progress
from archive.removal_plan import RemovalPlan, find_refusal
from archive.views.view_store import remove_views

_PORTION = 200  # masters in one transaction, for which other writers wait
_IDS_AT_A_TIME = 10_000
_IN_DATABASE = {"synchronize_session": False}  # no row that is deleted is loaded
_OF_DERIVATIVES = (ReviewQueueEntry, Comment, QualityScore, Review)


@dataclass(kw_only=True)
class Removal:
    """What was removed."""

    masters: int = 0
    items: int = 0
    derivatives: int = 0
    is_interrupted: bool = False
    error: ArchiveError | OSError | DBAPIError | None = None
    """Why the rest was not removed, if so."""


class RemovedMaster(NamedTuple):
    """The record of a removed master: when, by whom, and its name, file and reason in words."""

    at: str
    person: str
    detail: str


def remove_masters(
    catalogue: Catalogue, plan: RemovalPlan, *, reason: str, progress: Progress | None = None
) -> Removal:
    """Removes the masters of a plan, on behalf of the catalogue's operator.

    Ctrl-C ends it after the present portion. A repeated removal completes it, and one that was killed.

    Returns:
        What was removed. Its ``error`` is set if a batch has planned some of the masters meanwhile, they got
        derivatives that were not to be removed, a file or view can't be deleted, or the database can't be used; the
        portions before are removed.

    Raises:
        UsageError: the reason is empty.
        ArchiveError: the plan is refused.
    """
    if not reason.strip():
        raise UsageError("a removal is a person's decision and needs a reason: give --reason TEXT")
    if plan.refusal is not None:
        raise plan.refusal
    done, progress = Removal(), progress or NoProgress()
    progress.start(len(plan.master_ids), "masters")
    with Interruption(progress.interrupted) as stop, stop.deferred():
        try:
            for ids in chunks(plan.master_ids, _PORTION):
                if stop.requested:
                    done.is_interrupted = True
                    break
                _remove_portion(catalogue, ids, done, reason=reason.strip(), with_derivatives=plan.with_derivatives)
                progress.advance(len(ids))
        except (ArchiveError, OSError, DBAPIError) as error:
            done.error = error
        except KeyboardInterrupt:
            remove_views(catalogue.settings)  # also of masters that are gone already
            raise
        finally:
            progress.finish()
    try:
        if isinstance(done.error, DBAPIError):
            remove_views(catalogue.settings)
        else:
            tidy(catalogue)
    except OSError as error:
        done.error = done.error or error
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
        # Locked, so that nobody adds a comment or an event to a derivative that is being deleted.
        derivatives = (
            select(Derivative.id, Derivative.path).where(Derivative.master_id.in_(ids)).order_by(Derivative.id)
        )
        paths = dict(session.execute(derivatives.with_for_update()).all())
        if (refusal := find_refusal(session, which, with_derivatives=with_derivatives)) is not None:
            raise refusal
        masters = session.execute(
            select(Master.id, Master.item_id, Master.sequence, Master.path, Master.page, Master.sha256)
            .add_columns(Item.accession_number, IS_COPY.label("is_copy"))
            .join(Item, Item.id == Master.item_id)
            .where(which)
            .order_by(Item.accession_number, Master.sequence)
        ).all()
        _delete_masters(session, ids, list(paths))
        emptied = _delete_emptied_items(session, {master.item_id for master in masters})
        _record_removals(catalogue, session, masters, emptied, reason)
        copies = _unused_copies(session, masters)
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
    paths = {each.path for each in removed if each.is_copy}
    return paths - set(session.scalars(select(Master.path).where(Master.path.in_(paths))))


def _delete_files(paths: Iterable[Path]) -> None:
    """Deletes files of the home, and the changed ones that a repair moved aside, with folders that become empty."""
    for path in paths:
        for each in (path, *path.parent.glob(f"{escape(path.stem)}.changed-*{escape(path.suffix)}")):
            each.unlink(missing_ok=True)
        with suppress(OSError):  # the item may have other files
            path.parent.rmdir()


def tidy(catalogue: Catalogue) -> None:
    """Deletes what no master needs any more: views, folders of the record, and words of the text index.

    :func:`remove_masters` does it at its end, but not if it is killed before.

    Raises:
        OSError: a view can't be deleted.
    """
    # After the commits, because no view of a master that is gone can begin any more.
    remove_views(catalogue.settings)
    with catalogue.session() as session:
        is_used = exists().where(Master.root_id == Root.id)
        unused = session.scalars(select(Root.id).where(~is_used).order_by(Root.id).with_for_update()).all()
        session.execute(delete(Root).where(Root.id.in_(unused), ~is_used))
    with catalogue.session() as session:
        remove_unused_words(session)
