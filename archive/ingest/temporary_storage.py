"""Lists and sets in temporary files, so that an ingest of many files and rows doesn't fill the memory."""

from __future__ import annotations

import pickle
import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from archive.errors import IngestError

_CHUNK_LENGTH = 100
_STORAGE_ERRORS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_Value = TypeVar("_Value")


def open_temporary_database(tables: str, *, memory_mib: int = 8) -> sqlite3.Connection:
    """A SQLite database of this process alone, with the tables that the SQL statements ``tables`` create.

    What exceeds ``memory_mib`` lies in an unnamed temporary file, which goes when the database is closed.
    """
    database = sqlite3.connect("", isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute(f"PRAGMA cache_size = -{memory_mib * 1024}")
    add_tables(database, tables)
    return database


def add_tables(database: sqlite3.Connection, tables: str) -> None:
    """Creates further tables in a temporary database."""
    database.executescript(tables)
    database.execute("BEGIN")  # one transaction for all that follows


def to_bytes(text: str | Path) -> bytes:
    """Any text or path as bytes in the same order; names of files may hold bytes that are not UTF-8."""
    return str(text).encode("utf-8", "surrogatepass")


def to_text(stored: bytes) -> str:
    """The text of :func:`to_bytes`."""
    return stored.decode("utf-8", "surrogatepass")


@contextmanager
def report_full_storage() -> Iterator[None]:
    """Explains the errors of temporary databases that can't be written.

    Raises:
        IngestError: the folder for temporary files is full, or can't be written.
    """
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _STORAGE_ERRORS:
            raise
        raise IngestError(
            f"no temporary file can be written ({error}): free some space in the folder that TMPDIR names "
            "(/var/tmp by default), or name another one"
        ) from error


class StoredList(Sequence[_Value], Generic[_Value]):
    """A list of values that can be pickled, in a temporary database. It can't be changed while it is iterated over."""

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None  # opened for the first full chunk
        self._recent: list[_Value] = []
        self._chunks = 0

    def append(self, value: _Value) -> None:
        """Adds a value at the end."""
        self._recent.append(value)
        if len(self._recent) == _CHUNK_LENGTH:
            self._store_recent()

    def extend(self, values: Iterable[_Value]) -> None:
        """Adds values at the end."""
        for value in values:
            self.append(value)

    def _store_recent(self) -> None:
        if self._database is None:
            tables = "CREATE TABLE chunk (id INTEGER PRIMARY KEY, data BLOB)"
            self._database = open_temporary_database(tables, memory_mib=1)
            weakref.finalize(self, self._database.close)
        data = pickle.dumps(self._recent, pickle.HIGHEST_PROTOCOL)
        self._database.execute("INSERT INTO chunk VALUES (?, ?)", (self._chunks, data))
        self._chunks += 1
        self._recent = []

    def _chunk(self, number: int) -> list[_Value]:
        if self._database is None or number == self._chunks:
            return self._recent
        (data,) = self._database.execute("SELECT data FROM chunk WHERE id = ?", (number,)).fetchone()
        values: list[_Value] = pickle.loads(data)  # noqa: S301  (written by this process)
        return values

    def __iadd__(self, values: Iterable[_Value]) -> StoredList[_Value]:
        self.extend(values)
        return self

    def __len__(self) -> int:
        return self._chunks * _CHUNK_LENGTH + len(self._recent)

    def __iter__(self) -> Iterator[_Value]:
        for number in range(self._chunks + 1):
            yield from self._chunk(number)

    @overload
    def __getitem__(self, index: int) -> _Value: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Value]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        chunk, place = divmod(range(len(self))[index], _CHUNK_LENGTH)
        return self._chunk(chunk)[place]

    def __repr__(self) -> str:
        first = ", ".join(map(repr, islice(self, 5)))
        return f"<{len(self)} values: {first}{', ...' if len(self) > 5 else ''}>"


class StoredSet:
    """A set of texts in a temporary database."""

    def __init__(self) -> None:
        self._database = open_temporary_database("CREATE TABLE element (value BLOB PRIMARY KEY) WITHOUT ROWID")
        weakref.finalize(self, self._database.close)

    def add(self, value: str) -> bool:
        """Adds a text; returns False if the set has it already."""
        added = self._database.execute("INSERT OR IGNORE INTO element VALUES (?)", (to_bytes(value),))
        return added.rowcount > 0

    def __contains__(self, value: str) -> bool:
        found = self._database.execute("SELECT 1 FROM element WHERE value = ?", (to_bytes(value),))
        return found.fetchone() is not None
