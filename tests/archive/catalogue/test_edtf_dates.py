from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest
from edtf import parse_edtf
from edtf.parser.edtf_exceptions import EDTFParseException
from hypothesis import given, settings
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
def test_an_invalid_edtf_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid EDTF date"):
        date_range(text)


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it starts"):
        date_range("1930/1920")


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[12][0-9]{3}(-(0[1-9]|1[0-2])(-[0-3][0-9])?)?[~?%]?", fullmatch=True),
            st.from_regex(r"[12]([0-9]{2}X|[0-9]XX)[~?%]?", fullmatch=True),
        ),
        min_size=1,
        max_size=2,
    )
)
def test_simple_dates_are_read_as_the_library_reads_them(dates: list[str]) -> None:
    text = "/".join(dates)
    try:
        parsed = parse_edtf(text)
        expected = [
            m.tm_year * 10_000 + m.tm_mon * 100 + m.tm_mday for m in (parsed.lower_strict(), parsed.upper_strict())
        ]
        valid = expected[0] <= expected[1] and all(date.fromisoformat(each[:10]) for each in dates if len(each) >= 10)
    except (EDTFParseException, ValueError):
        valid = False
    if valid:
        assert list(date_range(text)) == expected
    else:
        with pytest.raises(ValueError, match=r"EDTF|ends before"):
            date_range(text)


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


def test_an_invalid_date_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="1906-X5"):
        date_range("1906-X5")
    assert capsys.readouterr().out == ""
