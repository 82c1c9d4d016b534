"""Exports and packages with signed copies of derivatives: both digests are recorded, and every form leads to them."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from archive.credentials.verification import verify_file
from archive.settings import SETTINGS_NAME
from tests.archive.credentials.conftest import Signed
from tests.small_archive import change_one_byte

PREMIS = {"premis": "http://www.loc.gov/premis/v3"}
OPEN = "accession_number:A"


@pytest.fixture
def signing(signed: Signed) -> Iterator[Signed]:
    """The archive with ``sign = true`` in its settings."""
    settings = signed.archive.home / "archive.toml"
    before = settings.read_text()
    settings.write_text(before + "sign = true\n")
    yield signed
    settings.write_text(before)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def signatures(signed: Signed) -> list[str]:
    events = signed.archive.show("A")["events"]
    return [event["detail"] for event in events if event["type"] == "digital signature generation"]


def the_copy(folder: Path, signed: Signed) -> Path:
    """The only copy in a folder, which must be signed by the museum and unchanged; its digests are recorded."""
    (copy,) = folder.rglob("*.tif")
    assert verify_file(copy, signed.credentials.chain[-1:]).passed
    assert any(sha256(copy) in detail and sha256(signed.derivative) in detail for detail in signatures(signed))
    return copy


@pytest.mark.parametrize(
    ("form", "name"),
    [("csv", "x.csv"), ("xlsx", "x.xlsx"), ("jsonl", "x.jsonl"), ("premis", "x.xml"), ("prov", "x.json")],
)
def test_a_file_of_each_form_comes_with_signed_copies(signed: Signed, tmp_path: Path, form: str, name: str) -> None:
    before = sha256(signed.derivative)
    answer = signed.archive.done("export", "--format", form, "--sign", "--output", tmp_path / name)

    copy = the_copy(tmp_path / "x-files", signed)
    assert f"{tmp_path / 'x-files'}: 1 signed copy" in answer.errors
    assert sha256(signed.derivative) == before
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], check=True, cwd=tmp_path / "x-files")
    if form in ("premis", "prov"):
        assert sha256(copy) in (tmp_path / name).read_text(), "the signature is an event"


@pytest.mark.parametrize("rows", ["items", "masters", "derivatives"])
def test_rows_name_the_copy_and_its_digest(signed: Signed, tmp_path: Path, rows: str) -> None:
    signed.archive.done("export", "--format", "jsonl", "--rows", rows, "--sign", "--output", tmp_path / "x.jsonl")
    (row,) = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())

    copy = the_copy(tmp_path / "x-files", signed)
    assert (tmp_path / row["copy"], row["copy_sha256"]) == (copy, sha256(copy))
    if rows == "derivatives":
        assert row["sha256"] == sha256(signed.derivative)


def test_a_manifest_leads_to_the_signed_copy(signed: Signed, tmp_path: Path) -> None:
    export = ("export", "--format", "iiif", "--sign", "--base-url", "https://a.org/x", "--output", tmp_path / "iiif")
    signed.archive.done(*export)
    (canvas,) = json.loads((tmp_path / "iiif" / "manifests" / "A.json").read_text())["items"]
    (file,) = canvas["rendering"]

    copy = the_copy(tmp_path / "iiif", signed)
    assert file["id"] == f"https://a.org/x/{copy.relative_to(tmp_path / 'iiif')}"
    assert file["format"] == "image/tiff"
    assert file["label"] == {"en": ["Digitally restored, TIFF with Content Credentials"]}
    content = copy.read_bytes()
    signed.archive.done(*export)
    assert copy.read_bytes() == content, "an export that is repeated keeps the copies"
    signed.archive.done("export", "--format", "iiif", "--output", tmp_path / "iiif")
    assert not (tmp_path / "iiif" / "files").exists()


def test_the_settings_decide_whether_files_that_are_handed_over_are_signed(signing: Signed, tmp_path: Path) -> None:
    signing.archive.done("export", "--format", "csv", "--output", tmp_path / "x.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    signing.archive.done("export", "--format", "csv", "--files", "--output", tmp_path / "x.csv")
    the_copy(tmp_path / "x-files", signing)
    signing.archive.done("export", "--format", "csv", "--files", "--no-sign", "--output", tmp_path / "x.csv")
    (copy,) = (tmp_path / "x-files").rglob("*.tif")
    assert copy.read_bytes() == signing.derivative.read_bytes()


def test_packages_hold_signed_copies_where_the_settings_say_so(signing: Signed, tmp_path: Path) -> None:
    package = ["package", OPEN, "--layout", "bagit"]
    signing.archive.done(*package, "--output", tmp_path / "bag")
    copy = the_copy(tmp_path / "bag" / "data" / "derivatives", signing)
    assert sha256(copy) in (tmp_path / "bag" / "manifest-sha256.txt").read_text()
    signing.archive.done(*package, "--no-sign", "--output", tmp_path / "plain")
    (plain,) = (tmp_path / "plain" / "data" / "derivatives").rglob("*.tif")
    assert plain.read_bytes() == signing.derivative.read_bytes()


@pytest.mark.parametrize("layout", ["bagit", "archivematica"])
def test_the_metadata_of_a_package_describe_the_signed_copies(signed: Signed, tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "package"
    signed.archive.done("package", OPEN, "--layout", layout, "--sign", "--output", folder)
    payload = folder / ("data/derivatives" if layout == "bagit" else "objects/manualNormalization")
    copy = the_copy(payload, signed)
    premis = etree.parse(folder / "metadata" / "premis.xml")
    name = copy.relative_to(folder).as_posix()
    (described,) = premis.xpath(f"//premis:object[premis:originalName='{name}']", namespaces=PREMIS)

    assert described.findtext(".//premis:messageDigest", namespaces=PREMIS) == sha256(copy)
    assert described.findtext(".//premis:size", namespaces=PREMIS) == str(copy.stat().st_size)
    texts = [each.text or "" for each in premis.iterfind(".//premis:eventDetail", PREMIS)]
    assert any(sha256(copy) in text and sha256(signed.derivative) in text for text in texts)
    if layout == "bagit":
        with (folder / "metadata" / "derivatives.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["sha256"], row["signed_sha256"]) == (sha256(signed.derivative), sha256(copy))


def test_a_changed_derivative_is_not_handed_over_and_nothing_is_exported(signed: Signed, tmp_path: Path) -> None:
    kept = signed.derivative.read_bytes()
    change_one_byte(signed.derivative)
    answer = signed.archive.run("export", "--format", "csv", "--sign", "--output", tmp_path / "x.csv")
    signed.derivative.write_bytes(kept)

    assert answer.code == 1
    assert "nothing is exported, because files are broken" in answer.errors
    assert not (tmp_path / "x.csv").exists()
    assert not list(tmp_path.rglob("*.tif"))
    signed.archive.done("export", "--format", "csv", "--sign", "--output", tmp_path / "x.csv")


def test_names_of_staff_are_withheld_from_signed_packages_too(signed: Signed, tmp_path: Path) -> None:
    settings = signed.archive.home / SETTINGS_NAME
    before = settings.read_text()
    try:
        for name in ("shown", "withheld"):
            who = ("--operator", "S. Signer")
            signed.archive.done("package", OPEN, "--layout", "bagit", "--sign", "--output", tmp_path / name, *who)
            settings.write_text(f"{before}publish_names = false\n")
    finally:
        settings.write_text(before)
    with_name = {
        name: {
            path.name for path in (tmp_path / name).rglob("*") if path.is_file() and b"S. Signer" in path.read_bytes()
        }
        for name in ("shown", "withheld")
    }
    assert with_name["shown"] >= {"bag-info.txt", "premis.xml", "prov.json"}
    assert with_name["withheld"] == set()
