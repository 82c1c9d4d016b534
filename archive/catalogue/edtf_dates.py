"""Dates of photographs in EDTF, and the range of days that each may mean."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any

EARLIEST_DAY = -99_999_999
LATEST_DAY = 99_999_999

_LONGEST = 200
_WHOLE_DAY = re.compile(r"(?<![\dX-])\d{4}-\d{2}-\d{2}(?!\d)")


def date_range(edtf: str) -> tuple[int, int]:
    """The first and the last day that ``edtf`` may mean, each ``year * 10000 + month * 100 + day``.

    ``1906~`` is all of 1906 and ``190X`` ten years. An end that is open or unknown (``1906/..``, ``/1910``) reaches to
    :data:`EARLIEST_DAY` or :data:`LATEST_DAY`, and so do years before -9999 and after 9999.

    Raises:
        ValueError: it is not a valid EDTF date, names a day that does not exist, or ends before it starts.
    """
    text = edtf.strip()
    start, slash, end = text.partition("/")
    if slash:  # the library gives an unknown end ten years; what is unknown may as well be further off
        text = f"{start or '..'}/{end or '..'}"
    if text in ("", "../..") or len(text) > _LONGEST:
        raise ValueError(_complaint(edtf))
    parse, parse_error = _parser()
    try:
        for day in _WHOLE_DAY.findall(text):
            date.fromisoformat(day)
        parsed = parse(text)
        first, last = _day(parsed.lower_strict()), _day(parsed.upper_strict())
    # The library answers some inputs that are no dates with errors of its inner workings.
    except (parse_error, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(_complaint(edtf)) from error
    if last < first:
        raise ValueError(f"the date {edtf!r} ends before it starts")
    return first, last


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
    """The library's parser and its error, loaded only where a date is to be read: it takes a tenth of a second."""
    with warnings.catch_warnings():
        # The grammar names groups in a way that newer versions of pyparsing remark on.
        warnings.filterwarnings("ignore", message=r"warn_\w+:", category=UserWarning)
        from edtf import parse_edtf
        from edtf.parser.edtf_exceptions import EDTFParseException
    return parse_edtf, EDTFParseException
