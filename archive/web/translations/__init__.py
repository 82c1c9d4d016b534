"""The texts of all pages, one TOML file per language; a translation is added by adding a file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

DEFAULT_LANGUAGE = "en"


class Texts:
    """The texts of one language; English where one is missing."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key such as ``queue.accept``, with its ``{places}`` filled."""
        languages = _languages()
        text = languages[self.language].get(key) or languages[DEFAULT_LANGUAGE][key]
        return text.format(**values) if values else text

    def value(self, section: str, value: str) -> str:
        """The text of a stored value such as ``open`` of the section ``access``; the value itself if it has none."""
        key = f"{section}.{value}"
        return self(key) if key in _languages()[DEFAULT_LANGUAGE] else value

    def number(self, value: float, decimals: int = 0) -> str:
        """A number with the separators of the language, such as ``1,234.5``."""
        signs = {",": self("language.thousands"), ".": self("language.decimal")}
        return "".join(signs.get(sign, sign) for sign in f"{value:,.{decimals}f}")

    def percent(self, share: float) -> str:
        """A share from 0 to 1 as percent, with two decimals below 1 %."""
        return self("language.percent", value=self.number(100 * share, 2 if 0 < share < 0.01 else 1))

    def section(self, name: str) -> dict[str, str]:
        """All texts of a section, by their keys without it: what scripts of a page need."""
        prefix = f"{name}."
        both = {**_languages()[DEFAULT_LANGUAGE], **_languages()[self.language]}
        return {key.removeprefix(prefix): text for key, text in both.items() if key.startswith(prefix)}


def known_languages() -> dict[str, str]:
    """The languages that there are, each with its own name."""
    return {language: texts["language.name"] for language, texts in _languages().items()}


def choose_language(chosen: str | None, accepted: str | None) -> str:
    """The language chosen by hand, else the first of the header ``Accept-Language`` that there is, else English."""
    languages = _languages()
    if chosen in languages:
        return str(chosen)
    for part in (accepted or "").split(",")[:20]:
        language = part.split(";")[0].split("-")[0].strip().lower()
        if language in languages:
            return language
    return DEFAULT_LANGUAGE


@cache
def _languages() -> dict[str, dict[str, str]]:
    found = {}
    for file in sorted(files(__name__).iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            found[file.name.removesuffix(".toml")] = _flat(tomllib.loads(file.read_text(encoding="utf-8")))
    return found


def _flat(content: dict[str, Any]) -> dict[str, str]:
    return {f"{section}.{key}": text for section, texts in content.items() for key, text in texts.items()}
