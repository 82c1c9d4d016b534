"""Reads a sheet of an Excel workbook, its cells as Excel displays them."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from archive.errors import IngestError

_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
# What openpyxl raises for a workbook that is damaged or has unexpected parts; SyntaxError is an XML parser's.
_UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(SyntaxError, EOFError, zlib.error, zipfile.BadZipFile),
)
_ADVICE = "Open it in Excel or LibreOffice and save it again"
_ZEROS = re.compile(r"0+")


def read_workbook(path: Path, sheet: str | None, notes: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each non-blank row of a sheet.

    Args:
        path: the workbook.
        sheet: the sheet's name; else the first one is read.
        notes: gets what a person should know.

    Raises:
        IngestError: it can't be read, or has no such sheet.
    """
    from openpyxl import load_workbook  # a tenth of a second, only where a workbook is read

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about parts of the workbook that hold no cells
            workbook = load_workbook(path, read_only=True, data_only=True)
            formulas = load_workbook(path, read_only=True) if _has_formulas(path) else None
    except OSError as error:
        raise IngestError(f"{path} can't be read: {error.strerror or error}") from error
    except _UNREADABLE as error:
        raise IngestError(f"{path} can't be read as an Excel workbook: {error}. {_ADVICE}") from error
    name = _sheet_name(path, [worksheet.title for worksheet in workbook.worksheets], sheet, notes)
    worksheet = workbook[name]
    worksheet.reset_dimensions()
    lacking = 0
    try:
        computed = iter(formulas[name].iter_rows()) if formulas is not None else None
        for number, row in enumerate(worksheet.iter_rows(), start=1):
            cells = [_text(cell) for cell in row]
            if computed is not None:
                lacking += sum(
                    not shown and formula.data_type == "f"
                    for shown, formula in zip(cells, next(computed, ()), strict=False)
                )
            if any(cells):
                yield number, cells
    except _UNREADABLE as error:
        raise IngestError(f"{path}, sheet {name!r} can't be read: {error}. {_ADVICE}") from error
    finally:
        workbook.close()
        if formulas is not None:
            formulas.close()
    if lacking:
        notes.append(
            f"{path}: {lacking:,} formulas have no stored value and were read as empty: save it with Excel once"
        )


def _sheet_name(path: Path, names: list[str], wanted: str | None, notes: list[str]) -> str:
    if not names:
        raise IngestError(f"{path} has no sheet with cells")
    if wanted is not None and wanted not in names:
        raise IngestError(f"{path} has no sheet {wanted!r}; its sheets are: {', '.join(names)}")
    if wanted is None and len(names) > 1:
        notes.append(f"{path}: the first of its {len(names)} sheets was read, {names[0]!r}; --sheet names another")
    return wanted or names[0]


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/sheet"):
                with archive.open(name) as file:
                    tail = b""
                    while block := file.read(1 << 20):
                        if b"<f>" in tail + block or b"<f " in tail + block:
                            return True
                        tail = block[-3:]
    return False


def _text(cell: Any) -> str:
    """A cell's value as the sheet displays it; dates in ISO 8601, with the precision of their format."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime | date):
        return _date(value, str(cell.number_format))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int):
        shown = _QUOTED.sub("", str(cell.number_format))
        return f"{value:0{len(shown)}d}" if _ZEROS.fullmatch(shown) else str(value)
    if isinstance(value, time | timedelta):
        return str(value)
    return f"{value:.15g}"


def _date(value: datetime | date, number_format: str) -> str:
    shown = _QUOTED.sub("", number_format).lower()
    day = value.strftime("%d")
    if "d" not in shown and "y" in shown:
        return f"{value.year:04d}-{value.month:02d}" if "m" in shown else f"{value.year:04d}"
    text = f"{value.year:04d}-{value.month:02d}-{day}"
    if isinstance(value, datetime) and value.time() != time():
        return f"{text} {value.time().isoformat('seconds')}"
    return text
