"""``archive mapping``: a mapping suggested for a table, and those that ingests have used."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from archive.ingest.printing_processes import is_recognised
from tests.small_archive import SmallArchive, write_scan

MAPPING = 'columns = {filename = "Datei", title = "Titel"}\n# Größe und Maß stehen in keiner Spalte.\n'


def test_the_mapping_of_an_ingest_is_listed_and_printed_as_it_was(small: SmallArchive) -> None:
    assert small.done("mapping", "list").output == ""
    write_scan(small.scans / "a.tif")
    table, mapping = small.home / "export.csv", small.home / "mapping.toml"
    table.write_text("Datei;Titel\na.tif;Mühle\n", encoding="cp1252")
    mapping.write_text(MAPPING, encoding="utf-8")
    (small.scans / "export.csv").write_bytes(table.read_bytes())
    small.done("ingest", small.scans, "--metadata", small.scans / "export.csv", "--mapping", mapping)
    mapping.unlink()
    digest = hashlib.sha256(MAPPING.encode()).hexdigest()
    (row,) = small.done("mapping", "list", "--format", "json").json()
    assert (row["sha256"], row["name"]) == (digest, "mapping.toml")
    assert digest[:12] in small.done("mapping", "list").output
    assert small.done("mapping", "show", digest[:12].upper()).output == MAPPING
    missing = small.run("mapping", "show", "ffff")
    assert missing.code == 2
    assert "archive mapping list" in missing.errors


def test_a_suggested_mapping_takes_a_museums_export_in_as_it_is(
    small: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("F_12_v.tif", "F_12_r.tif", "F_13_v.tif")):
        write_scan(small.scans / "1906" / name, seed=seed)
    (small.home.parent / "export.csv").write_text(
        "Inv.-Nr.;Dateipfad;Seite;Titel;Datierung;Zugang;Objektbezeichnung\r\n"
        'F 12;Z:\\Scans\\1906\\F_12_v.tif;Vorderseite;"Straße ""im""\r\nSommer";ca. 1906;frei;Fotografie\r\n'
        "F 12;Z:\\Scans\\1906\\F_12_r.tif;Rückseite;;;;\r\n"
        "F 13;Z:\\Scans\\1906\\F_13_v.tif;Vorderseite;Mühle;12.05.1906;gesperrt;Fotografie\r\n",
        encoding="cp1252",
        newline="",
    )
    monkeypatch.chdir(small.home)
    table, mapping = os.path.join("..", "export.csv"), Path("mapping.toml")  # noqa: PTH118 - as a person types it
    small.done("mapping", "suggest", table, "--output", mapping)
    assert "'Z:\\Scans\\1906\\F_12_v.tif'" in mapping.read_text(encoding="utf-8")
    planned = small.done("ingest", small.scans, "--metadata", table, "--mapping", mapping, "--dry-run")
    assert "nothing was written. Leave out --dry-run" in planned.errors
    told = small.done("ingest", small.scans, "--metadata", table, "--mapping", mapping).errors
    assert f"{small.home.parent / 'export.csv'} was read as Windows-1252" in told
    assert "'Z:\\Scans\\1906\\F_12_v.tif' was taken for" in told
    listed = small.done("list", "--fields", "accession_number,date,date_text,access", "--format", "csv").output
    assert listed.splitlines()[1:] == ["F 12,1906~,ca. 1906,open", "F 13,1906-05-12,12.05.1906,restricted"]
    shown = small.done("show", "F 12").output
    assert "  Objektbezeichnung: Fotografie\n" in shown
    assert [line.split(":")[0] for line in shown.splitlines() if line.startswith("Master")] == [
        "Master 1, recto",
        "Master 2, verso",
    ]


GERMAN = (
    "Datei;Titel;Technik",
    {
        "Autotypie auf Papier": "halftone (Autotypie auf Papier)",
        "Heliogravüre": "photogravure",
        "Lichtdruck": "collotype",
        "Radierung": "etching",
        "Lithographie": "Lithographie",
        "Tiefdruck": "Tiefdruck",
        "Albuminabzug": "Albuminabzug",
    },
)
FRENCH = (
    "Fichier;Titre;Procédé",
    {
        "similigravure": "halftone",
        "Phototypie": "collotype",
        "eau-forte": "etching",
        "xylographie": "woodcut",
        "Gravure": "Gravure",
        "tirage albuminé": "tirage albuminé",
    },
)
SPANISH_AND_ITALIAN = (
    "Archivo;Título;Técnica",
    {
        "fototipia": "collotype",
        "aguafuerte": "etching",
        "xilografia": "woodcut",
        "Litografía coloreada": "lithograph (Litografía coloreada)",
        "Grabado": "Grabado",
        "copia a la albúmina": "copia a la albúmina",
        "stampa all'albumina": "stampa all'albumina",
    },
)


@pytest.mark.parametrize(("headers", "recorded"), [GERMAN, FRENCH, SPANISH_AND_ITALIAN])
def test_a_suggested_mapping_makes_restore_leave_printed_pictures_out(
    small: SmallArchive, headers: str, recorded: dict[str, str]
) -> None:
    table, mapping = small.home / "export.csv", small.home / "mapping.toml"
    rows = [f"{number}.tif;A street;{process}" for number, process in enumerate(recorded)]
    table.write_text("\n".join([headers, *rows]) + "\n", encoding="utf-8")
    for number in range(len(recorded)):
        write_scan(small.scans / f"{number}.tif", seed=number, width=80, height=72)
    small.done("mapping", "suggest", table, "--output", mapping)
    small.done("ingest", small.scans, "--metadata", table, "--mapping", mapping)
    assert listed_processes(small) == list(recorded.values())
    plan = small.done("restore", "--dry-run", "--model", "denoise-deblur@2.1").output
    printed = [process for process in recorded.values() if is_recognised(process)]
    for word in ("halftone", "photogravure", "lithograph", "etching", "woodcut", "collotype"):
        masters = sum(word in process.casefold() for process in printed)
        assert (f"  {masters}  process {word}" in plan) == (masters > 0)
    assert f"To do: {len(recorded) - len(printed)} masters" in plan


def test_processes_that_a_person_writes_into_the_mapping_are_recorded(small: SmallArchive) -> None:
    table, mapping = small.home / "export.csv", small.home / "mapping.toml"
    processes = ["Lichtdruck", "Tiefdruck", "Zzyzxdruck", "木版画"]
    rows = [f"{number}.tif;{process}" for number, process in enumerate(processes)]
    table.write_text("\n".join(["Datei;Technik", *rows]) + "\n", encoding="utf-8")
    for number in range(len(processes)):
        write_scan(small.scans / f"{number}.tif", seed=number)
    suggested = small.done("mapping", "suggest", table).output
    for proposed, decided in (
        ('"Lichtdruck" = "collotype"\n', '"Lichtdruck" = "gelatin silver print"\n'),
        ('# "Tiefdruck" = "?"', '"TIEFDRUCK" = "photogravure"\n"Zzyzxdruck" = "halftone" #'),
    ):
        assert proposed in suggested
        suggested = suggested.replace(proposed, decided)
    mapping.write_text(suggested, encoding="utf-8")
    small.done("ingest", small.scans, "--metadata", table, "--mapping", mapping)
    assert listed_processes(small) == ["gelatin silver print", "photogravure", "halftone", "木版画"]


def listed_processes(archive: SmallArchive) -> list[str]:
    """The recorded processes in the order of the accession numbers."""
    listed = archive.done("list", "--fields", "accession_number,process", "--format", "jsonl").output
    return [json.loads(line)["process"] for line in listed.splitlines()]


def test_a_dash_as_the_output_is_standard_output(
    small: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "export.csv"
    table.write_text("Datei;Titel\na.tif;Mühle\n", encoding="utf-8")
    shown = small.done("mapping", "suggest", table, "--output", "-")
    assert shown.output == small.done("mapping", "suggest", table).output
    assert 'title = "Titel"' in shown.output
    assert not (tmp_path / "-").exists()
