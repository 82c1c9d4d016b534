"""IIIF exports: valid by IIIF's own schema, with the scan and the derivative to choose from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from archive.export.rights import rights_uri
from tests.small_archive import SmallArchive

BASE = "https://images.example.org/photographs"


def _export(museum: SmallArchive, folder: Path, *options: str) -> dict[str, Any]:
    museum.done("export", *options, "--format", "iiif", "--output", folder, "--base-url", f"{BASE}/")
    return _read(folder / "collection.json")


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_collection_and_manifests_are_valid_by_the_schema(museum: SmallArchive, tmp_path: Path, schemas: Path) -> None:
    _export(museum, tmp_path / "iiif", "--include-restricted", "--files")
    validator = jsonschema.Draft7Validator(_read(schemas / "iiif_presentation_3.json"))

    files = [tmp_path / "iiif" / "collection.json", *(tmp_path / "iiif" / "manifests").iterdir()]
    assert len(files) == 5
    for path in files:
        assert not list(validator.iter_errors(_read(path))), path


def test_every_address_in_the_collection_and_the_manifests_has_its_file(museum: SmallArchive, tmp_path: Path) -> None:
    collection = _export(museum, tmp_path / "iiif")

    assert collection["id"] == f"{BASE}/collection.json"
    assert len(collection["items"]) == 2
    for entry in collection["items"]:
        manifest = _read(tmp_path / "iiif" / entry["id"].removeprefix(f"{BASE}/"))
        assert manifest["id"] == entry["id"]
        for linked in manifest["seeAlso"]:
            assert (tmp_path / "iiif" / linked["id"].removeprefix(f"{BASE}/")).stat().st_size > 100


def test_a_restored_side_offers_derivative_and_scan_and_says_so(museum: SmallArchive, tmp_path: Path) -> None:
    _export(museum, tmp_path / "iiif")
    manifest = _read(tmp_path / "iiif" / "manifests" / "1906.1.json")
    shown = museum.show("1906.1")
    recto, verso = manifest["items"]
    body = recto["items"][0]["items"][0]["body"]

    assert body["type"] == "Choice"
    labels = [choice["label"]["none"][0] for choice in body["items"]]
    assert labels[0].startswith("Digitally restored: denoise-deblur 9.0")
    assert labels[1] == "Scan"
    services = [choice["service"][0]["id"] for choice in body["items"]]
    assert services[0] == f"{BASE}/iiif/3/derivative-{shown['derivatives'][0]['id']}"
    assert services[1].startswith(f"{BASE}/iiif/3/master-")
    assert (recto["width"], recto["height"]) == (shown["masters"][0]["width"], shown["masters"][0]["height"])
    assert verso["items"][0]["items"][0]["body"]["type"] == "Image"
    (statement,) = manifest["requiredStatement"]["value"]["en"]
    assert "digitally restored with denoise-deblur 9.0" in statement
    assert "run by B. Operator, accepted by C. Reviewer" in statement
    assert manifest["label"] == {"none": ["=HYPERLINK(1) <in & out>"]}
    assert {"label": {"none": ["ark"]}, "value": {"none": ["ark:/99/x1"]}} in manifest["metadata"]
    assert manifest["rights"] == "http://creativecommons.org/publicdomain/zero/1.0/"
    assert manifest["thumbnail"][0]["service"][0]["id"] == services[0]


def test_an_item_that_is_not_restored_shows_its_scan_only(museum: SmallArchive, tmp_path: Path) -> None:
    _export(museum, tmp_path / "iiif", "accession_number:1906.4")
    manifest = _read(tmp_path / "iiif" / "manifests" / "1906.4.json")

    assert manifest["items"][0]["items"][0]["items"][0]["body"]["label"] == {"none": ["Scan"]}
    assert "requiredStatement" not in manifest


def test_restricted_items_enter_only_when_asked_for(museum: SmallArchive, tmp_path: Path) -> None:
    _export(museum, tmp_path / "iiif")
    for path in sorted(path for path in (tmp_path / "iiif").rglob("*") if path.is_file()):
        assert path.stem in ("collection", "1906.1", "1906.4")
        assert "1906.2" not in path.read_text(encoding="utf-8")
        assert "A grave" not in path.read_text(encoding="utf-8")
    collection = _export(museum, tmp_path / "iiif", "--include-restricted")
    assert [entry["id"][-11:] for entry in collection["items"]] == [f"1906.{number}.json" for number in (1, 2, 3, 4)]


def test_an_export_is_replaced_as_a_whole_and_other_folders_are_not(museum: SmallArchive, tmp_path: Path) -> None:
    _export(museum, tmp_path / "iiif", "--include-restricted")
    before = {path: path.read_bytes() for path in (tmp_path / "iiif").rglob("*") if path.is_file()}
    _export(museum, tmp_path / "iiif", "--include-restricted")
    assert before == {path: path.read_bytes() for path in (tmp_path / "iiif").rglob("*") if path.is_file()}
    _export(museum, tmp_path / "iiif", "accession_number:1906.4")
    assert [path.name for path in (tmp_path / "iiif" / "manifests").iterdir()] == ["1906.4.json"]

    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("keep me")
    refused = museum.run("export", "--format", "iiif", "--output", tmp_path / "letters")
    assert (refused.code, "letter.txt" in refused.errors) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iiif", "letters"]
    assert museum.run("export", "--format", "iiif", "--output", "-").code == 2


@pytest.mark.parametrize(
    ("rights", "uri"),
    [
        ("CC0", "http://creativecommons.org/publicdomain/zero/1.0/"),
        ("cc by-nc-sa 4.0", "http://creativecommons.org/licenses/by-nc-sa/4.0/"),
        ("https://creativecommons.org/licenses/by/4.0/", "http://creativecommons.org/licenses/by/4.0/"),
        ("https://rightsstatements.org/page/InC/1.0/", "http://rightsstatements.org/vocab/InC/1.0/"),
        *(
            (text, "http://creativecommons.org/publicdomain/mark/1.0/")
            for text in ("public domain", "gemeinfrei", "„gemeinfrei“", "Public Domain Mark", "PDM 1.0")
        ),
        ("Public Domain Mark 1.0", "http://creativecommons.org/publicdomain/mark/1.0/"),
        ("https://creativecommons.org/licenses/by/4.0/deed.en", "http://creativecommons.org/licenses/by/4.0/"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode.de", "http://creativecommons.org/licenses/by/4.0/"),
        ("CC BY", None),
        ("In copyright", None),
        (None, None),
    ],
)
def test_known_licences_become_their_uri_and_others_are_not_guessed(rights: str | None, uri: str | None) -> None:
    assert rights_uri(rights) == uri


def test_addresses_that_work_only_on_this_machine_are_pointed_out(museum: SmallArchive, tmp_path: Path) -> None:
    options = ("export", "--format", "iiif", "--output", tmp_path / "iiif")
    told = "begin with http://127.0.0.1:8600 and work only on this machine"
    warned = museum.done(*options)
    assert told in warned.errors
    assert "--base-url" in warned.errors
    assert _read(tmp_path / "iiif" / "collection.json")["id"].startswith("http://127.0.0.1:8600/")
    assert told not in museum.done(*options, "--base-url", BASE).errors
    assert _read(tmp_path / "iiif" / "collection.json")["id"].startswith(f"{BASE}/")
