"""Reads tables row by row: CSV with any common separator and encoding, and Excel workbooks.

A table with broken quoting is refused as a whole, since none of its rows can be trusted.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archive.errors import IngestError
from archive.ingest.column_names import fold_header
from archive.ingest.text_encoding import TextEncoding, detect_encoding
from archive.ingest.workbook_reader import read_workbook
from restoration.image import looks_like_image

WORKBOOK_SUFFIXES = (".xlsx", ".xlsm")
_SEPARATORS = ",;\t|"
_SAMPLE_CHARACTERS = 64 * 1024
_SAMPLE_ROWS = 20
_LARGEST_CELL = 16 * 1024 * 1024  # characters
_OTHER_KINDS = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel workbook (.xls)",
    b"PK\x03\x04": "a ZIP file, such as a workbook of another program",
    b"%PDF": "a PDF",
}
"""What people give for a table, by its first bytes."""


@dataclass(kw_only=True)
class Table:
    """A table whose rows are read once, on demand."""

    path: Path
    headers: list[str]
    """One a column, stripped; empty where a column has none. A name that comes again has its number: ``Notes (2)``."""
    width: int
    """How many columns the header row has, those at its end without a name included."""
    repeated: Mapping[str, str]
    """Headers that come more than once, by their folded form."""
    rows: Iterator[tuple[int, Sequence[str]]]
    """The number of each row that isn't blank, and its cells, stripped. A row of a workbook has the number that a
    spreadsheet program shows; one of a CSV, that of its first line in a text editor."""
    notes: list[str] = field(default_factory=list)
    """Notes on how it was read; complete when all rows were read."""


def open_table(path: Path, *, sheet: str | None = None, known: Collection[str] = ()) -> Table:
    """Opens a table and reads its header: the first row that isn't blank.

    Args:
        path: a CSV file or an Excel workbook.
        sheet: which sheet of a workbook; else the first.
        known: folded headers that are looked for, by which the separator of a CSV is recognised.

    Raises:
        IngestError: it can't be read at all. Reading its rows can raise it too.
    """
    notes: list[str] = []
    if path.suffix.lower() in WORKBOOK_SUFFIXES:
        return _with_header(path, read_workbook(path, sheet, notes), notes)
    if sheet is not None:
        raise IngestError(f"{path} is not an Excel workbook and has no sheets: leave out --sheet")
    _refuse_other_files(path)
    encoding = detect_encoding(path)
    rows = _csv_rows(path, encoding, known)
    return _with_header(path, rows if encoding.is_utf8 else _with_sample(rows, path, encoding, notes), notes)


def _with_header(path: Path, rows: Iterator[tuple[int, list[str]]], notes: list[str]) -> Table:
    filled = ((number, cells) for number, cells in rows if any(cells))
    _, header = next(filled, (0, []))
    if not header:
        raise IngestError(f"{path} is empty: export the table again, with its header row")
    width = len(header)
    while header and not header[-1]:
        header.pop()
    folded = [fold_header(name) for name in header]
    repeated = {fold: header[folded.index(fold)] for fold in folded if fold and folded.count(fold) > 1}
    return Table(path=path, headers=_distinct(header), width=width, repeated=repeated, rows=filled, notes=notes)


def _refuse_other_files(path: Path) -> None:
    """Raise where a file is not a text table, with what to do instead."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
        other = next((kind for magic, kind in _OTHER_KINDS.items() if head.startswith(magic)), None)
        if other is None and looks_like_image(path):
            other = "an image"
    except OSError as error:
        raise IngestError(f"{path} can't be read: {error.strerror}") from error
    if other is not None:
        raise IngestError(f"{path} is {other}, not a table in CSV or Excel's .xlsx: save the table as one of these")


def _distinct(headers: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    named = []
    for header in headers:
        folded = fold_header(header)
        seen[folded] = seen.get(folded, 0) + 1
        named.append(f"{header} ({seen[folded]})" if header and seen[folded] > 1 else header)
    return named


def _csv_rows(path: Path, encoding: TextEncoding, known: Collection[str]) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LARGEST_CELL)
    number = 0
    try:
        with path.open(encoding=encoding.codec, newline="") as file:
            sample = file.read(_SAMPLE_CHARACTERS)
            stated, skipped = _stated_separator(sample)
            separator = stated or _separator(sample, known)
            file.seek(0)
            for _ in range(skipped):
                file.readline()
            reader = csv.reader(file, delimiter=separator, strict=True)
            line = skipped + 1
            try:
                for cells in reader:
                    yield line, [cell.strip() for cell in cells]
                    line = number = skipped + reader.line_num + 1
            except csv.Error as error:
                place = skipped + reader.line_num
                raise IngestError(f"{path} line {place}: {error}: check the quotation marks there") from error
    except UnicodeDecodeError as error:
        raise IngestError(
            f"{path} line {max(1, number)}: it is not {encoding.name} throughout. Save it as CSV UTF-8"
        ) from error
    except OSError as error:
        raise IngestError(f"{path} can't be read: {error.strerror}") from error


def _stated_separator(sample: str) -> tuple[str | None, int]:
    """The separator in Excel's first line ``sep=;``, and the number of lines that this takes."""
    first = sample.split("\n", 1)[0].strip("\r").strip('"')
    if len(first) == 5 and first.lower().startswith("sep="):
        return first[4], 1
    return None, 0


def _separator(sample: str, known: Collection[str]) -> str:
    """The separator with which the header has the most known columns.

    Among equals, it is the one with which the most rows have the header's width.
    """

    def fitness(separator: str) -> tuple[int, int, int]:
        rows = _sample_rows(sample, separator)
        width = len(rows[0]) if rows else 0
        names = sum(fold_header(cell) in known for cell in rows[0]) if rows else 0
        return names, sum(len(row) == width for row in rows) if width > 1 else 0, width

    return max(_SEPARATORS, key=fitness)  # the first of equals: a comma


def _sample_rows(sample: str, separator: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
        rows.extend(row for row in itertools.islice(reader, _SAMPLE_ROWS) if any(cell.strip() for cell in row))
    except csv.Error:
        pass  # the rows before it tell enough; the whole is read strictly
    return rows


def _with_sample(
    rows: Iterator[tuple[int, list[str]]], path: Path, encoding: TextEncoding, notes: list[str]
) -> Iterator[tuple[int, list[str]]]:
    """The rows, with a note on the first cell that shows whether the encoding was detected correctly."""
    headers: list[str] = []
    for number, cells in rows:
        headers = headers or list(cells)
        if not notes and (column := next((i for i, cell in enumerate(cells) if not cell.isascii()), None)) is not None:
            name = headers[column] if column < len(headers) and cells is not headers else str(column + 1)
            notes.append(
                f"{path} was read as {encoding.name}; the first cell with other letters than a to z is line {number}, "
                f"column {name}: {cells[column][:80]!r}. If it looks wrong, save the table as CSV UTF-8"
            )
        yield number, cells
    if not notes:
        notes.append(f"{path} was read as {encoding.name}; it holds no other letters than a to z")
