"""Batch lookup: one batch by its id, its open tasks and its failures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from archive.catalogue.schema.tables import (
    Batch,
    Derivative,
    Item,
    Master,
    Model,
    ModelVersion,
    Recipe,
    RecipeStage,
    Task,
)
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.display_labels import describe_recipe
from archive.errors import NotFoundError

IS_OPEN = Task.status.in_((TaskStatus.PENDING, TaskStatus.RUNNING))
"""Whether a task is neither finished nor cancelled."""

_OVERLAPPING_BATCHES = 3  # the newest ones


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A master that a batch could not restore, and why."""

    accession_number: str
    sequence: int
    path: str  # of the master, absolute
    reason: str


def find_batch(session: Session, batch_id: int) -> Batch:
    """The batch with this id.

    Raises:
        NotFoundError: there is no such batch.
    """
    batch = session.get(Batch, batch_id)
    if batch is None:
        raise NotFoundError(f"No batch {batch_id}. Run `archive batch list` to see the batches.")
    return batch


def open_tasks(batch_id: int) -> tuple[ColumnElement[bool], ...]:
    """The batch's unfinished tasks: pending or running."""
    return Task.batch_id == batch_id, IS_OPEN


def was_begun(attempts: int, last_run: Mapping[str, Any] | None) -> bool:
    """Whether a run of a batch has begun a task, or has ended without one.

    ``attempts`` is the highest number at its tasks, ``last_run`` that of the batch.
    """
    return attempts > 0 or (last_run or {}).get("ended_at") is not None


def find_overlapping_batches(
    session: Session, tasks: Iterable[tuple[int, str]], *, except_for: int | None
) -> dict[int, int]:
    """The newest unfinished batches that have one of these tasks open too: the number of open tasks by batch id.

    Args:
        session: a session.
        tasks: at most a thousand, each as master id and digest of the recipe.
        except_for: the id of a batch that does not count.
    """
    master_ids, digests = map(set, zip(*tasks, strict=True))
    recipe_ids = session.scalars(select(Recipe.id).where(Recipe.sha256.in_(digests))).all()
    overlapping = (
        select(Task.batch_id)
        .where(
            Task.master_id.in_(master_ids),
            Task.recipe_id.in_(recipe_ids),
            IS_OPEN,
            Task.batch_id != (except_for or 0),
        )
        .distinct()
        .order_by(Task.batch_id.desc())
        .limit(_OVERLAPPING_BATCHES)
    )
    count = select(func.count(Task.id))
    return {
        batch_id: session.scalar(count.where(*open_tasks(batch_id))) or 0
        for batch_id in session.scalars(overlapping).all()
    }


def describe_batch_recipes(session: Session, batch_id: int) -> list[str]:
    """The recipes of the batch's tasks in words, each once: recipes that differ only in their masks are one."""
    recipes = (
        select(Recipe.canonical_json)
        .where(Recipe.id.in_(select(Task.recipe_id).where(Task.batch_id == batch_id)))
        .order_by(Recipe.id)
    )
    return list(dict.fromkeys(describe_recipe(json.loads(recipe)) for recipe in session.scalars(recipes)))


def list_open_models(session: Session, batch_id: int) -> list[str]:
    """The model versions, as ``name@version``, that the batch's unfinished tasks need."""
    recipes = select(Task.recipe_id).where(*open_tasks(batch_id))
    needed = (
        select(Model.name, ModelVersion.version)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(ModelVersion.id.in_(select(RecipeStage.version_id).where(RecipeStage.recipe_id.in_(recipes))))
        .order_by(Model.name, ModelVersion.id)
    )
    return [f"{name}@{version}" for name, version in session.execute(needed)]


def list_failures(session: Session, batch_id: int) -> Iterator[Failure]:
    """The batch's failed tasks, by accession number and sequence."""
    failed = (
        select(Item.accession_number, Master.sequence, Master.path, Task.error)
        .select_from(Task)
        .join(Master, Master.id == Task.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(Task.batch_id == batch_id, Task.status == TaskStatus.FAILED)
        .order_by(Item.accession_number, Master.sequence)
    )
    for accession_number, sequence, path, error in session.execute(failed):
        yield Failure(
            accession_number=accession_number,
            sequence=sequence,
            path=str(session.info["path_of"](path)),
            reason=error or "",
        )


def list_repair_results(session: Session, batch_id: int) -> Iterator[tuple[str | None, bool]]:
    """The results of a repair, one per task.

    Yields:
        The absolute path of the recreated file, None if it was not recreated; and whether it has the bytes of the
        record. Otherwise it is a new derivative.
    """
    results = (
        select(Derivative.path, Derivative.batch_id)
        .select_from(Task)
        .outerjoin(Derivative, Derivative.id == Task.derivative_id)
        .where(Task.batch_id == batch_id)
        .order_by(Task.id)
    )
    for path, made_by in session.execute(results):
        yield None if path is None else str(session.info["path_of"](path)), made_by != batch_id
