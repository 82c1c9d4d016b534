"""Reads a museum's table of scans: resolves its columns and validates each cell.

An invalid cell is ignored and reported with its row, column, value and the allowed values. A row that names no file, or
whose cells are shifted into other columns, isn't used. A table without a column of file names is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archive.catalogue.polarity_words import names_negative
from archive.catalogue.schema.vocabularies import Access, View
from archive.errors import IngestError
from archive.ingest.access_words import suggests_restriction
from archive.ingest.column_mapping import ColumnMapping, fill_template, fold_value, template_headers
from archive.ingest.column_names import fold_header, match_column, nearest
from archive.ingest.date_rules import read_date
from archive.ingest.field_definitions import CHOICES, COLUMNS, ITEM_COLUMNS, REPEATABLE, check_value
from archive.ingest.table_problems import ProblemKind, TableProblem
from archive.ingest.table_reader import WORKBOOK_SUFFIXES, Table, open_table
from restoration.image import Area

_KNOWN = {fold_header(name) for name in COLUMNS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The row of one scan. Empty cells are None, or absent from the mappings."""

    sheet: Path
    line: int
    filename: str
    accession_number: str | None = None
    sequence: int | None = None
    view: View | None = None
    picture_area: Area | None = None
    reference: Path | None = None
    item: Mapping[str, str] = field(default_factory=dict)
    """The stated values of :data:`ITEM_COLUMNS`; ``date_text`` is a date as written, ``date`` its EDTF."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """The cells of other columns, by their headers."""
    identifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mapped_headers: frozenset[str] = frozenset()
    """The museum's headers, folded, that are mapped: they aren't extra metadata any more."""
    has_doubtful_access: bool = False
    """Whether the access value was unreadable and counts as restricted."""
    problems: tuple[str, ...] = ()
    """Why the row can't be used; usually empty."""
    cell_problems: tuple[TableProblem, ...] = ()

    @property
    def where(self) -> str:
        """The row's position as text; a row that was made from a file name has none."""
        if not self.line:
            return f"the file name pattern of {self.sheet}"
        return f"{self.sheet} {place_word(self.sheet)} {self.line}"

    @property
    def target(self) -> Path:
        """The file of the row, as written."""
        return self.sheet.parent / self.filename

    def problem(self, kind: ProblemKind, column: str, value: str, advice: str) -> TableProblem:
        """A problem of one of its cells or, without a column, of the row."""
        return TableProblem(kind=kind, table=str(self.sheet), line=self.line, column=column, value=value, advice=advice)


@dataclass(kw_only=True)
class Spreadsheet:
    """A table whose rows are read once, on demand."""

    rows: Iterator[Row]
    """All non-blank rows, in order. Reading them raises an IngestError if the table as a whole can't be used."""
    problems: list[TableProblem]
    """Those of whole columns; those of cells are with their rows."""
    notes: list[str]
    """Notes on how it was read; complete when all rows were read."""


def place_word(table: Path) -> str:
    """The unit in which positions in a table are counted: lines of a text, rows of a workbook."""
    return "row" if table.suffix.lower() in WORKBOOK_SUFFIXES else "line"


def read_spreadsheet(path: Path, *, mapping: ColumnMapping | None = None, sheet: str | None = None) -> Spreadsheet:
    """Opens a table and resolves its columns.

    Args:
        path: a CSV file or Excel workbook.
        mapping: which of its columns is which of ours; columns with our own names need none.
        sheet: which sheet of a workbook; else the first.

    Raises:
        IngestError: the table as a whole can't be used.
    """
    known = _KNOWN | {fold_header(name) for name in mapping.headers} if mapping else _KNOWN
    table = open_table(path, sheet=sheet, known=known)
    columns = _Columns(table, mapping)
    return Spreadsheet(rows=_rows(table, columns), problems=columns.problems, notes=table.notes)


def _rows(table: Table, columns: _Columns) -> Iterator[Row]:
    for number, cells in table.rows:
        yield columns.row(number, cells)
    table.notes += columns.notes


class _Columns:
    """The columns of one table, resolved once for all rows."""

    def __init__(self, table: Table, mapping: ColumnMapping | None) -> None:
        self._path = table.path
        self._mapping = mapping
        self._headers = table.headers
        self._width = None if table.path.suffix.lower() in WORKBOOK_SUFFIXES else table.width
        self._index = {fold_header(header): index for index, header in enumerate(table.headers) if header}
        self._columns = self._resolve(mapping)
        self._templates = dict(mapping.templates) if mapping else {}
        self._constants = dict(mapping.constants) if mapping else {}
        self._identifiers = {
            scheme: self._find(header, "identifiers")
            for scheme, header in (mapping.identifiers if mapping else {}).items()
        }
        for template in self._templates.values():
            for header in template_headers(template):
                self._find(header, "templates")
        used = {*self._columns.values(), *self._identifiers.values()}
        self._extra = [(index, name) for index, name in enumerate(table.headers) if name and index not in used]
        self._mapped = frozenset(fold_header(table.headers[index]) for index in used)
        self._reads_edtf = mapping is None or "date" not in {*mapping.columns, *mapping.templates}
        self._refuse_repeated(table)
        self.problems: list[TableProblem] = []
        self.notes: list[str] = []
        if "filename" not in {**self._columns, **self._templates}:
            raise IngestError(self._no_filename())
        self._tell_unrecognised()

    def _resolve(self, mapping: ColumnMapping | None) -> dict[str, int]:
        """The index of the museum's column by the catalogue's column; equal names need no mapping."""
        columns = {} if mapping is None else {ours: self._find(h, "columns") for ours, h in mapping.columns.items()}
        taken = {
            *columns.values(),
            *(self._index.get(fold_header(h), -1) for h in (mapping.headers if mapping else ())),
        }
        for name in COLUMNS:
            index = self._index.get(fold_header(name))
            if index is not None and index not in taken and name not in (mapping.mapped if mapping else ()):
                columns[name] = index
        return columns

    def _find(self, header: str, table: str) -> int:
        index = self._index.get(fold_header(header))
        if index is None:
            near = nearest(header, [name for name in self._headers if name])
            hint = f" Did you mean {near!r}?" if near else f" Its columns are: {', '.join(filter(None, self._headers))}"
            place = self._mapping.path if self._mapping else "the mapping"
            raise IngestError(
                f"{place} names the column {header!r} in [{table}], which {self._path} doesn't have.{hint}"
            )
        return index

    def _refuse_repeated(self, table: Table) -> None:
        named = {fold_header(table.headers[index]) for index in {*self._columns.values(), *self._identifiers.values()}}
        if twice := [header for folded, header in table.repeated.items() if folded in named]:
            raise IngestError(
                f"{self._path} has more than one column {', '.join(twice)}: keep one of them, or rename one"
            )

    def _no_filename(self) -> str:
        found = ", ".join(name for name in self._headers if name) or "none"
        near = [name for name in self._headers if (match := match_column(name)) and match.column == "filename"]
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return (
            f"{self._path} has no column `filename`; its columns are: {found}.{hint} "
            f"`archive mapping suggest {self._path}` writes a mapping file for --mapping"
        )

    def _tell_unrecognised(self) -> None:
        """Reports each column that is only kept; without a mapping, one that resembles a known column is a problem."""
        in_templates = {fold_header(name) for each in self._templates.values() for name in template_headers(each)}
        told = {*self._columns, *self._templates, *self._constants}
        kept = []
        if "access" not in told:
            self.notes.append(f"{self._path}: no column states the access, so new items are open")
        for _, header in self._extra:
            if fold_header(header) in in_templates:
                continue
            match = match_column(header)
            near = match.column if match else nearest(header, COLUMNS)
            if match is not None and self._mapping is None and match.column not in told:
                advice = (
                    f"is kept as extra metadata only. Did you mean {match.column}? Rename it, or map it: "
                    f"`archive mapping suggest {self._path}`"
                )
                self.problems.append(self._problem(ProblemKind.COLUMN, 1, header, "", advice))
            else:
                kept.append(f"{header!r}" + (f" (did you mean {near}?)" if near and near not in told else ""))
        if kept:
            self.notes.append(
                f"{self._path}: columns that are not known here are kept as extra metadata: {', '.join(kept)}"
            )

    def row(self, line: int, cells: Sequence[str]) -> Row:
        """One row with validated cells."""
        wrong: list[TableProblem] = []
        refused = []
        if self._width is not None and any(cells[self._width :]):
            refused.append(f"has {len(cells)} cells under {self._width} columns: put text that holds a comma in quotes")
        for index, cell in enumerate(cells[: self._width]):
            if cell and (index >= len(self._headers) or not self._headers[index]):
                advice = "is in a column without a name. Name the column or clear the cell."
                wrong.append(self._problem(ProblemKind.UNNAMED_COLUMN, line, "", cell, advice))
        values = self._values(cells)
        checked: dict[str, Any] = {}
        for name, value in values.items():
            try:
                checked |= self._check(name, value, line, wrong)
            except ValueError as error:
                if name in ("filename", "accession_number"):  # without its number the scan would be another photograph
                    refused.append(f"column {self._header(name)}: {value[:80]!r} {error}")
                else:
                    wrong.append(
                        self._problem(ProblemKind.VALUE, line, self._header(name), value, self._advice(name, error))
                    )
        wrong += self._missing_statements(line, checked)
        if "filename" not in values:
            refused.append(self._names_no_file())
        reference = checked.get("reference")
        return Row(
            sheet=self._path,
            line=line,
            filename=checked.get("filename", ""),
            accession_number=checked.get("accession_number"),
            sequence=checked.get("sequence"),
            view=checked.get("view"),
            picture_area=checked.get("picture_area"),
            reference=None if reference is None else self._path.parent / reference,
            item={name: str(checked[name]) for name in (*ITEM_COLUMNS, "date_text") if name in checked},
            extra=self._extras(line, cells, wrong),
            identifiers=self._identifiers_of(cells),
            mapped_headers=self._mapped,
            has_doubtful_access=any(problem.kind is ProblemKind.ACCESS for problem in wrong),
            problems=tuple(refused),
            cell_problems=tuple(wrong),
        )

    def _values(self, cells: Sequence[str]) -> dict[str, str]:
        values = {name: cells[at] for name, at in self._columns.items() if at < len(cells) and cells[at]}
        if self._templates:
            by_header = {fold: cells[at] for fold, at in self._index.items() if at < len(cells)}
            for name, template in self._templates.items():
                if filled := fill_template(template, by_header):
                    values[name] = filled
        if self._mapping is not None:
            for name, table in self._mapping.values.items():
                if name in values:
                    unlisted = "" if name == "polarity" and self._mapping.is_polarity_of_process else values[name]
                    values[name] = table.get(fold_value(values[name]), unlisted)
        return {**self._constants, **{name: value for name, value in values.items() if value}}

    def _check(self, name: str, value: str, line: int, wrong: list[TableProblem]) -> dict[str, Any]:
        """The validated value by its name; for a date also its text.

        Raises:
            ValueError: it isn't allowed.
        """
        if name == "date":
            check_value(name, value)
            reading = read_date(
                value, day_first=self._mapping.day_first if self._mapping else None, is_edtf=self._reads_edtf
            )
            if not reading.is_sure:
                advice = f"is not understood: {reading.advice}"
                wrong.append(self._problem(ProblemKind.DATE_AS_TEXT, line, self._header(name), value, advice))
            return {"date_text": value, **({"date": reading.edtf} if reading.edtf is not None else {})}
        try:
            checked = check_value(name, value)
        except ValueError as error:
            if name != "access":
                raise
            wrong.append(self._problem(ProblemKind.ACCESS, line, self._header(name), value, self._advice(name, error)))
            return {name: Access.RESTRICTED}
        separator = self._mapping.separator if self._mapping else None
        if separator is not None and name in REPEATABLE:
            checked = "; ".join(_split(value, separator))
        return {name: checked}

    def _missing_statements(self, line: int, checked: Mapping[str, Any]) -> Iterator[TableProblem]:
        """Access and polarity that a row doesn't state, although its rights or its process suggest one."""
        rights, process = checked.get("rights"), checked.get("process")
        if rights is not None and "access" not in checked and suggests_restriction(rights):
            advice = "may restrict access, and the row states none: a new item is open. State restricted or sensitive."
            yield self._problem(ProblemKind.RIGHTS, line, self._header("rights"), rights, advice)
        if process is not None and "polarity" not in checked and names_negative(process):
            advice = (
                "is a negative, and the row states no polarity: it would be restored as a positive. State negative."
            )
            yield self._problem(ProblemKind.POLARITY, line, self._header("process"), process, advice)

    def _advice(self, name: str, error: ValueError) -> str:
        """What would be right in a cell, or in the mapping."""
        translatable = self._mapping is not None and name in CHOICES
        return f"{error}; correct it, or translate it in [values.{name}] of the mapping" if translatable else str(error)

    def _extras(self, line: int, cells: Sequence[str], wrong: list[TableProblem]) -> dict[str, str]:
        extras = {}
        separator = self._mapping.separator if self._mapping else None
        for index, name in self._extra:
            if index < len(cells) and (cell := cells[index]):
                try:
                    check_value(name="", value=cell)
                except ValueError as error:
                    wrong.append(self._problem(ProblemKind.VALUE, line, name, cell, str(error)))
                else:
                    extras[name] = cell if separator is None else "; ".join(_split(cell, separator))
        return extras

    def _identifiers_of(self, cells: Sequence[str]) -> dict[str, tuple[str, ...]]:
        separator = self._mapping.separator if self._mapping else None
        return {
            scheme: tuple(dict.fromkeys(_split(cells[at], separator) if separator else [cells[at]]))
            for scheme, at in self._identifiers.items()
            if at < len(cells) and cells[at]
        }

    def _names_no_file(self) -> str:
        template = self._templates.get("filename")
        if template is None:
            return f"column {self._header('filename')} is empty: a row needs the name of its file"
        return f"the file name {template!r} can't be made: one of its columns is empty"

    def _header(self, name: str) -> str:
        """The museum's header for one of the catalogue's columns.

        It is the column's own name if a template or a constant sets it.
        """
        index = self._columns.get(name)
        if index is None:
            return name
        header = self._headers[index]
        return name if fold_header(header) == fold_header(name) else header

    def _problem(self, kind: ProblemKind, line: int, column: str, value: str, advice: str) -> TableProblem:
        return TableProblem(kind=kind, table=str(self._path), line=line, column=column, value=value, advice=advice)


def _split(value: str, separator: str) -> list[str]:
    return [part.strip() for part in value.split(separator) if part.strip()]
