"""Dates of photographs in EDTF, and the range of days that a date covers."""

from __future__ import annotations

import re
import time
import warnings
from calendar import monthrange
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache
from typing import Any

EARLIEST_DAY = -99_999_999
LATEST_DAY = 99_999_999

_LONGEST = 200
# EDTF has no other letters, and a year has four digits. This check rejects invalid dates before the slow parser runs.
_POSSIBLE = re.compile(r"(?!\d{1,3}(?![\dX]))[\dX~?%/.,\[\]{}YTESZ:+ -]+")
_SIMPLE = re.compile(
    r"(?P<year>[1-9]\d{3})(?:-(?P<month>0[1-9]|1[0-2])(?:-(?P<day>\d{2}))?)?[~?%]?"
    r"|(?P<decade>[1-9]\d{2})X|(?P<century>[1-9]\d)XX"
)
_WHOLE_DAY = re.compile(r"(?<![\dX-])\d{4}-\d{2}-\d{2}(?!\d)")


@lru_cache(maxsize=65_536)
def date_range(edtf: str) -> tuple[int, int]:
    """The first and the last day that ``edtf`` covers, each ``year * 10000 + month * 100 + day``.

    ``1906~`` is all of 1906, and ``190X`` ten years. An open or unknown end (``1906/..``, ``/1910``) is
    :data:`EARLIEST_DAY` or :data:`LATEST_DAY`, and so are years before -9999 and after 9999.

    Raises:
        ValueError: it is not a valid EDTF date, names a day that does not exist, or ends before it starts.
    """
    text = edtf.strip()
    start, slash, end = text.partition("/")
    if slash:  # the library assumes ten years for an unknown end, which may be further away
        text = f"{start or '..'}/{end or '..'}"
    if text in ("", "../..") or len(text) > _LONGEST or not _POSSIBLE.fullmatch(text):
        raise ValueError(_complaint(edtf))
    try:
        for day in _WHOLE_DAY.findall(text):
            date.fromisoformat(day)
        first, last = _simple_range(text) or _parsed_range(text)
    # For some invalid dates the library raises internal errors.
    except (_parser()[1], ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(_complaint(edtf)) from error
    if last < first:
        raise ValueError(f"the date {edtf!r} ends before it starts")
    return first, last


def _simple_range(text: str) -> tuple[int, int] | None:
    """The range of a year, month, day, decade or century, or of an interval of these; None for any other date.

    Nearly all dates have these forms, and the library is a hundred times slower.
    """
    start, slash, end = text.partition("/")
    if slash and "X" in text:
        return None
    first = (EARLIEST_DAY, EARLIEST_DAY) if slash and start == ".." else _simple_date(start)
    last = first if not slash else (LATEST_DAY, LATEST_DAY) if end == ".." else _simple_date(end)
    return None if first is None or last is None else (first[0], last[1])


def _simple_date(text: str) -> tuple[int, int] | None:
    found = _SIMPLE.fullmatch(text)
    if found is None:
        return None
    if found["year"] is None:
        low, years = (int(found["decade"]) * 10, 10) if found["decade"] else (int(found["century"]) * 100, 100)
        return low * 10_000 + 101, (low + years - 1) * 10_000 + 1231
    year = int(found["year"])
    if found["month"] is None:
        return year * 10_000 + 101, year * 10_000 + 1231
    month = int(found["month"])
    if found["day"] is not None:
        day = year * 10_000 + month * 100 + int(found["day"])
        return day, day
    return year * 10_000 + month * 100 + 1, year * 10_000 + month * 100 + monthrange(year, month)[1]


def _parsed_range(text: str) -> tuple[int, int]:
    """The range of any date, computed by the library."""
    parsed = _parser()[0](text)
    return _day(parsed.lower_strict()), _day(parsed.upper_strict())


def _complaint(edtf: str) -> str:
    return (
        f"{edtf[:_LONGEST]!r} is not a valid EDTF date. "
        "Write it as in 1906, 1906-05, 1906-05-12, 1906~, 190X or 1905/1908"
    )


def _day(moment: time.struct_time | float) -> int:
    if isinstance(moment, float):  # minus or plus infinity: an open end
        return EARLIEST_DAY if moment < 0 else LATEST_DAY
    day = moment.tm_year * 10_000 + moment.tm_mon * 100 + moment.tm_mday
    return min(max(day, EARLIEST_DAY), LATEST_DAY)


@cache
def _parser() -> tuple[Callable[[str], Any], type[Exception]]:
    """The library's parser and its error class, imported only when needed because that takes a tenth of a second."""
    with warnings.catch_warnings():
        # Newer versions of pyparsing warn about the grammar's group names.
        warnings.filterwarnings("ignore", message=r"warn_\w+:", category=UserWarning)
        from edtf import parse_edtf
        from edtf.parser import parser_classes
        from edtf.parser.edtf_exceptions import EDTFParseException
    # The library prints some invalid dates on standard output, which is for results. Its module gets its own print,
    # because redirecting standard output would affect other threads.
    vars(parser_classes)["print"] = lambda *_: None
    return parse_edtf, EDTFParseException
