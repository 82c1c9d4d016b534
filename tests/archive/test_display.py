from __future__ import annotations

import json

from archive.display_labels import describe_recipe, format_number
from restoration.recipe import Recipe, RecipeStage


def test_a_recipe_is_worded_alike_from_the_library_and_from_the_catalogue() -> None:
    stage = RecipeStage(
        task="restoration",
        model="denoise-deblur",
        version="1.0",
        weights_sha256="0" * 64,
        parameters={"strength": 0.75, "repair": ("noise", "softness")},
    )
    recipe = Recipe(stages=(stage, stage))
    words = "denoise-deblur 1.0 (repair noise+softness, strength 0.75)"

    assert describe_recipe(recipe.as_dict()) == f"{words}, then {words}"
    assert describe_recipe(json.loads(recipe.canonical_json())) == f"{words}, then {words}"


def test_counts_are_shown_without_decimals() -> None:
    assert format_number("filled_places", 0.0) == "0"
    assert format_number("filled_places", 12.0) == "12"
    assert format_number("smoothed_share", 0.0) == "0.0000"
