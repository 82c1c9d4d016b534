"""The whole flow on both databases, with the shipped model, real files and the accession numbers that museums have."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.column_types import Table
from archive.settings import load_settings
from tests.conftest import _database_of_its_own
from tests.small_archive import MODEL, SmallArchive, change_one_byte, command, write_model, write_scan

pytestmark = pytest.mark.slow

NUMBERS = ["../x", "LC/USF 34-9058.C", "a\nb", "plain.1", "x" * 300, "été 1906"]
"""In code point order, as lists are."""

SLUGS = {
    "../x": "..-x-",
    "LC/USF 34-9058.C": "LC-USF-34-9058.C-",
    "a\nb": "a-b-",
    "plain.1": "plain.1",
    "x" * 300: "x" * 80 + "-",
    "été 1906": "-t--1906-",
}


def _write_scans(folder: Path) -> None:
    rows = []
    for seed, number in enumerate(NUMBERS, start=1):
        write_scan(folder / f"{seed}.tif", seed=seed, bits=16 if seed % 2 else 8, grey=seed % 3 == 0)
        write_scan(folder / "references" / f"{seed}.tif", seed=seed + 100, grey=seed % 3 == 0)
        rows.append([f"{seed}.tif", number, f"Title {seed}", "1906~", f"references/{seed}.tif", "a shelf"])
    with (folder / "items.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "accession_number", "title", "date", "reference", "kept on"])
        writer.writerows(rows)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    _write_scans(folder)
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def archive(request: pytest.FixtureRequest, tmp_path: Path, scans: Path) -> Iterator[SmallArchive]:
    """A home with nothing in it yet, on either database."""
    if request.param == "sqlite":
        yield _made(tmp_path / "home", scans, None)
    else:
        for url in _database_of_its_own(request.getfixturevalue("_postgresql"), "template0"):
            yield _made(tmp_path / "home", scans, url)


def _made(home: Path, scans: Path, database: str | None) -> SmallArchive:
    arguments = [] if database is None else ["--database", database]
    assert command("init", home, *arguments).code == 0
    return SmallArchive(home=home, scans=scans)


def _whole_flow(archive: SmallArchive, newer: Path) -> None:
    archive.done("ingest", archive.scans)
    archive.done("restore")
    archive.done("review", "--accept", "--reviewer", "A. Curator", "--", "plain.1")
    archive.done("review", "--reject", "--reason", "too smooth", "--reviewer", "A. Curator", "--", "../x")
    archive.done("model", "add", newer)
    archive.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
    archive.done("rerun")
    archive.done("verify")
    archive.done("report", "--output", archive.home / "report.html")


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_strange_accession_numbers_go_through_the_whole_flow_and_stay_inside_the_home(
    archive: SmallArchive, tmp_path: Path
) -> None:
    newer = write_model(tmp_path / "newer")
    before = {path: content for path, content in _files(tmp_path).items() if not path.is_relative_to(archive.home)}
    _whole_flow(archive, newer)

    after = {path: content for path, content in _files(tmp_path).items() if not path.is_relative_to(archive.home)}
    assert after == before
    listed = archive.done("list", "--format", "json").json()
    assert [row["accession_number"] for row in listed] == NUMBERS
    for number in NUMBERS:
        for derivative in archive.show(number)["derivatives"]:
            path = Path(derivative["path"])
            slug = path.parent.name
            assert path.resolve().is_relative_to(archive.home.resolve() / "derivatives")
            assert slug.startswith(SLUGS[number])
            assert path.name == f"{slug}_001_restored_{derivative['recipe']['sha256'][:8]}.tif"
            assert path.is_file()
    archive.done("db", "check")


def test_restoring_twice_makes_nothing_new(archive: SmallArchive) -> None:
    archive.done("ingest", archive.scans)
    archive.done("restore")
    before = _files(archive.home / "derivatives")
    assert len(before) == len(NUMBERS)

    assert f"Already done: {len(NUMBERS)} masters" in archive.done("restore").output
    assert "0 added" in archive.done("ingest", archive.scans).output
    assert _files(archive.home / "derivatives") == before
    assert [row["tasks"] for row in archive.done("batch", "list", "--format", "json").json()] == [len(NUMBERS)]


@pytest.mark.parametrize("kind", ["master", "derivative", "weights"])
def test_verify_names_exactly_the_file_of_which_a_byte_changed(archive: SmallArchive, kind: str) -> None:
    archive.done("ingest", archive.scans)
    archive.done("restore")
    item = archive.show("été 1906")
    changed = {
        "master": Path(item["masters"][0]["path"]),
        "derivative": Path(item["derivatives"][0]["path"]),
        "weights": next((archive.home / "models").rglob("weights.safetensors")),
    }[kind]
    change_one_byte(changed)

    answer = archive.run("verify")
    assert answer.code == 3
    assert answer.output.splitlines() == [f"{kind}  changed  {changed}"]
    change_one_byte(changed)
    assert archive.run("verify").code == 0


def test_every_score_against_a_reference_is_kept(archive: SmallArchive) -> None:
    archive.done("ingest", archive.scans)
    archive.done("restore")

    rows = archive.done("list", "psnr_reference:[1 TO *]", "--format", "json").json()
    assert [row["accession_number"] for row in rows] == NUMBERS
    for row in rows:
        scores = archive.show(row["accession_number"])["derivatives"][0]["quality"]
        headline = {
            f"{score['metric']}_{score['compared_with']}": score["value"]
            for score in scores
            if score["image"] == "derivative" and score["metric"] in ("psnr", "ssim")
        }
        assert headline == {key: row[key] for key in headline}
        assert set(headline) == {"psnr_source", "ssim_source", "psnr_reference", "ssim_reference"}


def test_both_databases_hold_the_same_rows_but_for_ids_and_times(
    request: pytest.FixtureRequest, tmp_path: Path, scans: Path
) -> None:
    newer = write_model(tmp_path / "newer")
    lite = _made(tmp_path / "lite", scans, None)
    _whole_flow(lite, newer)
    for url in _database_of_its_own(request.getfixturevalue("_postgresql"), "template0"):
        postgres = _made(tmp_path / "post", scans, url)
        _whole_flow(postgres, newer)

        assert _rows(postgres) == _rows(lite)
        for number in NUMBERS:
            assert _plain(postgres.show(number), postgres) == _plain(lite.show(number), lite)
        listed = [_plain(each.done("list", "--format", "json").json(), each) for each in (lite, postgres)]
        assert listed[0] == listed[1]
        assert [row["accession_number"] for row in listed[0]] == NUMBERS


def _rows(archive: SmallArchive) -> dict[str, list[Any]]:
    """All rows of all tables without ids and times, sorted: masters that are worked on at once end in any order."""
    catalogue = Catalogue.open(load_settings(archive.home))
    with catalogue.reading() as session:
        rows = {
            table.name: sorted(
                (_plain(dict(row), archive) for row in session.execute(select(table)).mappings()),
                key=lambda row: json.dumps(row, sort_keys=True, default=str),
            )
            for table in Table.metadata.sorted_tables
        }
    catalogue.engine.dispose()
    return rows


def _plain(value: Any, archive: SmallArchive) -> Any:
    """``value`` without what may differ between two homes: ids, times and the home's own place.

    A derivative's file says when it was made, so its digest goes with the times; ``pixel_sha256`` stays.
    """
    if isinstance(value, dict):
        return {
            key: _plain(each, archive)
            for key, each in value.items()
            if not (key in ("id", "at", "batch", "seconds") or key.endswith(("_id", "_at", "_seconds")))
        }
    if isinstance(value, list | tuple):
        return [_plain(each, archive) for each in value]
    if isinstance(value, str):
        for path, content in _files(archive.home / "derivatives").items():
            value = value.replace(hashlib.sha256(content).hexdigest(), f"<digest of {path.name}>")
        return value.replace(str(archive.home), "<home>")
    return None if isinstance(value, datetime) else value
