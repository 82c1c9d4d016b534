"""Style distance: how far a styled derivative's statistics are from those of the style's pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from restoration.colour.srgb_adapters import convert_to_srgb
from restoration.image import Area, Crop, Source
from restoration.model_folders import ModelCard
from restoration.recipe import Recipe

_LEAST_SPREAD = 0.02  # of a statistic: what is more alike than this is equal


@dataclass(frozen=True, kw_only=True)
class StyleEvaluation:
    """How a styled derivative was made.

    Attributes:
        recipe: its recipe.
        content: what the styles were applied to, of the derivative's size and kind; None where that is the source.
        cards: of the recipe's styles, in its order.
    """

    recipe: Recipe
    content: Source | None
    cards: Sequence[ModelCard]


def style_distances(picture: Source, area: Area, card: ModelCard) -> Mapping[str, float]:
    """How far a picture is, within ``area``, from those of a style: ``style_colour_distance`` and ``..._texture_...``.

    Each is the root mean square, in the spreads that the style's own pictures have, of how far the picture's statistics
    are from their means: 0 is the style's mean, and about 1 what its own pictures are. Colour is mean, spread and
    covariance in Lab, texture the detail at three scales, of values in sRGB; see
    :mod:`restoration.picture_statistics`. Empty if the version lacks any of these statistics.

    Raises:
        ImageError: the picture can't be read.
    """
    style = card.content["style"]
    means, spreads = style.get("statistics", {}), style.get("spreads", {})
    from restoration.picture_statistics import (
        COLOUR_STATISTIC_NAMES,
        DETAIL_STATISTIC_NAMES,
        STATISTIC_NAMES,
        measure_statistics,
    )

    if not set(STATISTIC_NAMES) <= means.keys() & spreads.keys():
        return {}
    found = dict(zip(STATISTIC_NAMES, measure_statistics(convert_to_srgb(Crop(picture, area))).tolist(), strict=True))

    def distance(names: Sequence[str]) -> float:
        squares = [((found[name] - means[name]) / max(spreads[name], _LEAST_SPREAD)) ** 2 for name in names]
        return math.sqrt(sum(squares) / len(squares))

    return {
        "style_colour_distance": distance([name for name in COLOUR_STATISTIC_NAMES if name.startswith("lab_")]),
        "style_texture_distance": distance(DETAIL_STATISTIC_NAMES),
    }
