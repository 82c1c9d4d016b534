"""Pre-flight checks before a batch's first task: the device is available, its models are checked and loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import select

from archive import model_registry
from archive.batches.recipe_rows import read_recipe
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import open_tasks
from archive.catalogue.schema.tables import ModelVersion, Recipe, RecipeStage, Task
from archive.errors import BatchError, ModelRegistryError
from restoration.errors import DeviceError, ModelError, RecipeError
from restoration.model_folders import ModelFolder
from restoration.pipeline.loaded_models import LoadedModels
from restoration.recipe import PIPELINE_VERSION
from restoration.recipe import Recipe as FullRecipe
from restoration.recipe import RecipeStage as Stage

if TYPE_CHECKING:
    from restoration.execution import Execution

ModelLoader = Callable[[Callable[[Stage], ModelFolder], "Execution"], LoadedModels]


def make_execution(catalogue: Catalogue, device: str, precision: str, threads: int | None = None) -> Execution:
    """The execution options with the catalogue's settings; does not check that the device is available."""
    from restoration.execution import Execution  # imports torch, which a batch with no open tasks does not need

    return Execution(device=device, precision=precision, tile_size=catalogue.settings.tile_size, threads=threads)


def check_batch_models(catalogue: Catalogue, batch_id: int) -> tuple[list[FullRecipe], list[ModelFolder]]:
    """The recipes of the batch's open tasks and the checked files of their models.

    Raises:
        ModelRegistryError: weights are missing or changed.
        BatchError: the batch was planned for another pipeline version.
    """
    with catalogue.reading() as session:
        open_recipes = select(Task.recipe_id).where(*open_tasks(batch_id))
        versions = session.scalars(
            select(ModelVersion)
            .where(ModelVersion.id.in_(select(RecipeStage.version_id).where(RecipeStage.recipe_id.in_(open_recipes))))
            .order_by(ModelVersion.id)
        ).all()
        rows = session.scalars(select(Recipe).where(Recipe.id.in_(open_recipes))).all()
    recipes = [read_recipe(row) for row in rows]
    if any(recipe.pipeline_version != PIPELINE_VERSION for recipe in recipes):
        raise BatchError(
            f"batch {batch_id} was planned for another pipeline version than this software's, {PIPELINE_VERSION}: "
            f"cancel it with `archive batch cancel {batch_id}`, and plan it again with `archive restore` or "
            f"`archive rerun`, with the settings that `archive batch show {batch_id}` names"
        )
    try:
        return recipes, [model_registry.checked_folder(catalogue, version) for version in versions]
    except ModelRegistryError as error:
        raise ModelRegistryError(f"batch {batch_id} can't be run: {error}. {_resume_hint(batch_id)}") from error


def load_batch_models(
    catalogue: Catalogue, batch_id: int, execution: Execution, make_models: ModelLoader
) -> LoadedModels:
    """Checks and loads the models of the batch's open tasks.

    Raises:
        ModelRegistryError: weights are missing or changed.
        BatchError: the device is not available, or the batch was planned for another pipeline version.
    """
    recipes, checked = check_batch_models(catalogue, batch_id)
    folders = {(folder.card.name, folder.card.version): folder for folder in checked}
    try:
        models = make_models(lambda stage: folders[stage.model, stage.version], execution)
        for recipe in recipes:
            for stage in recipe.stages:
                models.load(stage)
    except (DeviceError, RecipeError) as error:
        raise BatchError(f"batch {batch_id} can't be run: {error}. {_resume_hint(batch_id)}") from error
    except ModelError as error:
        raise ModelRegistryError(f"batch {batch_id} can't be run: {error}. {_resume_hint(batch_id)}") from error
    return models


def _resume_hint(batch_id: int) -> str:
    return (
        f"The batch stays pending: `archive batch resume {batch_id}` continues it, "
        f"`archive batch cancel {batch_id}` cancels it"
    )
