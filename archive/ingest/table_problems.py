"""Problems of the cells, rows and columns of a table, each with its position and the allowed values."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from archive.errors import IngestError


class ProblemKind(StrEnum):
    DATE_AS_TEXT = "date kept as text only"
    VALUE = "value not allowed, left out"
    ACCESS = "access not readable, counts as restricted"
    UNNAMED_COLUMN = "cell in a column without a name, left out"
    DISAGREEMENT = "rows of one photograph disagree, value left out"
    SEQUENCE = "sequence taken, next free one given"
    PICTURE_AREA = "picture area outside the picture, left out"
    REFERENCE = "reference image not usable, left out"
    COLUMN = "column not recognised, kept as extra metadata"
    ROW = "row not usable"
    NO_FILE = "row without a file"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableProblem:
    """One problem; ``column`` is empty for a whole row, ``line`` is 1 for a whole column."""

    kind: ProblemKind
    table: str
    line: int
    column: str = ""
    value: str = ""
    advice: str = ""

    @property
    def message(self) -> str:
        """The problem without its position: ``column date: '19O6' ...``."""
        parts = [f"column {self.column}" if self.column else "", f"'{self.value[:80]}'" if self.value else ""]
        return f"{': '.join(part for part in parts if part)} {self.advice}".strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemGroup:
    """The problems of one kind; those with the same column, value and advice are combined."""

    kind: ProblemKind
    count: int
    entries: Sequence[tuple[TableProblem, Sequence[int]]]
    """Each problem with the numbers of its rows; the most frequent first."""


def group_problems(problems: Iterable[TableProblem]) -> Iterator[ProblemGroup]:
    """The problems by kind, in the order of :class:`ProblemKind`."""
    by_kind: Mapping[ProblemKind, list[TableProblem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    for kind in ProblemKind:
        if kind not in by_kind:
            continue
        same: dict[tuple[str, str, str, str], tuple[TableProblem, list[int]]] = {}
        for problem in by_kind[kind]:
            key = problem.table, problem.column, problem.value, problem.advice
            same.setdefault(key, (problem, []))[1].append(problem.line)
        entries = sorted(same.values(), key=lambda entry: -len(entry[1]))
        yield ProblemGroup(kind=kind, count=len(by_kind[kind]), entries=entries)


def write_problems(
    path: Path, problems: Iterable[TableProblem], messages: Mapping[str, Iterable[tuple[str, str]]]
) -> None:
    """Writes problems of tables and messages about files as CSV, one per line: kind, file, row, column, value, advice.

    Args:
        path: the CSV file.
        problems: the problems of the tables.
        messages: messages by kind, each what it is about and a text, which goes to the column ``advice``.

    Raises:
        IngestError: the file can't be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["kind", "file", "row", "column", "value", "advice"])
            for each in problems:
                writer.writerow([each.kind, each.table, each.line, each.column, each.value, each.advice])
            for kind, of_kind in messages.items():
                writer.writerows([kind, about, "", "", "", text] for about, text in of_kind)
    except OSError as error:
        raise IngestError(f"{path} can't be written: {error.strerror}") from error
