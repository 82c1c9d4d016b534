"""Advice on the upkeep of the database: missing statistics, unused space, and the command that helps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

_LARGE_TABLE: Final = 10_000  # rows; a smaller one is quick anyway
_LARGE_FILE: Final = 10_000  # pages of SQLite, of 4 KiB
_STALE_SHARE: Final = 0.2  # of the rows, changed since the last statistics or dead
_UNUSED_SHARE: Final = 0.25  # of the file


def advise(connection: Connection) -> list[str]:
    """What to run so that the database stays quick and small, in words; empty where nothing is needed."""
    return list(_advise_sqlite(connection) if connection.dialect.name == "sqlite" else _advise_postgresql(connection))


def _advise_postgresql(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        text(
            "SELECT relname, n_live_tup, n_dead_tup, n_mod_since_analyze, "
            "coalesce(last_analyze, last_autoanalyze) IS NULL "
            "FROM pg_stat_user_tables WHERE schemaname = current_schema() ORDER BY relname"
        )
    ).all()
    never, stale, bloated = [], [], []
    for table, live, dead, changed, is_new in rows:
        if live >= _LARGE_TABLE and is_new:
            never.append(table)
        elif live >= _LARGE_TABLE and changed > _STALE_SHARE * live:
            stale.append(table)
        if dead >= _LARGE_TABLE and dead > _STALE_SHARE * live:
            bloated.append(table)
    for tables, what in ((never, "no statistics"), (stale, "outdated statistics")):
        if tables:
            yield f"PostgreSQL has {what} of {', '.join(tables)}: run `ANALYZE {', '.join(tables)}` in psql"
    if bloated:
        names = ", ".join(bloated)
        yield f"many dead rows in {names}: run `VACUUM (ANALYZE) {names}` in psql, and check that autovacuum is on"


def _advise_sqlite(connection: Connection) -> Iterator[str]:
    # SQLite's statistics are not used: the query planner of the catalogue counts by itself.
    unused, pages = (
        connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("freelist_count", "page_count")
    )
    if unused >= _LARGE_FILE and unused > _UNUSED_SHARE * pages:
        yield (
            f"{unused / pages:.0%} of the SQLite file is unused: run `VACUUM` on it with the sqlite3 program while "
            "nothing else uses the catalogue"
        )
