from __future__ import annotations

import csv
import io
import tomllib
from pathlib import Path

import pytest

from archive.ingest.column_mapping import read_mapping
from archive.ingest.mapping_suggestion import suggest_mapping, write_suggestion
from archive.ingest.printing_processes import RECOGNISED_WORDS, is_recognised, translate_printing_processes
from restoration.training.release import UNSUITED_PROCESSES


def export(folder: Path, header: str, *values: str) -> Path:
    """A museum's table with one row per value."""
    text = io.StringIO()
    csv.writer(text).writerows([["Datei", header], *([f"{n}.tif", value] for n, value in enumerate(values))])
    path = folder / "export.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def test_the_words_are_those_of_the_models_cards() -> None:
    assert RECOGNISED_WORDS == UNSUITED_PROCESSES


@pytest.mark.parametrize(
    ("english", "names"),
    [
        (
            "halftone",
            "Half-tone|half tone|Autotypie|AUTOTYPIEN|Rasterdruck|similigravure|autotipia|medio tono|autotypie",
        ),
        (
            "collotype",
            "Lichtdruck|Lichtdrucke|phototypie|fototipia|fototipie|colotipia|collotypie|lichtdruk|lichtdrukken",
        ),
        ("photogravure", "Heliogravüre|Heliogravüren|héliogravure|heliograbado|photo-gravure|fotogravure"),
        ("rotary photogravure", "Rotogravure|Kupfertiefdruck|huecograbado|rotocalco"),
        ("lithograph", "Lithografie|Lithografien|Steindruck|litografía|litografia|litografie|steendruk"),
        ("offset lithograph", "Offset|Offsetdruck|offset"),
        ("chromolithograph", "Chromolithografie|cromolitografía"),
        ("photolithograph", "Fotolithografie|fotolitografía"),
        ("photochrom lithograph", "Photochrom|Photochroms"),
        ("etching", "Radierung|Radierungen|eau-forte|eaux-fortes|aguafuerte|acquaforte|ets|etsen"),
        ("engraving", "Kupferstich|Kupferstiche|gravure au burin|grabado a buril|incisione a bulino|kopergravure"),
        ("steel engraving", "Stahlstich|gravure sur acier|staalgravure"),
        ("wood engraving", "Holzstich|gravure sur bois de bout"),
        ("woodcut", "Holzschnitt|xylographie|xilografía|xilografia|houtsnede|woodblock print"),
        ("woodcut or wood engraving", "gravure sur bois|gravures sur bois|grabado en madera"),
        ("halftone or other photomechanical print", "photomechanical|photomécanique|fotomechanisch|fotomecánica"),
    ],
)
def test_a_name_of_a_printing_process_is_translated(english: str, names: str) -> None:
    assert is_recognised(english)
    expected = dict.fromkeys(names.split("|"), english)
    assert translate_printing_processes(names.split("|")) == expected


@pytest.mark.parametrize(
    ("value", "english"),
    [
        ("Autotypie auf Papier", "halftone"),
        ("Carte postale, phototypie", "collotype"),
        ("Farblichtdruck", "collotype"),
        ("Kaltnadelradierung", "etching"),
        ("half-tone print", "halftone"),
        ("Lichtdruck nach Fotografie", "collotype"),
        ("Fotomechanischer Druck", "halftone or other photomechanical print"),
        ("Photomechanischer Druck (Lichtdruck)", "collotype"),
        ("gravure sur bois coloriée", "woodcut or wood engraving"),
    ],
)
def test_a_value_with_further_words_keeps_them(value: str, english: str) -> None:
    assert translate_printing_processes([value]) == {value: f"{english} ({value})"}


@pytest.mark.parametrize(
    "value",
    [
        *("Gravure", "estampe", "Grabado", "incisione", "Tiefdruck", "Stich", "taille-douce"),
        *("Lichtdruck?", "Lichtdruck oder Pigmentdruck", "probablement phototypie"),
        *("Fotografie eines Kupferstichs", "Reproduktion nach Kupferstich", "Albumin; Lichtdruck"),
    ],
)
def test_what_is_not_certain_is_left_to_a_person(tmp_path: Path, value: str) -> None:
    suggestion = suggest_mapping(export(tmp_path, "Technik", value))
    assert suggestion.columns[1].values == {value: None}
    text = write_suggestion(suggestion)
    assert f'# "{value}" = "?"  # not certain: state the process' in text
    assert tomllib.loads(text)["values"] == {"process": {}}


@pytest.mark.parametrize(
    "value",
    [
        *("Albumen print", "Gelatin silver print", "Carbon print", "Autotype", "Cyanotype", "C-print", "Inkjet print"),
        *(
            "Albuminabzug",
            "Silbergelatineabzug",
            "Pigmentdruck",
            "Kohledruck",
            "Gummidruck",
            "Bromöldruck",
            "Lichtpause",
        ),
        *("tirage albuminé", "épreuve gélatino-argentique", "cliché", "papier salé", "ferrotypie", "daguerréotype"),
        *("copia a la albúmina", "fototipo", "goma bicromatada", "stampa all'albumina", "aristotipia", "albuminedruk"),
        *(
            "Siebdruck",
            "Linolschnitt",
            "Lichtdruckpapier",
            "ксилография",
            "木版画",
            "Zzyzxdruck",
            "(",
            "-",
            '"\\',
            "*\t?",
        ),
        *("Lithographie", "Wood engraving", "Farblithographie", "photogravure", "HALFTONE"),
    ],
)
def test_photographs_unknown_values_and_recognised_words_get_no_entry(tmp_path: Path, value: str) -> None:
    suggestion = suggest_mapping(export(tmp_path, "Technik", value))
    assert suggestion.columns[1].target == "process"
    assert suggestion.columns[1].values == {}
    assert "[values.process]" not in write_suggestion(suggestion)


def test_any_number_of_values_is_translated(tmp_path: Path) -> None:
    table = export(tmp_path, "Technik", *(f"Lichtdruck, {width} cm" for width in range(100)), "Albuminabzug")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(write_suggestion(suggest_mapping(table)), encoding="utf-8")
    assert len(read_mapping(mapping).values["process"]) == 100


@pytest.mark.parametrize("technique", ["Lichtdruck", "Lithographie", "Tiefdruck"])
def test_the_column_that_names_printing_processes_is_surer_than_one_of_materials(
    tmp_path: Path, technique: str
) -> None:
    table = tmp_path / "export.csv"
    table.write_text(f"Datei;Material;Technik\na.tif;Papier;{technique}\n", encoding="utf-8")
    assert [each.target for each in suggest_mapping(table).columns] == ["filename", "extra", "process"]


def test_a_note_says_that_later_rows_were_not_read(tmp_path: Path) -> None:
    note = "# Only the first 5,000 rows were read: values that occur later only are not listed."
    table = export(tmp_path, "Technik", *["Albuminabzug"] * 5000)
    assert note not in write_suggestion(suggest_mapping(table))
    table = export(tmp_path, "Technik", *["Albuminabzug"] * 5000, "Lichtdruck")
    assert note in write_suggestion(suggest_mapping(table)).splitlines()
