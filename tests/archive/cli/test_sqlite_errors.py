"""Messages about an SQLite catalogue that can't be used because of the disk or of permissions.

A folder in the place of ``catalogue.db-wal`` makes SQLite fail. Mounts and other users can't be created in a test: what
the system says about them is replaced.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.small_archive import SmallArchive, command


@pytest.fixture
def failing(tmp_path: Path) -> SmallArchive:
    """A home whose SQLite database can't be opened."""
    archive = SmallArchive(home=tmp_path / "home", scans=tmp_path / "scans")
    assert command("init", archive.home).code == 0
    (archive.home / "catalogue.db-wal").mkdir()
    return archive


def _errors(archive: SmallArchive) -> str:
    answer = archive.run("list")
    assert answer.code == 1
    assert "unable to open database file" in answer.errors
    return answer.errors


@pytest.mark.parametrize(
    ("flag", "free", "said"),
    [
        (os.ST_RDONLY, 1_000_000, "is on a read-only file system, where SQLite can't work. Copy the home"),
        (0, 0, "No space is left on the disk"),
        (0, 7, "No space is left on the disk"),
    ],
)
def test_the_state_of_the_disk_is_named(
    failing: SmallArchive, monkeypatch: pytest.MonkeyPatch, flag: int, free: int, said: str
) -> None:
    assert said not in _errors(failing)
    volume = SimpleNamespace(f_flag=flag, f_bavail=free, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: volume)
    errors = _errors(failing)
    assert said in errors
    assert str(failing.home) in errors


def test_a_file_that_belongs_to_somebody_else_is_named_with_its_owner(
    failing: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = failing.home / "catalogue.db"
    monkeypatch.setattr(os, "access", lambda asked, _: asked != path)
    errors = _errors(failing)
    assert f"may not write to {path}, which belongs to user {path.owner()}, group {path.group()}, mode -rw" in errors
    assert "common group" in errors
    assert "PostgreSQL" in errors


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_a_new_catalogue_has_the_mode_that_the_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        assert command("init", tmp_path / "home").code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "home" / "catalogue.db").stat().st_mode) == mode
