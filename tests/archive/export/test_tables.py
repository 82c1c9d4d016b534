"""Exports as CSV, Excel workbook and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import openpyxl
import pytest

from archive.export.csv_file import format_cell
from archive.export.table_rows import FIELDS
from tests.small_archive import SmallArchive, command


def _csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def test_csv_has_one_row_per_open_item_with_all_fields(museum: SmallArchive, tmp_path: Path) -> None:
    answer = museum.done("export", "--format", "csv", "--output", tmp_path / "items.csv")
    rows = _csv(tmp_path / "items.csv")

    assert [row["accession_number"] for row in rows] == ["1906.1", "1906.4"]
    assert tuple(rows[0]) == FIELDS["items"]
    listed = museum.done("list", "accession_number:1906.1", "--format", "json").json()[0]
    for name in ("id", "status", "model", "version", "review", "derivatives", "path"):
        assert rows[0][name] == str(listed[name])
    assert float(rows[0]["psnr_source"]) == listed["psnr_source"]
    assert json.loads(rows[0]["extra"]) == {"Shelf": "A 1"}
    assert json.loads(rows[0]["identifiers"]) == {"ark": ["ark:/99/x1"]}
    assert rows[1]["status"] == "refused"
    assert answer.output == ""
    assert "2 items are left out: access is not open" in answer.errors


def test_text_that_could_be_a_formula_is_defused_in_csv(museum: SmallArchive, tmp_path: Path) -> None:
    museum.done("export", "--format", "csv", "--fields", "title", "--output", tmp_path / "t.csv")

    assert _csv(tmp_path / "t.csv")[0]["title"] == "'=HYPERLINK(1) <in & out>"
    for text in ("=1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"):
        assert format_cell(text) == f"'{text}"
    assert format_cell(-1.5) == -1.5
    assert format_cell("a=1") == "a=1"


def test_excel_reads_the_workbook_as_text_and_numbers(museum: SmallArchive, tmp_path: Path) -> None:
    file = tmp_path / "items.xlsx"
    museum.done("export", "--format", "xlsx", "--fields", "title,psnr_source,derivatives,creator", "--output", file)
    sheet = openpyxl.load_workbook(file).active
    header, first, second = sheet.iter_rows()

    assert [cell.value for cell in header] == ["title", "psnr_source", "derivatives", "creator"]
    assert first[0].value == "=HYPERLINK(1) <in & out>"
    assert first[0].data_type == "s", "text, not a formula"
    assert isinstance(first[1].value, float)
    assert (first[2].value, first[3].value) == (2, "Anna Pérez")
    assert second[1].value is None
    assert sheet.freeze_panes == "A2"
    assert zipfile.ZipFile(file).testzip() is None


def test_rows_of_derivatives_have_the_keys_of_the_contract_and_name_people(
    museum: SmallArchive, tmp_path: Path
) -> None:
    file = tmp_path / "d.jsonl"
    museum.done("export", "--format", "jsonl", "--rows", "derivatives", "--output", file)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    shown = museum.show("1906.1")["derivatives"]

    assert len(rows) == 2
    for row, expected in zip(rows, shown, strict=True):
        assert set(expected) < set(row)
        assert all(row[name] == expected[name] for name in expected if name != "review")
    first = rows[0]
    assert (first["review"], first["reviewer"]) == ("accepted", "C. Reviewer")
    assert first["reviewed_at"] == shown[0]["review"]["at"]
    assert first["operator"] == "B. Operator"
    assert (first["model"], first["version"]) == ("denoise-deblur", "9.0")
    assert (first["accession_number"], first["master"]) == ("1906.1", 1)
    assert first["psnr_source"] > 20
    assert first["psnr_reference"] is None
    assert 0 <= first["smoothed_share"] <= 1
    assert first["filled_places"] >= 0
    assert rows[1]["review"] == "rejected"


def test_rows_of_masters_are_those_that_the_query_finds(museum: SmallArchive, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    museum.done("export", "view:verso", "--format", "jsonl", "--rows", "masters", "--output", file)
    (row,) = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())

    assert (row["accession_number"], row["sequence"], row["view"]) == ("1906.1", 2, "verso")
    assert row["path"].endswith("box 1/a_v.tif")
    assert tuple(row) == FIELDS["masters"]


def test_excel_gets_a_byte_order_mark_on_request_and_standard_output_takes_a_file(
    museum: SmallArchive, tmp_path: Path
) -> None:
    museum.done("export", "--format", "csv", "--bom", "--output", tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbfid,")

    answer = museum.done("export", "--format", "jsonl", "--fields", "title", "--output", "-")
    assert json.loads(answer.output.splitlines()[1]) == {"title": "A street"}


@pytest.mark.parametrize("form", ["csv", "xlsx", "jsonl"])
def test_the_same_catalogue_gives_the_same_bytes(museum: SmallArchive, tmp_path: Path, form: str) -> None:
    contents = set()
    for number in (1, 2):
        file = tmp_path / f"{number}.{form}"
        museum.done("export", "--format", form, "--rows", "derivatives", "--output", file)
        contents.add(file.read_bytes())

    assert len(contents) == 1


def test_an_export_replaces_an_earlier_one_and_no_other_file(museum: SmallArchive, tmp_path: Path) -> None:
    museum.done("export", "accession_number:1906.4", "--format", "csv", "--output", tmp_path / "old.csv")
    museum.done("export", "--format", "csv", "--output", tmp_path / "old.csv")
    assert "1906.1" in (tmp_path / "old.csv").read_text()
    assert (tmp_path / "old.csv").read_text().startswith("id,")

    (tmp_path / "scan.tif").write_bytes(b"II*\0")
    refused = museum.run("export", "--format", "csv", "--output", tmp_path / "scan.tif")
    assert (refused.code, "is not replaced" in refused.errors) == (1, True)
    assert (tmp_path / "scan.tif").read_bytes() == b"II*\0"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["old.csv", "scan.tif"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--format", "csv", "--fields", "colour"), "rows of items have no colour"),
        (("--format", "premis", "--rows", "masters"), "--rows is for csv, xlsx, jsonl"),
        (("--format", "jsonl", "--bom"), "--bom is for csv"),
        (("--format", "csv", "--base-url", "https://a.org"), "--base-url is for iiif"),
        (("--format", "iiif", "--base-url", "ftp://a.org"), "is not a valid address"),
        (("--format", "csv", "nosuchfield:1"), "nosuchfield"),
    ],
)
def test_options_without_a_meaning_are_refused(
    museum: SmallArchive, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    answer = museum.run("export", *options, "--output", tmp_path / "out")

    assert answer.code == 2
    assert told in answer.errors
    assert not list(tmp_path.iterdir())


def test_an_empty_export_says_why(museum: SmallArchive, tmp_path: Path) -> None:
    answer = museum.done("export", "creator:Nobody", "--format", "csv", "--output", tmp_path / "n.csv")

    assert "matches the query 'creator:Nobody'" in answer.errors
    assert "standard output: 0 rows. 1 item without derivatives" in (
        museum.done("export", "status:unrestored", "--format", "csv", "--rows", "derivatives", "--output", "-").errors
    )
    assert command("--home", museum.home, "export", "--format", "csv").code == 2
