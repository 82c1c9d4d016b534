"""Exports with copies of derivatives: which ones, and what in the folder is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_archive import SmallArchive


def _export(museum: SmallArchive, output: Path, *options: str) -> set[str]:
    """Exports with copies; the files in the folder of the copies."""
    museum.done("export", *options, "--format", "jsonl", "--files", "--output", output)
    folder = output.with_name(f"{output.stem}-files")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_current_derivatives_of_open_items_are_handed_over_as_they_are(museum: SmallArchive, tmp_path: Path) -> None:
    current, rejected = museum.show("1906.1")["derivatives"]
    copy = f"1906.1/{Path(current['path']).name}"

    assert _export(museum, tmp_path / "x.jsonl", "--rows", "derivatives") == {"SHA256SUMS", copy}
    first, second = map(json.loads, (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines())
    assert (first["copy"], first["copy_sha256"]) == (f"x-files/{copy}", current["sha256"])
    assert (second["id"], second["copy"]) == (rejected["id"], None)
    assert (tmp_path / "x-files" / copy).read_bytes() == Path(current["path"]).read_bytes()


def test_the_folder_holds_the_copies_of_the_newest_export_only(museum: SmallArchive, tmp_path: Path) -> None:
    assert len(_export(museum, tmp_path / "x.jsonl", "--include-restricted")) == 4
    (tmp_path / "x-files" / "letter.txt").write_text("not an export's")
    assert _export(museum, tmp_path / "x.jsonl", "view:verso") == {"SHA256SUMS", "letter.txt"}
    assert not (tmp_path / "x-files" / "1906.1").exists()


def test_a_folder_of_something_else_is_not_written_into(museum: SmallArchive, tmp_path: Path) -> None:
    (tmp_path / "x-files").mkdir()
    (tmp_path / "x-files" / "scan.tif").write_bytes(b"II*\0")
    answer = museum.run("export", "--format", "csv", "--files", "--output", tmp_path / "x.csv")

    assert (answer.code, "holds files that no export wrote" in answer.errors) == (1, True)
    assert [path.name for path in tmp_path.rglob("*")] == ["x-files", "scan.tif"]


@pytest.mark.parametrize("form", ["jsonl", "iiif"])
def test_a_refused_export_makes_no_copies(museum: SmallArchive, tmp_path: Path, form: str) -> None:
    output = tmp_path / "letters"
    output.mkdir()
    (output / "letter.txt").write_text("keep me")
    answer = museum.run("export", "--format", form, "--files", "--output", output)

    assert answer.code == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["letter.txt", "letters"]
    refused = museum.run("export", "--format", "jsonl", "--files", "--output", "-")
    assert (refused.code, "Copies can't be written to standard output. Give --output FILE." in refused.errors) == (
        2,
        True,
    )
