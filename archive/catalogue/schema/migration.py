"""Migrations: upgrades and checks the database's schema with Alembic, which only this module imports."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from archive.bundled_files import migrations_folder
from archive.catalogue.engines import (
    make_engine,
    read_engine,
    refuse_absent_database,
    refuse_network_file_system,
    write_engine,
)
from archive.catalogue.schema import (
    identifier_and_mapping_tables,
    maintenance_advice,
    revision,
    text_index_tables,
    web_review_tables,
)
from archive.catalogue.schema.column_types import Table
from archive.errors import HomeError
from archive.settings import Settings

# Importing these modules adds their tables to the shared metadata.
_TABLE_MODULES = (identifier_and_mapping_tables, text_index_tables, web_review_tables)
_METADATA = Table.metadata
_NAMED_TABLE = re.compile(r'(?:CREATE TABLE|RENAME TO)\s+"?(\w+)')


def head() -> str:
    """The schema revision that this software needs."""
    return revision.head()


def current(settings: Settings) -> str | None:
    """The database's revision, or None if it has no tables yet.

    Raises:
        HomeError: the database does not exist or can't be opened.
    """
    with _reading(settings) as connection:
        return revision.current(connection)


def upgrade(settings: Settings) -> None:
    """Upgrades the database to :func:`head`, in one transaction; creates a missing SQLite file.

    Raises:
        HomeError: the database can't be opened or upgraded; it is not changed.
    """
    path = settings.sqlite_path
    if path is not None and path.parent.is_dir() and not path.exists():
        refuse_network_file_system(path)
        path.touch()  # with the mode that the umask says; SQLite would always use 0644, and nobody else could write
    with _migrating(settings) as connection:
        found = revision.current(connection)
        if revision.is_newer(found):
            raise HomeError(
                f"the catalogue is at schema {found}, newer than {head()}, which this software works with: "
                f"{revision.advise(found)}"
            )
        with _collecting_created_tables(connection) as created:
            command.upgrade(_config(connection), "head")
        if broken := _broken_references(connection, _with_referring(connection, created)):
            raise HomeError(f"the catalogue can't be brought to schema {head()}: {'; '.join(broken)}")


def downgrade(settings: Settings, revision_wanted: str) -> None:
    """Downgrades the database to an older revision, or with ``"base"`` to no tables, in one transaction.

    Raises:
        HomeError: the database can't be opened or downgraded; it is not changed.
    """
    with _migrating(settings) as connection:
        command.downgrade(_config(connection), revision_wanted)


def check(settings: Settings) -> list[str]:
    """Describes the schema's problems: not at head, unknown tables, broken constraints.

    Raises:
        HomeError: the database does not exist or can't be opened.
    """
    with _reading(settings) as connection:
        found = revision.current(connection)
        if found is None:
            return [f"the database has no tables: {revision.advise(found)}"]
        if found != head():
            return [f"the schema is at {found}, not at {head()}: {revision.advise(found)}"]
        context = MigrationContext.configure(connection)
        differences = [
            f"the schema differs from the software's: {each!r}" for each in compare_metadata(context, _METADATA)
        ]
        return differences + _broken_references(connection) + _damage(connection)


def advise(settings: Settings) -> list[str]:
    """What to run so that the database stays quick and small, in words.

    Raises:
        HomeError: the database is absent or can't be opened.
    """
    with _reading(settings) as connection:
        return maintenance_advice.advise(connection)


def holds_masters(settings: Settings) -> bool:
    """Whether the database holds masters; it need not exist or have tables, and may have any schema.

    Raises:
        HomeError: the database can't be opened.
    """
    path = settings.sqlite_path
    if path is not None and not path.exists():
        return False
    with _reading(settings) as connection:
        if revision.current(connection) is None:
            return False
        return connection.execute(text("SELECT id FROM masters LIMIT 1")).first() is not None


@contextmanager
def _collecting_created_tables(connection: Connection) -> Iterator[set[str]]:
    """The names of the tables that are created or renamed inside the context, as SQLite's are to change them."""
    names: set[str] = set()

    def collect(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        names.update(_NAMED_TABLE.findall(statement))

    event.listen(connection, "before_cursor_execute", collect)
    try:
        yield names
    finally:
        event.remove(connection, "before_cursor_execute", collect)


def _with_referring(connection: Connection, tables: Collection[str]) -> list[str]:
    """Those of these tables that an SQLite file has, and its tables with foreign keys to them; none on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return []
    found = inspect(connection)
    return [
        each
        for each in found.get_table_names()
        if each in tables or any(key["referred_table"] in tables for key in found.get_foreign_keys(each))
    ]


def _broken_references(connection: Connection, tables: Iterable[str] | None = None) -> list[str]:
    """Foreign keys that don't hold, which SQLite does not check while a migration copies tables.

    ``tables`` limits SQLite's check, which looks up every reference: that takes minutes for a large catalogue.
    """
    if connection.dialect.name != "sqlite":
        unchecked = connection.execute(
            text("SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE NOT convalidated")
        )
        return [f"constraint {name} of {table} is not validated" for table, name in unchecked]
    checks = ["foreign_key_check"] if tables is None else [f'foreign_key_check("{each}")' for each in tables]
    return [
        f"row {row} of {table} points at a row of {parent} that is not there"
        for check in checks
        for table, row, parent, _ in connection.execute(text(f"PRAGMA {check}"))
    ]


def _damage(connection: Connection) -> list[str]:
    """What SQLite's own check of the whole file finds; it takes minutes for a large catalogue."""
    if connection.dialect.name != "sqlite":
        return []
    found = connection.execute(text("PRAGMA integrity_check")).scalars().all()
    return [f"SQLite finds: {line}" for line in found if line != "ok"]


@contextmanager
def _migrating(settings: Settings) -> Iterator[Connection]:
    with _transaction(write_engine(make_engine(settings, migrating=True))) as connection:
        yield connection


@contextmanager
def _reading(settings: Settings) -> Iterator[Connection]:
    """A read-only connection: creates nothing, and no running batch has to wait."""
    refuse_absent_database(settings)
    with _transaction(read_engine(make_engine(settings))) as connection:
        yield connection


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise HomeError(f"the catalogue {engine.url!r} can't be used: {error.orig}") from error


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
