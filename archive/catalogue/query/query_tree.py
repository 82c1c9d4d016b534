"""What a query asks for, as a tree of conditions, before it is put to a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, func, not_, or_, true


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A single condition on a master and its item."""

    predicate: ColumnElement[bool]
    of_one: ColumnElement[bool] | None = None
    """The same, where that is better put otherwise to a database that has the item at hand."""
    found_by_index: bool = True
    """Whether its items can be counted without looking through all."""
    stand_together: bool = False
    """Whether its items mostly follow each other in lists, so that the first of many may come late."""
    kept_in_order: bool = False
    """Whether it is about the item alone, and an index gives what fulfils it by accession number."""


@dataclass(frozen=True, kw_only=True)
class And:
    """All of ``parts`` hold."""

    parts: tuple[QueryNode, ...]


@dataclass(frozen=True, kw_only=True)
class Or:
    """At least one of ``parts`` holds."""

    parts: tuple[QueryNode, ...]


@dataclass(frozen=True, kw_only=True)
class Not:
    """``part`` does not hold."""

    part: QueryNode


QueryNode = Condition | And | Or | Not
"""What a query asks for."""


def without_index(column: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """``column``, put so that no database goes by an index of it."""
    return func.coalesce(column, column)


def to_sql(asked: QueryNode, *, of_one: bool = False) -> ColumnElement[bool]:
    """``asked`` as one condition on ``select(Master).join(Item)``; ``of_one`` where the item is at hand."""
    match asked:
        case Condition():
            return asked.of_one if of_one and asked.of_one is not None else asked.predicate
        case And():
            return and_(true(), *(to_sql(part, of_one=of_one) for part in asked.parts))
        case Or():
            return or_(*(to_sql(part, of_one=of_one) for part in asked.parts))
        case Not():
            return not_(to_sql(asked.part, of_one=of_one))
