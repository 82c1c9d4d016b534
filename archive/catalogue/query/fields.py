"""The fields that a query can ask about, each with the conditions on ``masters`` joined to ``items`` that it means.

Conditions are true or false of a row, never NULL: ``NOT`` takes exactly the others. A value that makes no sense is a
``ValueError`` in words; the parser adds where it stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, literal_column, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from archive.catalogue.edtf_dates import date_range
from archive.catalogue.query import wildcards
from archive.catalogue.query.predicates import STATUSES
from archive.catalogue.query.query_tree import And, Condition, Or, QueryNode, without_index
from archive.catalogue.query.text_index import TEXT_FIELDS, fold_pattern
from archive.catalogue.query.wildcards import ANY_CHARACTERS, ONE_CHARACTER
from archive.catalogue.schema.tables import (
    Derivative,
    Item,
    ItemWord,
    Master,
    Model,
    ModelAlias,
    ModelVersion,
    QualityScore,
    RecipeStage,
    Review,
    Task,
)
from archive.catalogue.schema.vocabularies import Access, Decision, ScoredImage, StageTask, View

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")  # what fits a database's integer


@dataclass(frozen=True, kw_only=True)
class Term:
    """A value as a query gives it."""

    text: str
    """As written, without quotation marks and backslashes."""
    pattern: str
    """The same with wildcards, where it was not quoted (see :mod:`archive.catalogue.query.wildcards`)."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A range; an end that is None is open."""

    low: Term | None = None
    high: Term | None = None
    includes_low: bool = True
    includes_high: bool = True


class Field(Protocol):
    """What a field makes of the values that a query asks for."""

    takes_negative: bool
    """Whether ``field:-5`` means a number below 0, and not "anything but 5"."""
    cost: int
    """How much work a value is for the database: 1 for one comparison, more for a look elsewhere."""

    def equals(self, term: Term) -> QueryNode: ...
    def within(self, bounds: Bounds) -> QueryNode: ...
    def present(self) -> QueryNode: ...


class _Unordered:
    takes_negative = False
    cost = 5

    def within(self, bounds: Bounds) -> QueryNode:  # noqa: ARG002
        raise ValueError("this field has no ranges: give a value, or a pattern with * and ?")


@dataclass(frozen=True)
class TextField(_Unordered):
    """Text: whole words in any of ``names``, several of one value next to each other in that order."""

    names: tuple[str, ...]

    def equals(self, term: Term) -> QueryNode:
        words = fold_pattern(term.pattern)
        if not words:
            raise ValueError(f"{term.text!r} holds no word to look for")
        if len(words) == 1:
            return self._are(words)
        return And(parts=(*(self._are([word]) for word in words), self._are(words)))

    def present(self) -> QueryNode:
        return Condition(
            predicate=or_(*(getattr(Item, name).is_not(None) for name in self.names)), found_by_index=False
        )

    def _are(self, words: list[str]) -> Condition:
        """Whether the words stand next to each other."""
        wild = any(wildcards.has_wildcard(word) for word in words)
        return Condition(
            predicate=Item.id.in_(self._found(words)),
            of_one=Item.id.in_(self._found(words, by_item=True)) if wild else None,
            found_by_index=len(words) == 1 and not wildcards.starts_with_wildcard(words[0]),
        )

    def _found(self, words: list[str], *, by_item: bool = False) -> Select[Any]:
        """The items' ids; ``by_item`` hides from the database that an index leads from fields to words."""
        first = aliased(ItemWord)
        field = without_index(first.field) if by_item else first.field
        found = select(first.item_id).where(field.in_(self.names), wildcards.matches(first.word, words[0]))
        for distance, word in enumerate(words[1:], start=1):
            next_word = aliased(ItemWord)
            found = found.join(
                next_word,
                and_(
                    next_word.item_id == first.item_id,
                    next_word.field == first.field,
                    next_word.position == first.position + distance,
                    wildcards.matches(next_word.word, word),
                ),
            )
        return found


@dataclass(frozen=True)
class ExactField:
    """Text that is compared by code point."""

    column: InstrumentedAttribute[Any]
    orders_lists: bool = False
    takes_negative = False
    cost = 1

    def equals(self, term: Term) -> QueryNode:
        return Condition(
            predicate=wildcards.matches(self.column, term.pattern),
            found_by_index=not wildcards.starts_with_wildcard(term.pattern),
            kept_in_order=self.orders_lists or not wildcards.has_wildcard(term.pattern),
        )

    def within(self, bounds: Bounds) -> QueryNode:
        condition = _within(self.column, bounds, lambda term: term.text)
        return Condition(predicate=condition, kept_in_order=self.orders_lists)

    def present(self) -> QueryNode:
        return Condition(predicate=self.column.is_not(None))


@dataclass(frozen=True)
class ChoiceField(_Unordered):
    """One of a few known values, each with the condition that it stands for."""

    conditions: Mapping[str, Condition]

    def equals(self, term: Term) -> QueryNode:
        matching = wildcards.regex(term.pattern)
        found = [condition for value, condition in self.conditions.items() if matching.fullmatch(value)]
        if not found:
            raise ValueError(f"{term.text!r} is not known here; known are {', '.join(self.conditions)}")
        return self._some(found)

    def present(self) -> QueryNode:
        return self._some(self.conditions.values())

    def _some(self, conditions: Collection[Condition]) -> QueryNode:
        parts = tuple(conditions)
        return parts[0] if len(parts) == 1 else Or(parts=parts)


class DateField:
    """The item's date: true where the days that it may mean and the days asked for overlap."""

    takes_negative = True
    cost = 5

    def equals(self, term: Term) -> QueryNode:
        return self.within(Bounds(low=term, high=term))

    def within(self, bounds: Bounds) -> QueryNode:
        low = date_range(bounds.low.text) if bounds.low else None
        high = date_range(bounds.high.text) if bounds.high else None
        if low and high and high[1] < low[0]:
            raise ValueError("the range ends before it starts")
        conditions = [self._known()]
        if low:
            last = Item.date_latest
            conditions.append(last >= low[0] if bounds.includes_low else last > low[1])
        if high:
            first = Item.date_earliest
            conditions.append(first <= high[1] if bounds.includes_high else first < high[0])
        return Condition(predicate=and_(*conditions))

    def present(self) -> QueryNode:
        return Condition(predicate=self._known())

    @staticmethod
    def _known() -> ColumnElement[bool]:
        return and_(Item.date_earliest.is_not(None), Item.date_latest.is_not(None))


@dataclass(frozen=True)
class NumberField:
    """A number of the master or of its item."""

    column: SQLColumnExpression[Any]
    read: Callable[[Term], float]
    takes_negative = True
    cost = 5

    def equals(self, term: Term) -> Condition:
        return Condition(predicate=and_(self.column.is_not(None), self.column == self.read(term)))

    def within(self, bounds: Bounds) -> Condition:
        return Condition(predicate=_within(self.column, bounds, self.read))

    def present(self) -> Condition:
        return Condition(predicate=self.column.is_not(None))


@dataclass(frozen=True)
class RelatedNumber:
    """A number in another table, where a row of ``selection``, ids to be found in ``column``, has it."""

    number: InstrumentedAttribute[Any]
    read: Callable[[Term], float]
    column: InstrumentedAttribute[Any]
    selection: Any
    stand_together: bool = False
    takes_negative = True
    cost = 5

    def equals(self, term: Term) -> QueryNode:
        return self._has(lambda number: number.equals(term))

    def within(self, bounds: Bounds) -> QueryNode:
        return self._has(lambda number: number.within(bounds))

    def present(self) -> QueryNode:
        return self._has(lambda number: number.present())

    def _has(self, asked: Callable[[NumberField], Condition]) -> QueryNode:
        def found(number: SQLColumnExpression[Any]) -> ColumnElement[bool]:
            rows = self.selection.where(asked(NumberField(number, self.read)).predicate)
            return and_(self.column.is_not(None), self.column.in_(rows))

        return Condition(
            predicate=found(self.number), of_one=found(without_index(self.number)), stand_together=self.stand_together
        )


@dataclass(frozen=True)
class StageVersion(_Unordered):
    """The model versions that stages of one task use in the recipe of a current derivative, which ``column`` holds."""

    column: InstrumentedAttribute[int | None]
    task: StageTask

    def equals(self, term: Term) -> QueryNode:
        name, at, version = term.pattern.partition("@")
        condition = wildcards.matches(Model.name, name)
        if at and not version:
            raise ValueError(f"{term.text!r} lacks a version or an alias after the @")
        if version[:1].isdecimal() or version[:1] in (ANY_CHARACTERS, ONE_CHARACTER):
            condition = and_(condition, wildcards.matches(ModelVersion.version, version))
        elif at:
            aliased_versions = select(ModelAlias.version_id).where(wildcards.matches(ModelAlias.alias, version))
            condition = and_(condition, ModelVersion.id.in_(aliased_versions))
        return self._by(condition)

    def present(self) -> QueryNode:
        return self._by(None)

    def _by(self, condition: ColumnElement[bool] | None) -> QueryNode:
        found = (
            select(RecipeStage.recipe_id)
            .join(ModelVersion, ModelVersion.id == RecipeStage.version_id)
            .join(Model, Model.id == ModelVersion.model_id)
            .where(RecipeStage.task == self.task)
        )
        if condition is not None:
            found = found.where(condition)
        return Condition(predicate=and_(self.column.is_not(None), self.column.in_(found)))


def _within(column: SQLColumnExpression[Any], bounds: Bounds, read: Callable[[Term], Any]) -> ColumnElement[bool]:
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


def _number(term: Term) -> float:
    if not _NUMBER.fullmatch(term.text) or not math.isfinite(value := float(term.text)):
        raise ValueError(f"{term.text!r} is not a number")
    return value


def _whole_number(term: Term) -> int:
    if not _WHOLE_NUMBER.fullmatch(term.text):
        raise ValueError(f"{term.text!r} is not a whole number")
    return int(term.text)


def _metric(name: str) -> Field:
    # Written out, as an index of only these rows is taken only where the database reads that it is only these.
    of_derivative = QualityScore.image == literal_column(f"'{ScoredImage.DERIVATIVE}'")
    of_whole = select(QualityScore.derivative_id).where(
        QualityScore.metric == name, of_derivative, QualityScore.stage.is_(None)
    )
    return RelatedNumber(QualityScore.value, _number, Master.current_restored_id, of_whole)


def _reviewed(decision: Decision) -> Condition:
    newer = aliased(Review)
    overruled = select(newer.id).where(newer.derivative_id == Review.derivative_id, newer.id > Review.id).exists()
    last = select(Derivative.master_id).join(Review).where(~overruled)
    return Condition(
        predicate=Master.id.in_(last.where(Review.decision == decision)),
        of_one=Master.id.in_(last.where(without_index(Review.decision) == decision)),
    )


HEADLINE_METRICS = ("psnr_source", "psnr_reference", "ssim_source", "ssim_reference")
OTHER_METRICS = ("noise_sigma", "blur_effect", "contrast", "colourfulness", "changed_share")

FREE_TEXT = TextField(("title", "description"))
"""What words without a field are looked for in."""

FIELDS: dict[str, Field] = {
    "id": NumberField(Item.id, _whole_number),
    "accession_number": ExactField(Item.accession_number, orders_lists=True),
    **{name: TextField((name,)) for name in TEXT_FIELDS},
    "date": DateField(),
    "collection": ExactField(Item.collection),
    "access": ChoiceField({value: Condition(predicate=Item.access == value, kept_in_order=True) for value in Access}),
    "view": ChoiceField({value: Condition(predicate=Master.view == value) for value in View}),
    "status": ChoiceField({value: Condition(predicate=condition) for value, condition in STATUSES.items()}),
    "model": StageVersion(Master.current_restored_recipe_id, StageTask.RESTORATION),
    "style": StageVersion(Master.current_styled_recipe_id, StageTask.STYLE),
    "batch": RelatedNumber(Task.batch_id, _whole_number, Master.id, select(Task.master_id), stand_together=True),
    "review": ChoiceField({decision: _reviewed(decision) for decision in Decision}),
    **{name: NumberField(getattr(Master, name), _number) for name in HEADLINE_METRICS},
    **{name: _metric(name) for name in OTHER_METRICS},
}
"""The fields by name, in the order in which messages list them."""
