"""Query fields for numbers: columns of a master, and numbers in the tables that it refers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute

from archive.catalogue.query.field_values import Bounds, Field, Term, in_range, read_number
from archive.catalogue.query.query_tree import Condition, QueryNode, without_index
from archive.catalogue.schema.tables import Derivative, Master, QualityScore
from archive.catalogue.schema.vocabularies import ScoredImage


@dataclass(frozen=True)
class NumberField:
    """A number in a column of the master or of its item."""

    column: SQLColumnExpression[Any]
    read: Callable[[Term], float]
    takes_negative = True
    cost = 5

    def equals(self, term: Term) -> Condition:
        return Condition(predicate=and_(self.column.is_not(None), self.column == self.read(term)))

    def within(self, bounds: Bounds) -> Condition:
        return Condition(predicate=in_range(self.column, bounds, self.read))

    def present(self) -> Condition:
        return Condition(predicate=self.column.is_not(None))


@dataclass(frozen=True)
class RelatedNumber:
    """A number in another table: ``selection`` selects ids of that table's rows, to which ``column`` of a master and
    ``column_of_derivative`` refer.
    """

    number: SQLColumnExpression[Any]
    read: Callable[[Term], float]
    column: InstrumentedAttribute[Any]
    selection: Any
    column_of_derivative: InstrumentedAttribute[Any]
    takes_negative = True
    cost = 5

    def equals(self, term: Term) -> QueryNode:
        return self._has(lambda number: number.equals(term))

    def within(self, bounds: Bounds) -> QueryNode:
        return self._has(lambda number: number.within(bounds))

    def present(self) -> QueryNode:
        return self._has(lambda number: number.present())

    def _has(self, compare: Callable[[NumberField], Condition]) -> QueryNode:
        def found(number: SQLColumnExpression[Any]) -> ColumnElement[bool]:
            rows = self.selection.where(compare(NumberField(number, self.read)).predicate)
            return and_(self.column.is_not(None), self.column.in_(rows))

        return Condition(
            predicate=found(self.number),
            row_predicate=found(without_index(self.number)),
            of_derivative=self.column_of_derivative.in_(
                self.selection.where(compare(NumberField(self.number, self.read)).predicate)
            ),
        )


@dataclass(frozen=True)
class HeadlineScore(NumberField):
    """A score of the current restored derivative, which is duplicated on its master's row."""

    name: str

    def equals(self, term: Term) -> Condition:
        return self._also_of_derivative(super().equals(term), lambda number: number.equals(term))

    def within(self, bounds: Bounds) -> Condition:
        return self._also_of_derivative(super().within(bounds), lambda number: number.within(bounds))

    def present(self) -> Condition:
        return self._also_of_derivative(super().present(), lambda number: number.present())

    def _also_of_derivative(self, of_master: Condition, compare: Callable[[NumberField], Condition]) -> Condition:
        metric, _, against = self.name.partition("_")
        scores = select(QualityScore.derivative_id).where(
            QualityScore.metric == metric,
            QualityScore.compared_with == against,
            QualityScore.image == ScoredImage.DERIVATIVE,
            QualityScore.stage.is_(None),
            compare(NumberField(QualityScore.value, self.read)).predicate,
        )
        return replace(of_master, of_derivative=Derivative.id.in_(scores))


def metric_field(name: str) -> Field:
    """The field for a score of the current restored derivative."""
    # A literal, because a database uses a partial index only if the statement repeats the index's condition literally.
    of_derivative = QualityScore.image == literal_column(f"'{ScoredImage.DERIVATIVE}'")
    of_whole = select(QualityScore.derivative_id).where(
        QualityScore.metric == name, of_derivative, QualityScore.stage.is_(None)
    )
    return RelatedNumber(QualityScore.value, read_number, Master.current_restored_id, of_whole, Derivative.id)
