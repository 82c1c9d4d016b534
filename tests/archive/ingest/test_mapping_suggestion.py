from __future__ import annotations

from pathlib import Path

import pytest

from archive.ingest.mapping_suggestion import suggest_mapping


@pytest.mark.parametrize(
    ("header", "closes"),
    [("Öffentlich zugänglich", "nein"), ("Sperrvermerk", "ja"), ("Restricted", "yes"), ("Public", "no")],
)
def test_yes_and_no_of_an_access_column_are_read_by_its_header(tmp_path: Path, header: str, closes: str) -> None:
    opens = {"nein": "ja", "ja": "nein", "yes": "no", "no": "yes"}[closes]
    table = tmp_path / "export.csv"
    table.write_text(f"Datei;{header}\na.tif;{closes}\nb.tif;{opens}\n", encoding="utf-8")
    (access,) = (each for each in suggest_mapping(table).columns if each.target == "access")
    assert access.values == {closes: "restricted", opens: "open"}


@pytest.mark.parametrize("header", ["Unrestricted", "Not confidential", "No restrictions", "Sperre aufgehoben"])
def test_yes_and_no_below_a_negated_header_are_left_to_a_person(tmp_path: Path, header: str) -> None:
    table = tmp_path / "export.csv"
    table.write_text(f"Datei;{header}\na.tif;yes\nb.tif;no\n", encoding="utf-8")
    values = [each.values for each in suggest_mapping(table).columns if each.target == "access"]
    assert values in ([], [{"yes": None, "no": None}])


@pytest.mark.parametrize(
    "headers",
    [
        "ObjectNumber|Title|Artist Display|Dated|Medium|CreditLine=accession_number|title|creator|date|process|",
        "idno|Preferred Labels|Entities|Date Created|Access=accession_number|title|creator|date|access",
        "dcterms:identifier|dcterms:title|dcterms:creator|dcterms:date|dcterms:spatial=accession_number|title|creator|date|place",
        "Resource ID|Original filename|Caption|Date=identifiers|filename|title|date",
        "Inventarnummer|Bildtitel|Fotograf/in|Datierung|Technik=accession_number|title|creator|date|process",
        "Numéro d'inventaire|Titre|Photographe|Date de prise de vue|Lieu=accession_number|title|creator|date|place",
        "N.º de inventario|Título|Fotógrafo|Fecha|Procedimiento=accession_number|title|creator|date|process",
        "Signatur|Digitalisat|Bildseite|Bildlegende|Sperrvermerk=accession_number|filename|view|title|access",
        "Inventarisnummer|Titel|Fotograaf|Datering|Toegang=accession_number|title|creator|date|access",
    ],
)
def test_headers_of_usual_exports_are_recognised(tmp_path: Path, headers: str) -> None:
    theirs, ours = headers.split("=")
    table = tmp_path / "export.csv"
    table.write_text(theirs.replace("|", ";") + "\n", encoding="utf-8")
    targets = [each.target for each in suggest_mapping(table).columns]
    for target, expected in zip(targets, ours.split("|"), strict=True):
        assert expected in ("", target)


@pytest.mark.parametrize(
    "header",
    [
        *("Process", "Technique", "Material/technique", "Medium & Support", "Photographic technique", "Print type"),
        *("Technik", "Material/Technik", "Fotografische Technik", "Herstellungsverfahren", "Aufnahmetechnik"),
        *("Procédé", "Technique photographique", "Matériaux et techniques", "Procédé de prise de vue"),
        *("Técnica", "Técnica fotográfica", "Proceso fotográfico", "Material y técnica", "Fotografische techniek"),
    ],
)
def test_a_column_of_the_photographic_process_is_recognised(tmp_path: Path, header: str) -> None:
    table = tmp_path / "export.csv"
    table.write_text(f"File;{header}\na.tif;Albumen print\n", encoding="utf-8")
    process = suggest_mapping(table).columns[1]
    assert process.target == "process"
    assert process.certainty >= 0.9


def test_a_copyright_column_is_surer_than_a_credit_line(tmp_path: Path) -> None:
    table = tmp_path / "export.csv"
    table.write_text("File;Credit;Copyright\na.tif;Courtesy of the City Archive;CC0\n", encoding="utf-8")
    assert [each.target for each in suggest_mapping(table).columns] == ["filename", "extra", "rights"]


@pytest.mark.parametrize(
    "header",
    [
        *("Credit", "Credits", "Credit line", "Photo credit", "Courtesy of", "Copyright holder"),
        *("Bildnachweis", "Fotonachweis", "Rechteinhaber", "Crédit", "Crédits photographiques", "Mention obligatoire"),
        *("Crédito", "Línea de crédito", "Bronvermelding", "Rechthebbende"),
    ],
)
def test_a_credit_line_states_rights_and_not_the_creator(tmp_path: Path, header: str) -> None:
    table = tmp_path / "export.csv"
    table.write_text(f"File;{header}\na.tif;Courtesy of the City Archive\n", encoding="utf-8")
    assert [each.target for each in suggest_mapping(table).columns] == ["filename", "rights"]
