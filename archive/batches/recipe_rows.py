"""Recipe rows: reads recipes from the catalogue and adds new ones."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from archive.catalogue.schema.tables import Model, ModelVersion, RecipeStage
from archive.catalogue.schema.tables import Recipe as RecipeRow
from archive.catalogue.schema.vocabularies import DerivativeKind, StageTask
from archive.errors import BatchError
from archive.model_registry import card_of
from restoration.errors import RecipeError
from restoration.recipe import Recipe


def read_recipe(row: RecipeRow) -> Recipe:
    """The recipe of a catalogue row.

    Raises:
        BatchError: the row's JSON is damaged.
    """
    return parse_recipe(row.id, row.sha256, row.canonical_json)


def parse_recipe(recipe_id: int, sha256: str, canonical_json: str) -> Recipe:
    """The recipe of a catalogue row with these columns.

    Raises:
        BatchError: the JSON is damaged.
    """
    try:
        return Recipe.from_json(canonical_json)
    except RecipeError as error:
        raise BatchError(
            f"the catalogue's recipe {recipe_id}, {sha256}, can't be read ({error}). "
            "Restore the catalogue from a backup"
        ) from error


@dataclass(frozen=True, kw_only=True)
class StyledRecipe:
    """How a recipe with styles affects disk space."""

    makes_rgb: bool
    """Whether a grey master becomes RGB."""
    keeps_style_input: bool
    """Whether the input of the styles is kept in a temporary file."""


def styled_recipes(session: Session, ids: Select[int]) -> dict[int, StyledRecipe]:
    """The recipes with styles among ``ids``, by id."""
    styled = select(RecipeRow).where(RecipeRow.id.in_(ids), RecipeRow.kind == DerivativeKind.STYLED)
    rows = session.scalars(styled.options(selectinload(RecipeRow.stages).joinedload(RecipeStage.version)))
    found = {}
    for row in rows:
        recipe = read_recipe(row)
        cards = [card_of(known.version) for known in row.stages]
        found[row.id] = StyledRecipe(
            makes_rgb=any(
                card.gives_colour(stage.parameters) for card, stage in zip(cards, recipe.stages, strict=True)
            ),
            keeps_style_input=recipe.styles_a_restoration,
        )
    return found


def get_or_create_recipe_id(session: Session, recipe: Recipe) -> int:
    """The id of ``recipe``, which is added to the catalogue if it is new."""
    find = select(RecipeRow.id).where(RecipeRow.sha256 == recipe.sha256)
    if (known := session.scalar(find)) is not None:
        return known
    try:
        with session.begin_nested():
            kind = DerivativeKind.STYLED if recipe.styles else DerivativeKind.RESTORED
            row = RecipeRow(sha256=recipe.sha256, canonical_json=recipe.canonical_json(), kind=kind)
            row.stages = [
                RecipeStage(
                    position=position,
                    task=StageTask(stage.task),
                    strength=stage.parameters.get("strength"),
                    version=session.execute(
                        select(ModelVersion)
                        .join(Model, ModelVersion.model_id == Model.id)
                        .where(Model.name == stage.model, ModelVersion.version == stage.version)
                    ).scalar_one(),
                )
                for position, stage in enumerate(recipe.stages)
            ]
            session.add(row)
    except IntegrityError:  # another process added it at the same moment
        return session.execute(find).scalar_one()
    return row.id
