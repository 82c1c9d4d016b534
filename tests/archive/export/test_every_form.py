"""What holds for every export and package: whose names are in it, and which items are not."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import jsonschema
import pytest
from lxml import etree
from prov.model import ProvAgent, ProvDocument

from archive.catalogue import Catalogue
from archive.comments import add_comment
from archive.settings import SETTINGS_NAME, load_settings
from tests.small_archive import SmallArchive

_PERSONS = ("A. Curator", "B. Operator", "C. Reviewer", "D. Commenter", "E. Withdrawer")

_TABLES = [
    (("export", "--format", form, "--rows", rows), f"x.{form}")
    for form in ("csv", "xlsx", "jsonl")
    for rows in ("items", "masters", "derivatives")
]
_DOCUMENTS = [
    (("export", "--format", "premis"), "x.xml"),
    (("export", "--format", "prov"), "x.json"),
    (("export", "--format", "prov"), "x.provn"),
    (("export", "--format", "iiif"), "iiif"),
    (("package", "--layout", "bagit"), "bag"),
    (("package", "--layout", "archivematica"), "transfer"),
]
_FORMS = [*_TABLES, *_DOCUMENTS]
forms = pytest.mark.parametrize(
    ("command", "name"), _FORMS, ids=[f"{form[2]} {form[-1]} {name}" for form, name in _FORMS]
)


forms_and_report = pytest.mark.parametrize(
    ("command", "name"),
    [*_FORMS, (("report",), "report.html")],
    ids=[*(f"{form[2]} {form[-1]} {name}" for form, name in _FORMS), "report"],
)


@pytest.fixture(scope="module")
def naming(museum: SmallArchive, tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    """The museum with a comment on a derivative of 1906.1 and another derivative that was withdrawn."""
    home = tmp_path_factory.mktemp("naming") / "home"
    shutil.copytree(museum.home, home)
    copy = SmallArchive(home=home, scans=museum.scans)
    kept, rejected = (each["id"] for each in copy.show("1906.1")["derivatives"])
    add_comment(
        Catalogue.open(load_settings(home)),
        kept,
        x=1,
        y=1,
        width=4,
        height=4,
        text="an eye was redrawn",
        author="D. Commenter",
    )
    withdrawn = ("withdraw", "1906.1", "--derivative", str(rejected), "--reason", "a grave")
    copy.done(*withdrawn, "--reviewer", "E. Withdrawer")
    return copy


@pytest.fixture(scope="module")
def withholding(naming: SmallArchive, tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    """The same, with a setting that withholds names."""
    home = tmp_path_factory.mktemp("withholding") / "home"
    shutil.copytree(naming.home, home)
    (home / SETTINGS_NAME).write_text("publish_names = false\n")
    return SmallArchive(home=home, scans=naming.scans)


def read_everything(output: Path) -> str:
    """The text of all files but pictures, and the names of all."""
    files = [output] if output.is_file() else sorted(path for path in output.rglob("*") if path.is_file())
    names = [str(path.relative_to(output)) for path in files]
    return "\n".join([*names, *(_read(path) for path in files if path.suffix != ".tif")])


def _read(path: Path) -> str:
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            return "\n".join(book.read(name).decode() for name in book.namelist())
    return path.read_text(encoding="utf-8")


@forms
def test_the_people_who_ran_and_approved_are_named(
    museum: SmallArchive, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    museum.done(*command, "--output", tmp_path / name)
    text = read_everything(tmp_path / name)

    assert "B. Operator" in text, "who ran the restoration"
    assert "C. Reviewer" in text, "who accepted it"


@forms
def test_restricted_and_sensitive_items_enter_only_when_asked_for(
    museum: SmallArchive, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    answer = museum.done(*command, "--output", tmp_path / f"open-{name}")
    text = read_everything(tmp_path / f"open-{name}")
    assert "1906.1" in text
    for secret in ("1906.2", "1906.3", "A house", "A grave", "b.tif", "c.tif"):
        assert secret not in text
    assert "2 items are left out: access is not open. Add --include-restricted to include them." in answer.errors

    museum.done(*command, "--include-restricted", "--output", tmp_path / f"all-{name}")
    text = read_everything(tmp_path / f"all-{name}")
    assert "1906.2" in text
    assert "1906.3" in text


def _names_in(output: Path) -> set[str]:
    """The persons whose names are in the bytes of any file."""
    files = [output] if output.is_file() else [path for path in output.rglob("*") if path.is_file()]
    contents = [_read(path).encode() if path.suffix == ".xlsx" else path.read_bytes() for path in files]
    return {person for person in _PERSONS if any(person.encode() in content for content in contents)}


@forms_and_report
def test_names_of_staff_are_withheld_where_the_setting_says_so(
    naming: SmallArchive,
    withholding: SmallArchive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    name: str,
) -> None:
    monkeypatch.setenv("ARCHIVE_OPERATOR", "B. Operator")
    (what, *options), (shown, withheld) = command, (tmp_path / f"{kind}-{name}" for kind in ("shown", "withheld"))
    query = 'reviewer:"C. Reviewer" AND review:accepted'
    naming.done(what, query, *options, "--output", shown)
    withholding.done(what, query, *options, "--output", withheld)

    assert _names_in(shown) >= {"B. Operator", "C. Reviewer"}
    assert _names_in(withheld) == set()
    text = read_everything(withheld)
    assert "staff" in text
    if what != "export" or "--rows" not in options:
        assert "archive-restoration" in text, "software keeps its name"
    if "derivatives" in options:
        assert _names_in(shown) == set(_PERSONS) - {"A. Curator"}
        assert "an eye was redrawn" in text


def test_documents_without_names_are_valid_and_have_one_person(
    withholding: SmallArchive, tmp_path: Path, schemas: Path
) -> None:
    for form, name in (("premis", "x.xml"), ("prov", "x.json"), ("iiif", "iiif")):
        withholding.done("export", "--format", form, "--output", tmp_path / name)

    premis = etree.parse(tmp_path / "x.xml")
    etree.XMLSchema(etree.parse(schemas / "premis-v3-0.xsd")).assertValid(premis)
    persons = premis.xpath(
        "//*[local-name()='agent'][*[local-name()='agentType']='person']/*[local-name()='agentName']"
    )
    assert [person.text for person in persons] == ["staff"]
    agents = list(ProvDocument.deserialize(tmp_path / "x.json", format="json").get_records(ProvAgent))
    assert sorted(str(next(iter(agent.get_attribute("prov:label")))) for agent in agents) == [
        *("archive-restoration", "denoise-deblur", "staff"),
    ]
    manifest = json.loads((tmp_path / "iiif" / "manifests" / "1906.1.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(json.loads((schemas / "iiif_presentation_3.json").read_text("utf-8")))
    assert not list(validator.iter_errors(manifest))
    (statement,) = manifest["requiredStatement"]["value"]["en"]
    assert "run by staff, accepted by staff" in statement


def test_a_withdrawn_derivative_is_invalidated_by_a_person_who_authorised_it(
    naming: SmallArchive, tmp_path: Path, schemas: Path
) -> None:
    naming.done("export", "--format", "prov", "--output", tmp_path / "prov.json")
    naming.done("export", "--format", "premis", "--output", tmp_path / "premis.xml")
    withdrawn = naming.show("1906.1")["derivatives"][-1]
    provenance = json.loads((tmp_path / "prov.json").read_text(encoding="utf-8"))
    premis = etree.parse(tmp_path / "premis.xml")

    (invalidation,) = provenance["wasInvalidatedBy"].values()
    assert provenance["entity"][invalidation["prov:entity"]]["archive:sha256"] == withdrawn["sha256"]
    etree.XMLSchema(etree.parse(schemas / "premis-v3-0.xsd")).assertValid(premis)
    space = {"p": "http://www.loc.gov/premis/v3"}
    (agent,) = premis.xpath(
        "//p:agent[p:agentName='E. Withdrawer']/p:agentIdentifier/p:agentIdentifierValue/text()", namespaces=space
    )
    (role,) = premis.xpath(
        "//p:event[p:eventType='deletion']/p:linkingAgentIdentifier[p:linkingAgentIdentifierValue=$agent]"
        "/p:linkingAgentRole/text()",
        namespaces=space,
        agent=agent,
    )
    assert role == "authorizer"


def test_the_staff_itself_still_sees_the_names(withholding: SmallArchive, tmp_path: Path) -> None:
    withholding.done("export", "--format", "premis", "--output", tmp_path / "premis.xml")
    shown = withholding.show("1906.1")
    kept, withdrawn = shown["derivatives"]

    assert kept["operator"] == "B. Operator"
    assert kept["review"]["reviewer"] == "C. Reviewer"
    assert kept["comments"][0]["author"] == "D. Commenter"
    assert withdrawn["withdrawn"]["person"] == "E. Withdrawer"
    assert {event["operator"] for event in shown["events"]} >= {"B. Operator"}
    fields = ("--rows", "derivatives", "--fields", "operator,reviewer")
    assert "B. Operator,C. Reviewer" in withholding.done("list", *fields, "--format", "csv").output
