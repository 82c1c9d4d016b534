"""Queues of derivatives to be reviewed, shared by reviewers.

A queue is fixed when it is opened: so "212 of 500" means something, and its order does not change under the reviewers.
An entry counts as decided once its derivative has a decision that is newer than the queue, or that holds now. A claim
keeps an entry for one reviewer for :data:`CLAIM_SECONDS`; it expires by itself, so nobody can block a queue.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from archive.accounts import Account
from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import current_score, newest_decision
from archive.catalogue.listings import select_masters
from archive.catalogue.query.fields import OTHER_METRICS
from archive.catalogue.schema.review_tables import ReviewQueue, ReviewQueueEntry
from archive.catalogue.schema.tables import Derivative, Item, Master, Review
from archive.errors import NotFoundError, UsageError

CLAIM_SECONDS = 120
BY_ACCESSION_NUMBER = "accession_number"
_WORST_IS_LOW = frozenset({"contrast", "colourfulness", "psnr_source", "psnr_reference", "ssim_source"})


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """One derivative of a queue."""

    position: int
    """From 1."""
    derivative_id: int
    accession_number: str
    sequence: int
    decision: str | None
    """The one that counts now."""
    claimed_by: str | None
    """Who has an unexpired claim on it."""


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """A queue as one reviewer may see it."""

    id: int
    query: str
    sort_by: str
    total: int
    decided: int


def sort_orders() -> tuple[str, ...]:
    """What a queue can be ordered by: the accession number, or a metric with its worst values first."""
    return (BY_ACCESSION_NUMBER, *OTHER_METRICS)


def open_queue(catalogue: Catalogue, query: str, sort_by: str) -> int:
    """The id of a queue of the current restored derivatives that ``query`` finds, in the order of ``sort_by``.

    A queue of the same query and order that still holds exactly these derivatives is used again, so that several
    reviewers who ask for the same share one.

    Raises:
        QueryError: the query has a mistake.
        UsageError: the order isn't known, or the query finds no restored derivative.
    """
    if sort_by not in sort_orders():
        raise UsageError(f"{sort_by!r} is not an order of queues; known are {', '.join(sort_orders())}")
    wanted = _ordered_derivatives(query, sort_by)
    with catalogue.session() as session:
        found = [row[0] for row in session.execute(wanted)]
        if not found:
            raise UsageError(f"no restored derivative matches {query!r}: try another query")
        if (existing := _open_queue_with(session, query, sort_by, found)) is not None:
            return existing
        queue = ReviewQueue(query=query, sort_by=sort_by, created_at=catalogue.now(session))
        session.add(queue)
        session.flush()
        newest = select(Review.derivative_id, func.max(Review.id)).group_by(Review.derivative_id)
        last = dict(session.execute(newest).all())
        rows = [
            {
                "queue_id": queue.id,
                "position": position,
                "derivative_id": found_id,
                "last_review_id": last.get(found_id),
            }
            for position, found_id in enumerate(found, 1)
        ]
        session.execute(insert(ReviewQueueEntry), rows)
        return queue.id


def queue_state(catalogue: Catalogue, queue_id: int, account: Account) -> QueueState:
    """How far a queue is, counting what ``account`` may see.

    Raises:
        NotFoundError: there is no such queue.
    """
    with catalogue.reading() as session:
        queue = _get(session, queue_id)
        visible = _visible(queue_id, account)
        decided = visible.where(_is_decided())
        counts = [
            session.scalar(
                select(func.count()).select_from(each.with_only_columns(ReviewQueueEntry.position).subquery())
            )
            for each in (visible, decided)
        ]
        return QueueState(
            id=queue.id, query=queue.query, sort_by=queue.sort_by, total=counts[0] or 0, decided=counts[1] or 0
        )


def list_entries(
    catalogue: Catalogue, queue_id: int, account: Account, *, after: int = 0, limit: int = 24
) -> list[QueueEntry]:
    """Entries after a position, in the queue's order, of what ``account`` may see.

    Raises:
        NotFoundError: there is no such queue.
    """
    with catalogue.reading() as session:
        _get(session, queue_id)
        now = catalogue.now(session)
        wanted = _visible(queue_id, account).where(ReviewQueueEntry.position > after)
        rows = session.execute(_entry_columns(wanted).order_by(ReviewQueueEntry.position).limit(limit))
        return [_entry(row, now) for row in rows]


def claim_next(
    catalogue: Catalogue, queue_id: int, account: Account, *, skipped: Collection[int] = (), count: int = 1
) -> list[QueueEntry]:
    """The next undecided entries for a reviewer, claimed: first those that are theirs already, then unclaimed ones.

    Args:
        skipped: positions that the reviewer passed over.
        count: how many; the second is there to be fetched ahead.

    Raises:
        NotFoundError: there is no such queue.
    """
    with catalogue.session() as session:
        _get(session, queue_id)
        now = catalogue.now(session)
        is_free = or_(
            ReviewQueueEntry.claimed_by.is_(None),
            ReviewQueueEntry.claimed_by == account.name,
            ReviewQueueEntry.claim_expires_at < now,
        )
        wanted = (
            _entry_columns(_visible(queue_id, account))
            .where(~_is_decided(), is_free, ReviewQueueEntry.position.not_in(list(skipped)))
            .order_by(ReviewQueueEntry.position)
            .limit(count)
            .with_for_update(of=ReviewQueueEntry, skip_locked=True)
        )
        rows = session.execute(wanted).all()
        positions = [row.position for row in rows]
        session.execute(
            update(ReviewQueueEntry)
            .where(ReviewQueueEntry.queue_id == queue_id, ReviewQueueEntry.claimed_by == account.name)
            .where(ReviewQueueEntry.position.not_in(positions))
            .values(claimed_by=None, claim_expires_at=None)
        )
        session.execute(
            update(ReviewQueueEntry)
            .where(ReviewQueueEntry.queue_id == queue_id, ReviewQueueEntry.position.in_(positions))
            .values(claimed_by=account.name, claim_expires_at=now + timedelta(seconds=CLAIM_SECONDS))
        )
        return [_entry(row, now) for row in rows]


def get_entry(catalogue: Catalogue, queue_id: int, position: int, account: Account) -> QueueEntry:
    """One entry of a queue.

    Raises:
        NotFoundError: there is no such entry, or the account may not see it.
    """
    with catalogue.reading() as session:
        wanted = _entry_columns(_visible(queue_id, account)).where(ReviewQueueEntry.position == position)
        row = session.execute(wanted).one_or_none()
        if row is None:
            raise NotFoundError(f"No entry {position} in queue {queue_id}.")
        return _entry(row, catalogue.now(session))


def _ordered_derivatives(query: str, sort_by: str) -> Select[Any]:
    wanted: Select[Any] = select_masters(query).where(Master.current_restored_id.is_not(None))
    wanted = wanted.with_only_columns(Master.current_restored_id)
    if sort_by == BY_ACCESSION_NUMBER:
        return wanted
    score = current_score(sort_by)
    worst_first = score.asc() if sort_by in _WORST_IS_LOW else score.desc()
    return wanted.order_by(None).order_by(worst_first.nulls_last(), Item.accession_number, Master.sequence)


def _open_queue_with(session: Session, query: str, sort_by: str, found: list[int]) -> int | None:
    """The newest queue of this query and order whose undecided entries are all still in ``found``, and no others."""
    newest = session.scalars(
        select(ReviewQueue)
        .where(ReviewQueue.query == query, ReviewQueue.sort_by == sort_by)
        .order_by(ReviewQueue.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None:
        return None
    entries = session.execute(
        select(ReviewQueueEntry.derivative_id, _is_decided()).where(ReviewQueueEntry.queue_id == newest.id)
    )
    decided_by_id = dict(entries.all())
    is_same = set(found) <= set(decided_by_id) and all(
        is_decided or derivative_id in found for derivative_id, is_decided in decided_by_id.items()
    )
    return newest.id if is_same and not all(decided_by_id.values()) else None


def _get(session: Session, queue_id: int) -> ReviewQueue:
    found = session.get(ReviewQueue, queue_id)
    if found is None:
        raise NotFoundError(f"No queue {queue_id}. Open one from the review page.")
    return found


def _visible(queue_id: int, account: Account) -> Select[Any]:
    return (
        select(ReviewQueueEntry)
        .join(Derivative, Derivative.id == ReviewQueueEntry.derivative_id)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(ReviewQueueEntry.queue_id == queue_id, Item.access.in_(account.access))
    )


def _entry_columns(wanted: Select[Any]) -> Select[Any]:
    columns: Any = wanted.with_only_columns(
        ReviewQueueEntry.position,
        ReviewQueueEntry.derivative_id,
        Item.accession_number,
        Master.sequence,
        newest_decision(ReviewQueueEntry.derivative_id).label("decision"),
        ReviewQueueEntry.claimed_by,
        ReviewQueueEntry.claim_expires_at,
    )
    found: Select[Any] = columns
    return found


def _entry(row: Any, now: Any) -> QueueEntry:
    is_claimed = row.claimed_by is not None and row.claim_expires_at > now
    return QueueEntry(
        position=row.position,
        derivative_id=row.derivative_id,
        accession_number=row.accession_number,
        sequence=row.sequence,
        decision=row.decision,
        claimed_by=row.claimed_by if is_claimed else None,
    )


def _is_decided() -> ColumnElement[bool]:
    """Whether an entry's derivative has a decision, made since the queue was opened."""
    newer = (
        select(Review.id)
        .where(
            Review.derivative_id == ReviewQueueEntry.derivative_id,
            Review.id > func.coalesce(ReviewQueueEntry.last_review_id, 0),
        )
        .correlate(ReviewQueueEntry)
        .exists()
    )
    return and_(newer, newest_decision(ReviewQueueEntry.derivative_id).is_not(None))
