"""Signed copies: a derivative's file with a C2PA manifest embedded. The derivative in the home keeps its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import c2pa
from cryptography.hazmat.primitives import serialization
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from archive.catalogue import Catalogue
from archive.catalogue.events import record_event
from archive.catalogue.schema.tables import Derivative, Event
from archive.catalogue.schema.vocabularies import EventType
from archive.credentials.credentials_folder import Credentials, algorithm_of, as_pem, fingerprint, name_of
from archive.credentials.manifest import manifest_definition, master_ingredient
from archive.errors import CredentialsError, FixityError, NotFoundError, StorageError
from archive.image_limits import image_limits
from archive.storage import check_file, digest_file, flush_file, publish, temporary_path
from restoration.image import Picture, Provenance, pixel_sha256
from restoration.recipe import Recipe

_TYPES = {"TIFF": "image/tiff", "JPEG": "image/jpeg", "PNG": "image/png"}
"""The formats of masters that c2pa reads; another one is named in the manifest, but not read."""
_NO_THUMBNAILS = {"builder": {"thumbnail": {"enabled": False}}}


@dataclass(frozen=True, kw_only=True)
class SignedCopy:
    """A signed copy of a derivative."""

    path: Path
    sha256: str


def sign_derivative(catalogue: Catalogue, credentials: Credentials, derivative_id: int, target: Path) -> SignedCopy:
    """Writes a signed copy of a derivative to ``target`` and records both digests in an event.

    The manifest names the master as parent ingredient and each stage as an action, with its model version and weights.
    The pixels of the copy are compared with the recorded ones before it gets its name.

    Args:
        catalogue: holds the derivative.
        credentials: whose signature it gets.
        derivative_id: which one.
        target: the copy, which must not exist.

    Raises:
        FixityError: the file of the derivative or its master is missing or changed.
        CredentialsError: it can't be signed.
        StorageError: ``target`` exists.
        OSError: a file can't be read or written.
    """
    with catalogue.reading() as session:
        derivative = session.execute(
            select(Derivative)
            .where(Derivative.id == derivative_id)
            .options(joinedload(Derivative.master), joinedload(Derivative.recipe))
        ).scalar_one_or_none()
    if derivative is None:
        raise _removed(derivative_id)
    source, master = catalogue.path_of(derivative.path), catalogue.path_of(derivative.master.path)
    for path, sha256 in ((source, derivative.sha256), (master, derivative.master_sha256)):
        if problem := check_file(path, sha256):
            raise FixityError(f"{path} can't be signed for: {problem.detail}. Run `archive verify`")
    if target.exists():
        raise StorageError(f"{target} is already there and is not written over: name another one, or move it away")
    provenance = Provenance.from_record(
        derivative.environment["provenance"],
        master_sha256=derivative.master_sha256,
        recipe=Recipe.from_json(derivative.recipe.canonical_json),
    )
    limits = image_limits(catalogue.settings)
    with Picture.open(source, limits=limits) as picture:
        definition = manifest_definition(
            provenance,
            picture.info,
            title=target.name,
            sha256=derivative.sha256,
            pixel_sha256=derivative.pixel_sha256,
        )
    temporary = temporary_path(target, uuid4().hex)
    try:
        _embed(credentials, definition, provenance, source, temporary, master, _TYPES.get(derivative.master.format))
        with Picture.open(temporary, limits=limits) as signed:
            if pixel_sha256(signed) != derivative.pixel_sha256:
                raise CredentialsError(f"{source} can't be signed: the signed copy has other pixels")
        sha256, _ = digest_file(temporary)
        flush_file(temporary)
        publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    signer = credentials.chain[0]
    with catalogue.session() as session:
        if (signed_derivative := session.get(Derivative, derivative_id)) is None:
            raise _removed(derivative_id)
        record_event(
            session,
            EventType.SIGNATURE,
            detail=(
                f"signed copy {target.name}, SHA-256 {sha256}, of SHA-256 {derivative.sha256}, by {name_of(signer)} "
                f"(certificate SHA-256 {fingerprint(signer)})"
            ),
            derivative=signed_derivative,
            at=catalogue.now(session),
        )
    return SignedCopy(path=target, sha256=sha256)


def _removed(derivative_id: int) -> NotFoundError:
    return NotFoundError(f"derivative {derivative_id} was removed meanwhile, so there is nothing to sign")


def keep_or_sign(catalogue: Catalogue, credentials: Credentials, derivative: Derivative, target: Path) -> str:
    """Puts a signed copy at ``target`` and returns its SHA-256; a copy that an earlier run signed there is kept.

    Raises:
        FixityError, CredentialsError, OSError: as :func:`sign_derivative`.
    """
    if target.exists():
        sha256, _ = digest_file(target)
        with catalogue.reading() as session:
            details = session.scalars(
                select(Event.detail).where(Event.derivative_id == derivative.id, Event.type == EventType.SIGNATURE)
            )
            if any(f"SHA-256 {sha256}, of SHA-256 {derivative.sha256}," in str(detail) for detail in details):
                return sha256
        target.unlink()
    return sign_derivative(catalogue, credentials, derivative.id, target).sha256


def _embed(
    credentials: Credentials,
    definition: dict[str, Any],
    provenance: Provenance,
    source: Path,
    target: Path,
    master: Path,
    master_type: str | None,
) -> None:
    ingredient = master_ingredient(provenance)
    if master_type is None:
        definition = definition | {"ingredients": [ingredient | {"format": "image/jp2"}]}
    try:
        with _signer(credentials) as signer, c2pa.Context.from_dict(_NO_THUMBNAILS) as context:
            builder = c2pa.Builder(definition, context)
            if master_type is not None:
                with master.open("rb") as file:
                    builder.add_ingredient(ingredient, master_type, file)
            with source.open("rb") as unsigned, target.open("w+b") as signed:
                builder.sign(signer, "image/tiff", unsigned, signed)
    except c2pa.C2paError as error:
        raise CredentialsError(f"{source} can't be signed: {error}") from error


@contextmanager
def _signer(credentials: Credentials) -> Iterator[c2pa.Signer]:
    key = credentials.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(algorithm_of(credentials.key), as_pem(credentials.chain), key, None)
    ) as signer:
        yield signer
