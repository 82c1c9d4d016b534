"""Rights and processes that suggest an access or a polarity which the table doesn't state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.polarity_words import names_negative
from archive.catalogue.schema.tables import Item
from archive.errors import IngestError
from archive.ingest import IngestReport
from archive.ingest.access_words import suggests_restriction
from archive.ingest.mapping_suggestion import suggest_mapping, write_suggestion
from archive.ingest.table_problems import ProblemKind
from tests.archive.ingest.conftest import MakeScan

Take = Callable[..., IngestReport]
WriteRows = Callable[[str], Path]


@pytest.mark.parametrize(
    "rights",
    [
        *("gesperrt", "gesperrt bis 2030", "keine Veröffentlichung", "intern", "Veröffentlichung nicht gestattet"),
        *("Sperrfrist bis 2040", "not for publication", "internal use only", "Usage interne", "uso interno"),
        *("niet openbaar", "restricted until 2030", "vertraulich", "nicht frei", "not open to the public"),
        *("access closed until 2040", "pas de diffusion", "gemeinfrei, aber gesperrt", "not for publication"),
        *("no publication", "Fotograf unbekannt; nicht öffentlich", "No restrictions. Not to be published"),
        *("nicht mehr öffentlich", "Not for publication, no fee"),
    ],
)
def test_words_that_restrict_access_are_found_in_rights(rights: str) -> None:
    assert suggests_restriction(rights)


@pytest.mark.parametrize(
    "rights",
    [
        *("CC BY 4.0", "public domain", "nicht gesperrt", "no restrictions", "not restricted", "öffentlich"),
        *("Private collection", "International Press", "uneingeschränkt", "All rights reserved"),
        *("frei, nicht gesperrt", "public domain, no restrictions", "Keine Rechte; Public Domain"),
        *("Kein Urheberrechtsschutz – Public Domain Mark", "Kein Urheberrechtsschutz - Public Domain Mark"),
        *("No publication restrictions", "no publication fee", "nicht mehr gesperrt", "no longer restricted"),
        *("no publicado, dominio público", "gemeinfrei. Keine Genehmigung zur Veröffentlichung nötig"),
        *("nicht kommerziell, öffentlich", "No reproduction without permission", "Keine Rechte Public Domain"),
        *("© A. Lange. Not to be reproduced without permission", "niet langer beperkt", "nicht länger gesperrt"),
        *("Keine Einschränkung der Veröffentlichung", "Keine Veröffentlichungsgebühr", "nicht frei von Rechten"),
    ],
)
def test_other_rights_suggest_no_restriction(rights: str) -> None:
    assert not suggests_restriction(rights)


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        *((each, True) for each in ("Glasnegativ", "Negativ, Nitrozellulose", "glass plate negatives")),
        *((each, True) for each in ("Négatif sur verre", "Negativo de vidrio", "negativi su vetro", "glasnegatief")),
        *(
            (each, None)
            for each in ("Abzug vom Glasnegativ", "Negativ?", "print from a negative", "Negativ und Positiv")
        ),
        *(
            (each, None)
            for each in ("Silver gelatin from a glass plate negative", "Silbergelatine, Negativ verschollen")
        ),
        *((each, None) for each in ("Modern silver gelatin, negative lost", "plata en gelatina, negativo perdido")),
        ("Gelatin on sheet of nitrate film, negative", True),
        *((each, False) for each in ("Silbergelatineabzug", "Albumen print", "Lichtdruck", "Negativverfahren")),
    ],
)
def test_negatives_are_recognised_by_their_process(process: str, expected: bool | None) -> None:
    assert names_negative(process) is expected


def test_a_suggested_mapping_without_access_says_that_all_is_open_and_names_the_rights_against_it(
    tmp_path: Path,
) -> None:
    table = tmp_path / "export.csv"
    table.write_text("Datei;Rechte\na.tif;gesperrt bis 2030\nb.tif;CC0\n", encoding="utf-8")
    lines = write_suggestion(suggest_mapping(table)).splitlines()
    assert any("every item comes in as open" in line for line in lines)
    assert "#   gesperrt bis 2030 (1 x)" in lines
    assert "#   CC0 (1 x)" not in lines
    table.write_text("Datei;Rechte;Zugang\na.tif;gesperrt;intern\n", encoding="utf-8")
    assert "every item comes in as open" not in write_suggestion(suggest_mapping(table))


def test_rights_that_may_restrict_are_reported_where_no_access_is_stated(
    take: Take, make_scan: MakeScan, write_rows: WriteRows
) -> None:
    for number in range(3):
        make_scan(f"{number}.tif", number)
    write_rows("filename,rights\n0.tif,gesperrt\n1.tif,gesperrt\n2.tif,CC0\n")
    report = take()
    assert [(each.kind, each.value) for each in report.problems] == [(ProblemKind.RIGHTS, "gesperrt")] * 2
    assert any("no column states the access, so new items are open" in text for _, text in report.notes)
    write_rows("filename,rights,access\n0.tif,gesperrt,restricted\n1.tif,gesperrt,sensitive\n2.tif,CC0,\n")
    report = take()
    assert list(report.problems) == []
    assert not any("no column states the access" in text for _, text in report.notes)


def test_rows_that_disagree_on_access_have_a_heading_of_their_own_and_the_strictest_counts(
    catalogue: Catalogue, take: Take, make_scan: MakeScan, write_rows: WriteRows
) -> None:
    make_scan("a.tif")
    make_scan("b.tif", 1)
    write_rows("filename,accession_number,access\na.tif,A,open\nb.tif,A,restricted\n")
    assert {each.kind for each in take().problems} == {ProblemKind.ACCESS_DISAGREEMENT}
    assert access(catalogue) == "restricted"


@pytest.mark.parametrize(
    ("stated", "expected"), [("", "restricted"), ("open", "restricted"), ("sensitive", "sensitive")]
)
def test_contradictory_rights_of_which_one_restricts_count_as_restricted(
    catalogue: Catalogue, take: Take, make_scan: MakeScan, write_rows: WriteRows, stated: str, expected: str
) -> None:
    make_scan("a.tif")
    make_scan("b.tif", 1)
    write_rows(f"filename,accession_number,rights,access\na.tif,A,gesperrt,{stated}\nb.tif,A,CC0,{stated}\n")
    problems = [each for each in take().problems if each.kind is ProblemKind.DISAGREEMENT]
    assert [each.column for each in problems] == ["rights", "rights"]
    assert f"Until then the access is {expected}" in problems[0].advice
    assert access(catalogue) == expected


def test_contradictory_rights_do_not_open_a_sensitive_item(
    catalogue: Catalogue, take: Take, make_scan: MakeScan, write_rows: WriteRows
) -> None:
    make_scan("a.tif")
    make_scan("b.tif", 1)
    write_rows("filename,accession_number,access\na.tif,A,sensitive\nb.tif,A,sensitive\n")
    take()
    write_rows("filename,accession_number,rights\na.tif,A,gesperrt\nb.tif,A,CC0\n")
    take()
    assert access(catalogue) == "sensitive"


def access(catalogue: Catalogue) -> str:
    with catalogue.reading() as session:
        return str(session.scalars(select(Item.access)).one())


def test_a_suggested_mapping_proposes_the_polarity_by_the_process_and_is_taken_as_it_is(
    catalogue: Catalogue, take: Take, make_scan: MakeScan, tmp_path: Path
) -> None:
    table, mapping = tmp_path / "export.csv", tmp_path / "mapping.toml"
    rows = {"a.tif": "Glasnegativ", "b.tif": "Lichtdruck", "c.tif": "Abzug vom Negativ", "d.tif": "Cyanotypie"}
    table.write_text("".join(["Datei;Technik\n", *(f"{name};{text}\n" for name, text in rows.items())]))
    for number, name in enumerate(rows):
        make_scan(name, number)
    mapping.write_text(write_suggestion(suggest_mapping(table)))
    report = take(metadata=table, mapping=mapping)
    assert list(report.problems) == []
    with catalogue.reading() as session:
        found = session.execute(select(Item.polarity, Item.process).order_by(Item.accession_number)).all()
    assert [tuple(row) for row in found] == [
        ("negative", "Glasnegativ"),
        (None, "collotype"),
        (None, "Abzug vom Negativ"),
        (None, "Cyanotypie"),
    ]
    table.write_text("Datei;Technik\na.tif;Papiernegativ\nb.tif;Albumin\n")  # the next delivery, with new words
    assert [(each.kind, each.value) for each in take(metadata=table, mapping=mapping).problems] == [
        (ProblemKind.POLARITY, "Papiernegativ")
    ]


def test_a_mapping_can_leave_out_a_polarity_but_no_access_which_would_open_the_item(
    catalogue: Catalogue, take: Take, make_scan: MakeScan, tmp_path: Path
) -> None:
    make_scan("a.tif")
    table, mapping = tmp_path / "export.csv", tmp_path / "mapping.toml"
    table.write_text("filename,access,polarity\na.tif,unbekannt,unbekannt\n")
    mapping.write_text('[values.polarity]\n"unbekannt" = ""\n[values.access]\n"unbekannt" = ""\n')
    with pytest.raises(IngestError, match=r"\[values.access\].*open, restricted, sensitive"):
        take(metadata=table, mapping=mapping)
    mapping.write_text('[values.view]\n"unbekannt" = ""\n')
    with pytest.raises(IngestError, match=r"\[values.view\].*recto"):
        take(metadata=table, mapping=mapping)
    mapping.write_text('[values.polarity]\n"unbekannt" = ""\n[values.access]\n"unbekannt" = "restricted"\n')
    assert list(take(metadata=table, mapping=mapping).problems) == []
    assert access(catalogue) == "restricted"


def test_a_table_with_a_polarity_needs_none_by_its_process(tmp_path: Path) -> None:
    table = tmp_path / "export.csv"
    table.write_text("Datei;Technik;Polarität\na.tif;Glasnegativ;negativ\n", encoding="utf-8")
    assert [each.header for each in suggest_mapping(table).columns] == ["Datei", "Technik", "Polarität"]


def test_negatives_without_a_polarity_are_reported_by_ingest(
    take: Take, make_scan: MakeScan, write_rows: WriteRows
) -> None:
    for number in range(3):
        make_scan(f"{number}.tif", number)
    write_rows(
        "filename,process,polarity,access\n"
        "0.tif,Glasnegativ,,open\n1.tif,Glasnegativ,negative,open\n2.tif,Abzug vom Glasnegativ,,open\n"
    )
    (problem,) = take().problems
    assert (problem.kind, problem.line) == (ProblemKind.POLARITY, 2)
