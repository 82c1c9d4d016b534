"""Query fields about derivatives: who made them, when, in which batch, and the decisions about them.

Each field gives a condition on a row of ``derivatives``, and one on masters that have such a derivative.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, select
from sqlalchemy.orm import aliased

from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.query import wildcards
from archive.catalogue.query.field_values import (
    Bounds,
    Field,
    FieldWithoutRanges,
    Term,
    in_range,
    read_number,
    read_whole_number,
)
from archive.catalogue.query.query_tree import QueryNode, derivative_condition
from archive.catalogue.query.wildcards import ANY_CHARACTERS
from archive.catalogue.schema.tables import Agent, Derivative, Recipe, RecipeStage, Review
from archive.catalogue.schema.vocabularies import Decision, StageTask

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
_NO_DECISION = "none"


def _itself(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return condition


@dataclass(frozen=True)
class DerivativeNumber:
    """A number of a derivative; ``on_derivative`` converts a condition on the number to one on the derivative."""

    number: SQLColumnExpression[Any]
    read: Callable[[Term], float]
    on_derivative: Callable[[ColumnElement[bool]], ColumnElement[bool]] = _itself
    is_clustered: bool = False
    takes_negative = True
    cost = 5

    def equals(self, term: Term) -> QueryNode:
        return self._has(self.number == self.read(term))

    def within(self, bounds: Bounds) -> QueryNode:
        return self._has(in_range(self.number, bounds, self.read))

    def present(self) -> QueryNode:
        return self._has(self.number.is_not(None))

    def _has(self, condition: ColumnElement[bool]) -> QueryNode:
        return derivative_condition(
            self.on_derivative(and_(self.number.is_not(None), condition)), is_clustered=self.is_clustered
        )


@dataclass(frozen=True)
class DerivativeTime:
    """A time in UTC: a day such as 2026-11-01, or a time such as 2026-11-01T18:30."""

    moment: SQLColumnExpression[Any]
    on_derivative: Callable[[ColumnElement[bool]], ColumnElement[bool]]
    takes_negative = False
    cost = 5

    def equals(self, term: Term) -> QueryNode:
        return self.within(Bounds(low=term, high=term))

    def within(self, bounds: Bounds) -> QueryNode:
        conditions = []
        if bounds.low:
            first, after = _period(bounds.low.text)
            conditions.append(self.moment >= (first if bounds.includes_low else after))
        if bounds.high:
            first, after = _period(bounds.high.text)
            conditions.append(self.moment < (after if bounds.includes_high else first))
        return derivative_condition(self.on_derivative(and_(self.moment.is_not(None), *conditions)))

    def present(self) -> QueryNode:
        return derivative_condition(self.on_derivative(self.moment.is_not(None)))


@dataclass(frozen=True)
class DerivativeText(FieldWithoutRanges):
    """Text that is compared by code point, with wildcards; with ``prefix``, a value also matches texts that start with
    it.
    """

    text: SQLColumnExpression[Any]
    on_derivative: Callable[[ColumnElement[bool]], ColumnElement[bool]]
    prefix: bool = False

    def equals(self, term: Term) -> QueryNode:
        pattern = term.pattern + (ANY_CHARACTERS if self.prefix else "")
        return derivative_condition(self.on_derivative(wildcards.matches(self.text, pattern)))

    def present(self) -> QueryNode:
        return derivative_condition(self.on_derivative(self.text.is_not(None)))


class DecisionField(FieldWithoutRanges):
    """The newest decision about a derivative that is not withdrawn: ``accepted``, ``rejected`` or ``none``."""

    def equals(self, term: Term) -> QueryNode:
        known = (Decision.ACCEPTED.value, Decision.REJECTED.value, _NO_DECISION)
        if term.text not in known:
            raise ValueError(f"{term.text!r} is not a decision. Known: {', '.join(known)}")
        if term.text == _NO_DECISION:
            return self._has(newest_decision(Derivative.id).is_(None))
        return self._has(_newest_review_has(Review.decision == Decision(term.text)))

    def present(self) -> QueryNode:
        return self._has(newest_decision(Derivative.id).is_not(None))

    def _has(self, condition: ColumnElement[bool]) -> QueryNode:
        return derivative_condition(and_(Derivative.withdrawn_at.is_(None), condition))


def _period(text: str) -> tuple[datetime, datetime]:
    """The start of a day or a time, and the start of the next one, or the last moment of the year 9999."""
    try:
        if _DAY.fullmatch(text):
            first, length = datetime.combine(date.fromisoformat(text), time.min, UTC), timedelta(days=1)
        else:
            moment = datetime.fromisoformat(text)
            first = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            length = timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not a day from 0001 to 9999. Write it as 2026-11-01, or with a time as 2026-11-01T18:30"
        ) from error
    return first, first + min(length, _LAST_MOMENT - first)


def _newest_review_has(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    newer = aliased(Review)
    is_newest = ~select(newer.id).where(newer.derivative_id == Review.derivative_id, newer.id > Review.id).exists()
    return Derivative.id.in_(
        select(Review.derivative_id)
        .join(Agent, Agent.id == Review.agent_id)
        .where(Review.decision != Decision.UNDONE, is_newest, condition)
    )


def _operator_has(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(Derivative.operator_id.is_not(None), Derivative.operator_id.in_(select(Agent.id).where(condition)))


def _restoration_stage_has(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    stages = select(RecipeStage.recipe_id).where(RecipeStage.task == StageTask.RESTORATION, condition)
    return Derivative.recipe_id.in_(stages)


def _recipe_has(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return Derivative.recipe_id.in_(select(Recipe.id).where(condition))


DERIVATIVE_FIELDS: dict[str, Field] = {
    "batch": DerivativeNumber(Derivative.batch_id, read_whole_number, is_clustered=True),
    "made": DerivativeTime(Derivative.created_at, _itself),
    "operator": DerivativeText(Agent.name, _operator_has),
    "reviewer": DerivativeText(Agent.name, _newest_review_has),
    "reviewed": DerivativeTime(Review.at, _newest_review_has),
    "decision": DecisionField(),
    "strength": DerivativeNumber(RecipeStage.strength, read_number, _restoration_stage_has),
    "recipe": DerivativeText(Recipe.sha256, _recipe_has, prefix=True),
}
"""The fields by name."""
