"""Promotion: a person makes the results of a trial, or of an earlier run, current."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import find_batch
from archive.catalogue.current_derivative import count_from_now, is_current, lock_masters
from archive.catalogue.events import person_agent, record_derivative_events
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Derivative, Item, Master
from archive.catalogue.schema.vocabularies import EventType
from archive.chunks import chunks
from archive.errors import UsageError

_PORTION = 500  # derivatives in a transaction: it takes a moment, in which others who write on SQLite wait


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """The result of a promotion, in derivatives of the batch."""

    promoted: int
    """That are current now, and were not before."""
    current_before: int
    not_current: int
    """That stay behind another one: an accepted one, or one by the approved version; or are rejected or lost."""


def promote_batch(catalogue: Catalogue, query: str | None, batch_id: int, *, reviewer: str) -> Promotion:
    """Makes a batch's derivatives of the masters that match ``query`` count as the newest, by a person's decision.

    Acceptance, rejection and the approved version still take precedence: see
    :mod:`archive.catalogue.current_derivative`.

    It works in portions, each a transaction. After an interruption the same call promotes the others; those that are
    current by then count among ``current_before``.

    Raises:
        UsageError: no name is given.
        NotFoundError: there is no such batch.
        QueryError: the query has a mistake.
    """
    if not reviewer.strip():
        raise UsageError("a promotion is a person's decision: name who decides with --reviewer NAME")
    wanted = (
        select(Derivative.id)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(Derivative.batch_id == batch_id, parse_condition(query))
        .order_by(Derivative.id)
    )
    with catalogue.reading() as session:
        find_batch(session, batch_id)
        ids = session.scalars(wanted).all()
    promoted = current_before = not_current = 0
    for chunk in chunks(ids, _PORTION):
        portion = Derivative.id.in_(chunk)
        with catalogue.session() as session:
            # Before anything is read: what is current may change until the masters are locked.
            lock_masters(session, Master.id.in_(select(Derivative.master_id).where(portion)))
            before = _current(session, portion)
            chosen = session.scalars(select(Derivative.id).where(portion, Derivative.id.not_in(before))).all()
            at, agent = catalogue.now(session), person_agent(session, reviewer.strip())
            detail = f"promoted from batch {batch_id}: counts from now on"
            record_derivative_events(
                session, EventType.METADATA_MODIFICATION, chosen, at=at, detail=detail, agent=agent
            )
            count_from_now(session, Derivative.id.in_(chosen), at)
            after = _current(session, Derivative.id.in_(chosen))
        promoted, current_before = promoted + len(after), current_before + len(before)
        not_current += len(chosen) - len(after)
    return Promotion(promoted=promoted, current_before=current_before, not_current=not_current)


def _current(session: Session, which: ColumnElement[bool]) -> set[int]:
    """Those of the derivatives that are current."""
    statement = select(Derivative.id).join(Master, Master.id == Derivative.master_id)
    return set(session.scalars(statement.where(which, is_current(Derivative))))
