"""A recipe is identified by its content: equal recipes have equal digests."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restoration.errors import RecipeError
from restoration.recipe import PIPELINE_VERSION, ParameterValue, Recipe, RecipeStage

STAGE = RecipeStage(
    task="restoration",
    model="denoise-deblur",
    version="1.0",
    weights_sha256="a" * 64,
    parameters={"strength": 1.0, "repair": ("noise", "damage")},
)
RECIPE = Recipe(stages=(STAGE,))

values: st.SearchStrategy[ParameterValue] = st.one_of(
    st.floats(0, 1), st.text(max_size=8), st.booleans(), st.lists(st.text(max_size=4), max_size=3).map(tuple)
)
stages = st.builds(
    RecipeStage,
    task=st.sampled_from(["restoration", "style"]),
    model=st.text(max_size=8),
    version=st.text(max_size=8),
    weights_sha256=st.just("b" * 64),
    parameters=st.dictionaries(st.text(max_size=8), values, max_size=4),
)


def test_the_identifier_is_the_digest_of_the_canonical_json() -> None:
    text = (
        '{"pipeline_version":1,"stages":[{"model":"denoise-deblur","parameters":{"repair":["noise","damage"],"strength":1},'
        f'"task":"restoration","version":"1.0","weights_sha256":"{"a" * 64}"}}]}}'
    )
    assert PIPELINE_VERSION == 1
    assert RECIPE.canonical_json() == text
    assert RECIPE.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_order_of_parameters_does_not_matter() -> None:
    turned = replace(STAGE, parameters=dict(reversed(list(STAGE.parameters.items()))))
    assert Recipe(stages=(turned,)).sha256 == RECIPE.sha256


@pytest.mark.parametrize(
    "other",
    [
        Recipe(stages=(replace(STAGE, version="1.1"),)),
        Recipe(stages=(replace(STAGE, weights_sha256="c" * 64),)),
        Recipe(stages=(replace(STAGE, parameters={"strength": 0.9, "repair": ("noise", "damage")}),)),
        Recipe(stages=(STAGE, STAGE)),
        Recipe(stages=(STAGE,), mask_sha256="d" * 64),
        Recipe(stages=(STAGE,), pipeline_version=2),
    ],
)
def test_everything_that_can_change_pixels_changes_the_identifier(other: Recipe) -> None:
    assert other.sha256 != RECIPE.sha256


def test_a_recipe_without_stages_is_refused() -> None:
    with pytest.raises(RecipeError, match="at least one stage"):
        Recipe(stages=())


@given(st.lists(stages, min_size=1, max_size=3).map(tuple), st.none() | st.just("e" * 64))
def test_a_recipe_can_be_read_from_its_json(made: tuple[RecipeStage, ...], mask_sha256: str | None) -> None:
    recipe = Recipe(stages=made, mask_sha256=mask_sha256)
    again = Recipe.from_json(recipe.canonical_json())
    assert again == recipe
    assert again.sha256 == recipe.sha256


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stages": [{}], "pipeline_version": 1}', '{"stages": 3}'])
def test_invalid_recipes_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="not a recipe"):
        Recipe.from_json(text)
