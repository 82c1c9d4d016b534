"""The query tree: conditions combined by And, Or and Not, and its conversion to SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, func, not_, or_, true


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A single condition on a master and its item."""

    predicate: ColumnElement[bool]
    row_predicate: ColumnElement[bool] | None = None
    """An equivalent predicate that is faster when it is evaluated for one given item."""
    is_indexed: bool = True
    """Whether an index finds the matching items, so that they can be counted without a full scan."""
    is_clustered: bool = False
    """Whether matching items are adjacent in lists, so that a scan may pass many items before the first match."""
    is_in_index_order: bool = False
    """Whether it concerns the item only, and an index returns the matching items by accession number."""


@dataclass(frozen=True, kw_only=True)
class And:
    """True if all operands are true."""

    operands: tuple[QueryNode, ...]


@dataclass(frozen=True, kw_only=True)
class Or:
    """True if at least one operand is true."""

    operands: tuple[QueryNode, ...]


@dataclass(frozen=True, kw_only=True)
class Not:
    """True if the operand is false."""

    operand: QueryNode


QueryNode = Condition | And | Or | Not
"""A query, or a part of one."""


def without_index(column: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """``column`` as an expression for which no database uses the column's index."""
    return func.coalesce(column, column)


def to_sql(node: QueryNode, *, per_row: bool = False) -> ColumnElement[bool]:
    """Converts ``node`` to one condition on ``select(Master).join(Item)``.

    Args:
        node: the query tree.
        per_row: use each condition's ``row_predicate``, because the statement evaluates it for one given item.
    """
    match node:
        case Condition():
            return node.row_predicate if per_row and node.row_predicate is not None else node.predicate
        case And():
            return and_(true(), *(to_sql(operand, per_row=per_row) for operand in node.operands))
        case Or():
            return or_(*(to_sql(operand, per_row=per_row) for operand in node.operands))
        case Not():
            return not_(to_sql(node.operand, per_row=per_row))
