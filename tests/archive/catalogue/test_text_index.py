from __future__ import annotations

import pytest
from sqlalchemy import select, text

from archive.catalogue import Catalogue
from archive.catalogue.query.text_index import MAX_WORD_LENGTH, fold_words, index_item_words
from archive.catalogue.schema.text_index_tables import DistinctWord, ItemWord
from tests.catalogue_rows import add_item


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("L'Été à Paris", ["l", "ete", "a", "paris"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("cotton_field, no. 12-b", ["cotton", "field", "no", "12", "b"]),
        ("ﬁlm №2", ["film", "no2"]),
        ("Ёлка 写真", ["елка", "写真"]),
        (" … ", []),
        ("x" * 5000, ["x" * MAX_WORD_LENGTH]),
    ],
)
def test_words_are_folded_without_case_and_accents(written: str, words: list[str]) -> None:
    assert fold_words(written) == words


def test_reindexing_replaces_an_items_words(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        other = add_item(session, "B", title="other")
        item = add_item(session, "A", title="the old old title", creator="Lange")
        item.title = "New title"
        item.place = "x" * 5000
        index_item_words(session, item)
    with catalogue.reading() as session:
        rows = session.execute(
            select(ItemWord.field, ItemWord.word, ItemWord.next_word, ItemWord.position).where(
                ItemWord.item_id == item.id
            )
        )
        assert {tuple(row) for row in rows} == {
            ("title", "new", "title", 0),
            ("title", "title", "", 1),
            ("creator", "lange", "", 0),
            ("place", "x" * MAX_WORD_LENGTH, "", 0),
        }
        assert session.scalars(select(ItemWord.word).where(ItemWord.item_id == other.id)).all() == ["other"]


def test_each_word_of_a_field_is_once_among_the_distinct_words(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A", title="the old old title")
        add_item(session, "B", title="old", creator="Old")
    with catalogue.reading() as session:
        rows = session.execute(select(DistinctWord.field, DistinctWord.word).order_by(DistinctWord.word))
        assert sorted(map(tuple, rows)) == [
            ("creator", "old"),
            ("title", "old"),
            ("title", "the"),
            ("title", "title"),
        ]


def test_a_dry_run_blocks_nobody_with_its_new_words(catalogue: Catalogue) -> None:
    with catalogue.trying() as trial:
        add_item(trial, "A", title="zebra", masters=0)
        with catalogue.session() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(text("SET LOCAL lock_timeout = '5s'"))
            add_item(session, "B", title="zebra", masters=0)
    with catalogue.reading() as session:
        assert session.scalars(select(DistinctWord.word)).all() == ["zebra"]
