"""Model versions in the catalogue: the list, and the lookup of a reference."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from archive.catalogue.schema.tables import Derivative, Model, ModelVersion, RecipeStage
from archive.catalogue.schema.vocabularies import APPROVED, StageTask
from archive.errors import NotFoundError
from archive.name_suggestions import suggest


def list_model_versions(session: Session) -> list[dict[str, Any]]:
    """Lists all model versions, by name and in the order of registration.

    Each has name, version, task, aliases, weights_sha256, registered_at and derivatives (the number made with it).
    """
    used = dict(
        session.execute(
            select(RecipeStage.version_id, func.count(Derivative.id.distinct()))
            .join(Derivative, Derivative.recipe_id == RecipeStage.recipe_id)
            .group_by(RecipeStage.version_id)
        ).all()
    )
    found = session.scalars(
        select(Model).options(selectinload(Model.versions), selectinload(Model.aliases)).order_by(Model.name)
    )
    return [
        {
            "name": model.name,
            "version": version.version,
            "task": model.task.value,
            "aliases": [alias.alias for alias in model.aliases if alias.version_id == version.id],
            "weights_sha256": version.weights_sha256,
            "registered_at": version.registered_at.isoformat(timespec="seconds"),
            "derivatives": used.get(version.id, 0),
        }
        for model in found
        for version in model.versions
    ]


def find_version(session: Session, reference: str, *, task: StageTask | None = None) -> ModelVersion:
    """Finds the version for ``name``, ``name@version`` or ``name@alias``; a bare name means the approved version.

    Args:
        session: a session of the catalogue.
        reference: the model and its version or alias.
        task: the task that is wanted, which an error lists the models of; a model of another task is found, too.

    Raises:
        NotFoundError: there is none; the message lists the known ones.
    """
    name, _, wanted = reference.partition("@")
    model = (
        session.scalars(select(Model).where(Model.name == name).options(joinedload(Model.versions))).unique().first()
    )
    if model is None:
        raise NotFoundError(_describe_unknown_model(session, name, task))
    versions = {version.version: version for version in model.versions}
    aliases = {alias.alias: alias.version for alias in model.aliases}
    wanted = wanted or APPROVED
    # A version starts with a digit, an alias doesn't.
    found = (versions if wanted[0].isdecimal() else aliases).get(wanted)
    if found is None:
        known_aliases = ", ".join(f"{name}@{alias}" for alias in aliases)
        raise NotFoundError(
            f"No {name}@{wanted}. Known versions: {', '.join(f'{name}@{version}' for version in versions)}"
            + (f" and {known_aliases}" if known_aliases else "")
        )
    return found


def _describe_unknown_model(session: Session, name: str, task: StageTask | None) -> str:
    """A message that no model has the name, with similar names and the models of the task."""
    models = select(Model.name).order_by(Model.name)
    known = session.scalars(models if task is None else models.where(Model.task == task)).all()
    kind = "style" if task is StageTask.STYLE else "model"
    near = f"{suggest(name, known)} ".lstrip()
    return f"No {kind} {name!r}. {near}Known {kind}s: {', '.join(known) or 'none. Run `archive db upgrade`'}"
