"""A folder that replaces an earlier export keeps what it takes over, also if the replacement fails or is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archive.export.output_folder import new_folder
from tests.small_archive import SmallArchive

CONTENTS = ("collection.json", "files")
Rename = Callable[[Path, Path], Path]


class Killed(BaseException):
    """The process ends here, before any clean-up."""


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """An export with copies."""
    folder = tmp_path / "iiif"
    (folder / "files").mkdir(parents=True)
    (folder / "collection.json").write_text("old")
    (folder / "files" / "a.tif").write_bytes(b"copy")
    return folder


def _export(folder: Path) -> None:
    with new_folder(folder, CONTENTS, kept="files") as made:
        (made / "collection.json").write_text("new")


def _contents(folder: Path) -> tuple[str, bytes]:
    """The text of the collection, and the bytes of the copy. Nothing else may be beside the folder."""
    assert list(folder.parent.iterdir()) == [folder]
    return (folder / "collection.json").read_text(), (folder / "files" / "a.tif").read_bytes()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_replacement_that_fails_leaves_the_earlier_export(
    earlier: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    rename: Rename = Path.rename
    calls = 0

    def fail_once(path: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(PermissionError):
        _export(earlier)
    assert _contents(earlier) == ("old", b"copy")


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_the_next_export_recovers_from_a_kill_between_two_renames(
    earlier: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    rename: Rename = Path.rename
    calls = 0

    def kill(path: Path, target: Path) -> Path:
        nonlocal calls
        if calls == done:
            raise Killed
        calls += 1
        return rename(path, target)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:

        def export_until_killed() -> None:
            with new_folder(earlier, CONTENTS, kept="files") as made:
                (made / "collection.json").write_text("new")
                patch.setattr(Path, "rename", kill)
                patch.setattr("shutil.rmtree", killed)  # a killed process does not clean up

        with pytest.raises(Killed):
            export_until_killed()

    _export(earlier)
    assert _contents(earlier) == ("new", b"copy")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("export", "--format", "csv"), "items.csv"),
        (("export", "--format", "iiif"), ""),
        (("package", "--layout", "bagit"), ""),
        (("report",), "report.html"),
        (("credentials", "sign"), ""),
    ],
)
def test_only_the_last_folder_is_created_and_a_missing_parent_is_named(
    museum: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str
) -> None:
    mistyped = tmp_path / "exprots" / "2026" / "press" / name
    refused = museum.run(*command, "--output", mistyped)
    assert refused.code == 1
    folder = tmp_path / "exprots" / "2026" / "press"
    said = f"the folder {tmp_path / 'exprots'} does not exist. Create it, or correct the path {folder}"
    assert said in refused.errors
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir(tmp_path)
    if command[0] != "credentials":  # which need a certificate
        museum.done(*command, "--output", Path("press") / name)
        assert (tmp_path / "press" / name).exists()
