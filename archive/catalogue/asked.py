"""What a query asks for, as a tree of conditions, before it is put to a database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, not_, or_, true


@dataclass(frozen=True, kw_only=True)
class Is:
    """A single condition on a master and its item."""

    condition: ColumnElement[bool]
    found_by_index: bool = True
    """Whether its items can be counted without looking through all."""
    kept_in_order: bool = False
    """Whether it is about the item alone, and an index gives what fulfils it by accession number."""


@dataclass(frozen=True, kw_only=True)
class Every:
    """All of ``parts`` hold."""

    parts: tuple[Asked, ...]


@dataclass(frozen=True, kw_only=True)
class Some:
    """At least one of ``parts`` holds."""

    parts: tuple[Asked, ...]


@dataclass(frozen=True, kw_only=True)
class Not:
    """``part`` does not hold."""

    part: Asked


Asked = Is | Every | Some | Not
"""What a query asks for."""


def condition(asked: Asked) -> ColumnElement[bool]:
    """``asked`` as one condition on ``select(Master).join(Item)``."""
    match asked:
        case Is():
            return asked.condition
        case Every():
            return and_(true(), *(condition(part) for part in asked.parts))
        case Some():
            return or_(*(condition(part) for part in asked.parts))
        case Not():
            return not_(condition(asked.part))
