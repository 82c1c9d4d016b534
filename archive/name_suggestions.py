"""Suggests known names for a mistyped or shortened one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_MOST_NAMED: Final = 3
_SHORTEST_PART: Final = 3  # letters; shorter ones are part of too many names


def suggest(word: str, known: Iterable[str]) -> str:
    """``Did you mean 'show'?`` with the known names that are nearest to ``word``; empty if none is near.

    Near are names of a similar spelling, then those that contain the word, hyphens and spaces aside.
    """
    names = list(known)
    part = _letters(word)
    containing = [name for name in names if part in _letters(name)] if len(part) >= _SHORTEST_PART else []
    near = list(dict.fromkeys([*get_close_matches(word.casefold(), names, n=_MOST_NAMED), *containing]))[:_MOST_NAMED]
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
