"""Model versions in the catalogue, and their files below the home.

A version is registered once and never changed: the catalogue holds its whole card and the digest of its weights. Its
files are copied to ``<home>/models/<name>/<version>/`` on first use and from then on checked against the catalogue.
Which version a museum uses is decided by a person, see ``model_aliases``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from packaging.version import InvalidVersion, Version
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.events import record_event
from archive.catalogue.schema.tables import Model, ModelAlias, ModelVersion
from archive.catalogue.schema.vocabularies import APPROVED, EventType, StageTask
from archive.errors import ModelRegistryError, StorageError
from archive.model_aliases import point_alias
from archive.storage import copy_checked, digest_file, weights_path
from restoration.errors import ModelError
from restoration.model_folders import (
    CARD_NAME,
    STYLE_PREFIX,
    WEIGHTS_NAME,
    ModelCard,
    ModelFolder,
    parse_card,
    shipped_versions,
)


@dataclass(frozen=True, kw_only=True)
class VersionProblem:
    """A problem that :func:`verify_versions` found with a registered version."""

    reference: str  # name@version
    path: Path
    problem: str


def register_shipped(catalogue: Catalogue) -> list[str]:
    """Registers the versions that this software ships; returns ``name@version`` of the new ones.

    The highest version of a model that is new to the catalogue becomes ``@approved``; the aliases of known models don't
    change.

    Raises:
        ModelRegistryError: a shipped version is damaged, or the catalogue holds another one of the same name.
    """
    folders = _shipped()
    new: list[str] = []
    with catalogue.session() as session:
        known = set(session.scalars(select(Model.name)))
        for folder in folders:
            version, is_new = _register(catalogue, session, folder, stored=str(folder.path))
            if is_new:
                new.append(folder.card.reference)
        for name in sorted({folder.card.name for folder in folders} - known):
            highest = max((folder.card.version for folder in folders if folder.card.name == name), key=Version)
            version = _version(session, name, highest)
            point_alias(catalogue, session, version, APPROVED, agent=None)
    return new


def add_version(catalogue: Catalogue, folder: Path) -> ModelVersion:
    """Registers the version in ``folder`` and copies it to the home, so that the folder may be deleted.

    It becomes ``@approved`` only if its model has no such alias yet. Adding a registered version again changes nothing,
    except that a lost copy is restored.

    Raises:
        ModelRegistryError: the folder holds no valid version, or the catalogue holds another one of the same name.
    """
    try:
        source = ModelFolder.open(folder)
        source.check_weights()
    except ModelError as error:
        raise ModelRegistryError(f"{folder} can't be added: {error}") from error
    kept = _kept_folder(catalogue, source.card)
    with catalogue.session() as session:
        version, _ = _register(catalogue, session, source, stored=str(kept.relative_to(catalogue.settings.home)))
        if session.get(ModelAlias, (version.model_id, APPROVED)) is None:
            point_alias(catalogue, session, version, APPROVED, agent=None)
        # Inside the transaction: a version whose files could not be kept is not registered.
        _copy(source.path, kept, version)
        session.flush()
        session.refresh(version)
        session.expunge(version)
    return version


def demo_style() -> str | None:
    """The shipped style for demonstrations: a toning if there is one. None if no style is shipped.

    Raises:
        ModelRegistryError: a shipped version is damaged.
    """
    styles = [folder.card for folder in _shipped() if folder.card.task == "style"]
    return min(styles, key=lambda card: (card.palette != "toned", card.name)).name if styles else None


def checked_folder(catalogue: Catalogue, version: ModelVersion) -> ModelFolder:
    """The checked files of ``version`` below the home, copied there on first use.

    The card is always the catalogue's, not the one beside the weights.

    Raises:
        ModelRegistryError: the files are nowhere to be found, or are not those that were registered.
    """
    card = card_of(version)
    kept = _kept_folder(catalogue, card)
    if not (kept / WEIGHTS_NAME).exists():
        source = next(_sources(catalogue, version, card), None)
        if source is None:
            raise ModelRegistryError(
                f"the files of {card.reference} are neither in {kept} nor in {version.folder}: bring them back, "
                "or add the version's folder again with `archive model add`"
            )
        _copy(source, kept, version)
    if problem := _problem(kept / WEIGHTS_NAME, version):
        raise ModelRegistryError(
            f"{card.reference} can't be used: {problem}. Bring the file back from a copy, or "
            "move it away: it is copied again if the folder that the version came from is still there"
        )
    return ModelFolder(path=kept, card=card)


def verify_versions(catalogue: Catalogue) -> list[VersionProblem]:
    """Checks every registered version's files against its card and the catalogue; returns the problems.

    A version that was never used has no copy below the home yet; its files are checked where they were registered.
    """
    with catalogue.reading() as session:
        versions = list(session.scalars(select(ModelVersion).order_by(ModelVersion.id)))
        session.expunge_all()
    problems = []
    for version in versions:
        card = card_of(version)
        path = _kept_folder(catalogue, card)
        if not path.exists():
            path = next(_sources(catalogue, version, card), path)
        if problem := _problem(path / WEIGHTS_NAME, version):
            problems.append(VersionProblem(reference=card.reference, path=path / WEIGHTS_NAME, problem=problem))
        elif problem := _card_problem(path, card):
            problems.append(VersionProblem(reference=card.reference, path=path / CARD_NAME, problem=problem))
    return problems


def _shipped() -> list[ModelFolder]:
    """The versions that come with the software."""
    try:
        return list(shipped_versions())
    except ModelError as error:
        raise ModelRegistryError(f"the software's own models can't be used: {error}. Install it again") from error


def card_of(version: ModelVersion) -> ModelCard:
    """The card of a registered version, as the catalogue holds it.

    Raises:
        ModelRegistryError: this software can't read it.
    """
    try:
        return parse_card(version.card)
    except ModelError as error:
        raise ModelRegistryError(
            f"the catalogue's card of the version from {version.folder} can't be used: {error}. "
            "Use the version of the software that registered it, or a newer one"
        ) from error


def _problem(weights: Path, version: ModelVersion) -> str | None:
    try:
        digest, _ = digest_file(weights)
    except FileNotFoundError:
        return f"the weights {weights} are missing"
    except (OSError, StorageError) as error:
        return f"the weights {weights} can't be read: {error}"
    if digest != version.weights_sha256:
        return (
            f"the weights {weights} are not those registered: SHA-256 {digest}, "
            f"the catalogue says {version.weights_sha256}"
        )
    return None


def _card_problem(path: Path, registered: ModelCard) -> str | None:
    try:
        found = ModelFolder.open(path).card
    except ModelError as error:
        return str(error).removeprefix(f"{path / CARD_NAME}: ")
    return None if found.content == registered.content else "the card is not the one that was registered"


def _register(catalogue: Catalogue, session: Session, folder: ModelFolder, *, stored: str) -> tuple[ModelVersion, bool]:
    """The catalogue's row of the version in ``folder``, and whether it is new."""
    card = folder.card
    try:
        Version(card.version)
    except InvalidVersion as error:
        raise ModelRegistryError(
            f"{card.reference} can't be registered: its version must be a number such as 1.0 or 2.1rc1"
        ) from error
    model = session.scalar(select(Model).where(Model.name == card.name))
    if model is None:
        model = Model(name=card.name, task=StageTask(card.task))
        session.add(model)
    elif model.task != card.task:
        raise ModelRegistryError(f"{card.reference} is for {card.task}, but {card.name} is for {model.task}: rename it")
    if card.task == "style" and not card.name.startswith(STYLE_PREFIX):
        raise ModelRegistryError(
            f"{card.reference} can't be registered: the name of a style begins with {STYLE_PREFIX!r}, since a look "
            "must never read as a statement about the object's process: rename it in its card"
        )
    if known := next((version for version in model.versions if version.version == card.version), None):
        _require_same(known, card)
        return known, False
    try:
        folder.check_weights()
    except ModelError as error:
        raise ModelRegistryError(f"{card.reference} can't be registered: {error}") from error
    at = catalogue.now(session)
    version = ModelVersion(
        model=model,
        version=card.version,
        weights_sha256=card.weights_sha256,
        card=dict(card.content),
        folder=stored,
        registered_at=at,
    )
    session.add(version)
    session.flush()
    record_event(
        session, EventType.MODEL_REGISTRATION, detail=f"weights SHA-256 {card.weights_sha256}", version=version, at=at
    )
    return version, True


def _require_same(known: ModelVersion, card: ModelCard) -> None:
    """Checks that a registered version is unchanged; only the wording of its card may differ."""

    def meaning(of: ModelCard) -> tuple[Any, ...]:
        return of.weights_sha256, of.architecture, of.network, of.stage({})

    if meaning(card_of(known)) != meaning(card):
        raise ModelRegistryError(
            f"the catalogue already holds {card.reference} with other weights, architecture or parameters "
            f"(weights SHA-256 {known.weights_sha256}): give the new one a new version"
        )


def _version(session: Session, name: str, version: str) -> ModelVersion:
    return session.execute(
        select(ModelVersion).join(Model).where(Model.name == name, ModelVersion.version == version)
    ).scalar_one()


def _kept_folder(catalogue: Catalogue, card: ModelCard) -> Path:
    return catalogue.path_of(weights_path(card.name, card.version)).parent


def _sources(catalogue: Catalogue, version: ModelVersion, card: ModelCard) -> Iterator[Path]:
    """Folders that contain the version's files: where it was registered from, or the software's own folder."""
    candidates: Iterable[Path] = (
        catalogue.path_of(version.folder),
        *(folder.path for folder in _shipped() if folder.card.reference == card.reference),
    )
    return (path for path in candidates if (path / WEIGHTS_NAME).exists())


def _copy(source: Path, kept: Path, version: ModelVersion) -> None:
    """Copies a version's missing files to the home; the weights last, since their presence marks a complete copy."""
    token = uuid4().hex
    try:
        for name in (CARD_NAME, WEIGHTS_NAME):
            if not (kept / name).exists():
                registered = version.weights_sha256 if name == WEIGHTS_NAME else None
                copy_checked(source / name, kept / name, token, sha256=registered)
    except (OSError, StorageError) as error:
        raise ModelRegistryError(f"the model version in {source} can't be copied to {kept}: {error}") from error
