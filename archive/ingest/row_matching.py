"""Matches rows with files, and combines the rows of an item.

Rows with problems, and files that several rows name, are refused. If the rows of one item contradict each other,
neither value is used and the problem is reported; software should not guess which one is right. For access, the
strictest value counts; contradictory rights of which one may restrict access count as restricted.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from archive.catalogue.schema.vocabularies import Access
from archive.ingest.access_words import suggests_restriction
from archive.ingest.column_mapping import ColumnMapping
from archive.ingest.discovered_files import DiscoveredFiles
from archive.ingest.field_definitions import ITEM_COLUMNS
from archive.ingest.file_lookup import FileFinder, LenientFinder
from archive.ingest.file_name_rows import rows_of_names
from archive.ingest.metadata_rows import Row, place_word
from archive.ingest.row_table import RowTable
from archive.ingest.table_problems import ProblemKind, TableProblem
from archive.ingest.temporary_storage import StoredList

_MOST_NOTES = 10  # of one reason
_MOST_ITEMS = 200  # whose metadata is kept for their further files


@dataclass(frozen=True, kw_only=True)
class ItemMetadata:
    """The metadata of an item, from all of its rows."""

    item: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    """Extra columns may describe single scans: if rows differ, all of their values are kept."""
    identifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mapped_headers: frozenset[str] = frozenset()
    has_doubtful_access: bool = False
    reserved: frozenset[int] = frozenset()
    """Sequences that rows name, refused ones too: no other scan is given one of them by default."""
    numbered: Mapping[Path, int] = field(default_factory=dict)
    """The sequence that each file's row states."""


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """The metadata of one file; empty if it has no row."""

    row: Row | None = None
    reference: Path | None = None
    facts: ItemMetadata = field(default_factory=ItemMetadata)


class MatchedRows:
    """The rows, matched with their files.

    Attributes:
        table: the usable rows of files, in the order from which scans without a sequence get theirs, and the refusals.
        has_rows: whether the tables have any rows.
        problems: ignored values, and rows that can't be used.
        without_files: rows that name a file that wasn't found.
        notes: rows whose file was found by another spelling.
    """

    def __init__(self, files: DiscoveredFiles) -> None:
        self.table = RowTable(files)
        self.has_rows = False
        self.problems = StoredList[TableProblem]()
        self.without_files = StoredList[TableProblem]()
        self.notes: list[str] = []
        self._items: OrderedDict[str, tuple[Mapping[Path, Row], ItemMetadata]] = OrderedDict()

    def describe(self, path: Path) -> FileMetadata:
        """The metadata of a file, from its row and from the other rows of its photograph."""
        number = self.table.item_of_file(path)
        if number is not None:
            rows, facts = self._describe_item(number)
            return self._of_row(rows[path], facts)
        row = self.table.row_of_file(path)
        return FileMetadata() if row is None else self._of_row(row, _facts({path: row}, frozenset()))

    def _of_row(self, row: Row, facts: ItemMetadata) -> FileMetadata:
        reference = None if row.reference is None else self.table.reference(row.reference)
        return FileMetadata(row=row, reference=reference, facts=facts)

    def _describe_item(self, number: str) -> tuple[Mapping[Path, Row], ItemMetadata]:
        if number not in self._items:
            rows, sequences = self.table.rows_of_item(number)
            self._items[number] = rows, _facts(rows, sequences)
            if len(self._items) > _MOST_ITEMS:
                self._items.popitem(last=False)
        return self._items[number]


def match_rows(rows: Iterable[Row], found: DiscoveredFiles, mapping: ColumnMapping | None = None) -> MatchedRows:
    """Matches each row with its file.

    Rows of a sheet beside a single ingested file are used only for ingested files.

    Args:
        rows: of all sheets.
        found: the files.
        mapping: its pattern gives rows for files that no row names, from their names.
    """
    matched = MatchedRows(found)
    table = matched.table
    _match_exactly(rows, found, matched)
    _match_leniently(found, matched)
    if mapping is not None:
        alone = (Path(path) for path, _ in table.files_without_row() if not table.is_reference(path))
        for row in rows_of_names(mapping, alone, is_stated=table.is_stated):
            table.add(row, row.target)
    _refuse_unusable(matched)
    _settle_contradictions(matched)
    return matched


def _match_exactly(rows: Iterable[Row], found: DiscoveredFiles, matched: MatchedRows) -> None:
    """Matches rows with the files that they name."""
    finder = FileFinder(found)
    table = matched.table
    for row in rows:
        matched.has_rows = True
        if row.reference is not None:
            table.add_reference(row.reference, finder.find(row.reference) or Path(os.path.normpath(row.reference)))
        table.add(row, finder.find(row.target) if row.filename else None)


def _match_leniently(found: DiscoveredFiles, matched: MatchedRows) -> None:
    """Matches rows with differently spelt names, if exactly one file fits."""
    finder: LenientFinder | None = None
    told: dict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for row_id, row in matched.table.without_file():
        if row.sheet in found.neighbours:
            continue
        finder = finder or LenientFinder(found)
        near = finder.find(row.filename, row.sheet.parent) if row.filename and not row.problems else None
        if near is not None:
            matched.table.assign(row_id, near.path)
            counts[near.reason] += 1
            if counts[near.reason] <= (1 if near.is_certain else _MOST_NOTES):
                told[near.reason].append(f"{row.where}: '{row.filename}' was taken for {near.path}")
        else:
            _note_missing(row, matched, finder)
    for reason, notes in told.items():
        if counts[reason] == len(notes):
            matched.notes += notes
        else:
            matched.notes.append(f"{counts[reason]:,} rows name their file {reason}, the first: {notes[0]}")


def _refuse_unusable(matched: MatchedRows) -> None:
    """Leaves each file with one row without problems; an unchanged repetition counts once."""
    table = matched.table
    for path, numbered in table.repeated_or_problematic():
        named = [row for _, row in numbered]
        matched.problems += [problem for row in named for problem in row.cell_problems]
        if len(named) > 1 and len({_content(row) for row in named}) > 1:
            reason = f"{_places(named)} name the same file: keep one of them"
            matched.problems += [_row_problem(row, reason) for row in named]
        elif named[0].problems:
            reason = _complaint(named[0])
            matched.problems.append(_row_problem(named[0], "; ".join(named[0].problems)))
        else:
            reason = None
        if reason is None:
            for row_id, _ in numbered[1:]:
                table.remove(row_id)
        else:
            table.refuse(path, reason)
            for row_id, _ in numbered:
                table.unassign(row_id)


def _content(row: Row) -> str:
    """The contents of a row without its position and the spelling of the file name."""
    return repr(replace(row, line=0, filename="", cell_problems=()))


def _note_missing(row: Row, matched: MatchedRows, finder: LenientFinder) -> None:
    """Reports a row whose file was not found; a row with problems of its own is refused as well."""
    matched.problems += row.cell_problems
    if row.problems:
        matched.table.refuse(row.target if row.filename else row.sheet, _complaint(row))
        matched.problems.append(_row_problem(row, "; ".join(row.problems)))
        return
    state = "lies outside the paths given, or is hidden" if os.path.exists(row.target) else "is not there"  # noqa: PTH110
    near = finder.suggest(row.filename)
    hint = f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
    access = row.item.get("access", Access.OPEN)
    if near and access != Access.OPEN:
        hint += f" The row says {access}; without it the file is {Access.OPEN}: correct the name and ingest again"
    matched.without_files.append(row.problem(ProblemKind.NO_FILE, "", row.filename, f"{state}{hint}"))


def _settle_contradictions(matched: MatchedRows) -> None:
    for accession_number, numbered in matched.table.shared_items():
        before = dict(numbered)
        rows = dict(numbered)
        for column in ITEM_COLUMNS:
            _settle_column(accession_number, column, rows, matched)
        _settle_sequences(accession_number, rows, matched)
        for row_id, row in rows.items():
            if row is not before[row_id]:
                matched.table.update(row_id, row)


def _settle_column(accession_number: str, column: str, rows: dict[int, Row], matched: MatchedRows) -> None:
    """Removes a value on which the rows of an item disagree; for access, the strictest value counts."""
    key = "date_text" if column == "date" else column
    stating = [row_id for row_id, row in rows.items() if key in row.item]
    values = dict.fromkeys(rows[row_id].item[key] for row_id in stating)
    if len(values) < 2:
        return
    stated = " and ".join(repr(value[:80]) for value in values)
    kind, access, remedy = ProblemKind.DISAGREEMENT, None, "make them agree, or state it once"
    if column == "access":
        access = _strictest(values)
        kind, remedy = ProblemKind.ACCESS_DISAGREEMENT, f"{access} counts"
    elif column == "rights" and any(map(suggests_restriction, values)):
        access = _strictest([Access.RESTRICTED, *(row.item.get("access", Access.OPEN) for row in rows.values())])
        remedy = f"{remedy}. Until then the access is {access}"
    places = _places([rows[row_id] for row_id in stating])
    advice = f"{places} are about {accession_number} and differ ({stated}): {remedy}"
    for row_id in stating:
        row = rows[row_id]
        matched.problems.append(row.problem(kind, column, row.item[key], advice))
        item = {name: value for name, value in row.item.items() if name not in (column, key)}
        rows[row_id] = replace(row, item=item | {"access": access} if access else item)
    if column == "rights" and access:
        for row_id, row in rows.items():
            rows[row_id] = replace(row, item={**row.item, "access": access}, has_doubtful_access=True)


def _strictest(values: Iterable[str]) -> str:
    return max(map(str, values), key=[*map(str, Access)].index)


def _settle_sequences(accession_number: str, rows: dict[int, Row], matched: MatchedRows) -> None:
    by_sequence: dict[int, list[int]] = defaultdict(list)
    for row_id, row in rows.items():
        if row.sequence is not None:
            by_sequence[row.sequence].append(row_id)
    for sequence, same in by_sequence.items():
        if len(same) < 2:
            continue
        places = _places([rows[row_id] for row_id in same])
        advice = f"{places} give {accession_number} the same sequence: give each its own"
        for row_id in same:
            row = rows[row_id]
            matched.problems.append(row.problem(ProblemKind.SEQUENCE, "sequence", str(sequence), advice))
            rows[row_id] = replace(row, sequence=None)


def _facts(rows: Mapping[Path, Row], reserved: frozenset[int]) -> ItemMetadata:
    extra: dict[str, list[str]] = defaultdict(list)
    identifiers: dict[str, dict[str, None]] = defaultdict(dict)
    item: dict[str, str] = {}
    for row in rows.values():
        item |= row.item
        for name, value in row.extra.items():
            if value not in extra[name]:
                extra[name].append(value)
        for scheme, values in row.identifiers.items():
            identifiers[scheme] |= dict.fromkeys(values)
    return ItemMetadata(
        item=item,
        extra={name: "; ".join(values) for name, values in extra.items()},
        identifiers={scheme: tuple(values) for scheme, values in identifiers.items()},
        mapped_headers=frozenset().union(*(row.mapped_headers for row in rows.values())),
        has_doubtful_access=any(row.has_doubtful_access for row in rows.values()),
        reserved=reserved,
        numbered={path: row.sequence for path, row in rows.items() if row.sequence is not None},
    )


def _row_problem(row: Row, reason: str) -> TableProblem:
    return row.problem(ProblemKind.ROW, "", row.filename, reason)


def _complaint(row: Row) -> str:
    return f"{row.where}: {'; '.join(row.problems)}"


def _places(rows: list[Row]) -> str:
    """The positions of several rows: ``/scans/items.csv lines 3 and 9``."""
    if len({row.sheet for row in rows}) == 1:
        lines = " and ".join(str(row.line) for row in rows)
        return f"{rows[0].sheet} {place_word(rows[0].sheet)}s {lines}"
    return " and ".join(row.where for row in rows)
