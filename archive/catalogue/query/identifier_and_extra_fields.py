"""Query fields for the museum's own description: its identifiers and its own columns."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, select

from archive.catalogue.query import wildcards
from archive.catalogue.query.field_values import Field, FieldWithoutRanges, Term
from archive.catalogue.query.fields import FIELDS, TextField
from archive.catalogue.query.query_tree import Condition, QueryNode
from archive.catalogue.query.text_index import extra_word_field
from archive.catalogue.schema.identifier_and_mapping_tables import ItemIdentifier
from archive.catalogue.schema.tables import Item
from archive.catalogue.schema.text_index_tables import ItemWord

_EXTRA = "extra."


@dataclass(frozen=True)
class IdentifierField(FieldWithoutRanges):
    """Identifiers of any scheme, compared by code point."""

    def equals(self, term: Term) -> QueryNode:
        found = select(ItemIdentifier.item_id).where(wildcards.matches(ItemIdentifier.value, term.pattern))
        return Condition(predicate=Item.id.in_(found), is_indexed=not wildcards.starts_with_wildcard(term.pattern))

    def present(self) -> QueryNode:
        return Condition(predicate=exists().where(ItemIdentifier.item_id == Item.id), is_indexed=False)


@dataclass(frozen=True)
class ExtraField(TextField):
    """One of the museum's own columns, stored as extra metadata; matches whole words, like other text fields."""

    def present(self) -> QueryNode:
        has_words = exists().where(ItemWord.item_id == Item.id, ItemWord.field.in_(self.names))
        return Condition(predicate=has_words, is_indexed=False)


FIELD_NAMES = (*FIELDS, "identifier", f"{_EXTRA}COLUMN")
"""The names of all fields, for messages."""

_IDENTIFIER = IdentifierField()


def find_field(name: str) -> Field | None:
    """The field with this name; ``extra.Subjects`` is the museum's own column Subjects."""
    if name in FIELDS:
        return FIELDS[name]
    if name.startswith(_EXTRA) and name != _EXTRA:
        return ExtraField((extra_word_field(name.removeprefix(_EXTRA)),))
    return _IDENTIFIER if name == "identifier" else None
