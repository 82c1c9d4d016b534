"""Which row belongs to which file, and what the rows of one item say together.

Refused here are rows with problems of their own, files that several rows name, and rows that contradict each other:
about the item that they share, or by the same sequence. Which of two rows is right is not for software to guess, so
neither is used.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archive.ingest.file_discovery import DiscoveredFiles
from archive.ingest.spreadsheet import ITEM_COLUMNS, Row


@dataclass(frozen=True, kw_only=True)
class ItemMetadata:
    """What is stated of an item, by all of its rows together."""

    item: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    """Extra columns may be about the single scans: where rows differ, their values stand side by side."""
    reserved: frozenset[int] = frozenset()
    """Sequences that rows name, refused ones too: no other scan is given one of them by default."""
    numbered: Mapping[Path, int] = field(default_factory=dict)
    """The sequence that each file's row states."""


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """What is stated about one file; nothing at all where it has no row."""

    row: Row | None = None
    reference: Path | None = None
    facts: ItemMetadata = field(default_factory=ItemMetadata)


@dataclass(kw_only=True)
class MatchedRows:
    """The rows, given to the files that they name."""

    entries: dict[Path, FileMetadata] = field(default_factory=dict)
    """In the order of the rows, from which scans without a sequence get theirs."""
    refused: dict[Path, str] = field(default_factory=dict)
    """Files whose row can't be used, with the reason; the file may not be there."""
    without_files: list[str] = field(default_factory=list)
    references: set[Path] = field(default_factory=set)
    """Clean images that rows compare scans with: not masters themselves."""


def match_rows(rows: Iterable[Row], found: DiscoveredFiles) -> MatchedRows:
    """Give each row to its file. Rows of a sheet beside a single given file are looked at only for given files."""
    matched = MatchedRows()
    finder = FileFinder(found.files)
    by_file: dict[Path, list[Row]] = defaultdict(list)
    reserved: dict[str, set[int]] = defaultdict(set)
    references: dict[Path, Path] = {}
    for row in rows:
        if row.accession_number is not None and row.sequence is not None:
            reserved[row.accession_number].add(row.sequence)
        if row.reference is not None:
            references[row.reference] = finder.find(row.reference) or Path(os.path.normpath(row.reference))
        path = finder.find(row.target) if row.filename else None
        if path is not None:
            by_file[path].append(row)
        elif row.sheet not in found.neighbours:
            _note_missing(row, matched)
    matched.references = set(references.values())
    usable: dict[Path, Row] = {}
    for path, named in by_file.items():
        if len(named) > 1:
            matched.refused[path] = f"{_places(named)} name the same file: keep one of them"
        elif named[0].problems:
            matched.refused[path] = _complaint(named[0])
        else:
            usable[path] = named[0]
    _refuse_contradictions(usable, matched)
    usable = {path: row for path, row in usable.items() if path not in matched.refused}
    facts = _facts_of_items(usable, reserved)
    for path, row in usable.items():
        matched.entries[path] = FileMetadata(
            row=row,
            reference=None if row.reference is None else references[row.reference],
            facts=_facts({path: row}, set()) if row.accession_number is None else facts[row.accession_number],
        )
    return matched


class FileFinder:
    """Finds a file by how a row spells its path.

    Tried in turn: as written; with accents composed otherwise (macOS); with ``\\`` for ``/`` (Windows); and through the
    real name of its folder, where the sheet was named by another way than the scans.
    """

    def __init__(self, files: Mapping[Path, Path]) -> None:
        self._exact = {str(path): path for path in files}
        self._composed = {unicodedata.normalize("NFC", text): path for text, path in self._exact.items()}
        self._roots = {root.resolve(): root for root in dict.fromkeys(files.values())}

    def find(self, target: Path) -> Path | None:
        for text in self._spellings(target):
            spelt = os.path.normpath(text)
            path = self._exact.get(spelt) or self._composed.get(unicodedata.normalize("NFC", spelt))
            if path is not None:
                return path
        return None

    def _spellings(self, target: Path) -> Iterator[str]:
        yield str(target)
        if "\\" in target.name:
            yield str(target).replace("\\", "/")
        real = target.parent.resolve() / target.name
        for real_root, root in self._roots.items():
            if real.is_relative_to(real_root):
                yield str(root / real.relative_to(real_root))


def _note_missing(row: Row, matched: MatchedRows) -> None:
    """A row whose file isn't among those found; it is refused all the same where it is wrong in itself."""
    if row.problems:
        key = row.target if row.filename else row.sheet
        reason = _complaint(row)
        matched.refused[key] = f"{matched.refused[key]}; {reason}" if key in matched.refused else reason
        return
    state = "lies outside the paths given, or is hidden" if row.target.exists() else "is not there"
    matched.without_files.append(f"{row.where}: {row.filename} {state}")


def _refuse_contradictions(usable: Mapping[Path, Row], matched: MatchedRows) -> None:
    items: dict[str, dict[Path, Row]] = defaultdict(dict)
    for path, row in usable.items():
        if row.accession_number is not None:
            items[row.accession_number][path] = row
    for number, rows in items.items():
        for column in ITEM_COLUMNS:
            _refuse_different(number, column, {path: row for path, row in rows.items() if column in row.item}, matched)
        _refuse_same_sequence(number, rows, matched)


def _refuse_different(number: str, column: str, rows: Mapping[Path, Row], matched: MatchedRows) -> None:
    by_value = {row.item[column]: row for row in rows.values()}
    if len(by_value) < 2:
        return
    values = " and ".join(repr(value[:80]) for value in by_value)
    reason = (
        f"{_places(list(rows.values()))} are about {number} and differ in column {column} ({values}): "
        "make them agree, or state it once"
    )
    for path in rows:
        matched.refused.setdefault(path, reason)


def _refuse_same_sequence(number: str, rows: Mapping[Path, Row], matched: MatchedRows) -> None:
    by_sequence: dict[int, list[Path]] = defaultdict(list)
    for path, row in rows.items():
        if row.sequence is not None:
            by_sequence[row.sequence].append(path)
    for sequence, paths in by_sequence.items():
        if len(paths) > 1:
            reason = f"{_places([rows[path] for path in paths])} give {number} the same sequence, {sequence}"
            for path in paths:
                matched.refused.setdefault(path, reason)


def _facts_of_items(rows: Mapping[Path, Row], reserved: Mapping[str, set[int]]) -> dict[str, ItemMetadata]:
    items: dict[str, dict[Path, Row]] = defaultdict(dict)
    for path, row in rows.items():
        if row.accession_number is not None:
            items[row.accession_number][path] = row
    return {number: _facts(of_item, reserved[number]) for number, of_item in items.items()}


def _facts(rows: Mapping[Path, Row], reserved: set[int]) -> ItemMetadata:
    extra: dict[str, list[str]] = defaultdict(list)
    for row in rows.values():
        for name, value in row.extra.items():
            if value not in extra[name]:
                extra[name].append(value)
    return ItemMetadata(
        item={column: value for row in rows.values() for column, value in row.item.items()},
        extra={name: "; ".join(values) for name, values in extra.items()},
        reserved=frozenset(reserved),
        numbered={path: row.sequence for path, row in rows.items() if row.sequence is not None},
    )


def _complaint(row: Row) -> str:
    return f"{row.where}: {'; '.join(row.problems)}"


def _places(rows: list[Row]) -> str:
    """The places of several rows: ``items.csv lines 3 and 9``."""
    if len({row.sheet for row in rows}) == 1:
        return f"{rows[0].sheet.name} lines {' and '.join(str(row.line) for row in rows)}"
    return " and ".join(f"{row.sheet} line {row.line}" for row in rows)
