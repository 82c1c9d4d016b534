"""Rules that convert dates as museums write them, in five languages, to EDTF.

:func:`read_date` returns EDTF only if one rule is certain. Otherwise the date stays text, with advice on how to write
it. docs/reference/dates.md lists the rules; the languages are English, German, French, Spanish and Dutch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from archive.catalogue.edtf_dates import date_range
from archive.ingest.date_words import (
    ABOUT,
    AFTER,
    BEFORE,
    BETWEEN,
    CENTURY_PARTS,
    DECADE_ENDINGS,
    DOUBT,
    FROM,
    MONTHS,
    NO_DATE,
    OR_WORDS,
    SEASONS,
    TO_WORDS,
    UNTIL,
    WINTER,
    alternatives,
    fold_date,
)

_ROMAN = {"i": 1, "v": 5, "x": 10}
_EARLIEST_PHOTOGRAPH = 1800
_LONGEST_SHORT_RANGE = 50  # years


@dataclass(frozen=True, kw_only=True, slots=True)
class DateReading:
    """The result of parsing a date."""

    edtf: str | None
    """None if the text says that the date is unknown, or if no rule is certain."""
    is_sure: bool
    advice: str = ""
    """What to write instead; empty if the rule is certain."""


@dataclass(frozen=True, slots=True)
class _Point:
    """One date as EDTF without qualifiers, such as 1906, 1906-05, 1906-05-12, 190X."""

    edtf: str

    @property
    def is_plain(self) -> bool:
        return re.fullmatch(r"\d{4}(-\d{2}){0,2}", self.edtf) is not None


class _UnsureError(Exception):
    """No rule is certain; the message is the advice."""


_ADVICE = (
    "write it in EDTF, such as 1906, 1906-05, 1906-05-12, 1906~ (about), 190X or 1905/1908. Text is fine too: only "
    "date: doesn't find it"
)
_SPACE_IN_EDTF = re.compile(r"\s+(?=[?~%/,\]])|(?<=[/,\[])\s+")
_MONTH = rf"(?P<month>{alternatives(MONTHS)})\.?"
_YEAR = r"(?P<year>[12]\d{3})"
_DAY = r"(?P<day>\d{1,2})(?:\.|er|st|nd|rd|th)?"
_NUMERIC = re.compile(r"(?P<first>\d{1,2})(?P<mark>[./-])\s?(?P<second>\d{1,2})(?P=mark)\s?(?P<year>[12]\d{3})")
_DAY_MONTH = re.compile(rf"{_DAY}\s*(?:de |of )?{_MONTH},?\s*(?:de |del )?{_YEAR}")
_MONTH_DAY = re.compile(rf"{_MONTH}\s+{_DAY},?\s+{_YEAR}")
_MONTH_YEAR = re.compile(rf"{_MONTH},?\s*(?:de |del )?{_YEAR}")
_MONTH_NUMBER = re.compile(rf"(?P<number>0?[1-9]|1[0-2])\.\s?{_YEAR}|(?P<slash>\d{{1,2}})/(?P<slash_year>[12]\d{{3}})")
_ISO = re.compile(
    r"(?P<date>[12]\d{3}-\d{2}-\d{2})(?:[t ]0{1,2}:00(?::00(?:\.0+)?)?)?|(?P<slashed>[12]\d{3}/\d{1,2}/\d{1,2})"
)
_ZEROED = re.compile(r"(?P<year>[12]\d{3})-(?P<month>\d{2})-00|00\.(?P<german_month>\d{2})\.(?P<german_year>[12]\d{3})")
_SEASON = re.compile(
    rf"(?:in the |im |en |au |in de )?(?P<season>{alternatives(SEASONS)})(?: of| de| del| des)?,? {_YEAR}"
)
_WINTER = re.compile(
    rf"(?:{'|'.join(WINTER)})(?: of| de| del)?,? (?P<from>[12]\d{{3}})\s?[/-]\s?(?P<to>\d{{4}}|\d{{2}})"
)
_DECADE = re.compile(
    rf"(?:(?:the|les|annees|anos|los anos|jaren|de jaren|die|in den)\s)*(?P<decade>[12]\d{{2}}0)"
    rf"(?P<ending>{'|'.join(DECADE_ENDINGS)})"
    r"|(?:les annees|annees|los anos|anos|decada de|jaren|de jaren) (?P<bare>[12]\d{2}0)"
)
_DECADE_PART = re.compile(r"(?P<part>early|mid|late|anfang(?: der)?|mitte(?: der)?|ende(?: der)?)[ -](?P<rest>.+)")
_DASHED_DECADE = re.compile(r"(?P<decade>[12]\d{2})[-_?x]|(?P<century>[12]\d)[-_x?]{2}")
_CENTURY = re.compile(
    r"(?P<number>\d{1,2})(?:\.|st|nd|rd|th|e|eme|er)?\s?(?:century|cent\.?|c\.|jahrhunderts?|jhdts?\.?|jhd\.?|"
    r"jhs?\.?|siecle|s\.|eeuw)"
    r"|(?P<roman>[ivx]+)(?:e|eme|er)?\s?(?:siecle|s\.|eeuw)|(?:siglo|s\.)\s?(?P<spanish>[ivx]+|\d{1,2})"
)
_CENTURY_PART = re.compile(
    rf"(?P<part>{alternatives(CENTURY_PARTS)})[ -](?:of the |of |des |der |du |de la |del |van de )?(?P<rest>.+)"
)
_SHORT_RANGE = re.compile(r"(?P<from>[12]\d{3})(?P<mark>\s?[-–/]\s?)(?P<to>\d{2})")
_RANGE = re.compile(rf"(?P<from>.+?)(?:\s?(?:[–—]|--)\s?|\s-\s|\s(?:{'|'.join(TO_WORDS)})\s)(?P<to>.+)")
_YEAR_RANGE = re.compile(r"(?P<from>[12]\d{3})\s?[-/]\s?(?P<to>[12]\d{3})")
_BETWEEN = re.compile(
    rf"(?:{alternatives(BETWEEN)})\s(?P<from>.+?)\s(?:and|und|u\.|et|y|en|&)\s(?P<to>.+)"
    rf"|(?:from|von|de|van|desde)\s(?P<start>.+?)\s(?:{'|'.join(TO_WORDS)})\s(?P<end>.+)"
)
_OR = re.compile(rf"(?P<one>.+?)\s(?:{'|'.join(OR_WORDS)})\s(?P<other>.+)")
_ABOUT = re.compile(
    rf"(?:{alternatives(ABOUT)})\s?(?P<rest>.+)|(?P<before>[12]\d{{3}}) (?:ca\.?|circa|c\.)|~\s?(?P<tilde>.+)"
)
_DOUBT = re.compile(rf"(?P<rest>.+?)\s?(?:\(\?\)|\[\?\]|\?)|(?:{alternatives(DOUBT)})\s(?P<word>.+)")
_LIMITS: Mapping[str, str] = {
    "before": alternatives(BEFORE),
    "until": alternatives(UNTIL),
    "after": alternatives(AFTER),
    "from": alternatives(FROM),
}
_LIMIT = re.compile("|".join(rf"(?P<{name}>(?:{words})\s(?P<{name}_rest>.+))" for name, words in _LIMITS.items()))
_MAYBE_EDTF = re.compile(r"[12]\d{3}-\d{2}|-.*")  # which may be a range of years, or lack its beginning


@lru_cache(maxsize=65_536)
def read_date(text: str, *, day_first: bool | None = None, is_edtf: bool = True) -> DateReading:
    """Read one date.

    Args:
        text: the table's words.
        day_first: the order of 5/12/1906, where the museum has stated it.
        is_edtf: the column is known to hold EDTF. Else 1906-10, which may be October or five years, is not sure.
    """
    edtf = _SPACE_IN_EDTF.sub("", text.strip())
    if is_edtf or not _MAYBE_EDTF.fullmatch(edtf):
        try:
            date_range(edtf)
        except ValueError:
            pass
        else:
            if is_edtf or not _is_future(edtf):
                return DateReading(edtf=edtf, is_sure=True)
    folded = fold_date(text)
    if folded in NO_DATE:
        return DateReading(edtf=None, is_sure=True)
    try:
        edtf = _Reader(day_first).read(folded)
        if _is_future(edtf):
            return DateReading(edtf=None, is_sure=False, advice="it lies in the future")
    except _UnsureError as unsure:
        return DateReading(edtf=None, is_sure=False, advice=str(unsure) or _ADVICE)
    except ValueError:
        return DateReading(edtf=None, is_sure=False, advice=_ADVICE)
    return DateReading(edtf=edtf, is_sure=True)


def _is_future(edtf: str) -> bool:
    return date_range(edtf)[0] // 10000 > date.today().year


@dataclass(frozen=True, slots=True)
class _Reader:
    day_first: bool | None

    def read(self, text: str) -> str:
        """The EDTF of a folded text.

        Raises:
            _UnsureError: no rule is sure.
        """
        if text.startswith("[") and text.endswith("]") and "[" not in text[1:]:
            text = text[1:-1].strip()  # cataloguers put into brackets what they have supplied
        for rule in (self._limit, self._alternative, self._winter, self._range, self._about):
            if (edtf := rule(text)) is not None:
                return edtf
        raise _UnsureError

    def _limit(self, text: str) -> str | None:
        found = _LIMIT.fullmatch(text)
        if found is None:
            return None
        name = next(name for name in _LIMITS if found[name])
        rest = self._about(found[f"{name}_rest"])
        if rest is None:
            return None
        first, last = date_range(rest)
        is_plain = _Point(rest).is_plain
        if name == "before":
            return f"../{_neighbour(rest, first, -1) if is_plain else rest}"
        if name == "after":
            return f"{_neighbour(rest, last, +1) if is_plain else rest}/.."
        return f"../{rest}" if name == "until" else f"{rest}/.."

    def _alternative(self, text: str) -> str | None:
        found = _OR.fullmatch(text)
        if found is None:
            return None
        parts = [self._point(found["one"]), self._point(found["other"])]
        if any(part is None or not part.is_plain for part in parts):
            return None
        return "[" + ",".join(sorted(part.edtf for part in parts if part)) + "]"

    def _winter(self, text: str) -> str | None:
        found = _WINTER.fullmatch(text)
        if found is None:
            if re.match(rf"(?:{'|'.join(WINTER)})\b", text):
                raise _UnsureError("a winter lies in two years: write 1906-12/1907-02, or winter 1906/07")
            return None
        year = int(found["from"])
        if int(found["to"]) not in (year + 1, (year + 1) % 100):
            raise _UnsureError
        return f"{year}-12/{year + 1}-02"

    def _range(self, text: str) -> str | None:
        about = ""
        if (approximate := _ABOUT.fullmatch(text)) and approximate["rest"]:
            about, text = "~", approximate["rest"].strip()
        if short := _SHORT_RANGE.fullmatch(text):
            return self._short_range(short, about)
        found = _YEAR_RANGE.fullmatch(text) or _BETWEEN.fullmatch(text) or _RANGE.fullmatch(text)
        if found is None:
            return None
        groups = found.groupdict()
        first, last = groups["from"] or groups["start"], groups["to"] or groups["end"]
        start, end = self._about(first) or self._about(_with_year_of(first, last)), self._about(last)
        if start is None or end is None or "/" in start + end:
            return None
        return "/".join(one if one[-1] in "~?%" else one + about for one in (start, end))

    @staticmethod
    def _short_range(found: re.Match[str], about: str) -> str:
        """1906–10: a dash, or a number that can be neither a month nor a season of EDTF, makes it a range."""
        year, end = int(found["from"]), int(found["to"])
        if "/" in found["mark"] and end <= 12:
            raise _UnsureError
        if found["mark"] == "-" and not about and (1 <= end <= 12 or 21 <= end <= 41):
            if end > year % 100:
                raise _UnsureError(f"it may be a month or a range: write {year}/{year // 100}{end:02d} for years")
            if 1 <= end <= 12:
                return f"{year}-{end:02d}"
        if not year % 100 < end <= year % 100 + _LONGEST_SHORT_RANGE:
            raise _UnsureError
        return f"{year}{about}/{year // 100}{end:02d}{about}"

    def _about(self, text: str) -> str | None:
        """One date with its qualifiers, or a span that a part of a century or decade means."""
        text, mark = text.strip(), ""
        if text.startswith("[") and text.endswith("]"):
            text = text[1:-1].strip()
        if found := _DOUBT.fullmatch(text):
            text, mark = (found["rest"] or found["word"]).strip(), "?"
        if found := _ABOUT.fullmatch(text):
            text = (found["rest"] or found["before"] or found["tilde"]).strip()
            mark = "%" if mark else "~"
        if found := _DOUBT.fullmatch(text):
            text, mark = (found["rest"] or found["word"]).strip(), "%" if mark == "~" else mark or "?"
        if (point := self._point(text)) is not None:
            return point.edtf + mark
        span = _part_of_century(text) or _part_of_decade(text)
        return span if span is not None and not mark else None

    def _point(self, text: str) -> _Point | None:
        for rule in (_iso, _year, self._numeric, _named_month, _month_number, _season, _decade, _century):
            if (edtf := rule(text.strip())) is not None:
                return _Point(edtf)
        return None

    def _numeric(self, text: str) -> str | None:
        """12.05.1906 and 5/12/1906: with dots the day comes first, else the order must be stated or be plain."""
        found = _NUMERIC.fullmatch(text)
        if found is None:
            return None
        first, second = int(found["first"]), int(found["second"])
        day_first = self.day_first if self.day_first is not None or found["mark"] != "." else True
        if day_first is None:
            if first <= 12 and second <= 12 and first != second:
                raise _UnsureError(
                    "day or month may come first: state [dates] day_first in the mapping, or write 1906-05-12"
                )
            day_first = first > 12 or first == second
        day, month = (first, second) if day_first else (second, first)
        return _whole_day(int(found["year"]), month, day)


def _neighbour(edtf: str, day: int, step: int) -> str:
    """The year, month or day before or after a plain date; ``day`` is its first or last day, yyyymmdd."""
    there = date(day // 10000, day // 100 % 100, day % 100) + timedelta(days=step)
    return there.isoformat()[: len(edtf)]


def _with_year_of(first: str, second: str) -> str:
    """``mai`` of ``mai bis juni 1906`` with the year of the second."""
    year = re.search(r"[12]\d{3}$", second)
    return f"{first.strip()} {year[0]}" if year else first


def _iso(text: str) -> str | None:
    if found := _ISO.fullmatch(text):
        year, month, day = map(int, re.split("[-/]", found["date"] or found["slashed"]))
        if month and day:
            return _whole_day(year, month, day)
    if zeroed := _ZEROED.fullmatch(text):
        of_year = zeroed["year"] or zeroed["german_year"]
        of_month = int(zeroed["month"] or zeroed["german_month"])
        return _month(of_year, of_month) if of_month else str(of_year)
    return None


def _year(text: str) -> str | None:
    found = re.fullmatch(r"(?:(?:in|im jahre|im jahr|jahr|year|en|annee|ano|in het jaar)\s)?([12]\d{3})(?:\.0*)?", text)
    return found[1] if found else None


def _named_month(text: str) -> str | None:
    found = _DAY_MONTH.fullmatch(text) or _MONTH_DAY.fullmatch(text) or _MONTH_YEAR.fullmatch(text)
    if found is None:
        return None
    month = MONTHS[found["month"]]
    day = found.groupdict().get("day")
    return _month(found["year"], month) if day is None else _whole_day(int(found["year"]), month, int(day))


def _month_number(text: str) -> str | None:
    found = _MONTH_NUMBER.fullmatch(text)
    if found is None:
        return None
    return _month(found["year"] or found["slash_year"], int(found["number"] or found["slash"]))


def _season(text: str) -> str | None:
    found = _SEASON.fullmatch(text)
    return f"{found['year']}-{SEASONS[found['season']]}" if found else None


def _decade(text: str) -> str | None:
    if found := _DASHED_DECADE.fullmatch(text):
        return f"{found['decade']}X" if found["decade"] else f"{found['century']}XX"
    found = _DECADE.fullmatch(text)
    if found is None:
        return None
    year = found["decade"] or found["bare"]
    if year.endswith("00") and found["ending"] in ("s", "'s", "’s"):
        # No photograph was made from 1800 to 1809: the 1800s are the century. Of the 1900s the decade is meant.
        if int(year) < _EARLIEST_PHOTOGRAPH:
            raise _UnsureError("it may be a decade or a century: write 170X or 17XX")
        if int(year) == _EARLIEST_PHOTOGRAPH:
            return "18XX"
    return f"{year[:3]}X"


def _century(text: str) -> str | None:
    found = _CENTURY.fullmatch(text)
    if found is None:
        return None
    number = found["number"] or found["roman"] or found["spanish"]
    century = int(number) if number.isdigit() else _roman(number)
    return f"{century - 1:02d}XX" if 10 < century <= 21 else None


def _part_of_century(text: str) -> str | None:
    found = _CENTURY_PART.fullmatch(text)
    century = _century(found["rest"].strip()) if found else None
    if found is None or century is None:
        return None
    start, end, is_vague = CENTURY_PARTS[found["part"]]
    base, mark = int(century[:2]) * 100, "~" if is_vague else ""
    return f"{base + start}{mark}/{base + end}{mark}"


def _part_of_decade(text: str) -> str | None:
    found = _DECADE_PART.fullmatch(text)
    decade = _decade(found["rest"].strip()) if found else None
    if found is None or decade is None or decade.endswith(("XX", "0X")):
        return None  # the early 1900s may be those of the decade or of the century
    parts: Mapping[str, tuple[int, int]] = {"e": (0, 3), "a": (0, 3), "m": (4, 6), "l": (7, 9)}
    start, end = (7, 9) if found["part"].startswith("ende") else parts[found["part"][0]]
    base = int(decade[:3]) * 10
    return f"{base + start}~/{base + end}~"


def _roman(text: str) -> int:
    values = [_ROMAN[letter] for letter in text]
    return sum(
        -value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True)
    )


def _month(year: str, month: int) -> str:
    if not 1 <= month <= 12:
        raise _UnsureError(f"a year has no month {month}")
    return f"{year}-{month:02d}"


def _whole_day(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise _UnsureError(f"month {month} of {year} has no day {day}") from None
