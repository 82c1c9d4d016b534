"""Two exports or packages to one output at the same time, and what a killed export leaves beside it."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bagit
import pytest

from archive.export import export_run
from archive.export.item_records import stream_items
from archive.package import package_state
from archive.package.package_state import STATE_NAME
from tests.small_archive import Answer, SmallArchive


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("form", "name", "options"),
    [("csv", "x.csv", ()), ("premis", "x.xml", ()), ("iiif", "x", ()), ("jsonl", "x.jsonl", ("--files",))],
)
def test_a_second_export_to_the_same_output_is_refused_and_spoils_nothing(
    museum: SmallArchive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    name: str,
    options: tuple[str, ...],
) -> None:
    arguments = ("export", "accession_number:1906.1", "--format", form, *options, "--output")
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    museum.done(*arguments, alone / name)

    seconds: list[Answer] = []

    def export_meanwhile(*args: Any, **options: Any) -> Iterator[Any]:
        monkeypatch.setattr(export_run, "stream_items", stream_items)
        for record in stream_items(*args, **options):
            yield record
            seconds.append(museum.run(*arguments, shared / name))

    monkeypatch.setattr(export_run, "stream_items", export_meanwhile)
    museum.done(*arguments, shared / name)

    (second,) = seconds
    assert second.code == 1
    assert f"another process is writing {shared / name}. Wait until it ends" in second.errors
    assert _contents(shared) == _contents(alone)


@pytest.mark.parametrize("token", ["export", "0" * 32])
def test_what_a_killed_export_left_beside_its_file_is_removed(museum: SmallArchive, tmp_path: Path, token: str) -> None:
    (tmp_path / f".x.csv.{token}.partial").write_bytes(b"half")
    (tmp_path / ".x.csv.lock").touch()
    other = tmp_path / f".x.csv.copy.csv.{token}.partial"
    other.write_bytes(b"of the export to x.csv.copy.csv")
    museum.done("export", "--format", "csv", "--output", tmp_path / "x.csv")
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "x.csv"]


def test_a_second_package_in_the_same_folder_is_refused_and_spoils_nothing(
    museum: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("package", "--layout", "bagit", "--output", tmp_path / "bag")
    begin = package_state._begin
    seconds: list[Answer] = []

    def package_meanwhile(state: Path, text: str) -> None:  # another command finds the folder free, too
        monkeypatch.setattr(package_state, "_begin", begin)
        seconds.append(museum.run(*arguments))
        assert [path.name for path in tmp_path.iterdir() if "bag" in path.name] == ["bag"], "nothing beside the folder"
        begin(state, text)

    monkeypatch.setattr(package_state, "_begin", package_meanwhile)
    museum.done(*arguments)

    (second,) = seconds
    assert second.code == 1
    assert f"another process is writing {tmp_path / 'bag' / STATE_NAME}. Wait until it ends" in second.errors
    bagit.Bag(str(tmp_path / "bag")).validate(processes=1)
    assert [path.name for path in tmp_path.iterdir() if "bag" in path.name] == ["bag"]


def test_a_package_on_a_file_system_without_locks(
    museum: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    museum.done("package", "--layout", "bagit", "--output", tmp_path / "bag")
    bagit.Bag(str(tmp_path / "bag")).validate(processes=1)


def test_the_root_folder_is_not_a_package(museum: SmallArchive) -> None:
    refused = museum.run("package", "--layout", "bagit", "--output", "/")
    assert (refused.code, "/ exists and is not an unfinished package" in refused.errors) == (1, True)
