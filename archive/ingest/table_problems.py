"""Problems of the cells, rows and columns of a table, each with its position and the allowed values."""

from __future__ import annotations

import csv
import pickle
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, TextIO

from archive.csv_formulas import escape_formula
from archive.ingest.temporary_storage import open_temporary_database, to_bytes

_TABLE = "CREATE TABLE problem (id INTEGER PRIMARY KEY, kind TEXT, text BLOB, line INTEGER, data BLOB)"
_HEADER = "kind,file,row,column,value,advice\n"


class ProblemKind(StrEnum):
    DATE_AS_TEXT = "date kept as text only"
    VALUE = "value not allowed, left out"
    ACCESS = "access not readable, counts as restricted"
    ACCESS_DISAGREEMENT = "rows of one photograph disagree on access, the strictest one counts"
    RIGHTS = "rights may restrict access, which no column states"
    POLARITY = "process of a negative, polarity not stated"
    UNNAMED_COLUMN = "cell in a column without a name, left out"
    DISAGREEMENT = "rows of one photograph disagree, value left out"
    SEQUENCE = "sequence of another scan, left out"
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
class ProblemEntry:
    """The problems of a table with the same column, value and advice."""

    problem: TableProblem
    """The first of them."""
    count: int
    lines: Sequence[int]
    """The numbers of the first rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemGroup:
    """The problems of one kind."""

    kind: ProblemKind
    count: int
    distinct: int
    entries: Iterator[ProblemEntry]
    """Each different problem; the most frequent first. Valid until the next group is read."""


def group_problems(problems: Iterable[TableProblem], *, places: int) -> Iterator[ProblemGroup]:
    """The problems by kind, in the order of :class:`ProblemKind`.

    Args:
        problems: they may be many; memory doesn't depend on their number.
        places: how many row numbers to give for each.
    """
    with closing(open_temporary_database(_TABLE)) as database:
        database.executemany("INSERT INTO problem (kind, text, line, data) VALUES (?, ?, ?, ?)", map(_stored, problems))
        database.execute("CREATE INDEX problem_text ON problem (kind, text)")
        for kind in ProblemKind:
            count, distinct = database.execute(
                "SELECT count(*), count(DISTINCT text) FROM problem WHERE kind = ?", (kind,)
            ).fetchone()
            if count:
                entries = _entries(database, kind, places)
                yield ProblemGroup(kind=kind, count=count, distinct=distinct, entries=entries)


def _stored(problem: TableProblem) -> tuple[str, bytes, int, bytes]:
    text = to_bytes("\0".join((problem.table, problem.column, problem.value, problem.advice)))
    return problem.kind, text, problem.line, pickle.dumps(problem)


def _entries(database: sqlite3.Connection, kind: ProblemKind, places: int) -> Iterator[ProblemEntry]:
    same = database.execute(
        "SELECT text, count(*), min(id) FROM problem WHERE kind = ? GROUP BY text ORDER BY count(*) DESC, min(id)",
        (kind,),
    )
    for text, count, first in same:
        (data,) = database.execute("SELECT data FROM problem WHERE id = ?", (first,)).fetchone()
        lines = database.execute(
            "SELECT line FROM problem WHERE kind = ? AND text = ? ORDER BY id LIMIT ?", (kind, text, places)
        )
        problem = pickle.loads(data)  # noqa: S301  (written by this process)
        yield ProblemEntry(problem=problem, count=count, lines=[line for (line,) in lines])


def write_problems(
    file: TextIO, problems: Iterable[TableProblem], messages: Mapping[str, Iterable[tuple[str, str]]]
) -> None:
    """Writes problems of tables and messages about files as CSV, one per line, in the columns of :data:`_HEADER`.

    Args:
        file: the CSV file.
        problems: the problems of the tables.
        messages: messages by kind, each what it is about and a text, which goes to the column ``advice``.
    """
    file.write(_HEADER)
    writer = csv.writer(file, lineterminator="\n")
    for each in problems:
        quoted = (escape_formula(text) for text in (each.column, each.value, each.advice))
        writer.writerow([each.kind, each.table, each.line, *quoted])
    for kind, of_kind in messages.items():
        writer.writerows([kind, escape_formula(about), "", "", "", escape_formula(text)] for about, text in of_kind)


def is_problems_file(file: BinaryIO) -> bool:
    """Whether a file, which is open at its start, was written by :func:`write_problems`."""
    return file.readline(len(_HEADER)) == _HEADER.encode()
