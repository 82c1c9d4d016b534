"""Reading items.csv: each row checked by itself, with line, column, value and what is allowed in every complaint.

The file is UTF-8 with or without a byte order mark, its cells separated by commas, semicolons or tabs. Names of columns
are taken without regard to case, with spaces for underscores. A file whose quoting or header is broken is refused as a
whole, since none of its rows can be trusted then; a wrong value costs only its own row.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from archive.catalogue.edtf_dates import date_range
from archive.catalogue.schema.vocabularies import Access, Polarity, View
from archive.errors import IngestError
from restoration.image import Area

ITEM_COLUMNS = (
    "title",
    "creator",
    "date",
    "description",
    "place",
    "process",
    "polarity",
    "rights",
    "access",
    "collection",
)
"""Columns about the photograph, each an attribute of an item; the others are about one scan."""

COLUMNS = ("filename", "accession_number", "sequence", "view", *ITEM_COLUMNS, "picture_area", "reference")
"""All columns that are known; others are kept as extra metadata of the item."""

_LONGEST_EXACT = 500  # characters in a column that databases index whole
_LARGEST_SEQUENCE = 999_999
_SEPARATORS = ",;\t"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one row says of one scan. Empty cells say nothing: they are None, or absent from ``item`` and ``extra``."""

    sheet: Path
    line: int
    filename: str
    accession_number: str | None = None
    sequence: int | None = None
    view: View | None = None
    picture_area: Area | None = None
    reference: Path | None = None
    item: Mapping[str, str]
    """Of :data:`ITEM_COLUMNS`, those that aren't empty, checked."""
    extra: Mapping[str, str]
    problems: tuple[str, ...]
    """What is wrong with the row; it isn't used where there is anything."""

    @property
    def where(self) -> str:
        """The row's place, in words."""
        return f"{self.sheet.name} line {self.line}"

    @property
    def target(self) -> Path:
        """The file that the row is about, as written."""
        return self.sheet.parent / self.filename


def read_spreadsheet(path: Path) -> list[Row]:
    """All rows of one items.csv that aren't blank, those with problems included, in order.

    Raises:
        IngestError: the file as a whole can't be used.
    """
    text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    rows: list[Row] = []
    try:
        header = _header(path, next(reader, []))
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(_row(path, line, header, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise IngestError(f"{path} line {reader.line_num}: {error}: check the quotation marks there") from error
    return rows


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IngestError(f"{path} can't be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise IngestError(f"{path} is not UTF-8 (line {line}): save it as CSV UTF-8") from error


def _separator(text: str) -> str:
    """The separator with which the first line names most of the known columns."""
    first = text.split("\n", 1)[0]

    def known(separator: str) -> int:
        names = (_name(cell.strip('" \r')) for cell in first.split(separator))
        return sum(name in COLUMNS for name in names)

    return max(_SEPARATORS, key=known)  # the first of equals: a comma


def _name(cell: str) -> str:
    """The name of a known column, however it is spelt; the name of another as it is."""
    plain = cell.strip().casefold().replace(" ", "_")
    return plain if plain in COLUMNS else cell.strip()


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [_name(cell) for cell in cells]
    if "filename" not in names:
        found = ", ".join(name for name in names if name) or "none"
        raise IngestError(f"{path} has no column `filename`; its columns are: {found}")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise IngestError(f"{path} has more than one column {', '.join(twice)}: keep one of them")
    return names


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    problems = []
    if any(cell.strip() for cell in cells[len(header) :]):
        problems.append(f"has {len(cells)} cells under {len(header)} columns: put text that holds a comma in quotes")
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
    if "" in values:
        problems.append(f"{values.pop('')!r} is in a column without a name. Name the column or clear the cell.")
    checked: dict[str, Any] = {}
    for name, value in values.items():
        try:
            checked[name] = _checked(name, value)
        except ValueError as error:
            problems.append(f"column {name}: {value[:80]!r} {error}")
    if "filename" not in values:
        problems.append("column filename is empty: a row needs the name of its file")
    reference = checked.get("reference")
    return Row(
        sheet=path,
        line=line,
        filename=checked.get("filename", ""),
        accession_number=checked.get("accession_number"),
        sequence=checked.get("sequence"),
        view=checked.get("view"),
        picture_area=checked.get("picture_area"),
        reference=None if reference is None else path.parent / reference,
        item={name: checked[name] for name in ITEM_COLUMNS if name in checked},
        extra={name: value for name, value in checked.items() if name not in COLUMNS},
        problems=tuple(problems),
    )


def _checked(name: str, value: str) -> Any:
    """The value of a cell that isn't empty, as its column has it.

    Raises:
        ValueError: it isn't allowed there; the message goes on after the value.
    """
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return _CHECKS[name](value) if name in _CHECKS else value


def _choice(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def check(value: str) -> StrEnum:
        try:
            return kind(value.casefold())
        except ValueError:
            raise ValueError(f"is not one of {', '.join(kind)}") from None

    return check


def _date(value: str) -> str:
    try:
        date_range(value)
    except ValueError as error:
        raise ValueError(f"can't be used: {error}") from error
    return value


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
    "view": _choice(View),
    "date": _date,
    "polarity": _choice(Polarity),
    "access": _choice(Access),
    "collection": _exact,
    "picture_area": _area,
}
