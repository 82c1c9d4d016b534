"""`archive review --from` with tables as spreadsheet programs save them."""

from __future__ import annotations

import csv
import io
import os
import threading
from pathlib import Path

import openpyxl
import pytest

from tests.small_archive import SmallArchive

REASON = "zu weich; die Körnung fehlt, „rechts“"
REVIEWER = "Jürgen Groß"


def filled_in(archive: SmallArchive) -> list[list[str]]:
    """The table that `archive list` writes, with a rejection of 1906.1; 1906.2 has no decision."""
    listed = archive.done("list", "batch:1", "--rows", "derivatives", "--format", "csv").output
    header, *rows = csv.reader(io.StringIO(listed))
    for name, value in (("decision", "Rejected"), ("reason", REASON), ("reviewer", REVIEWER)):
        rows[0][header.index(name)] = value
    return [header, *rows]


def as_csv(rows: list[list[str]], separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue()


def assert_rejected(archive: SmallArchive) -> None:
    review = archive.show("1906.1")["derivatives"][0]["review"]
    assert (review["decision"], review["reason"], review["reviewer"]) == ("rejected", REASON, REVIEWER)
    assert archive.show("1906.2")["derivatives"][0]["review"] is None


@pytest.mark.parametrize(
    ("separator", "encoding"),
    [(",", "utf-8"), (",", "utf-8-sig"), (";", "utf-8-sig"), (";", "cp1252"), ("\t", "utf-16")],
)
def test_decisions_are_read_from_csv_as_excel_saves_it(
    restored: SmallArchive, tmp_path: Path, separator: str, encoding: str
) -> None:
    table = tmp_path / "decisions.csv"
    table.write_bytes(as_csv(filled_in(restored), separator).encode(encoding))

    done = restored.done("review", "--from", table)

    assert done.output == "1 decision recorded\n"
    assert_rejected(restored)
    assert ("was read as Windows-1252" in done.errors) == (encoding == "cp1252")  # a guess, which a person must check


def test_decisions_are_read_from_a_sheet_of_a_workbook(restored: SmallArchive, tmp_path: Path) -> None:
    table = tmp_path / "decisions.xlsx"
    workbook = openpyxl.Workbook()
    workbook.active.append(["Notes"])
    sheet = workbook.create_sheet("Decisions")
    for row in filled_in(restored):
        sheet.append([int(cell) if cell.isdecimal() else cell for cell in row])
    workbook.save(table)

    assert "has no column accession_number and no column decision" in restored.run("review", "--from", table).errors
    assert restored.run("review", "1906.1", "--accept", "--sheet", "Decisions").code == 2
    restored.done("review", "--from", table, "--sheet", "Decisions")
    assert_rejected(restored)

    sheet["A4"], sheet.cell(4, filled_in(restored)[0].index("decision") + 1).value = "1906.9", "accepted"
    workbook.save(table)
    assert "decisions.xlsx, row 4: 1906.9: no such derivative" in (
        restored.run("review", "--from", table, "--sheet", "Decisions").errors
    )


def test_decisions_are_read_from_a_pipe(restored: SmallArchive, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = as_csv(filled_in(restored), ",").encode()
    writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
    writer.start()
    restored.done("review", "--from", pipe)
    writer.join()
    assert_rejected(restored)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "decisions.csv is empty"),
        ("accession_number;decision;Decision\n1906.1;accepted;rejected\n", "more than one column decision"),
        ("accession_number;decision\n\n1906.1;accepted\n1906.9;accepted\n", "line 4: 1906.9: no such derivative"),
        (
            "accession_number,decision,reason\n1906.1,accepted,\n1906.2,rejected,too smooth, and dark\n",
            "line 3: 4 cells under 3 columns. Put text that holds the separator in quotation marks",
        ),
        ('accession_number,decision\n1906.1,accepted\n"1906.2,accepted\n', "check the quotation marks there"),
    ],
)
def test_a_mistake_in_a_table_is_named_and_nothing_is_decided(
    restored: SmallArchive, tmp_path: Path, content: str, told: str
) -> None:
    table = tmp_path / "decisions.csv"
    table.write_text(content)

    answer = restored.run("review", "--from", table)

    assert answer.code == 2
    assert told in answer.errors
    assert restored.show("1906.1")["derivatives"][0]["review"] is None
