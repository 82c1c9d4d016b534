"""The query tree: conditions combined by And, Or and Not, and its conversion to SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, func, not_, or_, select, true

from archive.catalogue.schema.tables import Derivative, Master


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A single condition on a master and its item."""

    predicate: ColumnElement[bool]
    row_predicate: ColumnElement[bool] | None = None
    """An equivalent predicate that is faster when it is evaluated for one given item."""
    of_derivative: ColumnElement[bool] | None = None
    """The same condition on one row of ``derivatives``, if it can apply to a derivative."""
    selects_derivatives: bool = False
    """Whether it always applies to derivatives, such as a batch's; otherwise ``predicate`` applies to the current one.
    """
    counted: Select[Any] | None = None
    """A statement with at least as many rows as items match, if that is counted faster than ``predicate``."""
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


def selects_derivatives(node: QueryNode) -> bool:
    """Whether the query selects derivatives, instead of using the current ones of masters."""
    match node:
        case Condition():
            return node.selects_derivatives
        case And():
            return any(map(selects_derivatives, node.operands))
        case Or():
            return bool(node.operands) and all(map(selects_derivatives, node.operands))
        case Not():
            return False


def derivative_predicate(node: QueryNode) -> ColumnElement[bool] | None:
    """The query's conditions on a derivative, as a predicate on its row; None if it has none.

    Other conditions of an And are left out, because they apply to the derivative's master anyway.
    """
    match node:
        case Condition():
            return node.of_derivative
        case And():
            parts = [part for each in node.operands if (part := derivative_predicate(each)) is not None]
            return and_(*parts) if parts else None
        case Or():
            parts = [part for each in node.operands if (part := derivative_predicate(each)) is not None]
            return or_(*parts) if parts and len(parts) == len(node.operands) else None
        case Not():
            part = derivative_predicate(node.operand)
            return None if part is None else not_(part)


def about_one_derivative(node: QueryNode) -> QueryNode:
    """Joins the derivative conditions of each And into one, so that a single derivative must fulfil all of them.

    ``batch:3 AND decision:accepted`` finds masters with an accepted derivative of batch 3, and not masters with a
    derivative of batch 3 and another accepted one.
    """
    match node:
        case And():
            operands = tuple(map(about_one_derivative, node.operands))
            if not any(map(selects_derivatives, operands)):
                return And(operands=operands)
            of_derivative = [(each, derivative_predicate(each)) for each in operands]
            joined = [(each, predicate) for each, predicate in of_derivative if predicate is not None]
            if len(joined) == 1 and isinstance(joined[0][0], Condition):
                return And(operands=operands)
            others = tuple(each for each, predicate in of_derivative if predicate is None)
            whole = derivative_condition(and_(*(predicate for _, predicate in joined)))
            return And(operands=(*others, whole)) if others else whole
        case Or():
            return Or(operands=tuple(map(about_one_derivative, node.operands)))
        case Not():
            return Not(operand=about_one_derivative(node.operand))
    return node


def derivative_condition(predicate: ColumnElement[bool], *, is_clustered: bool = False) -> Condition:
    """The condition that a master has a derivative for which ``predicate`` holds."""
    return Condition(
        predicate=Master.id.in_(select(Derivative.master_id).where(predicate).correlate(None)),
        of_derivative=predicate,
        selects_derivatives=True,
        is_clustered=is_clustered,
    )


def without_index(column: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """``column`` as an expression for which no database uses the column's index."""
    return func.coalesce(column, column)


def to_sql(node: QueryNode, *, per_row: bool = False, of_derivative: bool = False) -> ColumnElement[bool]:
    """Converts ``node`` to one condition on ``select(Master).join(Item)``.

    Args:
        node: the query tree.
        of_derivative: the statement also joins ``Derivative``; conditions that can apply to a derivative apply to its
            row.
        per_row: use each condition's ``row_predicate``, because the statement evaluates it for one given item.
    """
    match node:
        case Condition():
            if of_derivative and node.of_derivative is not None:
                return node.of_derivative
            return node.row_predicate if per_row and node.row_predicate is not None else node.predicate
        case And():
            return and_(
                true(), *(to_sql(operand, per_row=per_row, of_derivative=of_derivative) for operand in node.operands)
            )
        case Or():
            return or_(*(to_sql(operand, per_row=per_row, of_derivative=of_derivative) for operand in node.operands))
        case Not():
            return not_(to_sql(node.operand, per_row=per_row, of_derivative=of_derivative))
