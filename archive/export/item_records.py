"""Reads items with all related records, a few at a time, so that the memory of an export doesn't depend on its size."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from archive.catalogue.item_details import list_comments
from archive.catalogue.other_identifiers import get_identifiers
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.query.status_predicates import REVIEW, STATUS
from archive.catalogue.schema.tables import (
    Batch,
    Derivative,
    Event,
    Item,
    Master,
    ModelVersion,
    Recipe,
    RecipeStage,
    Review,
)
from archive.catalogue.schema.vocabularies import RESTORABLE_VIEWS, Access, DerivativeKind

_ITEMS_AT_A_TIME = 100


@dataclass(frozen=True, kw_only=True)
class ItemRecord:
    """One item with its masters by sequence, their derivatives by id, and their events by id."""

    item: Item
    masters: Sequence[Master]
    events: Sequence[Event]
    matching_ids: frozenset[int]
    """The masters that the query found."""
    statuses: dict[int, str]
    """By master id."""
    reviews: dict[int, str | None]
    """The decision about each master's current restored derivative, by master id."""
    identifiers: Mapping[str, Sequence[str]]
    """Beside the accession number, by scheme."""
    comments: dict[int, list[dict[str, Any]]]
    """By derivative id, as in ``archive show``."""

    @property
    def derivatives(self) -> Iterator[Derivative]:
        """The derivatives of all masters."""
        for master in self.masters:
            yield from master.derivatives

    @property
    def matching_masters(self) -> list[Master]:
        """The masters that the query found, by sequence."""
        return [master for master in self.masters if master.id in self.matching_ids]

    @property
    def first_match(self) -> Master:
        """The master that represents the item in a list: the first match, restorable views first."""
        return min(self.matching_masters, key=lambda master: (master.view not in RESTORABLE_VIEWS, master.sequence))


def is_current(derivative: Derivative) -> bool:
    """Whether a derivative represents its master, among those of its kind."""
    return derivative.id in (derivative.master.current_restored_id, derivative.master.current_styled_id)


def has_withdrawn(masters: Iterable[Master]) -> bool:
    """Whether a derivative of these masters was withdrawn."""
    return any(derivative.withdrawn_at is not None for master in masters for derivative in master.derivatives)


def current_derivative(master: Master, kind: DerivativeKind) -> Derivative | None:
    """The current derivative of a kind, from the loaded derivatives."""
    current_id = master.current_restored_id if kind is DerivativeKind.RESTORED else master.current_styled_id
    return next((derivative for derivative in master.derivatives if derivative.id == current_id), None)


def restored_derivatives(masters: Iterable[Master]) -> Iterator[Derivative]:
    """The current restored derivatives of masters."""
    for master in masters:
        if (restored := current_derivative(master, DerivativeKind.RESTORED)) is not None:
            yield restored


def current_derivatives(record: ItemRecord) -> Iterator[Derivative]:
    """The derivatives of an item that are current, restored and styled ones."""
    return filter(is_current, record.derivatives)


def stream_items(session: Session, query: str | None, *, include_restricted: bool) -> Iterator[ItemRecord]:
    """Streams the items that have a matching master, by accession number.

    The session should be used for nothing else meanwhile: it discards each group of items before it reads the next.

    Args:
        session: a reading session.
        query: which masters; None for all.
        include_restricted: also items whose access is not open.

    Raises:
        QueryError: the query has a mistake; raised by the call, not by the first item.
    """
    statement = select(Item.id, Master.id).join(Master).where(parse_condition(query))
    if not include_restricted:
        statement = statement.where(Item.access == Access.OPEN)
    statement = statement.order_by(Item.accession_number, Master.sequence)
    return _stream(session, statement)


def count_items(session: Session, query: str | None, *, include_restricted: bool) -> int:
    """The number of items of :func:`stream_items`."""
    found = select(Item.id).join(Master).where(parse_condition(query))
    if not include_restricted:
        found = found.where(Item.access == Access.OPEN)
    return session.scalar(select(func.count()).select_from(found.distinct().subquery())) or 0


def count_restricted(session: Session, query: str | None) -> int:
    """The number of items that a query finds and whose access is not open."""
    found = select(Item.id).join(Master).where(parse_condition(query), Item.access != Access.OPEN)
    return session.scalar(select(func.count()).select_from(found.distinct().subquery())) or 0


def _stream(session: Session, statement: Select[int, int]) -> Iterator[ItemRecord]:
    # Two machine words per master: the whole list stays small, and no cursor is open while details are read.
    item_ids, master_ids = array("q"), array("q")
    for item_id, master_id in session.execute(statement, execution_options={"yield_per": 5000}):
        item_ids.append(item_id)
        master_ids.append(master_id)
    matches: dict[int, set[int]] = {}
    for item_id, master_id in zip(item_ids, master_ids, strict=True):
        if item_id not in matches and len(matches) == _ITEMS_AT_A_TIME:
            yield from _load(session, matches)
            _forget(session)
            matches = {}
        matches.setdefault(item_id, set()).add(master_id)
    if matches:
        yield from _load(session, matches)
        _forget(session)


def _forget(session: Session) -> None:
    """Frees the loaded objects at once."""
    # They refer to each other. Expired, they no longer do, and none is left to the cyclic garbage collector: memory
    # would grow, and on Python 3.11 the collector crashes where it frees such objects while others are loaded.
    session.expire_all()
    session.expunge_all()


def _load(session: Session, matches: dict[int, set[int]]) -> Iterator[ItemRecord]:
    """The items of ``matches``, in its order."""
    derivatives = selectinload(Item.masters).selectinload(Master.derivatives)
    items = session.scalars(
        select(Item)
        .where(Item.id.in_(matches))
        .options(
            selectinload(Item.masters).joinedload(Master.root),
            derivatives.joinedload(Derivative.recipe).options(
                selectinload(Recipe.stages).joinedload(RecipeStage.version).joinedload(ModelVersion.model)
            ),
            derivatives.joinedload(Derivative.batch).joinedload(Batch.operator),
            derivatives.joinedload(Derivative.operator),
            derivatives.selectinload(Derivative.scores),
            derivatives.selectinload(Derivative.reviews).joinedload(Review.agent),
        )
    )
    by_id = {item.id: item for item in items}
    masters = {master.id: master for item in by_id.values() for master in item.masters}
    statuses = session.execute(select(Master.id, STATUS, REVIEW).where(Master.id.in_(masters))).all()
    status_of = {master_id: (status, review) for master_id, status, review in statuses}
    events = _events(session, masters)
    identifiers = get_identifiers(session, matches)
    comments = list_comments(session, [each.id for master in masters.values() for each in master.derivatives])
    for item_id, matching_ids in matches.items():
        item = by_id[item_id]
        own = [master.id for master in item.masters]
        yield ItemRecord(
            item=item,
            masters=item.masters,
            events=events[item_id],
            matching_ids=frozenset(matching_ids),
            statuses={master_id: status_of[master_id][0] for master_id in own},
            reviews={master_id: status_of[master_id][1] for master_id in own},
            identifiers=identifiers.get(item_id, {}),
            comments={each.id: comments[each.id] for master in item.masters for each in master.derivatives},
        )


def _events(session: Session, masters: dict[int, Master]) -> dict[int, list[Event]]:
    """The events of items, masters and derivatives, by item id."""
    item_of_derivative = {
        derivative.id: master.item_id for master in masters.values() for derivative in master.derivatives
    }
    found = session.scalars(
        select(Event)
        .where(
            or_(
                Event.item_id.in_({master.item_id for master in masters.values()}),
                Event.master_id.in_(masters),
                Event.derivative_id.in_(item_of_derivative),
            )
        )
        .order_by(Event.id)
        .options(joinedload(Event.agent), joinedload(Event.operator))
    )
    events: dict[int, list[Event]] = defaultdict(list)
    for event in found:
        if event.item_id is not None:
            item_id = event.item_id
        elif event.master_id is not None:
            item_id = masters[event.master_id].item_id
        else:
            item_id = item_of_derivative[event.derivative_id or 0]
        events[item_id].append(event)
    return events
