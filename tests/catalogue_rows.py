"""Builders of catalogue rows, so that a test says only what it is about."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.catalogue.approved_versions import masters_of_model
from archive.catalogue.current_derivative import update_current_derivatives, update_current_where
from archive.catalogue.edtf_dates import date_range
from archive.catalogue.events import operator_agent, person_agent, software_agent
from archive.catalogue.query.text_index import index_item_words
from archive.catalogue.schema.tables import (
    Batch,
    Derivative,
    Item,
    Master,
    Model,
    ModelAlias,
    ModelVersion,
    QualityScore,
    Recipe,
    RecipeStage,
    Review,
    Root,
    Task,
)
from archive.catalogue.schema.vocabularies import (
    Access,
    BatchKind,
    ComparedWith,
    Decision,
    DerivativeKind,
    ScoredImage,
    StageTask,
    TaskStatus,
    View,
)
from restoration import recipe as recipes

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def add_item(session: Session, accession_number: str, *, masters: int = 1, **fields: Any) -> Item:
    """An item with its text indexed, its date's range, and so many recto masters."""
    fields = {"access": Access.OPEN, "extra": {}, "created_at": AT, **fields}
    if fields.get("date"):
        fields["date_earliest"], fields["date_latest"] = date_range(fields["date"])
    item = Item(accession_number=accession_number, **fields)
    session.add(item)
    index_item_words(session, item)
    for _ in range(masters):
        add_master(session, item)
    return item


def add_master(session: Session, item: Item, **fields: Any) -> Master:
    """A master of the item, a recto and the next in sequence unless told otherwise; it has no file."""
    root = session.scalars(select(Root)).first()
    if root is None:
        root = Root(path="/scans")
        session.add(root)
        session.flush()
    number = (session.scalar(select(func.max(Master.id))) or 0) + 1
    last = session.scalar(select(func.max(Master.sequence)).where(Master.item_id == item.id))
    given: dict[str, Any] = {
        "sequence": (last or 0) + 1,
        "view": View.RECTO,
        "path": f"/scans/{number}.tif",
        "sha256": _digest(f"master {number}"),
        "size": 1000,
        "format": "TIFF",
        "width": 640,
        "height": 480,
        "bits_per_sample": 8,
        "samples_per_pixel": 1,
        "ingested_at": AT,
        **fields,
    }
    master = Master(item_id=item.id, root_id=root.id, **given)
    session.add(master)
    session.flush()
    return master


def approve_version(session: Session, version: ModelVersion) -> None:
    """Moves the approved alias to a version, as a person does."""
    session.merge(ModelAlias(model_id=version.model_id, alias="approved", version_id=version.id))
    update_current_where(session, masters_of_model(version.model_id))
    for row in session:
        if isinstance(row, Master):
            session.refresh(row)


def add_version(
    session: Session,
    reference: str = "denoise-deblur@1.0",
    *,
    approved: bool = False,
    task: StageTask = StageTask.RESTORATION,
    **fields: Any,
) -> ModelVersion:
    """A model version, of a new model where need be; ``approved`` moves the alias to it."""
    name, _, number = reference.partition("@")
    model = session.scalars(select(Model).where(Model.name == name)).one_or_none()
    if model is None:
        model = Model(name=name, task=task)
        session.add(model)
    given: dict[str, Any] = {"card": {}, "folder": f"/models/{name}", "registered_at": AT, **fields}
    given.setdefault("weights_sha256", _digest(reference))
    version = ModelVersion(model=model, version=number, **given)
    session.add(version)
    session.flush()
    if approved:
        approve_version(session, version)
        session.flush()
        session.expire(model, ["aliases"])
    return version


def add_recipe(
    session: Session, *versions: ModelVersion, strength: float = 1.0, texture: float | None = None
) -> Recipe:
    """The recipe of one stage a version, in order; the same row for the same recipe."""
    content = recipes.Recipe(
        stages=tuple(
            recipes.RecipeStage(
                task=version.model.task.value,
                model=version.model.name,
                version=version.version,
                weights_sha256=version.weights_sha256,
                parameters={"strength": strength, **({} if texture is None else {"texture": texture})},
            )
            for version in versions
        )
    )
    found = session.scalars(select(Recipe).where(Recipe.sha256 == content.sha256)).one_or_none()
    if found is not None:
        return found
    styled = any(version.model.task is StageTask.STYLE for version in versions)
    recipe = Recipe(
        sha256=content.sha256,
        canonical_json=content.canonical_json(),
        kind=DerivativeKind.STYLED if styled else DerivativeKind.RESTORED,
        stages=[
            RecipeStage(position=position, task=version.model.task, version=version, strength=strength)
            for position, version in enumerate(versions)
        ],
    )
    session.add(recipe)
    session.flush()
    return recipe


def add_batch(session: Session) -> Batch:
    """A batch without tasks."""
    batch = Batch(
        kind=BatchKind.RESTORE,
        options={},
        created_at=AT,
        agent=software_agent(session),
        operator=operator_agent(session),
    )
    session.add(batch)
    session.flush()
    return batch


def add_task(
    session: Session,
    batch: Batch,
    master: Master,
    recipe: Recipe,
    status: TaskStatus = TaskStatus.PENDING,
    **fields: Any,
) -> Task:
    """A task of the batch, its status on the master's row too."""
    task = Task(batch=batch, master=master, recipe=recipe, status=status, **fields)
    master.last_task_status = status
    session.add(task)
    session.flush()
    return task


def add_derivative(
    session: Session,
    master: Master,
    *versions: ModelVersion,
    strength: float = 1.0,
    texture: float | None = None,
    batch: Batch | None = None,
    is_trial: bool = False,
    **scores: float,
) -> Derivative:
    """A derivative of the master by these versions, with the ``scores`` named as query fields; it has no file."""
    recipe = add_recipe(session, *versions, strength=strength, texture=texture)
    path = f"derivatives/{master.id}/{master.id}_{recipe.kind}_{recipe.sha256[:8]}.tif"
    derivative = Derivative(
        master=master,
        recipe=recipe,
        batch=batch or add_batch(session),
        kind=recipe.kind,
        path=path,
        sha256=_digest(path),
        pixel_sha256=_digest(f"pixels of {path}"),
        size=2000,
        master_sha256=master.sha256,
        environment={"software_version": "0.1.0", "device": "cpu", "seed": 0, "libraries": {"mkl": "1"}},
        stage_records=[],
        notes=[],
        created_at=AT,
        operator=operator_agent(session),
        is_trial=is_trial,
    )
    for field, value in scores.items():
        metric, _, against = field.partition("_") if field.startswith(("psnr", "ssim")) else (field, "", "")
        derivative.scores.append(
            QualityScore(
                metric=metric,
                value=value,
                image=ScoredImage.DERIVATIVE,
                compared_with=ComparedWith(against) if against else None,
                colour_space="encoded grey",
                data_range=1.0,
                implementation="by hand",
            )
        )
    session.add(derivative)
    session.flush()
    update_current_derivatives(session, master)
    return derivative


def add_review(
    session: Session, derivative: Derivative, decision: Decision, *, reviewer: str = "A. Reviewer"
) -> Review:
    """A review of the derivative, after which its master's current derivatives are updated."""
    review = Review(
        derivative=derivative, sha256=derivative.sha256, decision=decision, agent=person_agent(session, reviewer), at=AT
    )
    session.add(review)
    session.flush()
    update_current_derivatives(session, derivative.master)
    return review


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
