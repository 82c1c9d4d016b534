"""What becomes of new scans."""

from __future__ import annotations

import os
import struct
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import imagecodecs
import numpy as np
import pytest
import tifffile
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Event, Item, Master
from archive.catalogue.schema.text_index_tables import ItemWord
from archive.catalogue.schema.vocabularies import EventType
from archive.errors import IngestError
from archive.ingest import IngestReport
from archive.ingest.file_discovery import discover_files
from archive.storage import digest_file
from restoration.image import ImageInfo, Limits, inspect_all
from tests.sample_images import IPTC, XMP

Take = Callable[..., IngestReport]
WriteRows = Callable[[str], Path]
MakeScan = Callable[..., Path]


def held(catalogue: Catalogue) -> dict[str, tuple[str, int, str]]:
    """By the master's file name: accession number, sequence, view."""
    with catalogue.reading() as session:
        rows = session.execute(
            select(Master.path, Item.accession_number, Master.sequence, Master.view).join(Item).order_by(Master.id)
        )
        return {Path(path).name: (number, sequence, str(view)) for path, number, sequence, view in rows}


def reasons(report: IngestReport) -> dict[str, str]:
    return {Path(path).name: reason for path, reason in report.failures}


def test_a_folder_is_taken_in_to_the_bottom(catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take) -> None:
    path = make_scan("b.tif", 1)
    make_scan("a/deep/c.png", 2)
    make_scan("été 1906.jpg", 3)
    (scans / "notes.txt").write_text("no image")
    (scans / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (scans / "a" / "._c.png").write_bytes(b"resource fork")
    report = take()
    assert (report.added, len(report.passed_over), list(report.failures)) == (3, 3, [])
    assert held(catalogue) == {
        "c.png": ("c", 1, "recto"),
        "b.tif": ("b", 1, "recto"),
        "été 1906.jpg": ("été 1906", 1, "recto"),
    }
    with catalogue.reading() as session:
        master = session.scalars(select(Master).where(Master.path == str(path))).one()
        assert (master.sha256, master.size) == digest_file(path)
        assert (master.format, master.width, master.height, master.bits_per_sample) == ("TIFF", 40, 30, 8)
        assert (master.samples_per_pixel, master.ppi, master.root.path) == (1, 300, str(scans))
        event = session.scalars(select(Event).where(Event.master_id == master.id)).one()
        assert (event.type, event.outcome) == ("ingestion", "success")
        assert str(path) in str(event.detail)


def test_rows_tell_items_views_and_order(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    for seed, name in enumerate(("z_front.tif", "a_back.tif", "m.tif", "alone.tif")):
        make_scan(name, seed)
    table = write_rows(
        "filename,accession_number,sequence,view,title,date,access,picture_area,Box\n"
        "z_front.tif,1906.1,,recto,Mill,1906~,restricted,1 2 30 20,7\n"
        "a_back.tif,1906.1,,verso,,,,,8\n"
        "m.tif,1906.1,1,detail,,,,,\n"
        "gone.tif,1906.2,,,,,,,\n"
    )
    report = take()
    assert (report.added, list(report.failures)) == (4, [])
    assert held(catalogue) == {
        "z_front.tif": ("1906.1", 2, "recto"),
        "a_back.tif": ("1906.1", 3, "verso"),
        "m.tif": ("1906.1", 1, "detail"),
        "alone.tif": ("alone", 1, "recto"),
    }
    (missing,) = report.rows_without_files
    assert (missing.table, missing.line, missing.value, missing.advice) == (str(table), 5, "gone.tif", "is not there")
    assert [Path(path).name for path in report.files_without_rows] == ["alone.tif"]
    with catalogue.reading() as session:
        item = session.scalars(select(Item).where(Item.accession_number == "1906.1")).one()
        assert (item.title, item.date, item.date_earliest, item.access) == ("Mill", "1906~", 19060101, "restricted")
        assert item.extra == {"Box": "7; 8"}
        front = next(master for master in item.masters if master.sequence == 2)
        assert (front.area_x, front.area_y, front.area_width, front.area_height) == (1, 2, 30, 20)
        words = select(ItemWord.word).where(ItemWord.item_id == item.id).order_by(ItemWord.word)
        assert session.scalars(words).all() == ["1906", "7", "8", "mill"]


@pytest.mark.parametrize("number", ["../x", "LC/USF 34-9058.C", "été 1906", "a\nb", "9" * 300])
def test_any_accession_number_is_kept_and_its_copy_stays_in_the_home(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take, number: str
) -> None:
    source = make_scan("scan.tif")
    write_rows(f'filename,accession_number\nscan.tif,"{number}"\n')
    assert take(copy=True).added == 1
    with catalogue.reading() as session:
        master = session.scalars(select(Master)).one()
        assert master.item.accession_number == number
    copy = catalogue.path_of(master.path)
    assert not Path(master.path).is_absolute()
    assert copy.resolve().parent.parent == catalogue.settings.home / "masters"
    assert copy.read_bytes() == source.read_bytes()
    assert list(copy.parent.iterdir()) == [copy]


def test_a_wrong_cell_costs_the_cell_and_a_wrong_row_or_scan_only_itself(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    names = ("area", "clash1", "clash2", "date", "good", "same1", "same2", "seq1", "seq2", "twice", "ref")
    for seed, name in enumerate(names):
        make_scan(f"{name}.tif", seed)
    (scans / "broken.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    (scans / "empty.jpg").write_bytes(b"")
    (scans / "text.txt").write_text("words")
    write_rows(
        "filename,accession_number,sequence,title,date,picture_area,reference\n"
        "area.tif,area,,,,0 0 41 30,\n"
        "clash1.tif,clash,,Mill,,,\n"
        "clash2.tif,clash,,Hill,,,\n"
        "date.tif,date,,,1906?~!,,\n"
        "good.tif,good,,,,,\n"
        "same1.tif,same,1,,,,\n"
        "same2.tif,same,1,,,,\n"
        "twice.tif,twice,,,,,\n"
        "./twice.tif,twice,,Mill,,,\n"
        "ref.tif,ref,,,,,nowhere.png\n"
        "text.txt,text,,,,,\n"
    )
    report = take()
    assert set(held(catalogue)) == {f"{name}.tif" for name in names} - {"twice.tif"}
    assert {held(catalogue)[name][1] for name in ("same1.tif", "same2.tif")} == {1, 2}
    with catalogue.reading() as session:
        items = {item.accession_number: item for item in session.scalars(select(Item))}
        assert (items["clash"].title, items["date"].date, items["date"].date_text) == (None, None, "1906?~!")
        assert items["area"].masters[0].area_x is None
        assert items["ref"].masters[0].reference_path is None
    told = {(problem.line, problem.column): problem.message for problem in report.problems}
    assert "'0 0 41 30' (x y w h) reaches out of the picture of 40x30 px" in told[2, "picture_area"]
    assert "items.csv lines 3 and 4 are about clash and differ ('Mill' and 'Hill')" in told[4, "title"]
    assert "'1906?~!' is not understood" in told[5, "date"]
    assert "items.csv lines 7 and 8 give same the same sequence" in told[7, "sequence"]
    assert "nowhere.png' is not there" in told[11, "reference"]
    why = reasons(report)
    assert "items.csv lines 9 and 10 name the same file" in why["twice.tif"]
    assert "items.csv line 12 names it, but it is not an image" in why["text.txt"]
    assert set(why) == {"twice.tif", "text.txt", "broken.tif", "empty.jpg"}
    assert len(report.failures) == len(why)


def test_a_repeated_row_reserves_no_sequence(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    make_scan("b.tif", 2)
    write_rows("filename,accession_number,sequence\na.tif,same,1\na.tif,same,1\nb.tif,same,1\n")
    take()
    assert {held(catalogue)[name][1] for name in ("a.tif", "b.tif")} == {1, 2}


def test_a_table_with_many_unusable_rows_tells_the_first_and_lists_all(
    make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif")
    write_rows("filename,accession_number\n" + "".join(f",1906.{number}\n" for number in range(25)))
    report = take()
    why = reasons(report)["items.csv"]
    assert "items.csv line 2" in why
    assert "items.csv line 11" in why
    assert "items.csv line 12" not in why
    assert why.endswith("; and 15 more")
    assert [problem.line for problem in report.problems] == list(range(2, 27))


def test_a_jp2_with_a_broken_box_in_its_header_is_refused(scans: Path, take: Take) -> None:
    content = imagecodecs.jpeg2k_encode(np.zeros((32, 32, 3), np.uint8), codecformat="jp2", level=0)
    start = content.index(b"colr") - 4
    (scans / "a.jp2").write_bytes(content[:start] + struct.pack(">I", 60_000) + content[start + 4 :])
    report = take()
    assert (report.added, list(reasons(report))) == (0, ["a.jp2"])


def test_a_sequence_that_is_taken_is_left_out(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    write_rows("filename,accession_number,sequence\na.tif,x,2\n")
    take()
    make_scan("b.tif", 2)
    make_scan("c.tif", 3)
    write_rows("filename,accession_number,sequence\nb.tif,x,2\nc.tif,x,\n")
    report = take()
    (problem,) = report.problems
    assert "column sequence: '2' of 'x' is taken by" in problem.message
    assert (held(catalogue)["b.tif"], held(catalogue)["c.tif"]) == (("x", 1, "recto"), ("x", 3, "recto"))


def test_another_file_of_a_known_stem_is_ambiguous(catalogue: Catalogue, make_scan: MakeScan, take: Take) -> None:
    make_scan("a/1906.tif", 1)
    make_scan("b/1906.jpg", 2)
    report = take()
    assert report.added == 1
    assert "its stem is the accession number '1906'" in reasons(report)["1906.jpg"]
    assert "accession_number and view" in reasons(report)["1906.jpg"]


def test_a_second_file_of_the_same_bytes_is_passed_over(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    make_scan("copy/b.tif", 1)
    write_rows("filename,title\na.tif,Mill\ncopy/b.tif,Hill\n")
    report = take()
    assert (report.added, report.duplicates, list(report.failures)) == (1, 1, [])
    assert any(place.endswith("items.csv line 3") and "not used" in note for place, note in report.notes)
    with catalogue.reading() as session:
        assert session.scalars(select(Item.title)).all() == ["Mill"]


def test_references_are_recorded_and_not_ingested(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    clean = make_scan("clean/a.png", 2)
    sheet = write_rows("filename,reference\na.tif,clean/a.png\n")
    report = take()
    assert (report.added, list(report.failures)) == (1, [])
    with catalogue.reading() as session:
        assert session.scalars(select(Master.reference_path)).one() == str(clean)
    sheet.unlink()
    assert take(scans / "clean").added == 0


def test_sheets_of_subfolders_are_read_and_metadata_replaces_them_all(
    catalogue: Catalogue, tmp_path: Path, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    make_scan("box/a.tif", 1)
    (scans / "box" / "items.csv").write_text("filename,accession_number\na.tif,from-box\n")
    other = tmp_path / "lists" / "all.csv"
    other.parent.mkdir()
    other.write_text("filename,accession_number\n../scans/box/a.tif,from-list\n../elsewhere.tif,x\n")
    assert next(take(dry_run=True).lines) == f"{scans}/box/a.tif: added: as 'from-box', sequence 1, recto"
    report = take(metadata=other)
    assert held(catalogue)["a.tif"][0] == "from-list"
    assert [(row.table, row.line) for row in report.rows_without_files] == [(str(other), 3)]


def test_tables_that_were_not_read_are_named(scans: Path, make_scan: MakeScan, take: Take) -> None:
    make_scan("a.tif")
    (scans / "export.csv").write_text("File;Title\na.tif;Mill\n")
    (scans / "items.csv").write_text("filename\na.tif\n")
    reasons = {Path(path).name: reason for path, reason in take(dry_run=True).passed_over}
    assert "--metadata" in reasons["export.csv"]
    assert reasons["items.csv"] == "a spreadsheet"


def test_a_single_file_is_taken_with_its_row_and_without_the_others(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    path = make_scan("a.tif", 1)
    make_scan("b.tif", 2)
    write_rows("filename,accession_number,view\na.tif,x,\nb.tif,y,wrong\nc.tif,z,\n")
    report = take(path)
    assert (report.added, list(report.failures), list(report.rows_without_files)) == (1, [], [])
    assert held(catalogue) == {"a.tif": ("x", 1, "recto")}


def test_file_names_match_rows_however_accents_and_separators_are_written(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan(f"box/{unicodedata.normalize('NFD', 'été')}.tif")
    write_rows(f"filename,accession_number\nbox\\{unicodedata.normalize('NFC', 'été')}.tif,x\n")
    assert not take().rows_without_files
    assert [number for number, _, _ in held(catalogue).values()] == ["x"]


def test_links_that_lead_in_circles_are_survived(
    catalogue: Catalogue, tmp_path: Path, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    make_scan("a.tif", 1)
    outside = tmp_path / "outside"
    outside.mkdir()
    make_scan("b.tif", 2).rename(outside / "b.tif")
    (outside / "back").symlink_to(scans)
    (outside / "self").symlink_to(outside)
    (scans / "loop").symlink_to(scans)
    (scans / "there").symlink_to(outside)
    (scans / "dangling.tif").symlink_to(scans / "nothing.tif")
    (scans / "round.tif").symlink_to(scans / "round.tif")
    report = take()
    assert sorted(held(catalogue)) == ["a.tif", "b.tif"]
    assert report.duplicates == 0
    assert reasons(report) == {
        "dangling.tif": "it is a link to a file that isn't there",
        "round.tif": "it is a link to itself. Replace or remove it",
    }


def test_a_link_that_cannot_be_followed_is_a_failure_and_does_not_stop_the_others(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    make_scan("b.tif", 1)
    (scans / "a.tif").symlink_to(scans / ("x" * 300))
    report = take()
    assert report.added == 1
    assert reasons(report) == {"a.tif": "it can't be read: File name too long"}
    with pytest.raises(IngestError, match=r"a\.tif can't be read: File name too long"):
        take(scans / "a.tif")


@pytest.mark.parametrize("mode", [0o744, 0o700])
def test_a_folder_that_may_not_be_entered_is_one_failure(mode: int) -> None:
    with TemporaryDirectory() as folder:
        open_folder, locked = Path(folder), Path(folder, "locked")
        open_folder.chmod(0o755)
        locked.mkdir()
        for name in ("a.tif", "b.tif"):
            (locked / name).write_bytes(b"a scan")
        (open_folder / "c.tif").write_bytes(b"a scan")
        (open_folder / "d.tif").symlink_to(locked / "a.tif")
        locked.chmod(mode if os.geteuid() == 0 else mode & ~0o300)
        with as_ordinary_user():
            found = discover_files([open_folder], Path(folder, "home"))
        locked.chmod(0o755)
    denied = "can't be read: Permission denied"
    assert dict(found.failures) == {str(locked): f"the folder {denied}", f"{folder}/d.tif": f"it {denied}"}
    assert found.find(f"{folder}/c.tif") is not None


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Lets the block run as a user who may not read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_name_that_is_not_utf8_is_a_failure_with_a_reason(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    path = make_scan("a.tif", 1)
    os.rename(path, os.fsencode(scans) + b"/caf\xe9.tif")  # noqa: PTH104  (pathlib takes no bytes)
    make_scan("b.tif", 2)
    report = take()
    assert report.added == 1
    assert list(report.failures) == [(f"{scans}/caf\\xe9.tif", "its name is not UTF-8: rename it")]


def test_the_files_of_the_home_are_never_ingested(
    catalogue: Catalogue, tmp_path: Path, make_scan: MakeScan, take: Take
) -> None:
    for seed, folder in enumerate(("derivatives", "masters", "models", "scans")):
        path = catalogue.settings.home / folder / "x" / f"{folder}.tif"
        path.parent.mkdir(parents=True)
        make_scan("a.tif", seed).rename(path)
    assert take(catalogue.settings.home).added == 1
    assert list(held(catalogue)) == ["scans.tif"]
    with pytest.raises(IngestError, match="is the archive's own"):
        take(catalogue.settings.home / "masters" / "x")


def test_a_path_that_is_not_there_is_named(catalogue: Catalogue, tmp_path: Path, scans: Path, take: Take) -> None:
    with pytest.raises(IngestError, match="nowhere does not exist"):
        take(scans, tmp_path / "nowhere")
    with pytest.raises(IngestError, match=r"no\.csv can't be read"):
        take(scans, metadata=tmp_path / "no.csv")


def test_a_scan_that_changes_while_it_is_read_is_refused(
    catalogue: Catalogue, make_scan: MakeScan, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(path: Path, *, limits: Limits) -> tuple[ImageInfo, ...]:
        pictures = inspect_all(path, limits=limits)
        path.write_bytes(path.read_bytes() + b"more")
        return pictures

    monkeypatch.setattr("archive.ingest.file_discovery.inspect_all", touched)
    make_scan("a.tif")
    report = take()
    assert report.added == 0
    assert "changed while it was read" in reasons(report)["a.tif"]


def test_text_from_the_file_is_named_as_the_source_at_ingest_and_in_the_history(
    catalogue: Catalogue, take: Take, scans: Path, write_rows: WriteRows
) -> None:
    blocks = [(700, 7, len(XMP), XMP, True), (33723, 7, len(IPTC), IPTC, True)]
    for number, name in enumerate(("a.tif", "b.tif")):
        tifffile.imwrite(scans / name, np.full((40, 30), number, np.uint8), photometric="minisblack", extratags=blocks)
    write_rows("filename,title\na.tif,Boats at sea\n")

    report = take()

    from_file = [text for _, text in report.notes if "text in the file" in text]
    assert from_file == [
        "description comes from the text in the file (IPTC or XMP)",
        "title and description come from the text in the file (IPTC or XMP)",
    ]
    with catalogue.reading() as session:
        items = session.execute(select(Item.title, Item.description).order_by(Item.accession_number)).all()
        details = session.scalars(
            select(Event.detail).where(Event.type == EventType.INGESTION).order_by(Event.id)
        ).all()
    assert [tuple(row) for row in items] == [("Boats at sea", "Three"), ("Fishermen", "Three")]
    assert all(text in str(detail) for text, detail in zip(from_file, details, strict=True))
