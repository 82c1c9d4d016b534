from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from archive.bundled_files import migrations_folder
from archive.catalogue import Catalogue, engines
from archive.catalogue.schema import migration
from archive.catalogue.schema.column_types import Table
from archive.errors import HomeError
from archive.settings import Settings
from tests.catalogue_rows import add_item


def test_a_new_database_is_brought_to_head_and_has_nothing_to_complain_of(
    tmp_path: Path, empty_database_url: str
) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database_url)
    if settings.sqlite_path:
        settings.sqlite_path.touch()
    assert migration.current(settings) is None
    assert "no tables" in migration.check(settings)[0]
    migration.upgrade(settings)
    assert migration.current(settings) == migration.head()
    assert migration.check(settings) == []


def test_upgrading_twice_changes_nothing(settings: Settings) -> None:
    migration.upgrade(settings)
    assert migration.check(settings) == []


def test_the_head_that_is_read_from_file_names_is_alembics() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    assert ScriptDirectory.from_config(config).get_current_head() == migration.head()


def test_a_difference_from_the_softwares_tables_is_found(settings: Settings, catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        session.execute(text("CREATE INDEX ix_extra ON items (title)"))
    (problem,) = migration.check(settings)
    assert "ix_extra" in problem


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_columns_that_are_ordered_by_code_point_are_so_in_a_database_of_any_language(catalogue: Catalogue) -> None:
    dialect = catalogue.engine.dialect
    expected = {
        (name, column.name)
        for name, table in Table.metadata.tables.items()
        for column in table.columns
        if getattr(column.type.dialect_impl(dialect), "collation", None) == "C"
    }
    with catalogue.reading() as session:
        columns = text(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE collation_name = 'C' AND table_schema = 'public'"
        )
        assert {tuple(row) for row in session.execute(columns)} == expected
        assert {("recipes", "sha256"), ("items", "accession_number")} <= expected
        if session.scalar(text("SELECT 'B' < 'a'")):
            pytest.skip("localedef can't make the locale en_US.UTF-8 here (on Debian it needs the package locales)")


def test_a_broken_foreign_key_is_found(settings: Settings, catalogue: Catalogue) -> None:
    if settings.sqlite_path:
        with closing(sqlite3.connect(settings.sqlite_path)) as connection:  # which checks no foreign keys
            connection.execute("INSERT INTO model_aliases VALUES (7, 'approved', 8, NULL)")
            connection.commit()
    else:
        name = "fk_model_aliases_model_id_models"
        with catalogue.session() as session:
            session.execute(text(f"ALTER TABLE model_aliases DROP CONSTRAINT {name}"))
            foreign_key = "FOREIGN KEY (model_id) REFERENCES models (id) NOT VALID"
            session.execute(text(f"ALTER TABLE model_aliases ADD CONSTRAINT {name} {foreign_key}"))
    problems = migration.check(settings)
    assert problems
    assert all("model_aliases" in problem for problem in problems)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("older", "broken", "refers"),
    [
        (
            "0015",  # 0016 copies the batches
            "INSERT INTO tasks (batch_id, master_id, recipe_id, status, attempts) VALUES (7, 8, 9, 'done', 1)",
            "tasks points at a row of batches that",
        ),
        (
            "0014",  # 0015 copies the derivatives, twice
            "INSERT INTO quality_scores (derivative_id, metric, image, colour_space, data_range, implementation) "
            "VALUES (99, 'psnr', 'derivative', 'grey', 1, 'by hand')",
            "quality_scores points at a row of derivatives that",
        ),
    ],
)
def test_an_upgrade_finds_broken_foreign_keys_of_the_tables_that_it_copies_and_changes_nothing(
    settings: Settings, catalogue: Catalogue, older: str, broken: str, refers: str
) -> None:
    del catalogue
    migration.downgrade(settings, older)
    with closing(sqlite3.connect(str(settings.sqlite_path))) as connection:
        connection.execute(broken)
        connection.commit()
    with pytest.raises(HomeError, match=rf"row 1 of {refers} is not there"):
        migration.upgrade(settings)
    assert migration.current(settings) == older


def test_a_catalogue_of_another_schema_is_not_opened(settings: Settings, catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HomeError, match=r"9999.*install the newer version"):
        Catalogue.open(settings)
    with pytest.raises(HomeError, match=r"newer.*install the newer version"):
        migration.upgrade(settings)
    (problem,) = migration.check(settings)
    assert "install the newer version" in problem
    Catalogue.open(settings, check_schema=False)


def test_a_database_without_tables_is_not_opened(tmp_path: Path, empty_database_url: str) -> None:
    with pytest.raises(HomeError, match=r"archive (init|db upgrade)"):
        Catalogue.open(Settings(home=tmp_path, database_url=empty_database_url))
    assert not (tmp_path / "empty.db").exists()


@pytest.mark.parametrize("look", [migration.current, migration.check])
def test_looking_makes_no_database(tmp_path: Path, look: Callable[[Settings], object]) -> None:
    with pytest.raises(HomeError, match="archive init"):
        look(Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'catalogue.db'}"))
    assert list(tmp_path.iterdir()) == []


def test_looking_and_a_batch_at_work_do_not_wait_for_each_other(
    catalogue: Catalogue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_SECONDS", 0.1)
    with catalogue.session() as session:
        add_item(session, "A")
        assert migration.current(settings) == migration.head()
        assert migration.check(settings) == []


def test_a_database_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("no database at all, but text" * 100)
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'notes.db'}")
    with pytest.raises(HomeError, match="not a database"):
        Catalogue.open(settings)
    with pytest.raises(HomeError, match="not a database"):
        migration.upgrade(settings)


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://museum:secret@/catalogue?host={tmp_path}"
    with pytest.raises(HomeError) as raised:
        Catalogue.open(Settings(home=tmp_path, database_url=url))
    assert "museum" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_failed_upgrade_leaves_the_database_as_it_was(settings: Settings, catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A")
        session.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(HomeError):  # the tables are there already
        migration.upgrade(settings)
    with catalogue.reading() as session:
        assert session.execute(text("SELECT count(*) FROM items")).scalar_one() == 1
        assert session.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 0
