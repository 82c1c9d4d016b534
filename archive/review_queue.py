"""Queues of derivatives to be reviewed, shared by reviewers.

A queue is fixed when it is opened, so that "212 of 500" means something and its order does not change under the
reviewers. An entry is decided if its derivative has a decision that is newer than the queue and was not undone. A claim
keeps an entry for one reviewer for :data:`CLAIM_SECONDS`; it expires by itself, so nobody can block a queue.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, insert, or_, select, update
from sqlalchemy.orm import Session

from archive.accounts import Account
from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import image_score, newest_decision
from archive.catalogue.listings import select_derivatives
from archive.catalogue.query.fields import CHANGE_METRICS, IMAGE_METRICS
from archive.catalogue.schema.tables import Derivative, Item, Master, Review
from archive.catalogue.schema.vocabularies import DerivativeKind, ScoredImage
from archive.catalogue.schema.web_review_tables import ReviewQueue, ReviewQueueEntry
from archive.errors import NotFoundError, UsageError

CLAIM_SECONDS = 120
BY_ACCESSION_NUMBER = "accession_number"
NOISE_REMOVED = "noise_removed"
DECIDED_IN_GRID = "decided in the grid"
"""The reason that is recorded with a decision about many pictures at once, seen as small pictures."""
_WORST_IS_LOW = frozenset({"contrast", "colourfulness"})


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """One derivative of a queue."""

    position: int
    """From 1."""
    derivative_id: int
    master_id: int
    accession_number: str
    title: str | None
    access: str
    sequence: int
    smoothed_share: float | None
    """Of the area, 0 to 1; None if it was not measured."""
    decision: str | None
    """The newest, unless it was undone."""
    claimed_by: str | None
    """The reviewer with an unexpired claim on it."""


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """A queue as one reviewer may see it."""

    id: int
    query: str
    sort_by: str
    total: int
    decided: int


def sort_orders() -> tuple[str, ...]:
    """The possible orders of a queue: the accession number, or a measure with its worst values first."""
    return (BY_ACCESSION_NUMBER, *CHANGE_METRICS, NOISE_REMOVED, *IMAGE_METRICS)


def begins_with_lowest(sort_by: str) -> bool:
    """Whether low values are the worst ones of a measure, so that a queue in its order begins with them."""
    return sort_by in _WORST_IS_LOW


def open_queue(catalogue: Catalogue, query: str, sort_by: str) -> int:
    """The id of a queue of the restored derivatives that ``query`` selects, in the order of ``sort_by``.

    They are those of :func:`archive.catalogue.listings.select_derivatives` whose files were not withdrawn or lost. A
    queue of the same query and order that still holds exactly these derivatives is used again, so that several
    reviewers who ask for the same share one.

    Raises:
        QueryError: the query has a mistake.
        UsageError: the order isn't known, or the query selects no restored derivative.
    """
    if sort_by not in sort_orders():
        raise UsageError(f"{sort_by!r} is not an order of queues; known are {', '.join(sort_orders())}")
    wanted = _ordered_derivatives(query, sort_by)
    with catalogue.session() as session:
        found: dict[int, int | None] = dict(session.execute(wanted).all())
        if not found:
            raise UsageError(f"no restored derivative matches {query!r}: try another query")
        if (existing := _open_queue_with(session, query, sort_by, set(found))) is not None:
            return existing
        queue = ReviewQueue(query=query, sort_by=sort_by, created_at=catalogue.now(session))
        session.add(queue)
        session.flush()
        rows = [
            {"queue_id": queue.id, "position": position, "derivative_id": derivative_id, "last_review_id": review_id}
            for position, (derivative_id, review_id) in enumerate(found.items(), 1)
        ]
        session.execute(insert(ReviewQueueEntry), rows)
        return queue.id


def queue_state(catalogue: Catalogue, queue_id: int, account: Account) -> QueueState:
    """The progress of a queue, counting the entries that ``account`` may see.

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


def list_queues(catalogue: Catalogue, account: Account, *, limit: int = 10) -> list[QueueState]:
    """The newest queues with entries that ``account`` may see, newest first."""
    with catalogue.reading() as session:
        ids = session.scalars(select(ReviewQueue.id).order_by(ReviewQueue.id.desc()).limit(limit)).all()
    states = [queue_state(catalogue, queue_id, account) for queue_id in ids]
    return [state for state in states if state.total]


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
    catalogue: Catalogue,
    queue_id: int,
    account: Account,
    *,
    first: int | None = None,
    skipped: Collection[int] = (),
    count: int = 1,
) -> list[QueueEntry]:
    """The next undecided entries for a reviewer, claimed: first those that they have claimed already, then free ones.

    Args:
        catalogue: the catalogue.
        queue_id: the queue.
        account: the reviewer.
        first: the position of the entry on the reviewer's screen, which comes before all others.
        skipped: positions that the reviewer passed over.
        count: how many at most; those after the first are for fetching ahead.

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
        is_own = and_(ReviewQueueEntry.claimed_by == account.name, ReviewQueueEntry.claim_expires_at >= now)
        order = case((ReviewQueueEntry.position == first, 0), (is_own, 1), else_=2)
        wanted = (
            _entry_columns(_visible(queue_id, account))
            .where(~_is_decided(), is_free, ReviewQueueEntry.position.not_in(list(skipped)))
            .order_by(order, ReviewQueueEntry.position)
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


def _ordered_derivatives(query: str, sort_by: str) -> Select[Any]:
    """Selects the ids of the derivatives of a new queue, each with that of its newest review."""
    wanted: Select[Any] = select_derivatives(query, kind=DerivativeKind.RESTORED)
    wanted = wanted.where(Derivative.withdrawn_at.is_(None), Derivative.file_fault.is_(None)).add_columns(
        select(func.max(Review.id)).where(Review.derivative_id == Derivative.id).correlate(Derivative).scalar_subquery()
    )
    if sort_by == BY_ACCESSION_NUMBER:
        return wanted
    if sort_by == NOISE_REMOVED:
        score: ColumnElement[float] = _noise(ScoredImage.SOURCE) - _noise(ScoredImage.DERIVATIVE)
    else:
        score = image_score(Derivative.id, sort_by)
    worst_first = score.asc() if begins_with_lowest(sort_by) else score.desc()
    return wanted.order_by(None).order_by(
        worst_first.nulls_last(), Item.accession_number, Master.sequence, Derivative.id
    )


def _noise(image: ScoredImage) -> ColumnElement[float]:
    noise: ColumnElement[float] = image_score(Derivative.id, "noise_sigma", image)
    return noise


def _open_queue_with(session: Session, query: str, sort_by: str, found: set[int]) -> int | None:
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
        select(ReviewQueueEntry.derivative_id, _is_decided())
        .join(Derivative, Derivative.id == ReviewQueueEntry.derivative_id)
        .where(ReviewQueueEntry.queue_id == newest.id, Derivative.withdrawn_at.is_(None))
    )
    decided_by_id = dict(entries.all())
    is_same = found <= set(decided_by_id) and all(
        is_decided or derivative_id in found for derivative_id, is_decided in decided_by_id.items()
    )
    return newest.id if is_same and not all(decided_by_id.values()) else None


def _get(session: Session, queue_id: int) -> ReviewQueue:
    found = session.get(ReviewQueue, queue_id)
    if found is None:
        raise NotFoundError(f"No queue {queue_id}. Open one from the review page.")
    return found


def _visible(queue_id: int, account: Account) -> Select[Any]:
    """Selects the entries that an account may see; those whose derivative was withdrawn meanwhile are left out."""
    return (
        select(ReviewQueueEntry)
        .join(Derivative, Derivative.id == ReviewQueueEntry.derivative_id)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(
            ReviewQueueEntry.queue_id == queue_id,
            Item.access.in_(account.access),
            Derivative.withdrawn_at.is_(None),
        )
    )


def _entry_columns(wanted: Select[Any]) -> Select[Any]:
    columns: Any = wanted.with_only_columns(
        ReviewQueueEntry.position,
        ReviewQueueEntry.derivative_id,
        Derivative.master_id,
        Item.accession_number,
        Item.title,
        Item.access,
        Master.sequence,
        image_score(ReviewQueueEntry.derivative_id, "smoothed_share").label("smoothed_share"),
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
        master_id=row.master_id,
        accession_number=row.accession_number,
        title=row.title,
        access=row.access.value,
        smoothed_share=row.smoothed_share,
        sequence=row.sequence,
        decision=row.decision,
        claimed_by=row.claimed_by if is_claimed else None,
    )


def _is_decided() -> ColumnElement[bool]:
    """Whether an entry's derivative has a decision that is newer than the queue and was not undone."""
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
