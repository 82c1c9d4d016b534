"""Values in a query: their types, and the conversion to numbers and conditions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, SQLColumnExpression, and_

from archive.catalogue.query.query_tree import QueryNode

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")  # fits a database integer


@dataclass(frozen=True, kw_only=True)
class Term:
    """A value in a query."""

    text: str
    """As written, without quotation marks and backslashes."""
    pattern: str
    """The text with its wildcards, unless it was quoted (see :mod:`archive.catalogue.query.wildcards`)."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A range. None means that this end is open."""

    low: Term | None = None
    high: Term | None = None
    includes_low: bool = True
    includes_high: bool = True


class Field(Protocol):
    """Converts the values of one field to query nodes."""

    takes_negative: bool
    """Whether ``field:-5`` is a negative number instead of the negation of ``field:5``."""
    cost: int
    """Relative cost of a value in the database: 1 for one comparison, more for a subquery."""

    def equals(self, term: Term) -> QueryNode: ...
    def within(self, bounds: Bounds) -> QueryNode: ...
    def present(self) -> QueryNode: ...


class FieldWithoutRanges:
    """Base class of fields whose values have no order."""

    takes_negative = False
    cost = 5

    def within(self, bounds: Bounds) -> QueryNode:  # noqa: ARG002
        raise ValueError("this field has no ranges: give a value, or a pattern with * and ?")


def in_range(column: SQLColumnExpression[Any], bounds: Bounds, read: Callable[[Term], Any]) -> ColumnElement[bool]:
    """The condition that ``column`` is within the bounds, which ``read`` converts to its type.

    Raises:
        ValueError: the range ends before it starts.
    """
    low = read(bounds.low) if bounds.low else None
    high = read(bounds.high) if bounds.high else None
    if low is not None and high is not None and high < low:
        raise ValueError("the range ends before it starts")
    conditions = [column.is_not(None)]
    if low is not None:
        conditions.append(column >= low if bounds.includes_low else column > low)
    if high is not None:
        conditions.append(column <= high if bounds.includes_high else column < high)
    return and_(*conditions)


def read_number(term: Term) -> float:
    """Converts a value to a finite number.

    Raises:
        ValueError: it is not a number.
    """
    if not _NUMBER.fullmatch(term.text) or not math.isfinite(value := float(term.text)):
        raise ValueError(f"{term.text!r} is not a number")
    return value


def read_whole_number(term: Term) -> int:
    """Converts a value to an integer.

    Raises:
        ValueError: it is not an integer.
    """
    if not _WHOLE_NUMBER.fullmatch(term.text):
        raise ValueError(f"{term.text!r} is not a whole number")
    return int(term.text)
