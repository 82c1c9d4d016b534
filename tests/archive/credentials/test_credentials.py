"""Content Credentials: signed copies of real derivatives, read back by c2pa, and what verification finds."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
import tifffile
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from PIL import Image

from archive.catalogue import Catalogue
from archive.cli.credentials import PASSPHRASE_VARIABLE
from archive.credentials.certificates import make_credentials
from archive.credentials.credentials_folder import FOLDER_VARIABLE, as_pem, load, load_trusted
from archive.credentials.signing import sign_derivative
from archive.credentials.verification import verify_file
from archive.errors import CredentialsError
from archive.settings import load_settings
from tests.archive.credentials.conftest import PASSPHRASE, TAKEN_AT, Signed
from tests.small_archive import MODEL, change_one_byte, command


@pytest.fixture
def changed(signed: Signed, tmp_path: Path) -> Path:
    """A copy of the signed file, to be changed."""
    path = tmp_path / "changed.tif"
    path.write_bytes(signed.copy.read_bytes())
    return path


def problems(path: Path, signed: Signed) -> tuple[str, ...]:
    return verify_file(path, signed.credentials.chain[-1:]).problems


def test_the_copy_has_the_same_pixels_and_the_derivative_keeps_its_bytes(signed: Signed) -> None:
    shown = signed.archive.show("A")
    derivative = shown["derivatives"][0]
    assert hashlib.sha256(signed.derivative.read_bytes()).hexdigest() == derivative["sha256"]
    before, after = tifffile.imread(signed.derivative), tifffile.imread(signed.copy)
    assert np.array_equal(before, after)
    assert before.dtype == after.dtype
    with Image.open(signed.copy) as picture:
        assert np.array_equal(np.asarray(picture), before)
    event = next(event for event in shown["events"] if event["type"] == "digital signature generation")
    copied = hashlib.sha256(signed.copy.read_bytes()).hexdigest()
    assert copied != derivative["sha256"]
    assert all(digest in event["detail"] for digest in (copied, derivative["sha256"]))
    assert "Digitisation, City Museum" in event["detail"]


def test_the_manifest_says_what_was_made_of_what_and_how(signed: Signed) -> None:
    with signed.copy.open("rb") as file, c2pa.Reader("image/tiff", file) as reader:
        store = json.loads(reader.json())
    manifest = store["manifests"][store["active_manifest"]]
    (master,) = manifest["ingredients"]
    assert (master["title"], master["relationship"]) == ("A.jpg", "parentOf")
    assert "thumbnail" not in manifest
    assert "thumbnail" not in master
    assertions = {each["label"]: each["data"] for each in manifest["assertions"]}
    opened, stage = assertions["c2pa.actions.v2"]["actions"]
    assert opened["action"] == "c2pa.opened"
    assert "c2pa.ingredient" in opened["parameters"]["ingredients"][0]["url"]
    assert stage["action"] == "c2pa.enhanced"
    assert stage["digitalSourceType"].endswith("/algorithmicallyEnhanced")
    assert stage["softwareAgent"]["name"] == "archive-restoration"
    recipe = signed.archive.show("A")["derivatives"][0]["recipe"]
    parameters = {name.rpartition(".")[2]: value for name, value in stage["parameters"].items()}
    assert parameters["model"] == MODEL
    assert parameters["model_version"] == "9.0"
    assert parameters["weights_sha256"] == recipe["stages"][0]["weights_sha256"]
    assert parameters["parameters"] == recipe["stages"][0]["parameters"]
    record = assertions["org.archive-restoration.derivative"]
    assert record["recipe_sha256"] == recipe["sha256"]
    assert record["master_sha256"] == hashlib.sha256((signed.archive.scans / "A.jpg").read_bytes()).hexdigest()


def test_a_stage_that_may_invent_is_an_edit(signed: Signed, tmp_path: Path) -> None:
    signed.archive.done("restore", "--texture", "0.5", "accession_number:B")
    newest = signed.archive.show("B")["derivatives"][-1]["id"]
    catalogue = Catalogue.open(load_settings(signed.archive.home))
    copy = sign_derivative(catalogue, signed.credentials, newest, tmp_path / "edited.tif")
    with copy.path.open("rb") as file, c2pa.Reader("image/tiff", file) as reader:
        actions = reader.get_active_manifest()["assertions"][0]["data"]["actions"]
    assert actions[1]["action"] == "c2pa.edited"
    assert actions[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")


def test_an_unchanged_copy_is_trusted_here_and_untrusted_without_the_list(signed: Signed, tmp_path: Path) -> None:
    found = verify_file(signed.copy, signed.credentials.chain[-1:])
    assert (found.signer, found.trusted, found.problems) == ("Digitisation, City Museum", True, ())
    other = make_credentials("Other Museum", "Photography")
    found = verify_file(signed.copy, other.chain[-1:])
    assert (found.signer, found.trusted, found.problems) == ("Digitisation, City Museum", False, ())
    found = verify_file(signed.copy, ())
    assert (found.signer, found.trusted, found.problems) == ("Digitisation, City Museum", False, ())
    assert verify_file(signed.derivative, ()).problems == ("it has no Content Credentials",)
    answer = command("credentials", "verify", signed.copy)
    assert answer.code == 0, answer.output
    assert "signed by Digitisation, City Museum, trusted" in answer.output
    answer = command("credentials", "verify", signed.copy, signed.derivative, "--format", "json")
    assert answer.code == 3
    first, second = answer.json()
    assert (first["trusted"], first["unchanged"]) == (True, True)
    assert (second["signer"], second["problems"]) == (None, ["it has no Content Credentials"])


def test_one_flipped_pixel_is_named(signed: Signed, changed: Path) -> None:
    with tifffile.TiffFile(changed) as file:
        place = file.pages.first.dataoffsets[0] + 100
    content = bytearray(changed.read_bytes())
    content[place] ^= 1
    changed.write_bytes(content)
    assert problems(changed, signed) == ("the pixels were changed after it was signed",)
    answer = command("credentials", "verify", changed)
    assert answer.code == 3
    assert "the pixels were changed" in answer.output


def test_one_edited_exif_tag_is_named(signed: Signed, changed: Path) -> None:
    content = changed.read_bytes()
    assert content.count(TAKEN_AT.encode()) == 1
    changed.write_bytes(content.replace(TAKEN_AT.encode(), b"1910" + TAKEN_AT.encode()[4:]))
    assert problems(changed, signed) == ("EXIF DateTimeOriginal was changed after it was signed",)


def test_added_and_changed_metadata_of_other_kinds_are_named(signed: Signed, changed: Path) -> None:
    with tifffile.TiffFile(changed, mode="r+") as file:
        file.pages.first.tags["ImageDescription"].overwrite("another text")
    content = changed.read_bytes()
    assert content.count(b"xmpMM:DocumentID") > 0
    changed.write_bytes(content.replace(b"xmp:ModifyDate>2", b"xmp:ModifyDate>1", 1))
    assert set(problems(changed, signed)) == {
        "TIFF ImageDescription was changed after it was signed",
        "XMP xmp:ModifyDate was changed after it was signed",
    }


def test_a_copy_signed_again_by_another_person_is_untrusted(signed: Signed, tmp_path: Path) -> None:
    catalogue = Catalogue.open(load_settings(signed.archive.home))
    derivative = signed.archive.show("A")["derivatives"][0]["id"]
    other = make_credentials("Other Museum", "Photography")
    copy = sign_derivative(catalogue, other, derivative, tmp_path / "other.tif")
    answer = command("credentials", "verify", copy.path)
    assert answer.code == 3
    assert "signed by Photography, Other Museum, not on the list of trusted certificates" in answer.output
    (tmp_path / "other.pem").write_bytes(as_pem(other.chain[-1:]))
    assert command("credentials", "verify", copy.path, "--trust", tmp_path / "other.pem").code == 0


def test_a_certificate_replaced_within_the_file_is_named(signed: Signed, changed: Path) -> None:
    original = signed.credentials.chain[0].public_bytes(serialization.Encoding.DER)
    forged = original
    while forged == original or len(forged) != len(original):
        forged = make_credentials("City Museum", "Digitisation").chain[0].public_bytes(serialization.Encoding.DER)
    content = changed.read_bytes()
    assert content.count(original) == 1
    changed.write_bytes(content.replace(original, forged))
    found = verify_file(changed, signed.credentials.chain[-1:])
    assert not found.trusted
    assert "the signature doesn't match the certificate: the certificate or the claim was replaced" in found.problems


def test_a_changed_manifest_is_named(signed: Signed, changed: Path) -> None:
    content = changed.read_bytes()
    weights = signed.archive.show("A")["derivatives"][0]["recipe"]["stages"][0]["weights_sha256"].encode()
    place = content.rindex(b"weights_sha256") + len(b"weights_sha256") + 2
    assert content[place : place + 64] == weights
    changed.write_bytes(content[:place] + b"0" * 64 + content[place + 64 :])
    assert "the manifest was changed" in problems(changed, signed)


def test_restricted_items_are_left_out_and_nothing_is_written_over(signed: Signed, tmp_path: Path) -> None:
    assert list(signed.folder.glob("B_*")) == []
    answer = signed.archive.run("credentials", "sign", "--output", signed.folder)
    assert answer.code == 3
    assert "is already there and is not written over" in answer.errors
    assert "1 derivative left out: access not open" in answer.errors
    signed.archive.done("credentials", "sign", "accession_number:B", "--include-restricted", "--output", tmp_path)
    (copy,) = tmp_path.glob("B_*.tif")
    assert verify_file(copy, signed.credentials.chain[-1:]).passed


def test_copies_that_were_not_chosen_are_named(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "withdrawn.tif").write_bytes(b"an earlier copy")
    answer = signed.archive.done("credentials", "sign", "accession_number:A", "--output", tmp_path)
    assert f"{tmp_path} also holds 1 other file, such as withdrawn.tif" in answer.errors


def test_what_changed_is_not_signed_for(signed: Signed, tmp_path: Path) -> None:
    path = signed.archive.scans / "B.tif"
    before = path.read_bytes()
    change_one_byte(path)
    answer = signed.archive.run(
        "credentials", "sign", "accession_number:B", "--include-restricted", "--output", tmp_path
    )
    path.write_bytes(before)
    assert answer.code == 3
    assert "B.tif can't be signed for" in answer.errors
    assert [path for path in tmp_path.iterdir() if path.suffix == ".tif"] == []


def test_the_key_is_its_owners_alone_and_needs_the_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "credentials"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    assert command("credentials", "show").code == 1
    assert command("credentials", "init", "--organisation", "Museum", "--name", "Studio").code == 0
    key = folder / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in key.read_bytes()
    with pytest.raises(CredentialsError, match="can't be opened"):
        load(folder, passphrase=f"not {PASSPHRASE}")
    with pytest.raises(CredentialsError, match="can't be opened"):
        load(folder, passphrase=None)
    shown = command("credentials", "show", "--format", "json").json()
    assert shown["key_encrypted"] is True
    assert shown["chain"][0]["name"] == "Studio, Museum"
    assert shown["trusted"] == shown["chain"][1:]
    again = command("credentials", "init", "--organisation", "Museum")
    assert again.code == 1
    assert "holds credentials already" in again.errors
    assert command("credentials", "init", "--organisation", "Museum", "--replace").code == 0
    assert len(load_trusted(folder)) == 2  # what was signed before is still trusted
    key.chmod(0o640)
    with pytest.raises(CredentialsError, match="chmod 600"):
        load(folder, passphrase=PASSPHRASE)


@pytest.mark.parametrize("form", ["pem", "one pem", "pkcs12"])
def test_issued_certificates_are_imported(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "credentials"))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    made = make_credentials("Museum", "Studio")
    encryption = serialization.BestAvailableEncryption(PASSPHRASE.encode())
    key = made.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    arguments: list[Any] = []
    if form == "pkcs12":
        path = tmp_path / "museum.p12"
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(b"museum", made.key, made.chain[0], made.chain[1:], encryption)
        )
    else:
        path = tmp_path / "chain.pem"
        path.write_bytes(as_pem(made.chain) + (key if form == "one pem" else b""))
        (tmp_path / "key.pem").write_bytes(key)
        arguments = ["--key", tmp_path / "key.pem"] if form == "pem" else []
    answer = command("credentials", "init", "--certificate", path, *arguments)
    assert answer.code == 0, answer.errors
    loaded = load(tmp_path / "credentials", passphrase=PASSPHRASE)
    assert loaded.chain == made.chain


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "credentials"))
    one, other = make_credentials("Museum", "Studio"), make_credentials("Museum", "Studio")
    plain = serialization.NoEncryption()
    (tmp_path / "chain.pem").write_bytes(as_pem(one.chain))
    (tmp_path / "key.pem").write_bytes(
        other.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    answer = command("credentials", "init", "--certificate", tmp_path / "chain.pem", "--key", tmp_path / "key.pem")
    assert answer.code == 1
    assert "the key doesn't belong to the certificate of Studio, Museum" in answer.errors
    assert not (tmp_path / "credentials").exists()
