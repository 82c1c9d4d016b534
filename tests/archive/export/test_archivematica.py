"""Transfers for Archivematica: what its own scripts check before they take one in."""

from __future__ import annotations

import csv
import subprocess
import uuid
from pathlib import Path

from lxml import etree

from tests.small_archive import SmallArchive

_NS = {"premis": "http://www.loc.gov/premis/v3", "xsi": "http://www.w3.org/2001/XMLSchema-instance"}


def _package(museum: SmallArchive, folder: Path, *options: str) -> set[str]:
    """Makes a transfer; the paths of its objects."""
    museum.done("package", *options, "--layout", "archivematica", "--output", folder)
    return {path.relative_to(folder).as_posix() for path in (folder / "objects").rglob("*") if path.is_file()}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _identifiers(element: etree._Element, name: str) -> set[str]:
    return {each.text or "" for each in element.findall(f"premis:{name}/premis:{name}Value", _NS)}


def test_access_copies_lie_where_manual_normalisation_finds_their_original(
    museum: SmallArchive, tmp_path: Path
) -> None:
    objects = _package(museum, tmp_path / "transfer")

    assert objects == {
        "objects/1906.1/001/a_r.tif",
        "objects/1906.1/002/a_v.tif",
        "objects/1906.4/001/d.tif",
        "objects/manualNormalization/access/1906.1/001/a_r.tif",
    }
    for path in objects:  # Archivematica strips this folder and the ending, and wants one original that begins so
        if "/manualNormalization/access/" in path:
            begins = path.replace("manualNormalization/access/", "").rpartition(".")[0] + "."
            assert len([other for other in objects if other.startswith(begins)]) == 1
    assert {path.name for path in (tmp_path / "transfer").iterdir()} == {"objects", "metadata"}


def test_checksums_cover_each_object_once(museum: SmallArchive, tmp_path: Path) -> None:
    objects = _package(museum, tmp_path / "transfer")
    lines = (tmp_path / "transfer" / "metadata" / "checksum.sha256").read_text(encoding="utf-8").splitlines()

    assert sorted(line.split("  ", 1)[1] for line in lines) == sorted(objects)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "metadata/checksum.sha256"],
        check=True,
        cwd=tmp_path / "transfer",
    )


def test_dublin_core_and_rights_are_of_files_in_the_transfer(museum: SmallArchive, tmp_path: Path) -> None:
    objects = _package(museum, tmp_path / "transfer", "--include-restricted")
    described = {row["filename"]: row for row in _rows(tmp_path / "transfer" / "metadata" / "metadata.csv")}
    rights = {row["file"]: row for row in _rows(tmp_path / "transfer" / "metadata" / "rights.csv")}

    assert set(described) == {path for path in objects if "manualNormalization" not in path}
    assert described["objects/1906.1/001/a_r.tif"]["dc.title"] == "=HYPERLINK(1) <in & out>"
    assert described["objects/1906.1/002/a_v.tif"]["dc.identifier"] == "1906.1"
    assert set(rights) == objects
    assert rights["objects/1906.1/001/a_r.tif"]["basis"] == "license"
    assert rights["objects/1906.2/001/b.tif"] == {
        "file": "objects/1906.2/001/b.tif",
        "basis": "other",
        "terms": "",
        "note": "In copyright; access: restricted",
        "grant_act": "disseminate",
        "grant_restriction": "Disallow",
    }
    assert rights["objects/1906.3/001/c.tif"]["grant_restriction"] == "Disallow"


def test_premis_events_survive_the_import(museum: SmallArchive, tmp_path: Path, schemas: Path) -> None:
    """The checks of Archivematica's ``load_premis_events_from_xml``, any of which refuses the whole file."""
    objects = _package(museum, tmp_path / "transfer")
    tree = etree.parse(tmp_path / "transfer" / "metadata" / "premis.xml")
    etree.XMLSchema(etree.parse(schemas / "premis-v3-0.xsd")).assertValid(tree)
    files = tree.findall('premis:object[@xsi:type="premis:file"]', _NS)
    events, agents = tree.findall("premis:event", _NS), tree.findall("premis:agent", _NS)
    file_ids = set().union(*(_identifiers(each, "objectIdentifier") for each in files))
    agent_ids = set().union(*(_identifiers(each, "agentIdentifier") for each in agents))

    assert {each.findtext("premis:originalName", namespaces=_NS) for each in files} == objects
    assert len(files) == len(tree.findall("premis:object", _NS))
    linked_files: set[str] = set()
    linked_agents: set[str] = set()
    for event in events:
        (identifier,) = _identifiers(event, "eventIdentifier")
        assert str(uuid.UUID(identifier)) == identifier
        for linked, known, every in (
            ("linkingObjectIdentifier", file_ids, linked_files),
            ("linkingAgentIdentifier", agent_ids, linked_agents),
        ):
            found = _identifiers(event, linked)
            assert found, "an event without files or agents"
            assert found <= known
            every |= found
    assert linked_files == file_ids
    assert linked_agents == agent_ids
    names = {each.findtext("premis:agentName", namespaces=_NS) for each in agents}
    assert {"archive-restoration", "denoise-deblur", "B. Operator", "C. Reviewer"} <= names


def test_derivatives_alone_are_objects(museum: SmallArchive, tmp_path: Path) -> None:
    (path,) = _package(museum, tmp_path / "transfer", "--contents", "derivatives")

    assert path.startswith("objects/1906.1/001/1906.1_001_restored_")
    (row,) = _rows(tmp_path / "transfer" / "metadata" / "metadata.csv")
    assert (row["filename"], row["dc.identifier"]) == (path, "1906.1")
