from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, text, update
from sqlalchemy.exc import IntegrityError

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import update_current_derivatives
from archive.catalogue.engines import make_engine
from archive.catalogue.events import record_event
from archive.catalogue.listings import select_masters
from archive.catalogue.schema import migration
from archive.catalogue.schema.column_types import Table
from archive.catalogue.schema.identifier_and_mapping_tables import ColumnMappingText, ItemIdentifier
from archive.catalogue.schema.tables import Item, Master, Task
from archive.catalogue.schema.vocabularies import Decision, EventType, Role
from archive.catalogue.schema.web_review_tables import Comment, ReviewQueue, ReviewQueueEntry, User
from archive.settings import Settings
from tests.catalogue_rows import AT, add_derivative, add_item, add_master, add_recipe, add_review, add_task, add_version


def test_migrations_go_up_down_and_up_again_with_rows_in_every_table(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database_url)
    for _ in range(2):
        migration.upgrade(settings)
        assert migration.check(settings) == []
        _fill(settings)
        assert migration.check(settings) == []
        migration.downgrade(settings, "base")
        assert migration.current(settings) is None
        assert _tables(settings) == {"alembic_version"}


def test_pages_come_and_go_with_the_masters_kept(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database_url)
    migration.upgrade(settings)
    _fill(settings)
    before = _masters(settings)
    migration.downgrade(settings, "0001")
    migration.upgrade(settings)
    assert migration.check(settings) == []
    assert _masters(settings) == before
    for wrong in ("page = 0", "sequence = 0", "view = 'back'", "last_task_status = 'lost'"):
        with pytest.raises(IntegrityError), Catalogue.open(settings).session() as session:
            session.execute(text(f"UPDATE masters SET {wrong}"))  # noqa: S608


def test_pages_are_not_given_up_while_a_file_has_several(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database_url)
    migration.upgrade(settings)
    catalogue = Catalogue.open(settings)
    with catalogue.session() as session:
        item = add_item(session, "A")
        add_master(session, item, path=item.masters[0].path, sha256=item.masters[0].sha256, page=2)
    with pytest.raises(RuntimeError, match="1 masters are further pictures"):
        migration.downgrade(settings, "0001")
    assert migration.check(settings) == []
    assert [page for page, *_ in _masters(settings)] == [1, 2]


def test_every_constraint_has_a_name(settings: Settings) -> None:
    engine = make_engine(settings)
    with engine.connect() as connection:
        found = inspect(connection)
        for table in Table.metadata.tables:
            unnamed = [
                constraint
                for constraint in (
                    *found.get_foreign_keys(table),
                    *found.get_unique_constraints(table),
                    *found.get_check_constraints(table),
                    *([] if _never_reuses_ids(engine, table) else [found.get_pk_constraint(table)]),
                )
                if not constraint["name"]
            ]
            assert unnamed == [], table


def _never_reuses_ids(engine: Engine, table: str) -> bool:
    """Whether it is a table of SQLite with AUTOINCREMENT, which is written without a name of the primary key."""
    with engine.connect() as connection:
        return (
            engine.dialect.name == "sqlite"
            and "AUTOINCREMENT"
            in connection.execute(
                text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table}
            ).scalar_one()
        )


def test_sqlite_never_gives_a_removed_id_to_a_new_row(settings: Settings) -> None:
    # A migration that copies one of these tables must pass table_kwargs={"sqlite_autoincrement": True}.
    engine = make_engine(settings)
    tables = {name for name, table in Table.metadata.tables.items() if table.dialect_kwargs.get("sqlite_autoincrement")}
    assert {"items", "masters", "derivatives", "events"} <= tables
    if engine.dialect.name == "sqlite":
        assert {table for table in Table.metadata.tables if _never_reuses_ids(engine, table)} == tables


def _fill(settings: Settings) -> None:
    catalogue = Catalogue.open(settings)
    with catalogue.session() as session:
        version = add_version(session, approved=True)
        item = add_item(session, "A", title="Mother")
        derivative = add_derivative(session, item.masters[0], version, psnr_source=30.0)
        add_task(session, derivative.batch, item.masters[0], add_recipe(session, version), derivative_id=derivative.id)
        review = add_review(session, derivative, Decision.ACCEPTED)
        session.add(User(name="anna", role=Role.REVIEWER, created_at=AT))
        entry = ReviewQueueEntry(position=1, derivative_id=derivative.id)
        session.add(ReviewQueue(query="review:none", sort_by="accession_number", created_at=AT, entries=[entry]))
        place = {"x": 0, "y": 0, "width": 8, "height": 8}
        session.add(Comment(derivative_id=derivative.id, text="a scratch", agent=review.agent, at=AT, **place))
        record_event(session, EventType.INGESTION, at=AT, item=item, master=item.masters[0], version=version)
        session.add(ItemIdentifier(item_id=item.id, scheme="ark", value="ark:/12345/x"))
        session.add(ColumnMappingText(sha256="0" * 64, name="mapping.toml", text="[columns]", first_used_at=AT))
    with catalogue.reading() as session:
        empty = [
            table
            for table in Table.metadata.tables
            if session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0  # noqa: S608
        ]
    assert empty == []


def _masters(settings: Settings) -> list[tuple[Any, ...]]:
    wanted = "page, path, sha256, sequence, view, unsupported, psnr_source, current_restored_id"
    with make_engine(settings).connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {wanted} FROM masters ORDER BY id"))]  # noqa: S608


def _tables(settings: Settings) -> set[str]:
    engine = make_engine(settings)
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_leases_come_and_go_with_the_rows_kept(settings: Settings) -> None:
    _fill(settings)
    catalogue = Catalogue.open(settings)
    with catalogue.session() as session:
        session.execute(update(Task).values(status="running", lease_token="0" * 32, lease_expires_at=AT, lease_pid=7))
    before = _tasks(settings)
    migration.downgrade(settings, "0001")
    assert [row.keys() & {"lease_token", "lease_pid"} for row in _tasks(settings)] == [{"lease_token"}]
    migration.upgrade(settings)
    assert migration.check(settings) == []
    names = ("expires_at", "host", "pid", "started", "device", "renewed_at")
    lease = {f"lease_{name}": None for name in names}
    assert _tasks(settings) == [row | lease for row in before]


def _tasks(settings: Settings) -> list[dict[str, object]]:
    with make_engine(settings).connect() as connection:
        return [dict(row) for row in connection.execute(text("SELECT * FROM tasks")).mappings()]


def test_an_older_catalogue_knows_the_recipes_of_its_current_derivatives_once_it_is_upgraded(
    settings: Settings, catalogue: Catalogue
) -> None:
    with catalogue.session() as session:
        derivative = add_derivative(session, add_item(session, "A").masters[0], add_version(session))
        add_item(session, "B")
    migration.downgrade(settings, "0001")
    migration.upgrade(settings)
    with catalogue.reading() as session:
        recipes = session.scalars(select(Master.current_restored_recipe_id).order_by(Master.id)).all()
    assert recipes == [derivative.recipe_id, None]


def test_every_type_of_event_can_be_recorded_and_older_schemas_keep_the_history(
    settings: Settings, catalogue: Catalogue
) -> None:
    with catalogue.session() as session:
        item = add_item(session, "A")
        for event_type in EventType:
            record_event(session, event_type, at=AT, detail="once", item=item)
    migration.downgrade(settings, "0012")
    with make_engine(settings).connect() as connection:
        details = [detail for (detail,) in connection.execute(text("SELECT detail FROM events ORDER BY id"))]
    assert len(details) == len(EventType)
    assert {"once", "reproduction: once", "deletion: once"} <= set(details)
    migration.upgrade(settings)
    assert migration.check(settings) == []


def test_withdrawn_derivatives_keep_the_schema_that_knows_them(settings: Settings, catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        derivative = add_derivative(session, add_item(session, "A").masters[0], add_version(session))
        derivative.withdrawn_at = AT
    with pytest.raises(RuntimeError, match="1 derivatives are withdrawn"):
        migration.downgrade(settings, "0012")


def test_dates_and_own_columns_of_older_catalogues_become_searchable(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database_url)
    migration.upgrade(settings)
    with Catalogue.open(settings).session() as session:
        add_item(session, "A", date="1906~", date_text="um 1906", extra={"Box No.": "Schränke 7"})
    migration.downgrade(settings, "0013")
    migration.upgrade(settings)
    with Catalogue.open(settings).reading() as session:
        for query in (
            "date_text:1906",
            'extra.box_no:"schranke 7"',
            "extra.box_no:*ranke",
            "extra.Box_No:* NOT identifier:*",
        ):
            assert len(session.scalars(select_masters(query)).all()) == 1, query


def test_phrases_are_found_in_an_older_catalogue_once_it_is_upgraded(settings: Settings, catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A", title="View of the old harbour", description="the")
        add_item(session, "B", title="Harbour")
    before = _words(settings)
    migration.downgrade(settings, "0017")
    assert {tuple(row) for row in _words(settings)} == {("field", "word", "item_id", "position")}
    migration.upgrade(settings)
    assert migration.check(settings) == []
    assert _words(settings) == before
    with catalogue.reading() as session:
        for query, found in (('title:"the old harbour"', 1), ('title:"harbour view"', 0), ("title:harbour-*", 0)):
            assert len(session.scalars(select_masters(query)).all()) == found, query


def _words(settings: Settings) -> list[dict[str, object]]:
    with make_engine(settings).connect() as connection:
        rows = connection.execute(text("SELECT * FROM item_words ORDER BY item_id, field, position"))
        return [dict(row) for row in rows.mappings()]


def test_stale_masters_of_an_older_catalogue_are_known_once_it_is_upgraded(
    settings: Settings, catalogue: Catalogue
) -> None:
    with catalogue.session() as session:
        old, new = add_version(session, "mend@1.0"), add_version(session, "mend@2.0", approved=True)
        for name, versions in (("old", [old]), ("both", [new, old]), ("new", [new]), ("none", [])):
            master = add_item(session, name).masters[0]
            for version in versions:
                add_derivative(session, master, version)
    migration.downgrade(settings, "0019")
    migration.upgrade(settings)
    assert migration.check(settings) == []
    with catalogue.reading() as session:
        stale = session.scalars(select(Item.accession_number).join(Master).where(Master.is_stale)).all()
    assert stale == ["old"]


def test_a_withdrawn_derivative_is_not_current_after_any_migration(settings: Settings, catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        master = add_item(session, "A").masters[0]
        older, newer = (add_derivative(session, master, add_version(session, f"mend@{n}.0")) for n in (1, 2))
        newer.withdrawn_at = AT
        update_current_derivatives(session, master)
    migration.downgrade(settings, "0014")
    assert [current for *_, current in _masters(settings)] == [older.id]
    migration.upgrade(settings)
    assert [current for *_, current in _masters(settings)] == [older.id]
