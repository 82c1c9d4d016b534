"""Scores, lines of the history and mistakes of queries in the visitor's language."""

from __future__ import annotations

import pytest

from archive.catalogue.query.lucene_parser import parse_tree
from archive.errors import QueryError
from archive.web.stored_values import event_detail, query_mistake, score_value
from archive.web.translations import Texts

GERMAN, ENGLISH = Texts("de"), Texts("en")
DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("event_type", "detail", "german"),
    [
        ("review", f"accepted, SHA-256 {DIGEST}", f"angenommen, SHA-256 {DIGEST}"),
        ("review", f"rejected, SHA-256 {DIGEST}: too smooth", f"abgelehnt, SHA-256 {DIGEST}: zu glatt"),
        ("review", f"rejected, SHA-256 {DIGEST}: a lost hand", f"abgelehnt, SHA-256 {DIGEST}: a lost hand"),
        ("deletion", f"withdrawn, SHA-256 {DIGEST}: a wish", f"zurückgezogen, SHA-256 {DIGEST}: a wish"),
        (
            "withdrawal lifted",
            "agreed; it was withdrawn for this reason: a wish",
            "agreed; zurückgezogen war es aus diesem Grund: a wish",
        ),
        ("fixity check", "/scans/a.tif: as recorded", "/scans/a.tif: wie aufgezeichnet"),
        ("fixity check", "/scans/a.tif: found again, as recorded", "/scans/a.tif: wiedergefunden, wie aufgezeichnet"),
        ("derivation", f"recipe {DIGEST} of denoise-deblur@2.1", f"Rezept {DIGEST}, denoise-deblur@2.1"),
        (
            "ingestion",
            f"from a.tif, SHA-256 {DIGEST}; items.csv line 2",
            f"aus a.tif, SHA-256 {DIGEST}; items.csv line 2",
        ),
        (
            "metadata modification",
            "promoted from batch 3: counts from now on",
            "aus Stapel 3 übernommen: zählt von nun an",
        ),
        ("metadata modification", "with a.tif: title: none -> House", "with a.tif: title: none -> House"),
    ],
)
def test_fixed_sentences_of_the_history_are_translated_and_free_text_is_not(
    event_type: str, detail: str, german: str
) -> None:
    event = {"type": event_type, "detail": detail}
    assert event_detail(GERMAN, event) == german
    assert event_detail(ENGLISH, event) == detail


def test_a_score_has_a_decimal_comma_in_german_and_shares_are_percent() -> None:
    score = {"metric": "psnr", "value": 31.2, "detail": None}
    share = {"metric": "smoothed_share", "value": 0.104, "detail": None}
    assert [score_value(GERMAN, each) for each in (score, share, None)] == ["31,20 dB", "10,4 %", "–"]
    assert [score_value(ENGLISH, each) for each in (score, share, None)] == ["31.20 dB", "10.4%", "–"]


def test_a_mistake_of_a_query_names_its_place_in_german_and_its_reason_in_english() -> None:
    with pytest.raises(QueryError) as caught:
        parse_tree("colour:red")
    german = query_mistake(GERMAN, caught.value)
    assert german.startswith("Die Abfrage hat einen Fehler beim Zeichen 1, 'colour:red' (englische Meldung): No field")
    assert query_mistake(ENGLISH, caught.value) == str(caught.value)
