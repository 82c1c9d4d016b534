"""Matches rows with files, and combines the rows of an item.

Rows with problems, and files that several rows name, are refused. If the rows of one item contradict each other,
neither value is used and the problem is reported; software should not guess which one is right. For access, the
strictest value counts.
"""

from __future__ import annotations

import os
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from archive.catalogue.schema.vocabularies import Access
from archive.ingest.field_definitions import ITEM_COLUMNS
from archive.ingest.file_discovery import DiscoveredFiles
from archive.ingest.file_lookup import FileFinder, LenientFinder
from archive.ingest.metadata_rows import Row, place_word
from archive.ingest.table_problems import ProblemKind, TableProblem

_MOST_NOTES = 10  # of one reason
_MOST_ITEMS = 1000  # whose metadata is kept for their further files


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


@dataclass(kw_only=True)
class MatchedRows:
    """The rows, matched with their files."""

    rows: dict[Path, Row] = field(default_factory=dict)
    """In the order of the rows, from which scans without a sequence get theirs."""
    refused: dict[Path, str] = field(default_factory=dict)
    """Files whose row can't be used, with the reason; the file may not be there."""
    without_files: list[TableProblem] = field(default_factory=list)
    references: set[Path] = field(default_factory=set)
    """Clean images that rows compare scans with: not masters themselves."""
    problems: list[TableProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    items: dict[str, list[Path]] = field(default_factory=dict)
    """The files with usable rows, by accession number."""
    reserved: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The sequences that rows state, by accession number."""
    reference_files: dict[Path, Path] = field(default_factory=dict)
    """By the path in the row."""
    _facts: OrderedDict[str, ItemMetadata] = field(default_factory=OrderedDict)

    def describe(self, path: Path) -> FileMetadata:
        """The metadata of a file, from its row and from the other rows of its photograph."""
        row = self.rows.get(path)
        if row is None:
            return FileMetadata()
        reference = None if row.reference is None else self.reference_files[row.reference]
        return FileMetadata(row=row, reference=reference, facts=self._describe_item(path, row.accession_number))

    def _describe_item(self, path: Path, number: str | None) -> ItemMetadata:
        if number is None:
            return _facts({path: self.rows[path]}, set())
        if number not in self._facts:
            rows = {each: self.rows[each] for each in self.items[number]}
            self._facts[number] = _facts(rows, self.reserved.get(number, set()))
            if len(self._facts) > _MOST_ITEMS:
                self._facts.popitem(last=False)
        return self._facts[number]


def match_rows(
    rows: Iterable[Row], found: DiscoveredFiles, *, derive: Callable[[list[Path]], Iterable[Row]] | None = None
) -> MatchedRows:
    """Matches each row with its file.

    Rows of a sheet beside a single ingested file are used only for ingested files.

    Args:
        rows: of all sheets.
        found: the files.
        derive: gives rows for files that no row names, from their names.
    """
    matched = MatchedRows()
    by_file, unmatched = _match_exactly(rows, found, matched)
    matched.references = set(matched.reference_files.values())
    _match_leniently(unmatched, by_file, found, matched)
    if derive is not None:
        alone = [path for path in found.files if path not in by_file and path not in matched.references]
        for row in derive(alone):
            by_file[row.target].append(row)
    matched.rows = _usable(by_file, matched)
    del by_file  # much memory for a large table
    _settle_contradictions(matched)
    return matched


def _match_exactly(
    rows: Iterable[Row], found: DiscoveredFiles, matched: MatchedRows
) -> tuple[defaultdict[Path, list[Row]], list[Row]]:
    """Matches rows with the files that they name; returns the rows of each file, and rows without one."""
    finder = FileFinder(found.files)
    by_file: defaultdict[Path, list[Row]] = defaultdict(list)
    unmatched: list[Row] = []
    references, reserved = matched.reference_files, matched.reserved
    for row in rows:
        if row.accession_number is not None and row.sequence is not None:
            reserved[row.accession_number].add(row.sequence)
        if row.reference is not None:
            references[row.reference] = finder.find(row.reference) or Path(os.path.normpath(row.reference))
        path = finder.find(row.target) if row.filename else None
        if path is not None:
            by_file[path].append(row)
        elif row.sheet not in found.neighbours:
            unmatched.append(row)
    return by_file, unmatched


def _match_leniently(
    unmatched: list[Row], by_file: dict[Path, list[Row]], found: DiscoveredFiles, matched: MatchedRows
) -> None:
    """Matches rows with differently spelt names, if exactly one file fits."""
    if not unmatched:
        return
    finder = LenientFinder(found.files, by_file.keys())
    told: dict[str, list[str]] = defaultdict(list)
    for row in unmatched:
        near = finder.find(row.filename, row.sheet.parent) if row.filename and not row.problems else None
        if near is not None:
            by_file[near.path].append(row)
            told[near.reason].append(f"{row.where}: '{row.filename}' was taken for {near.path}")
        else:
            _note_missing(row, matched, finder)
    for reason, notes in told.items():
        matched.notes += notes if len(notes) <= _MOST_NOTES else []
        if len(notes) > _MOST_NOTES:
            matched.notes.append(f"{len(notes):,} rows spell their file's name {reason}, the first: {notes[0]}")


def _usable(by_file: Mapping[Path, list[Row]], matched: MatchedRows) -> dict[Path, Row]:
    """The row of each file that has exactly one row without problems; an unchanged repetition counts once."""
    usable: dict[Path, Row] = {}
    for path, named in by_file.items():
        matched.problems += [problem for row in named for problem in row.cell_problems]
        if len(named) > 1 and len({_content(row) for row in named}) > 1:
            matched.refused[path] = reason = f"{_places(named)} name the same file: keep one of them"
            matched.problems += [_row_problem(row, reason) for row in named]
        elif named[0].problems:
            matched.refused[path] = _complaint(named[0])
            matched.problems.append(_row_problem(named[0], "; ".join(named[0].problems)))
        else:
            usable[path] = named[0]
    return usable


def _content(row: Row) -> str:
    """The contents of a row without its position and the spelling of the file name."""
    return repr(replace(row, line=0, filename="", cell_problems=(), contents=row.contents.load()))


def _note_missing(row: Row, matched: MatchedRows, finder: LenientFinder) -> None:
    """Reports a row whose file was not found; a row with problems of its own is refused as well."""
    matched.problems += row.cell_problems
    if row.problems:
        key = row.target if row.filename else row.sheet
        reason = _complaint(row)
        matched.refused[key] = f"{matched.refused[key]}; {reason}" if key in matched.refused else reason
        matched.problems.append(_row_problem(row, "; ".join(row.problems)))
        return
    state = "lies outside the paths given, or is hidden" if os.path.exists(row.target) else "is not there"  # noqa: PTH110
    near = finder.suggest(row.filename)
    hint = f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
    matched.without_files.append(row.problem(ProblemKind.NO_FILE, "", row.filename, f"{state}{hint}"))


def _settle_contradictions(matched: MatchedRows) -> None:
    for path, row in matched.rows.items():
        if row.accession_number is not None:
            matched.items.setdefault(row.accession_number, []).append(path)
    for number, paths in matched.items.items():
        if len(paths) > 1:
            items = {path: matched.rows[path].item for path in paths}
            for column in ITEM_COLUMNS:
                _settle_column(number, column, items, matched)
            _settle_sequences(number, paths, matched)


def _settle_column(number: str, column: str, items: dict[Path, Mapping[str, str]], matched: MatchedRows) -> None:
    """Removes a value on which the rows of an item disagree; for access, the strictest value counts."""
    key = "date_text" if column == "date" else column
    stating = [path for path, item in items.items() if key in item]
    values = dict.fromkeys(items[path][key] for path in stating)
    if len(values) < 2:
        return
    rows = matched.rows
    stated = " and ".join(repr(value[:80]) for value in values)
    strictest = max(values, key=[*map(str, Access)].index) if column == "access" else None
    remedy = f"{strictest} counts" if strictest else "make them agree, or state it once"
    for path in stating:
        row = rows[path]
        advice = f"{_places([rows[each] for each in stating])} are about {number} and differ ({stated}): {remedy}"
        matched.problems.append(row.problem(ProblemKind.DISAGREEMENT, column, items[path][key], advice))
        item = {name: value for name, value in items[path].items() if name not in (column, key)}
        items[path] = item | {"access": strictest} if strictest else item
        rows[path] = replace(row, contents=replace(row.contents.load(), item=items[path]))


def _settle_sequences(number: str, paths: list[Path], matched: MatchedRows) -> None:
    usable, reserved = matched.rows, matched.reserved[number]
    by_sequence: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        if (sequence := usable[path].sequence) is not None:
            by_sequence[sequence].append(path)
    for sequence, same in by_sequence.items():
        if len(same) < 2:
            continue
        advice = f"{_places([usable[path] for path in same])} give {number} the same sequence: give each its own"
        reserved.discard(sequence)
        for path in same:
            matched.problems.append(usable[path].problem(ProblemKind.SEQUENCE, "sequence", str(sequence), advice))
            usable[path] = replace(usable[path], sequence=None)


def _facts(rows: Mapping[Path, Row], reserved: set[int]) -> ItemMetadata:
    extra: dict[str, list[str]] = defaultdict(list)
    identifiers: dict[str, dict[str, None]] = defaultdict(dict)
    item: dict[str, str] = {}
    for row in rows.values():
        contents = row.contents.load()
        item |= contents.item
        for name, value in contents.extra.items():
            if value not in extra[name]:
                extra[name].append(value)
        for scheme, values in contents.identifiers.items():
            identifiers[scheme] |= dict.fromkeys(values)
    return ItemMetadata(
        item=item,
        extra={name: "; ".join(values) for name, values in extra.items()},
        identifiers={scheme: tuple(values) for scheme, values in identifiers.items()},
        mapped_headers=frozenset().union(*(row.mapped_headers for row in rows.values())),
        has_doubtful_access=any(row.has_doubtful_access for row in rows.values()),
        reserved=frozenset(reserved),
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
