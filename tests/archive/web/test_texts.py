"""Texts, static files and scripts of others."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import archive.web
from archive.catalogue.query.status_predicates import FILE_MISSING
from archive.catalogue.schema.vocabularies import Access, Decision, DerivativeKind, EventType, Role, TaskStatus, View
from archive.review_queue import DECIDED_IN_GRID, sort_orders
from archive.settings import Settings
from archive.web.static_files import asset_url, static_files
from archive.web.translations import Texts, _languages, choose_language, known_languages

WEB = Path(archive.web.__file__).parent
SECTIONS_OF_SCRIPTS = {"batch_page.js": "batch", "picture_viewer.js": "picture", "queue_page.js": "queue"}


def test_every_language_has_every_text_with_the_same_places() -> None:
    english = _languages()["en"]
    assert known_languages() == {"de": "Deutsch", "en": "English"}
    for language in known_languages():
        texts = _languages()[language]
        assert texts.keys() == english.keys()
        for key, text in texts.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key])), key


def test_every_text_that_a_page_names_exists() -> None:
    english = _languages()["en"]
    pages = [*WEB.glob("templates/*.html"), *WEB.glob("*.py")]
    named = {
        key
        for page in pages
        for key in re.findall(
            r"""(?:\bt|texts)\(f?["']([a-z]+\.[a-z_0-9]+)["']\s*[,)]""", page.read_text(encoding="utf-8")
        )
    }
    for script, section in SECTIONS_OF_SCRIPTS.items():
        text = (WEB / "static" / script).read_text(encoding="utf-8")
        named |= {f"{section}.{key}" for key in re.findall(r"\btexts\.([a-z_]+)", text)}
    assert len(named) > 100
    assert named <= english.keys()


def test_every_value_of_the_catalogue_that_a_page_shows_has_a_text() -> None:
    values = {
        "batch": {*TaskStatus, "interrupted"},
        "access": set(Access),
        "event": set(EventType) - {EventType.MODEL_REGISTRATION, EventType.ALIAS_CHANGE, EventType.DEACCESSION},
        "kind": set(DerivativeKind),
        "metric": {*sort_orders(), "psnr", "ssim", "content_ssim"} - {"accession_number"},
        "review": set(Decision),
        "reason": {*Settings.rejection_reasons, DECIDED_IN_GRID},
        "role": set(Role),
        "status": {"failed", "stale", "restored", "withdrawn", FILE_MISSING, "refused", "unrestored"},
        "view": set(View),
    }
    english = _languages()["en"]
    for section, expected in values.items():
        assert {f"{section}.{value}" for value in expected} <= english.keys()


def test_numbers_have_the_separators_of_the_language() -> None:
    assert (Texts("en").number(1234.567, 2), Texts("de").number(1234.567, 2)) == ("1,234.57", "1.234,57")
    assert (Texts("en").percent(0.104), Texts("de").percent(0.104)) == ("10.4%", "10,4 %")
    assert Texts("de").percent(0.0003) == "0,03 %"


def test_the_language_is_the_chosen_one_else_the_first_known() -> None:
    assert choose_language("de", "en") == "de"
    assert choose_language("xx", "fr, de-AT;q=0.8, en;q=0.5") == "de"
    assert choose_language(None, None) == "en"


def test_scripts_of_others_are_as_they_were_published() -> None:
    record = json.loads((WEB / "vendored" / "vendored.json").read_text(encoding="utf-8"))
    assert record["licence"] == "BSD-3-Clause"
    for name, file in record["files"].items():
        assert hashlib.sha256((WEB / "vendored" / name).read_bytes()).hexdigest() == file["sha256"]
    axe = Path(__file__).parent / "vendored"
    assert hashlib.sha256((axe / "axe.min.js").read_bytes()).hexdigest() in (axe / "README.md").read_text(
        encoding="utf-8"
    )


def test_pages_load_nothing_from_elsewhere() -> None:
    for page in (*WEB.glob("templates/*.html"), *WEB.glob("static/*.css"), *WEB.glob("static/*.js")):
        assert not re.search(r"""https?://|["'(]//""", page.read_text(encoding="utf-8")), page
    assert set(static_files()) >= {"style.css", "openseadragon.min.js", "queue_page.js", "icon.svg"}
    assert re.fullmatch(r"/static/style\.css\?v=[0-9a-f]{12}", asset_url("style.css"))
