"""Query planner: selects the access path of a list, on SQLite and PostgreSQL alike.

A list either scans the items in the order of their accession numbers and stops at its limit, which is fast when many
items match, or looks up the matching items by index, which is fast when few match. The planner chooses by counting the
items that match each condition, up to :data:`FEW_ITEMS` or :data:`MANY_ITEMS`. It can't use the database's statistics:
SQLite keeps none, and PostgreSQL can't know how conditions correlate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, ColumnClause

from archive.catalogue.query.query_tree import And, Condition, Not, Or, QueryNode
from archive.catalogue.schema.tables import Item, Master, RecipeStage

FEW_ITEMS = 5_000
"""So many items are looked up, gone through and sorted in a moment; of more, the first fifty are mostly soon met."""
MANY_ITEMS = 20_000
"""So many are looked up and sorted, where that is all, before the first of items that stand together may be met."""

_FEW_RECIPES = 100
_RECIPES = frozenset(RecipeStage.__table__.columns.recipe_id.base_columns)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Items that are looked up."""

    count: int
    """How many, or more where some are found several times."""
    ids: tuple[Select[Any], ...]
    """What selects their ids, together."""
    exact: bool
    """Whether all of them are as asked for."""


def as_exists(wanted: ColumnElement[bool]) -> ColumnElement[bool]:
    """``wanted`` with every ``IN (SELECT ...)`` as an ``EXISTS``, so that no set is made to look at a few rows."""

    def replace(element: Any, **_: Any) -> ColumnElement[bool] | None:
        if not _is_in_selection(element):
            return None
        selection: Select[Any] = element.right.element
        (key,) = selection.selected_columns
        exists = selection.where(key == element.left).correlate(element.left.table).exists()
        return ~exists if element.operator is operators.not_in_op else exists

    return visitors.replacement_traverse(wanted, {}, replace)


def choose_access_path(
    session: Session, asked: QueryNode, statement: Select[Any], matches: ColumnElement[bool]
) -> Select[Any]:
    """``statement``, which selects of items, limited to the items that match ``asked``, by accession number.

    ``matches`` tells of an item whether it is; it is left away where that is known.
    """
    found = _found(asked, _looked_up(session, asked))
    if found is not None:
        if not found.exact:
            statement = statement.where(matches)
        # Ordered by an expression, as SQLite would else go through all items to be spared the sorting of a few.
        in_order = func.coalesce(Item.accession_number, "")
        return statement.where(Item.id.in_(union_all(*found.ids))).order_by(in_order)
    together = asked.parts if isinstance(asked, And) else (asked,)
    kept_in_order = [part.predicate for part in together if isinstance(part, Condition) and part.kept_in_order]
    return statement.where(matches, *kept_in_order).order_by(Item.accession_number)


def _looked_up(session: Session, asked: QueryNode) -> dict[int, _Found]:
    """The items of each condition that an index finds few of, by the condition's identity."""
    parts = list(_countable(asked))
    if not parts:
        return {}
    ids = [_items(session, part) for part in parts]
    first = [each.limit(_limit(part) + 1).subquery() for part, each in zip(parts, ids, strict=True)]
    counts = session.execute(select(*(select(func.count()).select_from(each).scalar_subquery() for each in first)))
    return {
        id(part): _Found(count=count, ids=(each,), exact=True)
        for part, each, count in zip(parts, ids, counts.one(), strict=True)
        if count <= _limit(part)
    }


def _countable(asked: QueryNode) -> Iterator[Condition]:
    match asked:
        case Condition():
            if asked.found_by_index:
                yield asked
        case And() | Or():
            for part in asked.parts:
                yield from _countable(part)


def _limit(part: Condition) -> int:
    return MANY_ITEMS if part.stand_together else FEW_ITEMS


def _found(asked: QueryNode, looked_up: dict[int, _Found]) -> _Found | None:
    """Few items among which are all that are ``asked`` for; None where they are many or unknown."""
    match asked:
        case Condition():
            return looked_up.get(id(asked))
        case And():
            few = [
                each
                for part in asked.parts
                if (each := _found(part, looked_up)) is not None and each.count <= FEW_ITEMS
            ]
            return replace(min(few, key=lambda each: each.count), exact=False) if few else None
        case Or():
            known = [each for part in asked.parts if (each := _found(part, looked_up)) is not None]
            count, exact = sum(each.count for each in known), all(each.exact for each in known)
            if len(known) < len(asked.parts) or count > (MANY_ITEMS if exact else FEW_ITEMS):
                return None
            return _Found(count=count, ids=tuple(ids for each in known for ids in each.ids), exact=exact)
        case Not():
            return None


def _items(session: Session, part: Condition) -> Select[Any]:
    """The ids of the items that fulfil a condition, some perhaps several times."""

    def replace(element: Any, **_: Any) -> ColumnElement[bool] | None:
        if not _is_in_selection(element):
            return None
        selection: Select[Any] = element.right.element
        (key,) = selection.selected_columns
        if _RECIPES & key.base_columns:
            recipes = session.scalars(selection.limit(_FEW_RECIPES + 1)).all()
            if len(recipes) <= _FEW_RECIPES:  # named, PostgreSQL knows how much was made by them
                named: ColumnElement[bool] = element.left.in_(recipes)
                return named
        source = selection.subquery()
        (key,) = source.columns
        joined: ColumnElement[bool] = key == element.left
        return joined

    condition = visitors.replacement_traverse(part.predicate, {}, replace)
    of_masters = any(_is_of_masters(element) for element in visitors.iterate(part.predicate))
    return select(Master.item_id if of_masters else Item.id).where(condition).correlate(None)


def _is_of_masters(element: Any) -> bool:
    return isinstance(element, ColumnClause) and getattr(element.table, "name", "") == Master.__tablename__


def _is_in_selection(element: Any) -> bool:
    return (
        isinstance(element, BinaryExpression)
        and element.operator in (operators.in_op, operators.not_in_op)
        and isinstance(element.right, ScalarSelect)
    )
