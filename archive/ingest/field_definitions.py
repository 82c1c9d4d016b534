"""The columns that ingest knows, and how the value of a cell is parsed and validated."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from archive.catalogue.item_details import ITEM_FIELDS
from archive.catalogue.schema.vocabularies import Access, Polarity, View
from restoration.image import Area

ITEM_COLUMNS = tuple(name for name in ITEM_FIELDS if name != "date_text")
"""Columns about the photograph, each an attribute of an item; the others are about one scan."""

COLUMNS = ("filename", "accession_number", "sequence", "view", *ITEM_COLUMNS, "picture_area", "reference")
"""All columns that are known; others are kept as extra metadata of the item."""

REPEATABLE = ("title", "creator", "description", "place", "process", "rights")
"""Columns of text whose repeated values are joined."""

CHOICES: Mapping[str, type[StrEnum]] = {"view": View, "polarity": Polarity, "access": Access}

_LONGEST_EXACT = 500  # characters in a column that databases index whole
_LARGEST_SEQUENCE = 999_999


def check_value(name: str, value: str) -> Any:
    """The parsed value of a non-empty cell. Dates are parsed elsewhere.

    Raises:
        ValueError: it isn't allowed there; the message goes on after the value.
    """
    if "\0" in value:
        raise ValueError("holds a NUL character. Remove it.")
    return _CHECKS[name](value) if name in _CHECKS else value


def _choice(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def check(value: str) -> StrEnum:
        try:
            return kind(value.casefold())
        except ValueError:
            raise ValueError(f"is not one of {', '.join(kind)}") from None

    return check


def _sequence(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and 1 <= int(value) <= _LARGEST_SEQUENCE):
        raise ValueError(f"is not a whole number from 1 to {_LARGEST_SEQUENCE}")
    return int(value)


def _area(value: str) -> Area:
    parts = value.split()
    whole = all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts)
    if len(parts) != 4 or not whole or 0 in (int(parts[2]), int(parts[3])):
        raise ValueError("is not `x y w h`: four whole numbers of pixels, w and h above 0")
    x, y, width, height = (int(part) for part in parts)
    return Area(x=x, y=y, width=width, height=height)


def _exact(value: str) -> str:
    if len(value) > _LONGEST_EXACT:
        raise ValueError(f"has {len(value)} characters, and at most {_LONGEST_EXACT} are allowed")
    # Spreadsheets and file systems write é in two ways; one number must not become two.
    return unicodedata.normalize("NFC", value)


_CHECKS: Mapping[str, Callable[[str], Any]] = {
    "accession_number": _exact,
    "sequence": _sequence,
    "collection": _exact,
    "picture_area": _area,
    **{name: _choice(kind) for name, kind in CHOICES.items()},
}
