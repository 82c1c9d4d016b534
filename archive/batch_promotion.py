"""Promotion: a person makes the results of a trial, or of an earlier run, current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import find_batch
from archive.catalogue.current_derivative import count_from_now, is_current, lock_masters
from archive.catalogue.events import person_agent, record_event
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Derivative, Item, Master
from archive.catalogue.schema.vocabularies import EventType
from archive.errors import UsageError

_CHUNK = 500  # ids in one statement, below every database's limit on variables


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
    with catalogue.session() as session:
        find_batch(session, batch_id)
        # Before anything is read: what is current may change until the masters are locked.
        lock_masters(session, Master.id.in_(wanted.with_only_columns(Derivative.master_id).order_by(None)))
        of_batch = session.scalars(wanted).all()
        before = _current(session, of_batch)
        chosen = [derivative_id for derivative_id in of_batch if derivative_id not in before]
        at, agent = catalogue.now(session), person_agent(session, reviewer.strip())
        for start in range(0, len(chosen), _CHUNK):
            chunk = chosen[start : start + _CHUNK]
            for derivative in session.scalars(select(Derivative).where(Derivative.id.in_(chunk))):
                detail = f"promoted from batch {batch_id}: counts from now on"
                record_event(
                    session, EventType.METADATA_MODIFICATION, detail=detail, agent=agent, derivative=derivative, at=at
                )
            count_from_now(session, Derivative.id.in_(chunk), at)
        after = _current(session, chosen)
    return Promotion(promoted=len(after), current_before=len(before), not_current=len(chosen) - len(after))


def _current(session: Session, derivative_ids: Sequence[int]) -> set[int]:
    """Those that are current."""
    found: set[int] = set()
    for start in range(0, len(derivative_ids), _CHUNK):
        chunk = derivative_ids[start : start + _CHUNK]
        found.update(
            session.scalars(
                select(Derivative.id)
                .join(Master, Master.id == Derivative.master_id)
                .where(Derivative.id.in_(chunk), is_current(Derivative))
            )
        )
    return found
