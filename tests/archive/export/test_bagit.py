"""Bags, validated by the Library of Congress's bagit.py and by sha256sum."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import bagit
import pytest

from archive.export.file_copy import copy_file
from archive.failpoints import FAILPOINT_VARIABLE
from archive.package.bagit_bag import _wrapped
from archive.storage import digest_file
from tests.small_archive import SmallArchive, change_one_byte

ROOT = Path(__file__).parents[3]


def _package(museum: SmallArchive, bag: Path, *options: str) -> bagit.Bag:
    museum.done("package", *options, "--layout", "bagit", "--output", bag)
    made = bagit.Bag(str(bag))
    made.validate(processes=1)
    return made


def _payload(bag: Path) -> set[str]:
    return {path.relative_to(bag / "data").as_posix() for path in (bag / "data").rglob("*") if path.is_file()}


def test_a_bag_is_valid_and_holds_the_museums_folders(museum: SmallArchive, tmp_path: Path) -> None:
    bag = _package(museum, tmp_path / "bag")
    shown = museum.show("1906.1")
    current = Path(shown["derivatives"][0]["path"]).name

    assert _payload(tmp_path / "bag") == {
        "masters/scans/box 1/a_r.tif",
        "masters/scans/box 1/a_v.tif",
        "masters/scans/d.tif",
        f"derivatives/1906.1/{current}",
    }
    assert bag.version_info == (1, 0)
    assert bag.info["Payload-Oxum"].endswith(".4")
    assert bag.info["Bag-Software-Agent"].startswith("archive-restoration")
    assert bag.entries[f"data/derivatives/1906.1/{current}"]["sha256"] == shown["derivatives"][0]["sha256"]
    assert {path.name for path in (tmp_path / "bag").iterdir()} == {
        *("bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "data", "metadata"),
    }
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "manifest-sha256.txt", "tagmanifest-sha256.txt"],
        check=True,
        cwd=tmp_path / "bag",
    )


def test_a_query_is_not_shown_where_items_were_left_out(museum: SmallArchive, tmp_path: Path) -> None:
    query = "title:house OR title:street"
    whole = _package(museum, tmp_path / "whole", query, "--include-restricted")
    only_open = _package(museum, tmp_path / "open", query)

    assert query in whole.info["External-Description"]
    assert "house" not in (tmp_path / "open" / "bag-info.txt").read_text(encoding="utf-8")
    assert only_open.info["External-Description"]


def test_the_bags_own_tool_accepts_it_and_finds_a_changed_byte(museum: SmallArchive, tmp_path: Path) -> None:
    _package(museum, tmp_path / "bag")
    validate = [sys.executable, "-W", "ignore", "-m", "bagit", "--validate", str(tmp_path / "bag")]
    subprocess.run(validate, check=True, capture_output=True)

    change_one_byte(tmp_path / "bag" / "metadata" / "premis.xml")
    assert subprocess.run(validate, check=False, capture_output=True).returncode == 1


def test_metadata_names_the_files_in_the_bag_and_the_people(museum: SmallArchive, tmp_path: Path) -> None:
    _package(museum, tmp_path / "bag")
    metadata = tmp_path / "bag" / "metadata"
    with (metadata / "derivatives.csv").open(encoding="utf-8", newline="") as file:
        current, rejected = csv.DictReader(file)
    with (metadata / "masters.csv").open(encoding="utf-8", newline="") as file:
        masters = list(csv.DictReader(file))

    assert (tmp_path / "bag" / current["path"]).is_file()
    assert (current["reviewer"], current["operator"]) == ("C. Reviewer", "B. Operator")
    assert (rejected["review"], rejected["path"]) == ("rejected", "")
    assert [row["path"] for row in masters] == [
        *("data/masters/scans/box 1/a_r.tif", "data/masters/scans/box 1/a_v.tif", "data/masters/scans/d.tif")
    ]
    premis = (metadata / "premis.xml").read_text(encoding="utf-8")
    assert f"<premis:originalName>{current['path']}</premis:originalName>" in premis
    prov = json.loads((metadata / "prov.json").read_text(encoding="utf-8"))
    for text in (premis, json.dumps(prov)):
        assert "C. Reviewer" in text
        assert "B. Operator" in text


def test_restricted_items_enter_only_when_asked_for(museum: SmallArchive, tmp_path: Path) -> None:
    answer = museum.done("package", "--layout", "bagit", "--output", tmp_path / "open")
    assert "2 items are left out" in answer.errors
    for path in (path for path in (tmp_path / "open").rglob("*") if path.is_file() and path.suffix != ".tif"):
        text = path.read_text(encoding="utf-8")
        assert not any(secret in text for secret in ("1906.2", "A house", "1906.3", "A grave")), path
    _package(museum, tmp_path / "all", "--include-restricted")
    assert _payload(tmp_path / "all") - _payload(tmp_path / "open") >= {"masters/scans/b.tif", "masters/scans/c.tif"}

    refused = museum.run("package", "access:restricted", "--layout", "bagit", "--output", tmp_path / "none")
    assert (refused.code, "--include-restricted" in refused.errors) == (2, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("contents", "folder"), [("masters", "masters"), ("derivatives", "derivatives")])
def test_contents_choose_masters_or_derivatives(
    museum: SmallArchive, tmp_path: Path, contents: str, folder: str
) -> None:
    _package(museum, tmp_path / "bag", "--contents", contents)

    assert {path.partition("/")[0] for path in _payload(tmp_path / "bag")} == {folder}


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["bagit", "archivematica"])
@pytest.mark.parametrize("place", ["fsync:1", "package_file:1", "package_file:3", "package_end"])
def test_a_killed_package_looks_unfinished_and_is_gone_on_with(
    museum: SmallArchive, tmp_path: Path, layout: str, place: str
) -> None:
    folder = tmp_path / "package"
    arguments = ["--home", str(museum.home), "package", "--layout", layout, "--output", str(folder)]
    killed = subprocess.run(
        [sys.executable, "-m", "archive", *arguments],
        check=False,
        cwd=ROOT,
        env=os.environ | {FAILPOINT_VARIABLE: place},
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert not (folder / "bagit.txt").exists()
    assert not (folder / "objects").exists()

    if (folder / "unfinished-package.json").exists():
        other = museum.run("package", "accession_number:1906.1", "--layout", layout, "--output", folder)
        assert (other.code, "unfinished package of another request" in other.errors) == (1, True)
    else:
        assert place == "fsync:1", "it was killed before anything was there"
    museum.done(*arguments[2:])
    assert not list(folder.rglob("*.partial"))
    assert not (folder / "unfinished-package.json").exists()
    if layout == "bagit":
        bagit.Bag(str(folder)).validate(processes=1)


def test_a_finished_package_and_other_folders_are_not_written_into(museum: SmallArchive, tmp_path: Path) -> None:
    _package(museum, tmp_path / "bag")
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "bag").rglob("*"))
    again = museum.run("package", "--layout", "bagit", "--output", tmp_path / "bag")

    assert (again.code, "is not an unfinished package" in again.errors) == (1, True)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "bag").rglob("*"))


def test_what_an_interrupted_run_left_is_removed_from_the_payload(museum: SmallArchive, tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    request = {"query": None, "layout": "bagit", "contents": ["derivatives", "masters"]}
    (folder / "data" / "derivatives" / "1906.1").mkdir(parents=True)
    (folder / "data" / "derivatives" / "1906.1" / "replaced.tif").write_bytes(b"of an earlier decision")
    (folder / "data" / "empty").mkdir()
    state = json.dumps({**request, "include_restricted": False, "signed": False})
    (folder / "unfinished-package.json").write_text(state)
    _package(museum, folder)

    assert not (folder / "data" / "derivatives" / "1906.1" / "replaced.tif").exists()
    assert not (folder / "data" / "empty").exists()


def test_every_broken_file_is_named_and_the_package_stays_unfinished(museum: SmallArchive, tmp_path: Path) -> None:
    masters = [Path(master["path"]) for master in museum.show("1906.1")["masters"]]
    kept = [path.read_bytes() for path in masters]
    folder = tmp_path / "bag"
    try:
        masters[0].unlink()
        masters[1].write_bytes(kept[1][:-1] + b"\xff")
        answer = museum.run("package", "--layout", "bagit", "--output", folder)
    finally:
        for path, content in zip(masters, kept, strict=True):
            path.write_bytes(content)

    assert answer.code == 1
    assert f"{masters[0]} is missing" in answer.errors
    assert f"{masters[1]} is not what the catalogue holds" in answer.errors
    assert not (folder / "bagit.txt").exists()
    _package(museum, folder)


@pytest.mark.parametrize("has_reflinks", [None, False])  # None: as this file system is
def test_who_edits_a_copy_does_not_edit_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_reflinks: bool | None
) -> None:
    source, target = tmp_path / "a.tif", tmp_path / "package" / "a.tif"
    source.write_bytes(b"pixels")
    sha256, _ = digest_file(source)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    if has_reflinks is False:
        monkeypatch.setattr("fcntl.ioctl", refuse)
    assert copy_file(source, target, sha256) == sha256
    assert target.read_bytes() == b"pixels"
    with target.open("ab") as edited:
        edited.write(b"edited")
    assert source.read_bytes() == b"pixels"


def test_bag_info_lines_are_folded_as_the_library_reads_them() -> None:
    folded = _wrapped("External-Description: " + "word " * 40)

    assert all(len(line) <= 79 for line in folded.splitlines())
    assert all(line.startswith("  ") for line in folded.splitlines()[1:])
