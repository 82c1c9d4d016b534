from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, select, text

from archive.catalogue import Catalogue, schema
from archive.catalogue.agents import record_event
from archive.catalogue.columns import Table
from archive.catalogue.engines import make_engine
from archive.catalogue.tables import Master
from archive.catalogue.vocabulary import Decision, EventType
from archive.settings import Settings
from tests.support import AT, add_derivative, add_item, add_recipe, add_review, add_task, add_version


def test_migrations_go_up_down_and_up_again_with_rows_in_every_table(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database_url)
    for _ in range(2):
        schema.upgrade(settings)
        assert schema.check(settings) == []
        _fill(settings)
        assert schema.check(settings) == []
        schema.downgrade(settings, "base")
        assert schema.current(settings) is None
        assert _tables(settings) == {"alembic_version"}


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
                    found.get_pk_constraint(table),
                )
                if not constraint["name"]
            ]
            assert unnamed == [], table


def _fill(settings: Settings) -> None:
    catalogue = Catalogue.open(settings)
    with catalogue.session() as session:
        version = add_version(session, approved=True)
        item = add_item(session, "A", title="Mother")
        derivative = add_derivative(session, item.masters[0], version, psnr_source=30.0)
        add_task(session, derivative.batch, item.masters[0], add_recipe(session, version), derivative_id=derivative.id)
        add_review(session, derivative, Decision.ACCEPTED)
        record_event(session, EventType.INGESTION, at=AT, item=item, master=item.masters[0], version=version)
    with catalogue.reading() as session:
        empty = [
            table
            for table in Table.metadata.tables
            if session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0  # noqa: S608
        ]
    assert empty == []


def _tables(settings: Settings) -> set[str]:
    engine = make_engine(settings)
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_an_older_catalogue_knows_the_recipes_of_its_current_derivatives_once_it_is_upgraded(
    settings: Settings, catalogue: Catalogue
) -> None:
    with catalogue.session() as session:
        derivative = add_derivative(session, add_item(session, "A").masters[0], add_version(session))
        add_item(session, "B")
    schema.downgrade(settings, "0001")
    schema.upgrade(settings)
    with catalogue.reading() as session:
        recipes = session.scalars(select(Master.current_restored_recipe_id).order_by(Master.id)).all()
    assert recipes == [derivative.recipe_id, None]
