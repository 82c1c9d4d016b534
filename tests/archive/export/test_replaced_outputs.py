"""An export replaces earlier exports of the same form, which it recognises by their content, and nothing else."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from tests.small_archive import SmallArchive

_TABLES = [(form, f"x.{form}", ("--rows", rows)) for form in ("csv", "xlsx", "jsonl") for rows in ("items", "masters")]
_FIELDS = ("--fields", "creator,accession_number")
_FORMS: list[tuple[str, str, tuple[str, ...]]] = [
    *_TABLES,
    *((form, f"x.{form}", ("--rows", "derivatives")) for form in ("csv", "xlsx", "jsonl")),
    *((form, f"x.{form}", _FIELDS) for form in ("csv", "xlsx", "jsonl")),
    ("csv", "x.csv", ("--bom",)),
    ("csv", "x.csv", ("--files",)),
    ("premis", "x.xml", ()),
    ("prov", "x.json", ()),
    ("prov", "x.provn", ()),
]
_OWN_FILES = [
    ("csv", "items.csv", b"filename,accession_number,title\r\na.tif,1906.1,A street\r\n"),
    ("csv", "items.csv", b"id,title\n1,A street\n"),
    ("csv", "items.csv", b"accession_number,title\r\n1906.1,A street\r\n"),
    ("csv", "items.csv", b"\xff\xfe\0\r\0"),
    ("jsonl", "x.jsonl", b'{"accession_number": "1906.1", "note": "mine"}\n'),
    ("jsonl", "x.jsonl", b"[1, 2]\n"),
    ("jsonl", "x.ndjson", b"not JSON"),
    ("xlsx", "x.xlsx", b"PK\3\4 damaged"),
    ("premis", "x.xml", b'<?xml version="1.0" encoding="UTF-8"?>\n<records/>\n'),
    ("prov", "x.json", b'{"prefix": {"ex": "http://example.org/"}}'),
    ("prov", "x.provn", b"document\n  prefix ex <http://example.org/>\nendDocument\n"),
]


@pytest.mark.parametrize(("form", "name", "options"), _FORMS)
def test_an_earlier_export_of_the_same_form_is_replaced(
    museum: SmallArchive, tmp_path: Path, form: str, name: str, options: tuple[str, ...]
) -> None:
    output: tuple[str | Path, ...] = ("--format", form, *options, "--output", tmp_path / name)
    museum.done("export", "accession_number:1906.4", *output)
    earlier = (tmp_path / name).read_bytes()
    museum.done("export", "accession_number:1906.1", *output)
    assert (tmp_path / name).read_bytes() != earlier


@pytest.mark.parametrize(("form", "name", "content"), _OWN_FILES)
def test_a_file_that_is_not_an_export_is_refused(
    museum: SmallArchive, tmp_path: Path, form: str, name: str, content: bytes
) -> None:
    own = tmp_path / name
    own.write_bytes(content)
    refused = museum.run("export", "--format", form, "--output", own)
    assert refused.code == 1
    assert f"{own} exists and is not an earlier" in refused.errors
    assert "Name another file" in refused.errors
    assert own.read_bytes() == content
    assert list(tmp_path.iterdir()) == [own]


def test_the_museums_own_table_beside_its_scans_stays(museum: SmallArchive) -> None:
    table = museum.scans / "items.csv"
    before = table.read_bytes()
    refused = museum.run("export", "--format", "csv", "--files", "--output", table)
    assert (refused.code, table.read_bytes()) == (1, before)
    assert not (museum.scans / "items-files").exists()


def test_a_workbook_that_was_saved_by_a_person_is_refused(museum: SmallArchive, tmp_path: Path) -> None:
    book = tmp_path / "book.xlsx"
    museum.done("export", "--format", "xlsx", "--output", book)
    sheets = openpyxl.load_workbook(book)
    sheets.active["A2"] = "my note"
    sheets.save(book)
    before = book.read_bytes()
    assert "is not an earlier Excel export" in museum.run("export", "--format", "xlsx", "--output", book).errors
    assert book.read_bytes() == before


def test_an_export_of_another_form_is_refused_and_an_empty_file_is_replaced(
    museum: SmallArchive, tmp_path: Path
) -> None:
    museum.done("export", "--format", "prov", "--output", tmp_path / "x.json")
    (tmp_path / "x.json").rename(tmp_path / "x.provn")
    assert museum.run("export", "--format", "prov", "--output", tmp_path / "x.provn").code == 1

    nothing = ("export", "accession_number:absent", "--format", "jsonl", "--output", tmp_path / "x.jsonl")
    museum.done(*nothing)
    assert (tmp_path / "x.jsonl").read_bytes() == b""
    museum.done("export", "--format", "jsonl", "--output", tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_bytes() != b""


def test_a_folder_of_other_manifests_is_refused(museum: SmallArchive, tmp_path: Path) -> None:
    folder = tmp_path / "iiif"
    folder.mkdir()
    (folder / "collection.json").write_text('{"type": "Collection", "items": []}')
    refused = museum.run("export", "--format", "iiif", "--output", folder)
    assert "is not an earlier IIIF export" in refused.errors
    assert (folder / "collection.json").read_text() == '{"type": "Collection", "items": []}'
    (folder / "collection.json").unlink()
    museum.done("export", "accession_number:absent", "--format", "iiif", "--output", folder)
    museum.done("export", "--format", "iiif", "--base-url", "https://example.org", "--output", folder)
    museum.done("export", "--format", "iiif", "--files", "--output", folder)
    assert "1906.1" in (folder / "collection.json").read_text()
