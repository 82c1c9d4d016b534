"""Exports with copies of derivatives: which ones, and what in the folder is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_archive import SmallArchive

LISTS = (".archive-export", "SHA256SUMS")


def _export(museum: SmallArchive, output: Path, *options: str) -> set[str]:
    """Exports with copies; the files in the folder of the copies."""
    museum.done("export", *options, "--format", "jsonl", "--files", "--output", output)
    folder = output.with_name(f"{output.stem}-files")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_current_derivatives_of_open_items_are_handed_over_as_they_are(museum: SmallArchive, tmp_path: Path) -> None:
    current, rejected = museum.show("1906.1")["derivatives"]
    copy = f"1906.1/{Path(current['path']).name}"

    assert _export(museum, tmp_path / "x.jsonl", "--rows", "derivatives") == {*LISTS, copy}
    first, second = map(json.loads, (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines())
    assert (first["copy"], first["copy_sha256"]) == (f"x-files/{copy}", current["sha256"])
    assert (second["id"], second["copy"]) == (rejected["id"], None)
    assert (tmp_path / "x-files" / copy).read_bytes() == Path(current["path"]).read_bytes()


def test_the_folder_holds_the_copies_of_the_newest_export_only(museum: SmallArchive, tmp_path: Path) -> None:
    assert len(_export(museum, tmp_path / "x.jsonl", "--include-restricted")) == 5
    (tmp_path / "x-files" / "letter.txt").write_text("not an export's")
    assert _export(museum, tmp_path / "x.jsonl", "view:verso") == {*LISTS, "letter.txt"}
    assert not (tmp_path / "x-files" / "1906.1").exists()


@pytest.mark.parametrize("named", ["../victim.txt", "{tmp_path}/victim.txt", "link/victim.txt", "link.txt", ""])
def test_a_mark_that_names_a_file_outside_the_folder_deletes_nothing(
    museum: SmallArchive, tmp_path: Path, named: str
) -> None:
    output, folder = tmp_path / "x.jsonl", tmp_path / "x-files"
    _export(museum, output)
    (tmp_path / "victim.txt").write_text("precious")
    (folder / "link").symlink_to(tmp_path)
    (folder / "link.txt").symlink_to(tmp_path / "victim.txt")
    with (folder / LISTS[0]).open("a") as mark:
        mark.write(f"\n{named.format(tmp_path=tmp_path)}")

    refused = museum.run("export", "view:verso", "--format", "jsonl", "--files", "--output", output)

    assert (refused.code, "is not a file of this folder" in refused.errors) == (1, True)
    assert (tmp_path / "victim.txt").read_text() == "precious"
    assert (folder / "link.txt").is_symlink()


def test_half_copies_of_a_killed_export_stop_no_later_one_and_are_removed(museum: SmallArchive, tmp_path: Path) -> None:
    output, folder = tmp_path / "x.jsonl", tmp_path / "x-files"
    _export(museum, output)
    (copy,) = (folder / "1906.1").iterdir()
    copy.unlink()
    for token in ("package", "0" * 32):
        copy.with_name(f".{copy.name}.{token}.partial").write_bytes(b"half")
    other = folder / ".letter.txt.package.partial"
    other.write_bytes(b"not an export's")
    assert _export(museum, output) == {*LISTS, str(copy.relative_to(folder)), other.name}


def test_a_folder_of_something_else_is_not_written_into(museum: SmallArchive, tmp_path: Path) -> None:
    own = {tmp_path / "x-files" / "scan.tif": b"II*\0", tmp_path / "x-files" / "SHA256SUMS": b"00  scan.tif\n"}
    (tmp_path / "x-files").mkdir()
    for path, content in own.items():
        path.write_bytes(content)
    answer = museum.run("export", "--format", "csv", "--files", "--output", tmp_path / "x.csv")

    assert (answer.code, "holds files that no export wrote" in answer.errors) == (1, True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == own


def test_a_picture_that_somebody_put_into_the_folder_stays(museum: SmallArchive, tmp_path: Path) -> None:
    _export(museum, tmp_path / "x.jsonl", "view:verso")
    copy = tmp_path / "x-files" / "1906.1" / Path(museum.show("1906.1")["derivatives"][0]["path"]).name
    own = copy.with_name("own.tif")
    copy.parent.mkdir()
    for path in (own, copy):
        path.write_bytes(b"II*\0")
    answer = museum.run("export", "--format", "jsonl", "--files", "--output", tmp_path / "x.jsonl")

    assert (answer.code, f"{copy} is needed for a copy" in answer.errors) == (1, True)
    assert copy.read_bytes() == b"II*\0"
    copy.unlink()
    for query in ("accession_number:1906.1", "view:verso"):
        _export(museum, tmp_path / "x.jsonl", query)
        assert own.read_bytes() == b"II*\0"


def test_exports_to_two_formats_of_one_name_do_not_share_copies(museum: SmallArchive, tmp_path: Path) -> None:
    copies = _export(museum, tmp_path / "x.jsonl")
    answer = museum.run("export", "view:verso", "--format", "csv", "--files", "--output", tmp_path / "x.csv")

    assert answer.code == 1
    assert f"{tmp_path / 'x-files'} holds the copies of x.jsonl. Give --output another name" in answer.errors
    assert not (tmp_path / "x.csv").exists()
    assert _export(museum, tmp_path / "x.jsonl") == copies


def test_a_table_that_can_not_be_written_leaves_the_earlier_export_whole(
    museum: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = _export(museum, tmp_path / "x.jsonl")
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != LISTS[0]}
    for query in ("accession_number:1906.2", "view:verso"):
        with monkeypatch.context() as patch:
            patch.setattr("archive.export.export_run.write_jsonl", fail)
            options = ("--include-restricted", "--format", "jsonl", "--files")
            assert museum.run("export", query, *options, "--output", tmp_path / "x.jsonl").code == 1
        assert {path: path.read_bytes() for path in kept} == kept

    assert (tmp_path / "x-files" / "1906.2").is_dir(), "the copy of the failed export"
    assert _export(museum, tmp_path / "x.jsonl") == before


def test_an_iiif_export_without_copies_removes_only_those_of_an_export(museum: SmallArchive, tmp_path: Path) -> None:
    export = ("export", "--format", "iiif", "--output", tmp_path / "iiif")
    museum.done(*export, "--files")
    own = tmp_path / "iiif" / "files" / "own.tif"
    own.write_bytes(b"II*\0")
    answer = museum.run(*export)

    assert (answer.code, f"{own} is in the way" in answer.errors) == (1, True)
    assert own.read_bytes() == b"II*\0"
    own.unlink()
    museum.done(*export)
    assert not own.parent.exists()


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
