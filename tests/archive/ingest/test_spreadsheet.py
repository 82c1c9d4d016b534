from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from archive.errors import IngestError
from archive.ingest.metadata_rows import Row, read_spreadsheet
from restoration.image import Area


def read(tmp_path: Path, content: str | bytes) -> list[Row]:
    path = tmp_path / "items.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_spreadsheet(path).rows)


def test_every_column_is_read(tmp_path: Path) -> None:
    (row,) = read(
        tmp_path,
        "filename,accession_number,sequence,view,title,creator,date,description,place,process,polarity,rights,access,"
        "collection,picture_area,reference,Box\n"
        'sub/a.tif,1906.1,2,Verso,"Mill, burning",Lange,1906~,d,p,albumen print,positive,CC0,restricted,c,1 2 30 40,'
        "clean.png, 7 \n",
    )
    assert row.target == tmp_path / "sub/a.tif"
    assert (row.accession_number, row.sequence, row.view, row.line) == ("1906.1", 2, "verso", 2)
    assert row.picture_area == Area(x=1, y=2, width=30, height=40)
    assert row.reference == tmp_path / "clean.png"
    assert row.item["title"] == "Mill, burning"
    assert row.item["access"] == "restricted"
    assert row.extra == {"Box": "7"}
    assert row.problems == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_byte_order_marks_of_spreadsheets(tmp_path: Path, separator: str, encoding: str) -> None:
    lines = ["Filename", "Accession Number", "title"], ["a.tif", "été 1906", '"x, y; z"'], ["", "", ""]
    text = "\r\n".join(separator.join(cells) for cells in lines)
    (row,) = read(tmp_path, text.encode(encoding))
    assert (row.filename, row.accession_number, row.item["title"]) == ("a.tif", "été 1906", "x, y; z")


def test_a_single_column_is_enough(tmp_path: Path) -> None:
    assert [row.filename for row in read(tmp_path, "filename\na.tif\n\nb.tif\n")] == ["a.tif", "b.tif"]


def test_lines_are_counted_through_cells_of_several_lines(tmp_path: Path) -> None:
    rows = read(tmp_path, 'filename,accession_number\na.tif,"a\nb"\nc.tif,c\n')
    assert [(row.line, row.accession_number) for row in rows] == [(2, "a\nb"), (4, "c")]


def test_accents_of_an_accession_number_are_composed(tmp_path: Path) -> None:
    (row,) = read(tmp_path, f"filename,accession_number\na.tif,{unicodedata.normalize('NFD', 'été')}\n")
    assert row.accession_number == unicodedata.normalize("NFC", "été")


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("view", "front", "'front' is not one of recto, verso, detail, mount, target"),
        ("polarity", "neg", "'neg' is not one of positive, negative"),
        ("access", "public", "'public' is not one of open, restricted, sensitive"),
        ("date", "19O6", "'19O6'"),
        ("sequence", "one", "'one' is not a whole number from 1 to"),
        ("sequence", "0", "'0' is not a whole number from 1 to"),
        ("picture_area", "1 2 3", "'1 2 3' is not `x y w h`"),
        ("picture_area", "1 2 0 4", "'1 2 0 4' is not `x y w h`"),
        ("picture_area", "-1 2 3 4", "'-1 2 3 4' is not `x y w h`"),
        ("title", "a\0b", "holds a NUL character"),
    ],
)
def test_an_invalid_value_is_reported_with_its_column_and_the_allowed_values(
    tmp_path: Path, column: str, value: str, complaint: str
) -> None:
    wrong, right = read(tmp_path, f"filename,{column}\na.tif,{value}\nb.tif,\n")
    (problem,) = wrong.cell_problems
    assert (problem.table, problem.line) == (str(tmp_path / "items.csv"), 2)
    assert (problem.column, problem.value) == (column, value)
    assert complaint in problem.message
    assert wrong.problems == ()
    assert (right.problems, right.cell_problems) == ((), ())


def test_cells_without_a_column_are_not_lost_in_silence(tmp_path: Path) -> None:
    rows = read(tmp_path, "filename,title,\na.tif,Mill, burning\nb.tif,x,,,\nc.tif,x,y,z\n")
    assert "'burning' is in a column without a name" in rows[0].cell_problems[0].message
    assert rows[1].problems == ()
    assert "has 4 cells under 3 columns" in rows[2].problems[0]


def test_a_row_needs_a_filename(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "filename,title\n,Mill\n")
    assert "column filename is empty" in row.problems[0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"file;title\na.tif;x\n", "no column `filename`; its columns are: file, title"),
        (b"file,title\na.tif,x\n", "no column `filename`; its columns are: file, title"),
        (b"", "is empty"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", r"an old Excel workbook .*save the table as"),
        (b"PK\x03\x04\x14\0\0\0", r"a ZIP file, .*save the table as"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", r"an image, .*save the table as"),
        (b"filename,title,Title\n", "more than one column title"),
        (b'filename,title\na.tif,"x\nb.tif,y\n', "check the quotation marks"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_as_a_whole(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(IngestError, match=complaint):
        read(tmp_path, content)
