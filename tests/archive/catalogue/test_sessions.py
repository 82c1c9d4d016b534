from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from archive.catalogue import Catalogue
from archive.catalogue.engines import refuse_network_file_system
from archive.catalogue.schema import migration
from archive.catalogue.schema.tables import Item, Master
from archive.errors import HomeError
from archive.settings import Settings, create_home
from tests.catalogue_rows import AT, add_item

LOCAL = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"


def test_what_a_session_wrote_is_committed_or_after_an_error_gone(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        item = add_item(session, "kept")
    assert item.accession_number == "kept"

    def write_half() -> None:
        with catalogue.session() as session:
            add_item(session, "lost")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_half()
    with catalogue.reading() as session:
        assert session.scalars(select(Item.accession_number)).all() == ["kept"]


def test_a_reading_session_can_not_write(catalogue: Catalogue) -> None:
    with catalogue.reading() as session, pytest.raises(DBAPIError, match=r"(?i)read-?only"):
        session.execute(text("DELETE FROM items"))
    with catalogue.session() as session:
        add_item(session, "A")


def test_a_reading_session_sees_one_state_while_others_write(catalogue: Catalogue) -> None:
    with catalogue.reading() as reading:
        assert reading.scalar(select(func.count(Item.id))) == 0
        with catalogue.session() as session:
            add_item(session, "A")
        assert reading.scalar(select(func.count(Item.id))) == 0
    with catalogue.reading() as reading:
        assert reading.scalar(select(func.count(Item.id))) == 1


def test_a_kept_connection_reads_and_writes_and_is_replaced_when_the_server_has_closed_it(catalogue: Catalogue) -> None:
    others = (
        "SELECT pg_terminate_backend(pid, 600000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
    )
    with catalogue.keeping_connection() as kept:
        with kept.reading() as session, pytest.raises(DBAPIError, match=r"(?i)read-?only"):
            session.execute(text("DELETE FROM items"))
        with kept.session() as session:
            add_item(session, "A")
        if catalogue.engine.dialect.name == "postgresql":
            with catalogue.session() as session:
                session.execute(text(f"{others} pg_backend_pid()"))
        with kept.session() as session:
            add_item(session, "B")
        with kept.reading() as session:
            assert session.scalar(select(func.count(Item.id))) == 2


@pytest.mark.parametrize(("value", "prepared"), [("none", 0), ("0", 1)])
def test_statements_are_prepared_on_the_server_as_the_url_says(catalogue: Catalogue, value: str, prepared: int) -> None:
    if catalogue.engine.dialect.name == "sqlite":
        return  # has no server
    url = f"{catalogue.settings.database_url}&prepare_threshold={value}"
    count = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%count(items.id)%'")
    with Catalogue.open(replace(catalogue.settings, database_url=url)).keeping_connection() as kept:
        for _ in range(6):  # by itself, psycopg prepares a statement that was used five times
            with kept.reading() as session:
                assert session.scalar(select(func.count(Item.id))) == 0
        with kept.reading() as session:
            assert session.scalar(count) == prepared


def test_writers_that_read_first_lose_nothing(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A", title="0")

    def count_up() -> None:
        for _ in range(5):
            with catalogue.session() as session:
                item = session.scalars(select(Item).with_for_update()).one()
                item.title = str(int(item.title or 0) + 1)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with catalogue.reading() as session:
        assert session.scalars(select(Item.title)).one() == "20"


def test_rows_that_point_nowhere_are_refused(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A")
    with pytest.raises(IntegrityError), catalogue.session() as session:
        session.scalars(select(Master)).one().current_restored_id = 99


def test_values_outside_a_vocabulary_are_refused_by_the_database(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A")
    with pytest.raises(IntegrityError), catalogue.session() as session:
        session.execute(text("UPDATE masters SET view = 'front'"))


def test_the_clock_is_the_databases_in_utc_and_goes_on_within_a_transaction(catalogue: Catalogue) -> None:
    before = datetime.now(UTC)
    with catalogue.session() as session:
        first = catalogue.now(session)
        assert first.utcoffset() == timedelta(0)
        assert before - timedelta(seconds=1) < first < datetime.now(UTC) + timedelta(seconds=1)
        threading.Event().wait(0.01)
        assert catalogue.now(session) > first


def test_times_come_back_as_they_were_in_utc(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A", created_at=AT)
    with catalogue.reading() as session:
        assert session.scalars(select(Item.created_at)).one() == AT
    with pytest.raises(Exception, match="without a zone"), catalogue.session() as session:
        add_item(session, "B", created_at=AT.replace(tzinfo=None))


def test_accession_numbers_are_ordered_by_code_point(catalogue: Catalogue) -> None:
    names = ["a", "B", "b", "A", "Á", "a\nb", "a b", "10", "9", "_", "é", "../x", "x" * 300, "𝄞", "\uffff"]
    with catalogue.session() as session:
        for name in names:
            add_item(session, name)
    with catalogue.reading() as session:
        assert session.scalars(select(Item.accession_number).order_by(Item.accession_number)).all() == sorted(names)


def test_stored_paths_are_below_the_home_or_absolute(catalogue: Catalogue) -> None:
    home = catalogue.settings.home
    assert catalogue.path_of("masters/a.tif") == home / "masters" / "a.tif"
    assert catalogue.path_of("/scans/a.tif") == Path("/scans/a.tif")


def test_sqlite_writes_safely(tmp_path: Path) -> None:
    settings = create_home(tmp_path / "a home ?mode=x #1 100%", database=None)
    migration.upgrade(settings)
    catalogue = Catalogue.open(settings)
    with catalogue.session() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        assert session.execute(text("PRAGMA busy_timeout")).scalar_one() >= 5000
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert (settings.home / "catalogue.db").is_file()


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "fuse.glusterfs", "lustre"]
)
def test_sqlite_on_a_network_file_system_is_refused_naming_postgresql(kind: str) -> None:
    mounts = f"{LOCAL}\n40 27 0:50 / /srv/the\\040share rw shared:1 - {kind} server:/share rw"
    with pytest.raises(HomeError, match=f"network file system \\({kind}\\).*PostgreSQL"):
        refuse_network_file_system(Path("/srv/the share/archive/catalogue.db"), mounts)
    refuse_network_file_system(Path("/srv/the share too/catalogue.db"), mounts)


def test_a_local_disk_mounted_inside_a_share_is_local() -> None:
    mounts = f"{LOCAL}\n40 27 0:50 / /srv rw - nfs s:/x rw\n41 40 8:1 / /srv/disk rw - xfs /dev/sdb1 rw"
    refuse_network_file_system(Path("/srv/disk/catalogue.db"), mounts)


def test_of_two_mounts_at_one_place_the_later_counts() -> None:
    mounts = f"{LOCAL}\n40 27 8:1 / /srv rw - xfs /dev/sdb1 rw\n41 40 0:50 / /srv rw - nfs s:/x rw"
    with pytest.raises(HomeError):
        refuse_network_file_system(Path("/srv/catalogue.db"), mounts)


def test_a_wrong_prepare_threshold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="a number or none"):
        Catalogue.open(Settings(home=tmp_path, database_url="postgresql+psycopg:///museum?prepare_threshold=never"))


def test_a_url_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="can't be read"):
        Catalogue.open(Settings(home=tmp_path, database_url="postgresql+psycopg://user@host:port/name"))
