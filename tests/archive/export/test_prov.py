"""PROV exports, read back by the `prov` library."""

from __future__ import annotations

from pathlib import Path

from prov.model import ProvActivity, ProvAgent, ProvAssociation, ProvDerivation, ProvDocument, ProvEntity

from tests.small_archive import SmallArchive


def _export(museum: SmallArchive, file: Path, *options: str) -> ProvDocument:
    museum.done("export", *options, "--format", "prov", "--output", file)
    return ProvDocument.deserialize(file, format="json")


def test_derivatives_lead_to_masters_recipes_models_and_people(museum: SmallArchive, tmp_path: Path) -> None:
    document = _export(museum, tmp_path / "prov.json", "accession_number:1906.1")
    shown = museum.show("1906.1")
    digests = {
        str(next(iter(entity.get_attribute("archive:sha256")))): entity.identifier
        for entity in document.get_records(ProvEntity)
        if entity.get_attribute("archive:sha256")
    }
    labels = {
        agent.identifier: next(iter(agent.get_attribute("prov:label"))) for agent in document.get_records(ProvAgent)
    }

    assert len(list(document.get_records(ProvActivity))) == len(shown["events"])
    derivations = [[value for _, value in each.formal_attributes] for each in document.get_records(ProvDerivation)]
    assert {(made, used) for made, used, *_ in derivations} == {
        (digests[derivative["sha256"]], digests[shown["masters"][0]["sha256"]]) for derivative in shown["derivatives"]
    }
    activity = next(
        activity for made, _, activity, *_ in derivations if made == digests[shown["derivatives"][0]["sha256"]]
    )
    associated = [
        {name.localpart: value for name, value in each.formal_attributes}
        for each in document.get_records(ProvAssociation)
    ]
    of_activity = [each for each in associated if each["activity"] == activity]
    assert {labels[each["agent"]] for each in of_activity} == {"archive-restoration", "denoise-deblur", "B. Operator"}
    assert {each["plan"] for each in of_activity} == {digests[shown["derivatives"][0]["recipe"]["sha256"]], None}
    assert "C. Reviewer" in labels.values()


def test_prov_n_states_the_same_as_prov_json(museum: SmallArchive, tmp_path: Path) -> None:
    document = _export(museum, tmp_path / "prov.json", "--include-restricted")
    museum.done("export", "--format", "prov", "--include-restricted", "--output", tmp_path / "prov.provn")
    written = (tmp_path / "prov.provn").read_text(encoding="utf-8").splitlines()

    assert (written[0], written[-1]) == ("document", "endDocument")
    assert _statements(written) == _statements(document.get_provn().splitlines())


def _statements(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Every line with its attributes sorted, since their order is free."""
    return sorted((head, sorted(rest.split(", "))) for head, _, rest in (line.strip().partition("[") for line in lines))


def test_a_document_can_be_written_and_read_again(museum: SmallArchive, tmp_path: Path) -> None:
    document = _export(museum, tmp_path / "prov.json", "--include-restricted")

    assert ProvDocument.deserialize(content=document.serialize(format="json"), format="json") == document


def test_the_same_catalogue_gives_the_same_bytes(museum: SmallArchive, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        _export(museum, tmp_path / name)

    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
