"""Identifiers of items besides their accession numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from archive.catalogue.schema.identifier_and_mapping_tables import ItemIdentifier
from archive.catalogue.schema.tables import Item


def get_identifiers(session: Session, item_ids: Collection[int]) -> Mapping[int, Mapping[str, Sequence[str]]]:
    """The identifiers of items, by item id and scheme, sorted by value."""
    found: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    rows = session.scalars(
        select(ItemIdentifier)
        .where(ItemIdentifier.item_id.in_(item_ids))
        .order_by(ItemIdentifier.item_id, ItemIdentifier.scheme, ItemIdentifier.value)
    )
    for row in rows:
        found[row.item_id][row.scheme].append(row.value)
    return found


def set_identifiers(session: Session, item: Item, scheme: str, values: Sequence[str]) -> Sequence[str] | None:
    """Replaces an item's identifiers of one scheme; returns the previous ones, or None if nothing changed."""
    session.flush()
    before = get_identifiers(session, [item.id]).get(item.id, {}).get(scheme, [])
    if sorted(before) == sorted(values):
        return None
    session.execute(delete(ItemIdentifier).where(ItemIdentifier.item_id == item.id, ItemIdentifier.scheme == scheme))
    session.add_all(ItemIdentifier(item_id=item.id, scheme=scheme, value=value) for value in values)
    return before
