"""Verifies a signed file: the signer, whether the museum trusts them, and later changes."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509

from archive.credentials.credentials_folder import as_pem
from archive.credentials.manifest import DERIVATIVE_ASSERTION
from restoration.errors import RestorationError
from restoration.image import Picture, metadata_digests, pixel_sha256

_UNTRUSTED = "signingCredential.untrusted"
_CHANGED_FILE = "assertion.dataHash.mismatch"
_MEANINGS = {
    "claimSignature.mismatch": "the signature doesn't match the certificate: the certificate or the claim was replaced",
    "claimSignature.missing": "the signature is missing",
    "claimSignature.outsideValidity": "it was signed outside the validity of the certificate",
    "signingCredential.expired": "the certificate has expired",
    "signingCredential.invalid": "the certificate is not valid for Content Credentials",
    "signingCredential.ocsp.revoked": "the certificate was revoked",
    "assertion.hashedURI.mismatch": "the manifest was changed",
    "assertion.missing": "a part of the manifest is missing",
}


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The content of a file's Content Credentials. Without a signature, ``signer`` is None."""

    path: Path
    signer: str | None = None
    trusted: bool = False
    """Whether the signer's certificate leads to one of the museum's list."""
    problems: tuple[str, ...] = ()
    """What is wrong with the signature, and what changed since, in words."""

    @property
    def passed(self) -> bool:
        """Whether it is signed by somebody trusted, and unchanged."""
        return self.trusted and not self.problems


def verify_file(path: Path, trusted: Sequence[x509.Certificate]) -> Verification:
    """Verifies the Content Credentials in a file. No network is used.

    Args:
        path: a TIFF, JPEG, PNG or another kind of file that C2PA knows.
        trusted: the certificates whose signatures are trusted, roots as a rule.

    Raises:
        OSError: the file can't be read.
    """
    kind = mimetypes.guess_type(path.name)[0] or "image/tiff"
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    }
    if trusted:  # c2pa can't read an empty list of certificates
        settings["trust"] = {"user_anchors": as_pem(list(trusted)).decode()}
    try:
        with path.open("rb") as file, c2pa.Context.from_dict(settings) as context:
            reader = c2pa.Reader.try_create(kind, file, context=context)
            if reader is None:
                return Verification(path=path, problems=("it has no Content Credentials",))
            with reader:
                store = json.loads(reader.json())
    except c2pa.C2paError as error:
        return Verification(path=path, problems=(f"its Content Credentials can't be read: {error}",))
    manifest = store["manifests"].get(store.get("active_manifest"), {})
    failures = store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    signature = manifest.get("signature_info", {})
    return Verification(
        path=path,
        signer=", ".join(filter(None, (signature.get("common_name"), signature.get("issuer")))) or "unknown",
        trusted=_is_trusted(store),
        problems=tuple(dict.fromkeys(_problems(path, manifest, failures))),
    )


def _is_trusted(store: Mapping[str, Any]) -> bool:
    successes = store.get("validation_results", {}).get("activeManifest", {}).get("success", [])
    return any(success["code"] == "signingCredential.trusted" for success in successes)


def _problems(path: Path, manifest: Mapping[str, Any], failures: Sequence[Mapping[str, str]]) -> Iterator[str]:
    intact = all(failure["code"] in (_UNTRUSTED, _CHANGED_FILE) for failure in failures)
    for failure in failures:
        code = failure["code"]
        if code == _CHANGED_FILE:
            recorded = _derivative_assertion(manifest) if intact else None
            yield from _changes(path, recorded)
        elif code != _UNTRUSTED:
            yield _MEANINGS.get(code, f"{code}: {failure.get('explanation', '')}")


def _derivative_assertion(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = (each["data"] for each in manifest.get("assertions", ()) if each["label"] == DERIVATIVE_ASSERTION)
    return next(found, None)


def _changes(path: Path, recorded: Mapping[str, Any] | None) -> Iterator[str]:
    """The differences from the digests in the signed manifest."""
    if recorded is None:
        yield "the file was changed after it was signed; what of it can't be told"
        return
    try:
        with Picture.open(path) as picture:
            pixels, metadata = pixel_sha256(picture), metadata_digests(picture.info)
    except RestorationError as error:
        yield f"the file was changed after it was signed, and can't be read any more: {error}"
        return
    changes = list(_metadata_changes(recorded["metadata_sha256"], metadata))
    if pixels != recorded["pixel_sha256"]:
        changes.insert(0, "the pixels were changed after it was signed")
    yield from changes or ["bytes were changed after it was signed that are neither pixels nor known metadata"]


def _metadata_changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            what = "added" if name not in before else "removed" if name not in now else "changed"
            yield f"{name} was {what} after it was signed"
