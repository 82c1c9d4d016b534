"""Text index: the words of text fields, without case and accents, the same on every database."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise
from typing import Any

from sqlalchemy import delete, exists, insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from archive.catalogue.engines import IS_ROLLED_BACK
from archive.catalogue.query.wildcards import ANY_CHARACTERS, ONE_CHARACTER, has_wildcard
from archive.catalogue.schema.tables import Item
from archive.catalogue.schema.text_index_tables import DistinctWord, ItemWord

TEXT_FIELDS = ("title", "description", "creator", "place", "process", "date_text")

# Databases limit the size of an index entry.
MAX_WORD_LENGTH = 100
_LOCK_SECONDS = 5

_WORD = re.compile(r"[^\W_]+")
_WORD_PATTERN = re.compile(rf"(?:[^\W_]|[{ANY_CHARACTERS}{ONE_CHARACTER}])+")


def fold_characters(text: str) -> str:
    """``text`` without case, accents and ligatures: ``"Été"`` gives ``"ete"``."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def fold_words(text: str) -> list[str]:
    """The words of ``text``, folded, in order: ``"L'Été à Paris"`` gives ``["l", "ete", "a", "paris"]``."""
    return [word[:MAX_WORD_LENGTH] for word in _WORD.findall(fold_characters(text))]


def pair_words(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each word with the next one, which is empty for the last word."""
    return pairwise([*words, ""])


def fold_pattern(pattern: str) -> list[str]:
    """The words of ``pattern``, folded as by :func:`fold_words`, with their wildcards."""
    return [
        word if has_wildcard(word) else word[:MAX_WORD_LENGTH]
        for word in _WORD_PATTERN.findall(fold_characters(pattern))
    ]


def extra_word_field(column: str) -> str:
    """The name under which the words of a column of extra metadata are indexed."""
    folded = " ".join(fold_words(column))
    return f"x:{hashlib.sha256(folded.encode()).hexdigest()[:14]}"


def index_item_words(session: Session, item: Item) -> None:
    """Rewrites the index rows of ``item``'s text fields and extra metadata."""
    session.flush()
    session.execute(delete(ItemWord).where(ItemWord.item_id == item.id))
    texts = {field: getattr(item, field) or "" for field in TEXT_FIELDS}
    texts |= {extra_word_field(name): str(value) for name, value in item.extra.items()}
    rows: list[dict[str, Any]] = [
        {"field": field, "word": word, "next_word": next_word, "item_id": item.id, "position": position}
        for field, text in texts.items()
        for position, (word, next_word) in enumerate(pair_words(fold_words(text)))
    ]
    if rows:
        session.execute(insert(ItemWord), rows)
        _add_distinct_words(session, {(row["field"], row["word"]) for row in rows})


def _add_distinct_words(session: Session, words: Set[tuple[str, str]]) -> None:
    """Adds the words, with their fields, that no item had so far."""
    if session.info.get(IS_ROLLED_BACK):
        return  # other processes that add one of the words would wait for the end of this session
    insert_new = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    # In one order, so that two processes that add the words of one item each can't deadlock.
    rows = [{"field": field, "word": word} for field, word in sorted(words)]
    session.execute(insert_new(DistinctWord).on_conflict_do_nothing(), rows)


def remove_unused_words(session: Session) -> None:
    """Removes the words that no item has any more, in a transaction of its own.

    Processes that add words wait until it ends, so that no word of theirs is removed. If one of them, such as an
    ingest, doesn't end within seconds, nothing is removed: an unused word does no harm.
    """
    if session.get_bind().dialect.name != "sqlite":  # where other writers wait anyway
        try:
            with session.begin_nested():
                session.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
                session.execute(text("LOCK TABLE distinct_words IN SHARE ROW EXCLUSIVE MODE"))
        except OperationalError:
            return
    is_used = exists().where(ItemWord.field == DistinctWord.field, ItemWord.word == DistinctWord.word)
    session.execute(delete(DistinctWord).where(~is_used))
