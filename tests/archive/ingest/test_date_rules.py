"""Dates as museums write them, each with the EDTF that it means, or left as text."""

from __future__ import annotations

import pytest

from archive.catalogue.edtf_dates import date_range
from archive.ingest.date_rules import read_date

SURE = {
    # about
    "ca. 1906": "1906~",
    "c.1906": "1906~",
    "circa 1906": "1906~",
    "about 1906": "1906~",
    "um 1906": "1906~",
    "vers 1906": "1906~",
    "hacia 1906": "1906~",
    "omstreeks 1906": "1906~",
    "1906 ca.": "1906~",
    "about May 1906": "1906-05~",
    "ca. 1880er": "188X~",
    # in doubt, or supplied by the cataloguer
    "1906?": "1906?",
    "1906 (?)": "1906?",
    "probably 1906": "1906?",
    "vermutlich 1906": "1906?",
    "vermutlich um 1906": "1906%",
    "vermutl. 1920": "1920?",
    "1911 ?": "1911?",
    "1905 / 1908": "1905/1908",
    "ca. 1906?": "1906%",
    "[1906]": "1906",
    "[1906?]": "1906?",
    "[ca. 1906]": "1906~",
    # ranges
    "1906-1910": "1906/1910",
    "1906–1910": "1906/1910",
    "1906–10": "1906/1910",
    "1914-18": "1914/1918",
    "1925/26": "1925/1926",
    "um 1925/26": "1925~/1926~",
    "1906 bis 1910": "1906/1910",
    "1906 to 1910": "1906/1910",
    "from 1906 to 1910": "1906/1910",
    "between 1906 and 1910": "1906/1910",
    "zwischen 1906 und 1910": "1906/1910",
    "zw. 1906 und 1910": "1906/1910",
    "zwischen 1906 u. 1910": "1906/1910",
    "entre 1906 et 1910": "1906/1910",
    "entre 1906 y 1910": "1906/1910",
    "tussen 1906 en 1910": "1906/1910",
    "ca. 1906-1910": "1906~/1910~",
    "Mai bis Juni 1906": "1906-05/1906-06",
    "December 1905–January 1906": "1905-12/1906-01",
    # one of two
    "1906 or 1907": "[1906,1907]",
    "1906 oder 1907": "[1906,1907]",
    "1906 ou 1907": "[1906,1907]",
    "1906 o 1907": "[1906,1907]",
    "1906 of 1907": "[1906,1907]",
    # open ends
    "before 1910": "../1909",
    "vor 1910": "../1909",
    "avant 1910": "../1909",
    "antes de 1910": "../1909",
    "voor 1910": "../1909",
    "before May 1906": "../1906-04",
    "vor dem 12.05.1906": "../1906-05-11",
    "bis 1910": "../1910",
    "after 1910": "1911/..",
    "nach 1910": "1911/..",
    "après 1910": "1911/..",
    "después de 1910": "1911/..",
    "na 1910": "1911/..",
    "ab 1910": "1910/..",
    "not before 1906": "1906/..",
    # decades and centuries
    "1900s": "190X",
    "1920s": "192X",
    "1900er": "190X",
    "1920er Jahre": "192X",
    "années 1920": "192X",
    "años 1920": "192X",
    "jaren 1920": "192X",
    "1800s": "18XX",
    "early 1920s": "1920~/1923~",
    "190-": "190X",
    "19. Jh.": "18XX",
    "19th century": "18XX",
    "XIXe siècle": "18XX",
    "siglo XIX": "18XX",
    "19e eeuw": "18XX",
    "early 20th century": "1900~/1933~",
    "Anfang 20. Jh.": "1900~/1933~",
    "Anf. 20. Jh.": "1900~/1933~",
    "1. Drittel 20. Jh.": "1900~/1933~",
    "letztes Drittel des 19. Jahrhunderts": "1866~/1899~",
    "Ende des 19. Jahrhunderts": "1866~/1899~",
    "2. Hälfte 19. Jh.": "1850/1899",
    "first half of the 20th century": "1900/1949",
    # days, months, seasons
    "12.05.1906": "1906-05-12",
    "1.5.1906": "1906-05-01",
    "25/12/1906": "1906-12-25",
    "12/25/1906": "1906-12-25",
    "5/5/1906": "1906-05-05",
    "1. Mai 1906": "1906-05-01",
    "May 12, 1906": "1906-05-12",
    "12th May 1906": "1906-05-12",
    "1er mai 1906": "1906-05-01",
    "12 de mayo de 1906": "1906-05-12",
    "12 mei 1906": "1906-05-12",
    "1906-05-12 00:00:00": "1906-05-12",
    "00.05.1906": "1906-05",
    "1906-00-00": "1906",
    "1906.0": "1906",
    "May 1906": "1906-05",
    "Mai 1906": "1906-05",
    "Sept. 1906": "1906-09",
    "août 1906": "1906-08",
    "mayo de 1906": "1906-05",
    "maart 1906": "1906-03",
    "Summer 1906": "1906-22",
    "été 1906": "1906-22",
    "Frühjahr 1906": "1906-21",
    "herfst 1906": "1906-23",
    "Winter 1906/07": "1906-12/1907-02",
    "1910-05": "1910-05",
}
NO_DATE = ("n.d.", "o.J.", "o. J.", "s.d.", "s. f.", "z.j.", "undatiert", "sin fecha", "unknown")
LEFT_AS_TEXT = {
    "5/12/1906": "day_first",
    "1-5-1906": "day_first",
    "1906-10": "1906/1910",
    "1906-21": "1906/1921",
    "1906/07": "EDTF",
    "1906-99": "EDTF",
    "1906-1905": "EDTF",
    "19O6": "EDTF",
    "190?": "EDTF",
    "-1906": "EDTF",
    "12.05.06": "EDTF",
    "31.02.1906": "no day 31",
    "1906-02-30": "no day 30",
    "2906": "future",
    "1700s": "17XX",
    "early 1900s": "EDTF",
    "Winter 1906": "two years",
    "Ostern 1906": "EDTF",
    "1906 oder später": "EDTF",
    "1906 (Abzug 1930)": "EDTF",
    "1906, 1907": "EDTF",
    "um die Jahrhundertwende": "EDTF",
    "13.13.1906": "no",
}


@pytest.mark.parametrize(("text", "edtf"), SURE.items())
def test_usual_forms_become_edtf(text: str, edtf: str) -> None:
    reading = read_date(text, is_edtf=False)
    assert (reading.edtf, reading.is_sure) == (edtf, True)
    date_range(edtf)


@pytest.mark.parametrize("text", NO_DATE)
def test_no_date_is_understood_as_none(text: str) -> None:
    reading = read_date(text, is_edtf=False)
    assert (reading.edtf, reading.is_sure) == (None, True)


@pytest.mark.parametrize(("text", "advice"), LEFT_AS_TEXT.items())
def test_what_no_rule_is_sure_of_stays_text_with_advice(text: str, advice: str) -> None:
    reading = read_date(text, is_edtf=False)
    assert (reading.edtf, reading.is_sure) == (None, False)
    assert advice in reading.advice


@pytest.mark.parametrize(
    ("text", "day_first", "edtf"),
    [
        ("5/12/1906", True, "1906-12-05"),
        ("5/12/1906", False, "1906-05-12"),
        ("12.05.1906", True, "1906-05-12"),
        ("25/12/1906", False, None),
    ],
)
def test_the_stated_order_of_day_and_month_decides(text: str, day_first: bool, edtf: str | None) -> None:
    assert read_date(text, day_first=day_first, is_edtf=False).edtf == edtf


def test_a_column_of_edtf_is_taken_as_it_is() -> None:
    for edtf in ("1906-10", "1906-21", "190X", "1906~", "1906/..", "[1906,1907]"):
        assert read_date(edtf).edtf == edtf


def test_case_and_spaces_change_nothing() -> None:
    for text in (*SURE, *NO_DATE, *LEFT_AS_TEXT):
        for changed in (text.upper(), text.lower(), f"  {text} ", text.replace(" ", "\u00a0")):
            assert read_date(changed, is_edtf=False).edtf == read_date(text, is_edtf=False).edtf, changed
