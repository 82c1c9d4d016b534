"""CSV: UTF-8, one header line, safe to open in a spreadsheet program."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, TextIO

from archive.csv_formulas import escape_formula

_LINE_END = "\r\n"  # RFC 4180
_HEADER_BYTES_MAX = 64 * 1024


def write_csv(rows: Iterable[Mapping[str, Any]], fields: Sequence[str], file: TextIO) -> None:
    """Writes ``fields`` of each row. Lists and objects are JSON; text that could be a formula gets ``'`` in front."""
    writer = csv.writer(file, lineterminator=_LINE_END)
    writer.writerow(fields)
    for row in rows:
        writer.writerow([format_cell(row[field]) for field in fields])


def read_csv_header(file: BinaryIO) -> tuple[str, ...]:
    """The header of a CSV, as :func:`write_csv` writes it; empty if the file begins in another way."""
    line = file.readline(_HEADER_BYTES_MAX).decode("utf-8-sig", errors="replace")
    if not line.endswith(_LINE_END):
        return ()
    return tuple(line.removesuffix(_LINE_END).split(","))


def format_cell(value: Any) -> str | int | float:
    """A value as one cell of a table: empty for None, true or false, a number, or text that is not a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return escape_formula(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
