"""Tables of the text index: the words of items, and each word once."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.catalogue.schema import indexes
from archive.catalogue.schema.column_types import ExactText, Id, Table


class ItemWord(Table):
    """A folded word at its position in one of an item's text fields, for whole-word and phrase queries.

    The next word is stored with it, so that one index finds a word, and also two adjacent words.
    :func:`archive.catalogue.query.text_index.fold_words` removes case and accents, in the same way for both databases.
    """

    __tablename__ = "item_words"
    __table_args__ = (*indexes.ITEM_WORD_INDEXES, {"sqlite_with_rowid": False})  # the primary key is the table

    field: Mapped[str] = mapped_column(String(16), primary_key=True)
    word: Mapped[str] = mapped_column(ExactText, primary_key=True)
    next_word: Mapped[str] = mapped_column(ExactText, primary_key=True)  # empty after the last word
    item_id: Mapped[int] = mapped_column(Id, ForeignKey("items.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)


class DistinctWord(Table):
    """A word that occurs in a text field of some item; patterns that start with a wildcard are matched with these.

    A word may remain here when no item has it any more: then its look-up finds nothing.
    """

    __tablename__ = "distinct_words"

    field: Mapped[str] = mapped_column(String(16), primary_key=True)
    word: Mapped[str] = mapped_column(ExactText, primary_key=True)
