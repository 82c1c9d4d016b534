from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.catalogue.edtf_dates import EARLIEST_DAY, LATEST_DAY, date_range


@pytest.mark.parametrize(
    ("edtf", "first", "last"),
    [
        ("1906", 19060101, 19061231),
        (" 1906 ", 19060101, 19061231),
        ("1906~", 19060101, 19061231),
        ("1906?", 19060101, 19061231),
        ("1906%", 19060101, 19061231),
        ("190X", 19000101, 19091231),
        ("19XX", 19000101, 19991231),
        ("1906-02", 19060201, 19060228),
        ("1904-02-29", 19040229, 19040229),
        ("1906-21", 19060301, 19060531),
        ("1905/1908", 19050101, 19081231),
        ("190X/191X", 19000101, 19191231),
        ("../1910", EARLIEST_DAY, 19101231),
        ("/1910", EARLIEST_DAY, 19101231),
        ("1906/..", 19060101, LATEST_DAY),
        ("1906/", 19060101, LATEST_DAY),
        ("[1906,1908]", 19060101, 19081231),
        ("[..1906]", EARLIEST_DAY, 19061231),
        ("-0100", -999899, -998769),
        ("Y17E8", LATEST_DAY, LATEST_DAY),
    ],
)
def test_a_date_covers_all_days_that_it_may_mean(edtf: str, first: int, last: int) -> None:
    assert date_range(edtf) == (first, last)


@pytest.mark.parametrize(
    "text", ["", "  ", "c. 1906", "1906-13", "1906-02-29", "1906-02-30/1907", "unknown", "..", "/", "../..", "1" * 300]
)
def test_what_is_no_edtf_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid EDTF date"):
        date_range(text)


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it starts"):
        date_range("1930/1920")


@given(st.text(alphabet="0123456789X~?%-/.,[]{}YTES:Z ", max_size=15))
def test_any_text_is_a_date_or_a_value_error(text: str) -> None:
    try:
        first, last = date_range(text)
    except ValueError:
        return
    assert EARLIEST_DAY <= first <= last <= LATEST_DAY


def test_reading_a_date_warns_of_nothing() -> None:
    read = "from archive.catalogue.edtf_dates import date_range; date_range('1906~')"
    subprocess.run([sys.executable, "-W", "error", "-c", read], check=True)
