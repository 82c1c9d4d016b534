"""The file that a row means, where its name is spelt otherwise or lies in another folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Item, Master
from archive.ingest import IngestReport

Take = Callable[..., IngestReport]
MakeScan = Callable[..., Path]


@pytest.mark.parametrize(
    ("spelt", "file"),
    [
        ("A_01.TIF", "sub/a_01.tif"),
        ("a_01", "sub/a_01.tif"),
        ("a_01.jpg", "sub/a_01.tif"),
        (r"sub\a_01.jpg", "sub/a_01.tif"),
        ("a_01 .jpg", "sub/a_01.tif"),
        ("a_01.tif ", "sub/a_01.tif"),
        (r"SUB\A_01.tif", "sub/a_01.tif"),
        (r"D:\Scans\sub\a_01.tif", "sub/a_01.tif"),
        (r"other\a_01.tif", None),
        ("a_1.tif", None),
        ("Kaufhaus Mueller.jpg", "sub/Kaufhaus Müller.tif"),
        ("Kaufhaus Muller.jpg", None),
    ],
)
def test_names_are_matched_where_exactly_one_file_fits(
    catalogue: Catalogue,
    scans: Path,
    make_scan: MakeScan,
    write_rows: Callable[[str], Path],
    take: Take,
    spelt: str,
    file: str | None,
) -> None:
    make_scan("sub/a_01.tif", 1)
    make_scan("sub/b_01.tif", 2)
    make_scan("sub/Kaufhaus Müller.tif", 3)
    write_rows(f'filename,title\n"{spelt}",Mill\n')
    report = take()
    with catalogue.reading() as session:
        found = session.scalars(select(Master.path).join(Item).where(Item.title == "Mill")).all()
    assert [str(Path(path).relative_to(scans)) for path in found] == ([file] if file else [])
    assert bool(report.rows_without_files) is (file is None)
    if spelt == "a_1.tif":
        assert "Did you mean 'a_01.tif'" in report.rows_without_files[0].advice


def test_names_that_differ_only_in_the_folder_do_not_hide_the_guesses(
    make_scan: MakeScan, write_rows: Callable[[str], Path], take: Take
) -> None:
    for number, name in enumerate(("a.tif", "b.tif", "c.tif")):
        make_scan(f"sub/{name}", number)
    write_rows("filename,title\na.tif,Mill\nb.tif,Mill\nC.TIF,Mill\n")
    told = [note for _, note in take().notes if "was taken for" in note]
    assert len(told) == 2
    assert any(note.startswith("2 rows name their file in another folder, the first: ") for note in told)
    assert any("'C.TIF' was taken for" in note for note in told)


def test_a_closed_row_whose_file_is_not_found_says_that_the_near_file_is_open(
    make_scan: MakeScan, write_rows: Callable[[str], Path], take: Take
) -> None:
    make_scan("a_01.tif")
    write_rows("filename,access\na_1.tif,restricted\nb_1.tif,restricted\n")
    near, far = take().rows_without_files
    assert near.advice.endswith(
        "The row says restricted; without it the file is open: correct the name and ingest again"
    )
    assert "open" not in far.advice


def test_a_name_that_fits_two_files_is_not_guessed(
    make_scan: MakeScan, write_rows: Callable[[str], Path], take: Take
) -> None:
    make_scan("a.tif", 1)
    make_scan("a.png", 2)
    write_rows("filename,title\na,Mill\n")
    report = take()
    assert len(report.rows_without_files) == 1
