"""Query fields: each one converts values and ranges to conditions on ``masters`` joined to ``items``.

A condition is true or false for every row, never NULL, so that ``NOT`` selects exactly the other rows. An invalid value
raises a ``ValueError`` with a message for the user; the parser adds the position.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.edtf_dates import date_range
from archive.catalogue.query import wildcards
from archive.catalogue.query.derivative_fields import DERIVATIVE_FIELDS
from archive.catalogue.query.field_values import (
    Bounds,
    Field,
    FieldWithoutRanges,
    Term,
    in_range,
    read_number,
    read_whole_number,
)
from archive.catalogue.query.number_fields import HeadlineScore, NumberField, RelatedNumber, metric_field
from archive.catalogue.query.query_tree import And, Condition, Or, QueryNode, without_index
from archive.catalogue.query.status_predicates import RESTORED, STATUSES
from archive.catalogue.query.text_index import TEXT_FIELDS, fold_pattern
from archive.catalogue.query.wildcards import ANY_CHARACTERS, ONE_CHARACTER
from archive.catalogue.schema.column_types import CodePoints, RecipeTexture
from archive.catalogue.schema.tables import (
    Derivative,
    Item,
    Master,
    Model,
    ModelAlias,
    ModelVersion,
    Recipe,
    RecipeStage,
    Review,
)
from archive.catalogue.schema.text_index_tables import DistinctWord, ItemWord
from archive.catalogue.schema.vocabularies import Access, Decision, Polarity, StageTask, View


@dataclass(frozen=True)
class TextField(FieldWithoutRanges):
    """Text: matches whole words in any of the columns ``names``; the words of one value must be adjacent, in order."""

    names: tuple[str, ...]

    def equals(self, term: Term) -> QueryNode:
        words = fold_pattern(term.pattern)
        if not words:
            raise ValueError(f"{term.text!r} holds no word to look for")
        if len(words) <= 2:
            return self._has_words(words)
        return And(operands=(*map(self._has_words, pairwise(words)), self._has_words(words)))

    def present(self) -> QueryNode:
        return Condition(predicate=or_(*(getattr(Item, name).is_not(None) for name in self.names)), is_indexed=False)

    def _has_words(self, words: Sequence[str]) -> Condition:
        """The condition that the words are adjacent, in this order."""
        wild = any(wildcards.has_wildcard(word) for word in words)
        return Condition(
            predicate=Item.id.in_(self._select_item_ids(words)),
            row_predicate=Item.id.in_(self._select_item_ids(words, per_row=True)) if wild else None,
            is_indexed=len(words) <= 2,
        )

    def _select_item_ids(self, words: Sequence[str], *, per_row: bool = False) -> Select[Any]:
        """Selects the ids of items with these words; ``per_row`` keeps the database from using the word index."""
        first = aliased(ItemWord)
        field = without_index(first.field) if per_row else first.field
        matches_first = wildcards.matches(first.word, words[0])
        if not per_row and len(words) <= 2 and wildcards.starts_with_wildcard(words[0]):
            # No index finds the items, but there are few distinct words, and an index finds the items of each.
            matches_first = first.word.in_(
                select(DistinctWord.word).where(
                    DistinctWord.field.in_(self.names), wildcards.matches(DistinctWord.word, words[0])
                )
            )
        next_word_matches = [_matches_next_word(first, word) for word in words[1:2]]
        found = select(first.item_id).where(field.in_(self.names), matches_first, *next_word_matches)
        for distance in range(2, len(words), 2):
            later = aliased(ItemWord)
            found = found.join(
                later,
                and_(
                    later.item_id == first.item_id,
                    later.field == first.field,
                    later.position == first.position + distance,
                    wildcards.matches(later.word, words[distance]),
                    *(_matches_next_word(later, word) for word in words[distance + 1 : distance + 2]),
                ),
            )
        return found


def _matches_next_word(row: type[ItemWord], pattern: str) -> ColumnElement[bool]:
    return and_(row.next_word != "", wildcards.matches(row.next_word, pattern))


@dataclass(frozen=True)
class ExactField:
    """Text that is compared by code point.

    Without an index, a list reads the items in its order until it has found enough.
    """

    column: SQLColumnExpression[Any]
    is_list_order: bool = False
    has_index: bool = True
    takes_negative = False
    cost = 1

    def equals(self, term: Term) -> QueryNode:
        return Condition(
            predicate=wildcards.matches(self.column, term.pattern),
            is_indexed=self.has_index and not wildcards.starts_with_wildcard(term.pattern),
            is_in_index_order=self.is_list_order or (self.has_index and not wildcards.has_wildcard(term.pattern)),
        )

    def within(self, bounds: Bounds) -> QueryNode:
        condition = in_range(self.column, bounds, lambda term: term.text)
        return Condition(predicate=condition, is_indexed=self.has_index, is_in_index_order=self.is_list_order)

    def present(self) -> QueryNode:
        return Condition(predicate=self.column.is_not(None), is_indexed=self.has_index)


@dataclass(frozen=True)
class ChoiceField(FieldWithoutRanges):
    """One of a few known values, each with its condition."""

    conditions: Mapping[str, Condition]

    def equals(self, term: Term) -> QueryNode:
        matching = wildcards.regex(term.pattern)
        found = [condition for value, condition in self.conditions.items() if matching.fullmatch(value)]
        if not found:
            raise ValueError(f"{term.text!r} is not known here; known are {', '.join(self.conditions)}")
        return self._any_of(found)

    def present(self) -> QueryNode:
        return self._any_of(self.conditions.values())

    def _any_of(self, conditions: Collection[Condition]) -> QueryNode:
        parts = tuple(conditions)
        return parts[0] if len(parts) == 1 else Or(operands=parts)


@dataclass(frozen=True)
class ReviewField(ChoiceField):
    """The newest decision about a derivative that is not withdrawn; ``none`` matches current restored derivatives
    without a decision, which ``*`` does not match.
    """

    def present(self) -> QueryNode:
        return self._any_of([condition for value, condition in self.conditions.items() if value != "none"])


class DateField:
    """The item's date: matches where its possible days overlap the days in the query."""

    takes_negative = True
    cost = 5

    def equals(self, term: Term) -> QueryNode:
        try:
            return self.within(Bounds(low=term, high=term))
        except ValueError as error:
            raise ValueError(
                f"{error}. A range is written as in date:[1906 TO 1910]; date_text: finds words of the date as it was "
                "given"
            ) from error

    def within(self, bounds: Bounds) -> QueryNode:
        low = date_range(bounds.low.text) if bounds.low else None
        high = date_range(bounds.high.text) if bounds.high else None
        if low and high and high[1] < low[0]:
            raise ValueError("the range ends before it starts")
        conditions = [self._has_date()]
        if low:
            last = Item.date_latest
            conditions.append(last >= low[0] if bounds.includes_low else last > low[1])
        if high:
            first = Item.date_earliest
            conditions.append(first <= high[1] if bounds.includes_high else first < high[0])
        # From the latest start on: most items with a much earlier start ended before the range.
        counted = select(Item.id).where(*conditions).order_by(Item.date_earliest.desc())
        return Condition(predicate=and_(*conditions), counted=counted)

    def present(self) -> QueryNode:
        return Condition(predicate=self._has_date())

    @staticmethod
    def _has_date() -> ColumnElement[bool]:
        return and_(Item.date_earliest.is_not(None), Item.date_latest.is_not(None))


@dataclass(frozen=True)
class StageVersion(FieldWithoutRanges):
    """The model versions of one task in the recipe of a current derivative; ``column`` holds the recipe's id."""

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
        return self._uses_version(condition)

    def present(self) -> QueryNode:
        return self._uses_version(None)

    def _uses_version(self, condition: ColumnElement[bool] | None) -> QueryNode:
        found = (
            select(RecipeStage.recipe_id)
            .join(ModelVersion, ModelVersion.id == RecipeStage.version_id)
            .join(Model, Model.id == ModelVersion.model_id)
            .where(RecipeStage.task == self.task)
        )
        if condition is not None:
            found = found.where(condition)
        return Condition(
            predicate=and_(self.column.is_not(None), self.column.in_(found)),
            of_derivative=Derivative.recipe_id.in_(found),
        )


# The restoration is the first stage of a recipe.
_RESTORING = (
    select(RecipeStage.recipe_id)
    .join(Recipe, Recipe.id == RecipeStage.recipe_id)
    .where(RecipeStage.position == 0, RecipeStage.task == StageTask.RESTORATION)
)


def _decision_condition(decision: Decision) -> Condition:
    newer = aliased(Review)
    overruled = select(newer.id).where(newer.derivative_id == Review.derivative_id, newer.id > Review.id).exists()
    last = select(Derivative.master_id).join(Review).where(~overruled, Derivative.withdrawn_at.is_(None))
    return Condition(
        predicate=Master.id.in_(last.where(Review.decision == decision)),
        counted=select(Review.id).where(~overruled, Review.decision == decision),
        row_predicate=Master.id.in_(last.where(without_index(Review.decision) == decision)),
    )


def _was_decided(decision: Decision | None) -> ColumnElement[bool]:
    """The newest decision about a derivative that is not withdrawn; None if it has none, or the decision was undone."""
    is_decision = func.coalesce(newest_decision(Derivative.id), "") == (decision or "")
    return and_(Derivative.withdrawn_at.is_(None), is_decision)


_DECISIONS = (Decision.ACCEPTED, Decision.REJECTED)
_NOT_REVIEWED = Condition(predicate=and_(RESTORED, newest_decision(Master.current_restored_id).is_(None)))

HEADLINE_METRICS = ("psnr_source", "psnr_reference", "ssim_source", "ssim_reference")
CHANGE_METRICS = ("changed_share", "smoothed_share", "filled_share", "filled_places")
IMAGE_METRICS = ("noise_sigma", "blur_effect", "contrast", "colourfulness")
OTHER_METRICS = (*IMAGE_METRICS, *CHANGE_METRICS)

FREE_TEXT = TextField(("title", "description"))
"""The field for words without a field name."""

FIELDS: dict[str, Field] = {
    "id": NumberField(Item.id, read_whole_number),
    "accession_number": ExactField(Item.accession_number, is_list_order=True),
    **{name: TextField((name,)) for name in TEXT_FIELDS},
    "date": DateField(),
    "collection": ExactField(Item.collection),
    "rights": ExactField(CodePoints(Item.rights), has_index=False),
    "access": ChoiceField(
        {value: Condition(predicate=Item.access == value, is_in_index_order=True) for value in Access}
    ),
    "polarity": ChoiceField(
        {
            value: Condition(predicate=and_(Item.polarity.is_not(None), Item.polarity == value), is_indexed=False)
            for value in Polarity
        }
    ),
    "view": ChoiceField({value: Condition(predicate=Master.view == value) for value in View}),
    "status": ChoiceField({value: Condition(predicate=condition) for value, condition in STATUSES.items()}),
    "model": StageVersion(Master.current_restored_recipe_id, StageTask.RESTORATION),
    "style": StageVersion(Master.current_styled_recipe_id, StageTask.STYLE),
    "texture": RelatedNumber(
        RecipeTexture(Recipe.canonical_json),
        read_number,
        Master.current_restored_recipe_id,
        _RESTORING,
        Derivative.recipe_id,
    ),
    "review": ReviewField(
        {
            **{
                decision: replace(_decision_condition(decision), of_derivative=_was_decided(decision))
                for decision in _DECISIONS
            },
            "none": replace(_NOT_REVIEWED, of_derivative=_was_decided(None)),
        }
    ),
    **DERIVATIVE_FIELDS,
    **{name: HeadlineScore(getattr(Master, name), read_number, name) for name in HEADLINE_METRICS},
    **{name: metric_field(name) for name in OTHER_METRICS},
}
"""The fields by name, in the order of messages."""
