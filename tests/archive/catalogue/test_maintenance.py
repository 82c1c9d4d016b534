"""Advice on the upkeep of the database, on real databases with few rows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from archive.catalogue import Catalogue
from archive.catalogue.schema import maintenance_advice, migration


@pytest.fixture(autouse=True)
def _small_tables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance_advice, "_LARGE_TABLE", 50)
    monkeypatch.setattr(maintenance_advice, "_LARGE_FILE", 20)


def _execute(catalogue: Catalogue, *statements: str) -> None:
    """Runs statements outside a transaction, as a person does in psql; PostgreSQL's counters follow at once."""
    with catalogue.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        if connection.dialect.name == "postgresql":
            raw.autocommit = True
            statements = (*statements, "SELECT pg_stat_force_next_flush()")
        for statement in statements:
            raw.execute(statement)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_missing_and_outdated_statistics_and_dead_rows_of_postgresql(catalogue: Catalogue) -> None:
    add = "INSERT INTO agents (type, name, version) SELECT 'person', 'P' || n, '' FROM generate_series({}, {}) n"
    assert migration.advise(catalogue.settings) == []
    _execute(catalogue, "ALTER TABLE agents SET (autovacuum_enabled = off)", add.format(1, 100))
    (advice,) = migration.advise(catalogue.settings)
    assert "no statistics of agents: run `ANALYZE agents`" in advice
    _execute(catalogue, "ANALYZE agents")
    assert migration.advise(catalogue.settings) == []
    _execute(catalogue, add.format(101, 160))
    (advice,) = migration.advise(catalogue.settings)
    assert "outdated statistics of agents" in advice
    _execute(catalogue, "ANALYZE agents", "DELETE FROM agents WHERE version = ''", "ANALYZE agents")
    (advice,) = migration.advise(catalogue.settings)
    assert "dead rows in agents: run `VACUUM (ANALYZE) agents`" in advice
    _execute(catalogue, "VACUUM (ANALYZE) agents")
    assert migration.advise(catalogue.settings) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_unused_space_of_sqlite(catalogue: Catalogue) -> None:
    assert migration.advise(catalogue.settings) == []
    with catalogue.session() as session:
        for number in range(300):
            session.execute(
                text("INSERT INTO agents (type, name, version) VALUES ('person', :name, '')"),
                {"name": f"{number} {'x' * 4000}"},
            )
    with catalogue.session() as session:
        session.execute(text("DELETE FROM agents"))
    (advice,) = migration.advise(catalogue.settings)
    assert "of the SQLite file is unused: run `VACUUM`" in advice
    _execute(catalogue, "VACUUM")
    assert migration.advise(catalogue.settings) == []
