"""An Excel workbook (Office Open XML, ISO/IEC 29500) with one sheet, written as a stream.

It is written here, not by a library, because the same catalogue has to give the same bytes: libraries write the time
into the file. Text is stored as text, so that nothing in it is a formula.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

from archive.errors import UsageError
from archive.export.csv_file import format_cell
from archive.export.xml_text import escape_xml

_ROWS_MAX = 1_048_576
_CELL_CHARACTERS_MAX = 32_767
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP archive can hold
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="export" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}
_SHEET = "xl/worksheets/sheet1.xml"
_FREEZE_HEADER = (
    '<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" '
    'state="frozen"/></sheetView></sheetViews>'
)


def write_xlsx(rows: Iterable[Mapping[str, Any]], fields: Sequence[str], file: BinaryIO) -> None:
    """Writes a header row and ``fields`` of each row; the header stays in view.

    Raises:
        UsageError: there are more rows, or longer texts, than a sheet can hold.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _PARTS.items():
            archive.writestr(_entry(name), _HEAD + content)
        with archive.open(_entry(_SHEET), "w", force_zip64=True) as sheet:
            sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}">{_FREEZE_HEADER}<sheetData>'.encode())
            sheet.write(_row(fields))
            for number, row in enumerate(rows, start=2):
                if number > _ROWS_MAX:
                    raise UsageError(
                        f"a sheet holds at most {_ROWS_MAX:,} rows. Write --format csv, or narrow the query"
                    )
                sheet.write(_row([row[field] for field in fields]))
            sheet.write(b"</sheetData></worksheet>")


def is_xlsx_export(file: BinaryIO) -> bool:
    """Whether a file is a workbook of :func:`write_xlsx`; one that a spreadsheet program saved is not."""
    try:
        with zipfile.ZipFile(file) as archive:
            found = {entry.filename: entry.CRC for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    parts = {name: zlib.crc32((_HEAD + content).encode()) for name, content in _PARTS.items()}
    return found.keys() == {*parts, _SHEET} and parts.items() <= found.items()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _row(values: Sequence[Any]) -> bytes:
    return f"<row>{''.join(map(_cell, values))}</row>".encode()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        shown: str | int | float = value
    elif isinstance(value, bool):
        return f'<c t="b"><v>{value:d}</v></c>'
    else:
        shown = format_cell(value)
    if isinstance(shown, int | float):
        return f"<c><v>{shown}</v></c>"
    if len(shown) > _CELL_CHARACTERS_MAX:
        raise UsageError(
            f"a cell holds at most {_CELL_CHARACTERS_MAX:,} characters, and {shown[:40]!r}… has {len(shown):,}. "
            "Write --format csv, or leave that field out with --fields"
        )
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape_xml(shown)}</t></is></c>' if shown else "<c/>"
