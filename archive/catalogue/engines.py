"""Database engines, configured so that SQLite and PostgreSQL behave alike."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from archive.catalogue.sqlite_error_hints import add_hint
from archive.errors import HomeError
from archive.settings import Settings

_WRITES = "archive_writes"
BUSY_TIMEOUT_SECONDS = 60

IS_ROLLED_BACK = "is_rolled_back"
"""The key in a session's ``info`` that says that its changes are rolled back at the end."""

_NETWORK_FILE_SYSTEMS = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|ncpfs|afs|coda|ceph|glusterfs|lustre|beegfs|gpfs|pvfs2|orangefs|ocfs2|gfs2|9p"
    r"|fuse\.(sshfs|ceph|glusterfs|davfs2?|rclone|s3fs|gcsfuse|smbnetfs|curlftpfs|mfs|juicefs|nfs.*|cephfs.*)|davfs2?"
)


def make_engine(settings: Settings, *, migrating: bool = False, keeps_connection: bool = False) -> Engine:
    """Creates the engine of the home's database.

    A connection lives only as long as its session, so no idle connection is left open. With ``keeps_connection`` one
    connection to a PostgreSQL server stays open until the engine is disposed of, for sessions that follow each other.
    ``migrating`` disables foreign key checks on SQLite, where a table is changed by copying and dropping it.

    Raises:
        HomeError: the URL is not valid, or the SQLite file would be on a network file system.
    """
    path = settings.sqlite_path
    if path is None:
        try:
            url = make_url(settings.database_url)
        except (ArgumentError, ValueError) as error:
            raise HomeError("the database URL can't be read: it must be postgresql+psycopg://user@host/name") from error
        url, options = _split_prepare_threshold(url)
        if keeps_connection:
            engine = create_engine(url, pool_size=1, max_overflow=-1, connect_args=options)
            event.listen(engine, "checkout", _replace_closed_connection)
            return engine
        return create_engine(url, poolclass=NullPool, connect_args=options)
    refuse_network_file_system(path)
    # URL.create accepts any characters in the path.
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite_migration if migrating else _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "handle_error", lambda context: add_hint(context.original_exception, path))
    return engine


def _split_prepare_threshold(url: URL) -> tuple[URL, dict[str, int | None]]:
    """The URL without ``prepare_threshold``, and this as an option of psycopg: a number, or None for ``none``.

    psycopg prepares a statement on the server after so many executions. A connection pooler that gives each transaction
    another connection, such as PgBouncer in transaction mode, may lose prepared statements.

    Raises:
        HomeError: the value is neither a number nor ``none``.
    """
    if (value := url.query.get("prepare_threshold")) is None:
        return url, {}
    if value != "none" and not (isinstance(value, str) and value.isdecimal()):
        raise HomeError(f"prepare_threshold in the database URL must be a number or none, not {value!r}")
    return url.difference_update_query(["prepare_threshold"]), {
        "prepare_threshold": None if value == "none" else int(value)
    }


def refuse_absent_database(settings: Settings) -> None:
    """Checks that the home's SQLite file exists; connecting would create it.

    Raises:
        HomeError: it does not exist; the message names `archive init`.
    """
    path = settings.sqlite_path
    if path is not None and not path.exists():
        raise HomeError(f"No catalogue at {path}. Run `archive init {settings.home}`")


def read_engine(engine: Engine) -> Engine:
    """``engine`` for read-only transactions, each with a consistent snapshot of the catalogue."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def write_engine(engine: Engine) -> Engine:
    """``engine`` for write transactions. SQLite has one writer at a time: each transaction waits at its start."""
    return engine.execution_options(**{_WRITES: True})


@contextmanager
def private_copy(engine: Engine) -> Iterator[Engine]:
    """An engine for a private temporary copy of the SQLite database."""
    with closing(sqlite3.connect("")) as copy:  # an empty name means a temporary file
        with engine.connect() as connection:
            original: Any = connection.connection.driver_connection
            original.backup(copy)
        _prepare_sqlite(copy, None)
        copied = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
        event.listen(copied, "begin", _begin_sqlite)
        yield copied


def refuse_network_file_system(path: Path, mountinfo: str | None = None) -> None:
    """Checks that the folder of ``path``, an SQLite database, is not on a network file system.

    SQLite's locks and shared memory are unreliable there. ``mountinfo`` is the text of ``/proc/self/mountinfo``.

    Raises:
        HomeError: it is on a network file system; the message names PostgreSQL.
    """
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:  # not Linux: mounts are unknown
            return
    kind = _file_system(Path(os.path.realpath(path)), mountinfo)
    if kind is not None and _NETWORK_FILE_SYSTEMS.fullmatch(kind):
        raise HomeError(
            f"the SQLite catalogue {path} would lie on a network file system ({kind}), where its locks don't hold. "
            "Keep the home on a local disk, or use PostgreSQL: --database postgresql+psycopg://user@host/name"
        )


def _file_system(path: Path, mountinfo: str) -> str | None:
    """The type of the file system of ``path``; the last mount at a mount point hides the earlier ones."""
    found: tuple[int, str] | None = None
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not source:
            continue
        # Spaces and similar characters are written as three octal digits.
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
        if path.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), source.split(" ")[0]
    return found[1] if found else None


def _replace_closed_connection(connection: Any, record: Any, _proxy: object) -> None:
    """Makes the pool open a new connection if the server has closed this one, for example to restart.

    An idle connection has nothing to read until it is closed. Unlike a ping, this takes no round trip; but it does not
    notice a network that has silently forgotten the connection. A connection that was just opened is not looked at: its
    first statement tells.
    """
    if "was_used" not in record.info:
        record.info["was_used"] = True
        return
    with DefaultSelector() as selector:
        if not connection.closed:
            selector.register(connection, EVENT_READ)
        if connection.closed or selector.select(timeout=0):
            raise DisconnectionError


def _prepare_sqlite(connection: Any, _record: object) -> None:
    _prepare_sqlite_migration(connection, _record)
    connection.execute("PRAGMA foreign_keys = ON")


def _prepare_sqlite_migration(connection: Any, _record: object) -> None:
    # Python begins transactions too late; _begin_sqlite does it.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")  # kibibytes; the default, 2 MiB, is too small for large catalogues


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
