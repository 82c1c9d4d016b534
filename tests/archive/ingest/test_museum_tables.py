"""Tables as museums export them, taken in with a mapping, without one, and with wrong cells."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.listings import select_masters
from archive.catalogue.schema.identifier_and_mapping_tables import ColumnMappingText, ItemIdentifier
from archive.catalogue.schema.tables import Event, Item, Master
from archive.errors import IngestError
from archive.ingest import IngestReport, group_problems, write_problems
from archive.ingest.mapping_suggestion import suggest_mapping, write_suggestion

Take = Callable[..., IngestReport]
MakeScan = Callable[..., Path]

HEADERS = ["Inventar-Nr.", "Dateiname", "Seite", "Titel", "Fotograf", "Datierung", "Zugang", "ARK", "Schlagwörter"]
ROWS = [
    ["1906.12", r"Glasplatten\1906_12_v.tif", "Vorderseite", "Mühle am Bach", "Müller, Jörg", "ca. 1906", "frei",
     "ark:/99/a", "Bäche"],
    ["1906.12", r"Glasplatten\1906_12_r.tif", "Rückseite", "", "", "", "", "", ""],
    ["1906.13", r"Glasplatten\1906_13_v.tif", "Vorderseite", "Bäckerei Weiß", "Müller, Jörg", "12.05.1906", "gesperrt",
     "ark:/99/b", "Läden"],
    ["1906.14", r"Glasplatten\1906_14_v.tif", "Vorderseite", "Fähre", "unbekannt", "o.J.", "frei", "", ""],
]  # fmt: skip
MAPPING = """\
columns = {filename = "Dateiname", accession_number = "Inventar-Nr.", title = "Titel", creator = "Fotograf", \
view = "Seite", date = "Datierung", access = "Zugang"}
values.view = {"Vorderseite" = "recto", "Rückseite" = "verso"}
values.access = {"frei" = "open", "gesperrt" = "restricted"}
identifiers.ark = "ARK"
"""


@pytest.fixture
def plates(scans: Path, make_scan: MakeScan) -> Path:
    """The folder with the scans that the table names."""
    for seed, row in enumerate(ROWS):
        make_scan(row[1].replace("\\", "/"), seed)
    return scans


def write_csv(folder: Path, *, encoding: str = "cp1252", separator: str = ";", rows: Any = ROWS) -> Path:
    path = folder / "export.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator="\r\n").writerows([HEADERS, *rows])
    return path


def write_mapping(folder: Path, text: str = MAPPING) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return path


def described(catalogue: Catalogue) -> list[tuple[Any, ...]]:
    with catalogue.reading() as session:
        found = select(
            Item.accession_number, Master.sequence, Master.view, Item.title, Item.date, Item.date_text, Item.access
        )
        return [tuple(row) for row in session.execute(found.join(Master).order_by(Master.path))]


EXPECTED = [
    ("1906.12", 2, "verso", "Mühle am Bach", "1906~", "ca. 1906", "open"),
    ("1906.12", 1, "recto", "Mühle am Bach", "1906~", "ca. 1906", "open"),
    ("1906.13", 1, "recto", "Bäckerei Weiß", "1906-05-12", "12.05.1906", "restricted"),
    ("1906.14", 1, "recto", "Fähre", None, "o.J.", "open"),
]


@pytest.mark.parametrize(
    ("encoding", "separator"),
    [
        *(
            ("cp1252", ";"),
            ("mac_roman", "	"),
            ("utf-8", "|"),
            ("utf-8-sig", ","),
            ("utf-16", ";"),
            ("utf-16-le", "	"),
        ),
    ],
)
def test_a_german_export_is_taken_in_by_its_mapping(
    catalogue: Catalogue, plates: Path, take: Take, encoding: str, separator: str
) -> None:
    report = take(
        metadata=write_csv(plates, encoding=encoding, separator=separator), mapping=write_mapping(plates.parent)
    )
    assert (report.added, list(report.failures), list(report.problems)) == (4, [], [])
    assert described(catalogue) == EXPECTED
    told = [note for _, note in report.notes if " was read as " in note]
    assert len(told) == (not encoding.startswith("utf-8"))
    assert all("Schlagwörter" in note for note in told)
    with catalogue.reading() as session:
        assert session.scalars(select(ItemIdentifier.value).order_by(ItemIdentifier.value)).all() == [
            "ark:/99/a",
            "ark:/99/b",
        ]
        kept = session.scalars(select(ColumnMappingText)).one()
        assert (kept.name, kept.text) == ("mapping.toml", MAPPING)
        details = session.scalars(select(Event.detail).where(Event.type == "ingestion")).all()
        assert all(kept.sha256 in str(detail) for detail in details)
        for query in ('identifier:"ark:/99/a"', "identifier:ark*a", "extra.Schlagwörter:bache", 'date_text:"ca 1906"'):
            numbers = {master.item.accession_number for master in session.scalars(select_masters(query))}
            assert numbers == {"1906.12"}, query


def test_the_same_export_as_a_workbook(catalogue: Catalogue, plates: Path, take: Take) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append([*HEADERS, None, None])
    for row in ROWS:
        sheet.append([cell or None for cell in row])
    sheet["F4"] = date(1906, 5, 12)
    sheet["F2"] = "=1900+6"  # has no stored value, as no spreadsheet program has computed it
    sheet["C60"] = "  "
    path = plates / "export.xlsx"
    workbook.save(path)
    report = take(metadata=path, mapping=write_mapping(plates.parent))
    assert (report.added, list(report.failures), list(report.problems)) == (4, [], [])
    assert any("1 formulas have no stored value" in note for _, note in report.notes)
    assert [row[4:6] for row in described(catalogue)] == [
        (None, None), (None, None), ("1906-05-12", "1906-05-12"), (None, "o.J.")
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_a_damaged_workbook_is_refused_with_its_name(plates: Path, take: Take, damage: str) -> None:
    workbook = openpyxl.Workbook()
    assert workbook.active is not None
    for row in [HEADERS, *ROWS * 50]:
        workbook.active.append(row)
    path = plates / "export.xlsx"
    workbook.save(path)
    sheet = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
        start = archive.getinfo(sheet).header_offset + 30 + len(sheet)
    if damage == "cut off":
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part[: len(part) // 2] if name == sheet else part)
    else:
        content = bytearray(path.read_bytes())
        content[start : start + 20] = b"\xff" * 20
        path.write_bytes(content)
    with pytest.raises(IngestError, match=r"export\.xlsx.* can't be read"):
        take(metadata=path, mapping=write_mapping(plates.parent))


@pytest.mark.parametrize(
    ("part", "before", "after"),
    [
        ("xl/styles.xml", b"<fill><patternFill/></fill>", b"<fill/>"),
        ("xl/workbook.xml", b' sheetId="1"', b""),
    ],
)
def test_a_workbook_that_can_only_be_read_by_its_program_is_refused_with_advice(
    plates: Path, take: Take, part: str, before: bytes, after: bytes
) -> None:
    workbook = openpyxl.Workbook()
    assert workbook.active is not None
    for row in [HEADERS, *ROWS]:
        workbook.active.append(row)
    path = plates / "export.xlsx"
    workbook.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert before in parts[part]
    parts[part] = parts[part].replace(before, after)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(IngestError, match=r"export\.xlsx.* can't be read.*save it again"):
        take(metadata=path, mapping=write_mapping(plates.parent))


def test_a_foreign_table_without_a_mapping_is_not_taken_in_silence(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, write_rows: Callable[[str], Path], take: Take
) -> None:
    make_scan("a.tif")
    write_rows("filename,Object Number,Maker,Date Display,Box\na.tif,1906.1,Lange,1906,7\n")
    report = take()
    assert {problem.column: problem.advice.split("Did you mean ")[1].split("?")[0] for problem in report.problems} == {
        "Object Number": "accession_number",
        "Maker": "creator",
        "Date Display": "date",
    }
    assert any("'Box'" in note for _, note in report.notes)
    with pytest.raises(IngestError, match=r"no column `filename`.*Did you mean 'Dateiname'\?.*archive mapping suggest"):
        take(metadata=write_csv(scans))


def test_wrong_cells_are_reported_by_kind_and_cost_only_themselves(
    catalogue: Catalogue, plates: Path, tmp_path: Path, take: Take
) -> None:
    wrong = [list(row) for row in ROWS]
    wrong[0][5], wrong[2][5], wrong[2][6], wrong[3][2] = "Ostern 1906", "Ostern 1906", "nur intern", "oben"
    table = write_csv(plates, rows=wrong)
    mapping = write_mapping(plates.parent)
    planned = take(metadata=table, mapping=mapping, dry_run=True)
    report = take(metadata=table, mapping=mapping)
    assert (report.added, list(report.failures)) == (4, [])
    assert list(report.problems) == list(planned.problems)
    assert "translate it in [values.view]" in next(each.advice for each in report.problems if each.value == "oben")
    groups = group_problems(report.problems, places=8)
    grouped = {group.kind.name: (group.count, next(group.entries).lines) for group in groups}
    assert grouped == {"DATE_AS_TEXT": (2, [2, 4]), "VALUE": (1, [5]), "ACCESS": (1, [4])}
    assert [row[4:] for row in described(catalogue)][1:3] == [
        (None, "Ostern 1906", "open"), (None, "Ostern 1906", "restricted")
    ]  # fmt: skip
    with (tmp_path / "problems.csv").open("w", encoding="utf-8", newline="") as file:
        write_problems(file, report.problems, {"passed over": report.passed_over})
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [(row["row"], row["column"], row["value"]) for row in listed if row["column"] == "Zugang"] == [
        ("4", "Zugang", "nur intern")
    ]
    assert {(row["file"], row["advice"]) for row in listed if row["kind"] == "passed over"} == set(report.passed_over)


def test_an_access_that_cannot_be_read_never_opens_an_item(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: Callable[[str], Path], take: Take
) -> None:
    make_scan("a.tif")
    for access, expected in (("sensitive", "sensitive"), ("???", "sensitive"), ("open", "open"), ("???", "restricted")):
        write_rows(f"filename,access\na.tif,{access}\n")
        take()
        with catalogue.reading() as session:
            assert session.scalars(select(Item.access)).one() == expected


def test_a_column_that_is_mapped_later_is_extra_no_more(catalogue: Catalogue, plates: Path, take: Take) -> None:
    table = write_csv(plates)
    take(metadata=table, mapping=write_mapping(plates.parent, MAPPING.replace('title = "Titel", ', "")))
    with catalogue.reading() as session:
        assert session.scalars(select_masters("extra.Titel:fahre NOT title:*")).one()
    report = take(metadata=table, mapping=write_mapping(plates.parent))
    assert report.updated == 3
    with catalogue.reading() as session:
        assert session.scalars(select_masters("title:fahre NOT extra.Titel:*")).one()
        assert all("Titel" not in item.extra for item in session.scalars(select(Item)))


def test_scans_without_a_row_are_described_by_their_names(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    for seed, name in enumerate(("1906.12_2.tif", "1906.12_1v.tif", "1906.12_1r.tif", "other.tif")):
        make_scan(name, seed)
    (scans / "notes_1.txt").write_text("no image")
    mapping = write_mapping(
        scans.parent,
        "[files]\npattern = '(?P<accession_number>.+?)_(?P<sequence>\\d+)(?P<view>[rv])?'\n"
        '[files.views]\nr = "recto"\nv = "Verso"\n',
    )
    report = take(mapping=mapping)
    assert (report.added, list(report.failures), list(report.problems)) == (4, [], [])
    assert [row[:3] for row in described(catalogue)] == [
        ("1906.12", 1, "recto"), ("1906.12", 2, "verso"), ("1906.12", 3, "recto"), ("other", 1, "recto")
    ]  # fmt: skip


def test_templates_constants_and_repeated_values(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    make_scan("7_front.tif")
    table = scans / "export.csv"
    table.write_text("No;Side;By;Link\n7;front;Lange|Arbus;a|b\n8;;x;\n", encoding="utf-8")
    mapping = write_mapping(
        scans.parent,
        '[columns]\ncreator = "By"\n[templates]\nfilename = "{No}_{Side}.tif"\naccession_number = "W {no}"\n'
        '[constants]\ncollection = "Weber"\n[identifiers]\nuri = "Link"\n[lists]\nseparator = "|"\n',
    )
    report = take(metadata=table, mapping=mapping)
    assert report.added == 1
    assert "can't be made: one of its columns is empty" in report.failures[0][1]
    with catalogue.reading() as session:
        item = session.scalars(select(Item)).one()
        assert (item.accession_number, item.creator, item.collection) == ("W 7", "Lange; Arbus", "Weber")
        assert session.scalars(select(ItemIdentifier.value)).all() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[colums]\n", r"'colums' is not a known table. Did you mean 'columns'"),
        ('[columns]\ntitel = "x"\n', r"'titel' is not a known column in \[columns\]. Did you mean 'title'"),
        ('[columns]\nfilename = "Datei"\n', r"names the column 'Datei'.*Did you mean 'Dateiname'"),
        ('[values.view]\n"a" = "front"\n', r"'front' is not one of recto"),
        ("[dates]\nday_first = 1\n", "must be true or false"),
        ("[files]\npattern = '(.+)'\n", "needs a group"),
        ("[files]\npattern = '('\n", "not a valid regular expression"),
        ("[columns\n", "not a valid TOML file.*archive mapping suggest"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused_with_the_place(
    plates: Path, take: Take, text: str, complaint: str
) -> None:
    with pytest.raises(IngestError, match=complaint):
        take(metadata=write_csv(plates), mapping=write_mapping(plates.parent, text))


def test_a_mapping_of_columns_needs_a_table(plates: Path, take: Take) -> None:
    with pytest.raises(IngestError, match="name the table with --metadata"):
        take(mapping=write_mapping(plates.parent))


def test_a_table_given_as_the_mapping_is_refused_with_what_writes_one(plates: Path, take: Take) -> None:
    table = write_csv(plates)
    with pytest.raises(IngestError, match=r"export\.csv is not a mapping file.*archive mapping suggest"):
        take(metadata=table, mapping=table)


def test_a_row_that_comes_twice_counts_once(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: Callable[[str], Path], take: Take
) -> None:
    make_scan("a.tif")
    write_rows("filename,title\na.tif,Mill\na.tif,Mill\n")
    report = take()
    assert (report.added, list(report.failures), list(report.problems)) == (1, [], [])


def test_of_two_files_of_the_same_bytes_the_one_with_a_row_is_described(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, write_rows: Callable[[str], Path], take: Take
) -> None:
    make_scan("IMG_1.tif", 1)
    take()
    make_scan("new/1906.tif", 1)
    write_rows("filename,accession_number,title\nnew/1906.tif,1906.1,Mill\n")
    take()
    assert [row[:4] for row in described(catalogue)] == [("1906.1", 1, "recto", "Mill")]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_suggested_mapping_takes_the_export_in_as_it_is(
    catalogue: Catalogue, plates: Path, take: Take, suffix: str
) -> None:
    table = write_csv(plates)
    if suffix == ".xlsx":
        workbook = openpyxl.Workbook()
        for row in [HEADERS, *ROWS]:
            assert workbook.active is not None
            workbook.active.append(row)
        table = plates / "export.xlsx"
        workbook.save(table)
    suggestion = suggest_mapping(table)
    by_header = {each.header: each for each in suggestion.columns}
    assert by_header["Schlagwörter"].target == "extra"
    assert by_header["Dateiname"].certainty > 0.9
    report = take(metadata=table, mapping=write_mapping(plates.parent, write_suggestion(suggestion)))
    assert (report.added, list(report.failures), list(report.problems)) == (4, [], [])
    assert described(catalogue) == EXPECTED
