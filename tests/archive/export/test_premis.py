"""PREMIS exports: valid by the Library of Congress's schema, and complete."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from tests.small_archive import SmallArchive

_NS = {"p": "http://www.loc.gov/premis/v3", "xsi": "http://www.w3.org/2001/XMLSchema-instance"}
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def _export(museum: SmallArchive, file: Path, *options: str) -> etree._Element:
    museum.done("export", *options, "--format", "premis", "--output", file)
    return etree.parse(file).getroot()


def _texts(element: etree._Element, path: str) -> list[str]:
    return [each.text or "" for each in element.findall(path, _NS)]


def test_a_document_is_valid_by_the_schema(museum: SmallArchive, tmp_path: Path, schemas: Path) -> None:
    root = _export(museum, tmp_path / "premis.xml", "--include-restricted")

    etree.XMLSchema(etree.parse(schemas / "premis-v3-0.xsd")).assertValid(root.getroottree())


def test_objects_are_items_and_files_with_digest_size_and_source(museum: SmallArchive, tmp_path: Path) -> None:
    root = _export(museum, tmp_path / "premis.xml", "accession_number:1906.1")
    objects = root.findall("p:object", _NS)
    shown = museum.show("1906.1")
    files = {each.findtext(".//p:messageDigest", namespaces=_NS): each for each in objects[1:]}

    assert [each.get(_TYPE) for each in objects] == ["premis:intellectualEntity", *["premis:file"] * 4]
    assert {"1906.1", "ark:/99/x1"} < set(_texts(objects[0], "p:objectIdentifier/p:objectIdentifierValue"))
    assert set(files) == {each["sha256"] for each in (*shown["masters"], *shown["derivatives"])}
    derivative = files[shown["derivatives"][0]["sha256"]]
    master = files[shown["masters"][0]["sha256"]]
    (derivation,) = (
        each
        for each in derivative.findall("p:relationship", _NS)
        if _texts(each, "p:relationshipType") == ["derivation"]
    )
    assert _texts(derivation, "p:relationshipSubType") == ["has source"]
    assert _texts(derivation, ".//p:relatedObjectIdentifierValue") == _texts(master, ".//p:objectIdentifierValue")
    size = Path(shown["derivatives"][0]["path"]).stat().st_size
    assert _texts(derivative, ".//p:size") == [str(size)]


def test_events_name_type_outcome_people_software_model_and_recipe(museum: SmallArchive, tmp_path: Path) -> None:
    root = _export(museum, tmp_path / "premis.xml", "accession_number:1906.1")
    events = root.findall("p:event", _NS)
    agents = {
        each.findtext("p:agentIdentifier/p:agentIdentifierValue", namespaces=_NS): each
        for each in root.findall("p:agent", _NS)
    }
    shown = museum.show("1906.1")

    def linked(event: etree._Element) -> set[str]:
        values = _texts(event, "p:linkingAgentIdentifier/p:linkingAgentIdentifierValue")
        return {agents[value].findtext("p:agentName", namespaces=_NS) for value in values}

    assert len(events) == len(shown["events"])
    made = next(each for each in events if _texts(each, "p:eventType") == ["creation"])
    assert made.find("p:eventType", _NS).get("valueURI") == "http://id.loc.gov/vocabulary/preservation/eventType/cre"
    assert linked(made) == {"archive-restoration", "denoise-deblur", "B. Operator"}
    assert any(shown["derivatives"][0]["recipe"]["sha256"] in text for text in _texts(made, ".//p:eventDetail"))
    assert _texts(made, "p:linkingObjectIdentifier/p:linkingObjectRole") == ["outcome", "source"]
    assert _texts(made, ".//p:eventOutcome") == ["success"]
    review = next(each for each in events if _texts(each, "p:eventType") == ["review"])
    assert "C. Reviewer" in linked(review)
    assert any("true to the print" in text for text in _texts(review, ".//p:eventDetail"))
    weights = shown["derivatives"][0]["recipe"]["stages"][0]["weights_sha256"]
    assert any(weights in text for text in _texts(root, "p:agent/p:agentNote"))
    assert set(_texts(root, "p:event/p:eventType")) >= {"ingestion", "creation", "review"}


def test_identifiers_are_unique_and_every_reference_leads_to_one(museum: SmallArchive, tmp_path: Path) -> None:
    root = _export(museum, tmp_path / "premis.xml", "--include-restricted")
    known = {kind: _texts(root, f"p:{kind}/p:{kind}Identifier/p:{kind}IdentifierValue") for kind in ("event", "agent")}
    known["object"] = _texts(root, "p:object/p:objectIdentifier/p:objectIdentifierValue")

    for kind, values in known.items():
        assert len(values) == len(set(values)), kind
        for reference in (f"linking{kind.capitalize()}", f"related{kind.capitalize()}"):
            assert set(_texts(root, f".//p:{reference}Identifier/p:{reference}IdentifierValue")) <= set(values)


def test_rights_state_the_licence_and_what_may_be_shown(museum: SmallArchive, tmp_path: Path) -> None:
    root = _export(museum, tmp_path / "premis.xml", "--include-restricted")
    statements = [
        (*_texts(each, "p:rightsBasis"), *_texts(each, ".//p:licenseTerms"), *_texts(each, ".//p:restriction"))
        for each in root.findall("p:rights/p:rightsStatement", _NS)
    ]

    assert statements == [
        ("license", "CC0 (http://creativecommons.org/publicdomain/zero/1.0/)", "Allow"),
        ("other", "Disallow"),
        ("other", "Disallow"),
        ("license", "CC BY 4.0 (http://creativecommons.org/licenses/by/4.0/)", "Allow"),
    ]
    assert "In copyright" in _texts(root, ".//p:otherRightsNote")


def test_the_same_catalogue_gives_the_same_bytes(museum: SmallArchive, tmp_path: Path) -> None:
    for name in ("a.xml", "b.xml"):
        _export(museum, tmp_path / name)

    assert (tmp_path / "a.xml").read_bytes() == (tmp_path / "b.xml").read_bytes()


def test_a_document_about_nothing_is_refused(museum: SmallArchive, tmp_path: Path) -> None:
    answer = museum.run("export", "creator:Nobody", "--format", "premis", "--output", tmp_path / "p.xml")

    assert (answer.code, "needs at least one item" in answer.errors) == (2, True)
    assert not list(tmp_path.iterdir())
