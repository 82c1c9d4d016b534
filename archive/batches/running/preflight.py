"""Before a batch's first task: the device is there, and the models of its recipes are loaded and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, select

from archive import model_registry
from archive.batches.recipe_rows import read_recipe
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import ModelVersion, Recipe, RecipeStage, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import BatchError, ModelRegistryError
from restoration.errors import DeviceError, ModelError, RecipeError
from restoration.model_folders import ModelFolder
from restoration.pipeline.loaded_models import LoadedModels
from restoration.recipe import PIPELINE_VERSION
from restoration.recipe import RecipeStage as Stage

if TYPE_CHECKING:
    from restoration.execution import Execution

ModelLoader = Callable[[Callable[[Stage], ModelFolder], "Execution"], LoadedModels]


def open_tasks(batch_id: int) -> tuple[ColumnElement[bool], ...]:
    """The batch's tasks that are not ended: pending, or in somebody's hands."""
    return Task.batch_id == batch_id, Task.status.in_((TaskStatus.PENDING, TaskStatus.RUNNING))


def make_execution(catalogue: Catalogue, device: str, precision: str, threads: int | None = None) -> Execution:
    """How pictures are worked on with the catalogue's settings; whether the device is there is not looked at."""
    from restoration.execution import Execution  # brings torch, which a batch with nothing to do does not need

    return Execution(device=device, precision=precision, tile_size=catalogue.settings.tile_size, threads=threads)


def load_batch_models(
    catalogue: Catalogue, batch_id: int, execution: Execution, make_models: ModelLoader
) -> LoadedModels:
    """The models of the batch's open tasks, their weights checked and loaded before the first task begins.

    Raises:
        ModelRegistryError: weights are missing or changed.
        BatchError: the device is not there, or the batch was planned for another pipeline.
    """
    with catalogue.reading() as session:
        open_recipes = select(Task.recipe_id).where(*open_tasks(batch_id))
        versions = session.scalars(
            select(ModelVersion)
            .where(ModelVersion.id.in_(select(RecipeStage.version_id).where(RecipeStage.recipe_id.in_(open_recipes))))
            .order_by(ModelVersion.id)
        ).all()
        rows = session.scalars(select(Recipe).where(Recipe.id.in_(open_recipes))).all()
    wanted = [read_recipe(row) for row in rows]
    if any(recipe.pipeline_version != PIPELINE_VERSION for recipe in wanted):
        raise BatchError(
            f"batch {batch_id} was planned for another pipeline than this software's, version {PIPELINE_VERSION}: "
            f"give it up with `archive batch cancel {batch_id}`, and plan it again with `archive restore` or "
            "`archive rerun`"
        )
    folders: dict[tuple[str, str], ModelFolder] = {}
    for version in versions:
        try:
            folder = model_registry.checked_folder(catalogue, version)
        except ModelRegistryError as error:
            raise ModelRegistryError(f"batch {batch_id} can't be run: {error}. {_waits(batch_id)}") from error
        folders[folder.card.name, folder.card.version] = folder
    try:
        ready = make_models(lambda stage: folders[stage.model, stage.version], execution)
        for recipe in wanted:
            for stage in recipe.stages:
                ready.load(stage)
    except (DeviceError, RecipeError) as error:
        raise BatchError(f"batch {batch_id} can't be run: {error}. {_waits(batch_id)}") from error
    except ModelError as error:
        raise ModelRegistryError(f"batch {batch_id} can't be run: {error}. {_waits(batch_id)}") from error
    return ready


def _waits(batch_id: int) -> str:
    return (
        f"The batch waits: `archive batch resume {batch_id}` goes on with it, "
        f"`archive batch cancel {batch_id}` gives it up"
    )
