"""How a list is read quickly from a large catalogue, whatever is asked for, on SQLite and on PostgreSQL alike.

A list goes through the items in the order of their accession numbers, looks at each item's masters, and stops at its
limit: that is quick where much matches. Where little matches, the items that may match are looked up first, by index,
and only they are gone through. Which of both it is, is found out by counting each condition's items, up to
:data:`FEW`. Statistics would not tell: SQLite has none, and PostgreSQL can't know how conditions go together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, ColumnClause

from archive.catalogue.asked import Asked, Every, Is, Not, Some
from archive.catalogue.tables import Item, Master

FEW = 5_000
"""So many items are looked up and sorted in a moment; with more of a million, the first fifty are soon met."""


def row_by_row(wanted: ColumnElement[bool]) -> ColumnElement[bool]:
    """``wanted`` with every ``IN (SELECT ...)`` as an ``EXISTS``, so that no set is made to look at a few rows."""

    def replace(element: Any, **_: Any) -> ColumnElement[bool] | None:
        if not _is_in_selection(element):
            return None
        selection: Select[Any] = element.right.element
        (key,) = selection.selected_columns
        exists = selection.where(key == element.left).correlate(element.left.table).exists()
        return ~exists if element.operator is operators.not_in_op else exists

    return visitors.replacement_traverse(wanted, {}, replace)


def narrowed(session: Session, asked: Asked, statement: Select[Any]) -> Select[Any]:
    """``statement``, a choice of items that ends with the conditions ``asked`` for, led to them and put in order.

    It may only be led to items that fulfil them, so that it gives the same in any case.
    """
    parts = list(_countable(asked))
    counts: list[int] = []
    if parts:
        counted = [
            select(func.count()).select_from(_items(part).limit(FEW + 1).subquery()).scalar_subquery() for part in parts
        ]
        counts = list(session.execute(select(*counted)).one())
    found = _few(asked, {id(part): count for part, count in zip(parts, counts, strict=True)})
    if found is not None:
        # Ordered by an expression, as SQLite would else go through all items to be spared the sorting of a few.
        return statement.where(Item.id.in_(union_all(*found[1]))).order_by(func.coalesce(Item.accession_number, ""))
    together = asked.parts if isinstance(asked, Every) else (asked,)
    in_order = [part.condition for part in together if isinstance(part, Is) and part.kept_in_order]
    return statement.where(*in_order).order_by(Item.accession_number)


def _countable(asked: Asked) -> Iterator[Is]:
    match asked:
        case Is():
            if asked.found_by_index:
                yield asked
        case Every() | Some():
            for part in asked.parts:
                yield from _countable(part)


def _few(asked: Asked, counts: dict[int, int]) -> tuple[int, list[Select[Any]]] | None:
    """How many items, about, and what selects their ids; None where they are many or unknown."""
    match asked:
        case Is():
            count = counts.get(id(asked), FEW + 1)
            return (count, [_items(asked)]) if count <= FEW else None
        case Every():
            found = [each for part in asked.parts if (each := _few(part, counts)) is not None]
            return min(found, key=lambda each: each[0], default=None)
        case Some():
            each_of = [_few(part, counts) for part in asked.parts]
            known = [each for each in each_of if each is not None]
            total = sum(count for count, _ in known)
            if len(known) < len(each_of) or total > FEW:
                return None
            return total, [ids for _, selections in known for ids in selections]
        case Not():
            return None


def _items(part: Is) -> Select[Any]:
    """The ids of the items that fulfil a condition, some perhaps several times."""

    def replace(element: Any, **_: Any) -> ColumnElement[bool] | None:
        if not _is_in_selection(element):
            return None
        source = element.right.element.subquery()
        (key,) = source.columns
        joined: ColumnElement[bool] = key == element.left
        return joined

    condition = visitors.replacement_traverse(part.condition, {}, replace)
    of_masters = any(_is_of_masters(element) for element in visitors.iterate(part.condition))
    return select(Master.item_id if of_masters else Item.id).where(condition).correlate(None)


def _is_of_masters(element: Any) -> bool:
    return isinstance(element, ColumnClause) and getattr(element.table, "name", "") == Master.__tablename__


def _is_in_selection(element: Any) -> bool:
    return (
        isinstance(element, BinaryExpression)
        and element.operator in (operators.in_op, operators.not_in_op)
        and isinstance(element.right, ScalarSelect)
    )
