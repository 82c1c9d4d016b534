"""``archive init`` and a database that is the catalogue of another home, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.settings import DATABASE_VARIABLE
from tests.small_archive import SmallArchive, command, write_scan


@pytest.fixture
def used(tmp_path: Path, database_url: str) -> SmallArchive:
    """A home with one scan, whose database lies outside it."""
    archive = SmallArchive(home=tmp_path / "museum", scans=tmp_path / "scans")
    assert command("init", archive.home, "--database", database_url).code == 0
    write_scan(archive.scans / "a.tif")
    archive.done("ingest", archive.scans)
    return archive


def test_a_database_with_masters_does_not_get_a_second_home(
    used: SmallArchive, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "second"
    refused = command("init", second, "--database", database_url)
    assert refused.code == 1
    assert "the database is the catalogue of another home" in refused.errors
    assert "create an empty database" in refused.errors
    monkeypatch.setenv(DATABASE_VARIABLE, database_url)
    assert command("init", second).code == 1
    assert command("demo", second).code == 1
    assert not second.exists()


def test_a_home_with_masters_is_initialised_again_or_moved_or_gets_its_lost_settings_back(
    used: SmallArchive, database_url: str, tmp_path: Path
) -> None:
    again = command("init", used.home, "--database", database_url)
    assert (again.code, "is kept" in again.errors) == (0, True)
    moved = used.home.rename(tmp_path / "moved")
    assert command("init", moved).code == 0
    (moved / "archive.toml").unlink()
    refused = command("init", moved, "--database", database_url)
    assert refused.code == 1
    assert f"create {moved / 'archive.toml'}" in refused.errors
    (moved / "archive.toml").write_text(f'database = "{database_url}"\n')
    assert "1 master" in command("--home", moved, "status").output


def test_a_home_with_its_sqlite_catalogue_inside_gets_its_lost_settings_back_by_init(tmp_path: Path) -> None:
    archive = SmallArchive(home=tmp_path / "home", scans=tmp_path / "scans")
    assert command("init", archive.home).code == 0
    write_scan(archive.scans / "a.tif")
    archive.done("ingest", archive.scans)
    (archive.home / "archive.toml").unlink()
    assert command("init", archive.home).code == 0
    assert "1 master" in archive.done("status").output
