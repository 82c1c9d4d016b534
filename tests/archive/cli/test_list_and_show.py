"""list and show: tables that fit, formats that programs read, texts for people."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from archive.cli.output_formats import cell_width, escape_control_characters, fit_column_widths, pad_cell, print_table
from archive.display_labels import LIST_FIELDS
from tests.small_archive import SmallArchive, write_scan


def test_list_json_is_an_array_of_flat_objects(restored: SmallArchive) -> None:
    rows = restored.done("list", "--format", "json").json()

    assert [row["accession_number"] for row in rows] == ["1906.1", "1906.2"]
    assert tuple(rows[0]) == LIST_FIELDS
    assert rows[0]["status"] == "restored"
    assert rows[0]["model"] == "denoise-deblur"
    assert rows[0]["version"] == "9.0"
    assert rows[0]["derivatives"] == 1
    assert Path(rows[0]["path"]).is_file()


def test_list_json_of_nothing_is_an_empty_array(small: SmallArchive) -> None:
    assert small.done("list", "--format", "json").json() == []


def test_list_jsonl_is_an_object_a_line(restored: SmallArchive) -> None:
    lines = restored.done("list", "--format", "jsonl").output.splitlines()

    assert [json.loads(line)["title"] for line in lines] == ["A street <in summer>", "A house"]


def test_list_csv_keeps_the_fields_asked_for_in_their_order(restored: SmallArchive) -> None:
    answer = restored.done("list", "--format", "csv", "--fields", "title,accession_number")
    rows = list(csv.reader(io.StringIO(answer.output)))

    assert rows == [["title", "accession_number"], ["A street <in summer>", "1906.1"], ["A house", "1906.2"]]


def test_csv_holds_no_formula_and_decisions_on_it_find_their_items(small: SmallArchive, tmp_path: Path) -> None:
    write_scan(small.scans / "a.tif", seed=1)
    write_scan(small.scans / "b.tif", seed=2)
    (small.scans / "items.csv").write_text(
        'filename,accession_number,title\na.tif,=1906,"=HYPERLINK(""http://example.org"")"\nb.tif,\'=1907,-\n', "utf-8"
    )
    small.done("ingest", small.scans)
    small.done("restore")

    listed = small.done("list", "--format", "csv", "--fields", "accession_number,title,psnr_source").output
    rows = list(csv.reader(io.StringIO(listed)))[1:]
    assert [row[:2] for row in rows] == [["'=1907", "'-"], ["'=1906", '\'=HYPERLINK("http://example.org")']]
    assert all(float(row[2]) > 0 for row in rows)

    decisions = tmp_path / "decisions.csv"
    decisions.write_text("accession_number,decision,reason,reviewer\n'=1906,accepted,,A\n'=1907,rejected,'- soft,'@B\n")
    assert small.done("review", "--from", decisions).output == "2 decisions recorded\n"
    review = small.show("'=1907")["derivatives"][0]["review"]
    assert (review["reason"], review["reviewer"]) == ("- soft", "@B")

    (small.scans / "a.tif").unlink()
    small.run("restore", "--strength", "0.5")
    failures = small.done("batch", "show", "2", "--format", "csv").output
    assert ("'=1906" in failures, "\n=1906" in failures) == (True, False)


def test_list_csv_for_excel_starts_with_a_byte_order_mark(restored: SmallArchive) -> None:
    plain = restored.done("list", "--format", "csv").output

    assert restored.done("list", "--format", "csv", "--bom").output == "\ufeff" + plain
    without_csv = restored.run("list", "--bom")
    assert (without_csv.code, "--bom is for --format csv" in without_csv.errors) == (2, True)


def test_list_takes_a_query_and_a_limit(restored: SmallArchive) -> None:
    assert [row["accession_number"] for row in restored.done("list", "date:1909", "--format", "json").json()] == [
        "1906.2"
    ]
    assert len(restored.done("list", "--limit", "1", "--format", "json").json()) == 1


def test_a_name_with_a_line_break_stays_on_one_line_of_the_table(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    (small.scans / "items.csv").write_text('filename,accession_number,title\na.tif,"a\nb",\x1b[31mred\n', "utf-8")
    small.done("ingest", small.scans)
    table = small.done("list").output

    assert len(table.splitlines()) == 3
    assert "\x1b" not in table
    assert small.done("list", "--format", "json").json()[0]["accession_number"] == "a\nb"


def test_a_table_fits_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda **_: os.terminal_size((40, 20)))
    print_table(
        [{"number": "1906.1", "title": "A very long title that no narrow terminal has room for", "status": "restored"}],
        ("number", "title", "status"),
    )
    lines = capsys.readouterr().out.splitlines()

    assert all(cell_width(line) <= 40 for line in lines)
    assert "1906.1" in lines[2]
    assert "…" in lines[2]
    assert "restored" in lines[2]


def test_widths_are_taken_from_the_widest_column() -> None:
    assert fit_column_widths([4, 30, 8], [4, 30, 8], 26) == [4, 14, 8]
    assert fit_column_widths([4, 5], [4, 5], 100) == [4, 5]


def test_a_heading_is_cut_rather_than_a_value() -> None:
    assert fit_column_widths([16, 12], [7, 12], 22) == [10, 12]


def test_wide_and_combining_characters_take_their_cells() -> None:
    assert cell_width("写真") == 4
    assert cell_width("e\u0301te\u0301") == 3
    assert pad_cell("写真館", 5, cut=True) == "写真…"


def test_control_characters_are_written_out() -> None:
    assert escape_control_characters("a\nb\x1b\u202e") == "a\\nb\\x1b\\u202e"


def test_show_json_is_the_object_of_the_contract(restored: SmallArchive) -> None:
    item = restored.show("1906.1")

    assert {"id", "accession_number", "title", "creator", "date", "status", "masters", "derivatives", "events"} <= set(
        item
    )
    assert set(item["masters"][0]) >= {
        *("sequence", "view", "path", "page", "sha256", "size", "format", "width", "height", "bits_per_sample"),
        *("samples_per_pixel", "ppi", "icc_profile", "picture_area", "captured_at", "captured_by"),
    }
    derivative = item["derivatives"][0]
    assert {
        *("id", "master", "kind", "path", "sha256", "pixel_sha256", "created_at", "current", "batch", "review"),
        *("recipe", "environment", "quality", "operator", "comments"),
    } <= set(derivative)
    assert set(derivative["recipe"]) == {"sha256", "pipeline_version", "stages"}
    assert set(derivative["recipe"]["stages"][0]) == {"task", "model", "version", "weights_sha256", "parameters"}
    assert set(derivative["environment"]) == {
        *(
            "software_version",
            "torch_version",
            "device",
            "instruction_set",
            "precision",
            "tile_size",
            "threads",
            "seed",
        ),
    }
    assert set(derivative["quality"][0]) == {
        *("metric", "value", "image", "stage", "compared_with", "colour_space", "data_range", "implementation"),
        "detail",
    }
    assert set(item["events"][0]) >= {"type", "at", "outcome", "detail", "agent"}


def test_show_prints_when_and_by_whom_a_master_was_scanned(small: SmallArchive) -> None:
    tifffile.imwrite(
        small.scans / "a.tif",
        np.arange(48 * 40, dtype=np.uint16).reshape(40, 48),
        datetime="2011:05:06 07:08:09",
        extratags=[(315, "s", 0, "Scanning team", True)],
    )
    small.done("ingest", small.scans)
    (master,) = small.show("a")["masters"]
    text = small.done("show", "a").output

    assert (master["captured_at"], master["captured_by"]) == ("2011-05-06T07:08:09", "Scanning team")
    assert "  scanned: 2011-05-06T07:08:09\n" in text
    assert "  scanned by: Scanning team\n" in text


def test_show_prints_the_history_and_what_each_score_compares(restored: SmallArchive) -> None:
    text = restored.done("show", "1906.1").output

    assert "A street <in summer>" in text
    assert "digitally restored, current" in text
    assert "denoise-deblur 9.0 (strength 1)" in text
    assert "psnr of the derivative against the master (how much was changed)" in text
    assert "not reviewed" in text
    assert "ingestion" in text
