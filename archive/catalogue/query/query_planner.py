"""Query planner: selects the access path of a list, on SQLite and PostgreSQL alike.

A list either scans the items in the order of their accession numbers and stops at its limit, which is fast when many
items match, or looks up the matching items by index, which is fast when few match. The planner chooses by counting the
items that match each condition, up to :data:`FEW_ITEMS` or :data:`MANY_ITEMS`. It can't use the database's statistics:
SQLite keeps none, and PostgreSQL can't know how conditions correlate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from sqlalchemy import ColumnElement, CompoundSelect, ScalarSelect, Select, func, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnClause

from archive.catalogue.query.query_tree import And, Condition, Not, Or, QueryNode
from archive.catalogue.schema.tables import Item, Master, RecipeStage
from archive.catalogue.schema.text_index_tables import DistinctWord

FEW_ITEMS = 5_000
"""Up to this count, items are looked up and sorted quickly; with more matches a scan soon finds the first fifty."""
MANY_ITEMS = 20_000
"""The same limit for conditions whose items are clustered, because a scan may find the first match late."""

_MAX_LISTED_RECIPES = 100
_RECIPE_COLUMNS = frozenset(RecipeStage.__table__.columns.recipe_id.base_columns)
_MAX_LISTED_WORDS = 1_000
_ItemIds = Select[Any] | CompoundSelect[Any]
_WORD_COLUMNS = frozenset(DistinctWord.__table__.columns.word.base_columns)


@dataclass(frozen=True, kw_only=True)
class _IndexLookup:
    """Items that are looked up by index."""

    count: int
    """An upper bound of the number of items: an item may be found several times."""
    selects: tuple[Select[Any], ...]
    """Statements that together select the items' ids."""
    is_exact: bool
    """Whether all of these items match the query."""


def as_exists(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Replaces each ``IN (SELECT ...)`` by an ``EXISTS``, so that the database builds no set to check a few rows."""

    def replace(element: Any, **_: Any) -> ColumnElement[bool] | None:
        if not _is_in_selection(element):
            return None
        selection: Select[Any] = element.right.element
        (key,) = selection.selected_columns
        exists = selection.where(key == element.left).correlate(element.left.table).exists()
        return ~exists if element.operator is operators.not_in_op else exists

    return visitors.replacement_traverse(condition, {}, replace)


def choose_access_path(
    session: Session, node: QueryNode, statement: Select[Any], matches: ColumnElement[bool]
) -> Select[Any]:
    """``statement``, which selects from items, limited to the items that match ``node``, by accession number.

    ``matches`` is the full predicate; it is omitted when the index lookup is exact.
    """
    _prefer_indexes(session)
    lookup = _choose_lookup(node, _lookups_with_few_matches(session, node))
    if lookup is not None:
        if not lookup.is_exact:
            statement = statement.where(matches)
        # Ordered by an expression, because SQLite would otherwise scan all items to avoid sorting a few.
        by_accession_number = func.coalesce(Item.accession_number, "")
        return statement.where(Item.id.in_(union_all(*lookup.selects))).order_by(by_accession_number)
    operands = node.operands if isinstance(node, And) else (node,)
    in_index_order = [each.predicate for each in operands if isinstance(each, Condition) and each.is_in_index_order]
    return statement.where(matches, *in_index_order).order_by(Item.accession_number)


def _lookups_with_few_matches(session: Session, node: QueryNode) -> dict[int, _IndexLookup]:
    """The lookup of each indexed condition that matches few items, by the condition's identity."""
    conditions = list(_indexed_conditions(node))
    if not conditions:
        return {}
    found = [(condition, _list_words(session, condition.predicate)) for condition in conditions]
    known = [(condition, predicate) for condition, predicate in found if predicate is not None]
    if not known:
        return {}
    selects = [_select_item_ids(session, predicate) for _, predicate in known]
    limited = [
        _select_matches(condition, predicate, ids).limit(_max_matches(condition) + 1)
        for (condition, predicate), ids in zip(known, selects, strict=True)
    ]
    numbers = [select(func.count()).select_from(each.subquery()).scalar_subquery() for each in limited]
    counts = session.execute(select(*numbers)).one()
    return {
        id(condition): _IndexLookup(count=count, selects=(_at_most(ids, count),), is_exact=True)
        for (condition, _), ids, count in zip(known, selects, counts, strict=True)
        if count <= _max_matches(condition)
    }


def _prefer_indexes(session: Session) -> None:
    """Lets PostgreSQL look up thousands of rows by index instead of reading a large table, in this transaction.

    By its defaults, which are those of a rotating disk, it does so only for far fewer rows.
    """
    if session.get_bind().dialect.name == "postgresql":
        settings = {"random_page_cost": "1.1", "max_parallel_workers_per_gather": "0"}
        session.execute(select(*(func.set_config(name, value, True) for name, value in settings.items())))


def _select_matches(condition: Condition, predicate: Any, ids: _ItemIds) -> _ItemIds:
    """A statement with at least as many rows as items match, for counting.

    If the predicate is a single selection of ids, its rows are counted without joining items or masters.
    """
    if condition.counted is not None:
        return condition.counted
    is_one = (
        _is_in_selection(predicate)
        and predicate.operator is operators.in_op
        and getattr(predicate.left, "name", None) == "id"
    )
    selection: _ItemIds = predicate.right.element if is_one else ids
    return selection


def _at_most(ids: _ItemIds, count: int) -> Select[Any]:
    """``ids``, of which there are at most ``count``. The limit tells PostgreSQL so, which then looks them up first."""
    return select(*ids.limit(count).subquery().columns)


def _indexed_conditions(node: QueryNode) -> Iterator[Condition]:
    match node:
        case Condition():
            if node.is_indexed:
                yield node
        case And() | Or():
            for operand in node.operands:
                yield from _indexed_conditions(operand)


def _max_matches(condition: Condition) -> int:
    return MANY_ITEMS if condition.is_clustered else FEW_ITEMS


def _choose_lookup(node: QueryNode, lookups: dict[int, _IndexLookup]) -> _IndexLookup | None:
    """A lookup of few items that contain all matches of ``node``; None if they are many or their count is unknown."""
    match node:
        case Condition():
            return lookups.get(id(node))
        case And():
            few = [
                lookup
                for operand in node.operands
                if (lookup := _choose_lookup(operand, lookups)) is not None and lookup.count <= FEW_ITEMS
            ]
            return replace(min(few, key=lambda lookup: lookup.count), is_exact=False) if few else None
        case Or():
            known = [lookup for each in node.operands if (lookup := _choose_lookup(each, lookups)) is not None]
            count, is_exact = sum(lookup.count for lookup in known), all(lookup.is_exact for lookup in known)
            if len(known) < len(node.operands) or count > (MANY_ITEMS if is_exact else FEW_ITEMS):
                return None
            selects = tuple(ids for lookup in known for ids in lookup.selects)
            return _IndexLookup(count=count, selects=selects, is_exact=is_exact)
        case Not():
            return None


def _list_words(session: Session, predicate: ColumnElement[bool]) -> ColumnElement[bool] | None:
    """``predicate`` with literal words, by which PostgreSQL estimates the matches correctly.

    None if its pattern matches so many words that it is likely to match many items.
    """
    too_many = False

    def list_words(element: Any, **_: Any) -> ColumnElement[bool] | None:
        nonlocal too_many
        if not _is_in_selection(element) or not _WORD_COLUMNS & _selected_column(element).base_columns:
            return None
        words = session.scalars(element.right.element.limit(_MAX_LISTED_WORDS + 1)).all()
        too_many |= len(words) > _MAX_LISTED_WORDS
        listed: ColumnElement[bool] = element.left.in_(words)
        return listed

    listed = visitors.replacement_traverse(predicate, {}, list_words)
    return None if too_many else listed


def _select_item_ids(session: Session, predicate: ColumnElement[bool]) -> _ItemIds:
    """Selects the ids of the items for which ``predicate`` holds; an id may appear several times."""
    if _is_or(predicate):  # each alternative has its own index
        return union_all(*(_select_item_ids(session, each) for each in predicate.clauses))

    def replace(element: Any, **_: Any) -> ColumnElement[bool] | None:
        if _is_or(element):  # a join with a selection would exclude the rows for which another alternative holds
            return element
        if not _is_in_selection(element):
            return None
        selection: Select[Any] = element.right.element
        key = _selected_column(element)
        if _RECIPE_COLUMNS & key.base_columns:
            recipes = session.scalars(selection.limit(_MAX_LISTED_RECIPES + 1)).all()
            if len(recipes) <= _MAX_LISTED_RECIPES:  # with literal ids PostgreSQL estimates the matches correctly
                listed: ColumnElement[bool] = element.left.in_(recipes)
                return listed
        source = selection.subquery()
        (key,) = source.columns
        joined: ColumnElement[bool] = key == element.left
        return joined

    uses_masters = any(_is_of_masters(element) for element in visitors.iterate(predicate))
    found = visitors.replacement_traverse(predicate, {}, replace)
    return select(Master.item_id if uses_masters else Item.id).where(found).correlate(None)


def _selected_column(element: Any) -> ColumnElement[Any]:
    """The column of the selection in ``... IN (SELECT column ...)``."""
    selection: Select[Any] = element.right.element
    (column,) = selection.selected_columns
    return column


def _is_of_masters(element: Any) -> bool:
    return isinstance(element, ColumnClause) and getattr(element.table, "name", "") == Master.__tablename__


def _is_or(element: Any) -> TypeGuard[BooleanClauseList]:
    return isinstance(element, BooleanClauseList) and element.operator is operators.or_


def _is_in_selection(element: Any) -> bool:
    return (
        isinstance(element, BinaryExpression)
        and element.operator in (operators.in_op, operators.not_in_op)
        and isinstance(element.right, ScalarSelect)
    )
