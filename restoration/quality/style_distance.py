"""Style distance: the difference between a styled derivative's statistics and those of the style's pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from restoration.colour.srgb_adapters import convert_to_srgb
from restoration.image import Area, Crop, Source
from restoration.model_folders import ModelCard
from restoration.recipe import Recipe

_LEAST_SPREAD = 0.02  # lower limit of a statistic's standard deviation


@dataclass(frozen=True, kw_only=True)
class StyleEvaluation:
    """How a styled derivative was made.

    Attributes:
        recipe: its recipe.
        content: the input of the styles, of the derivative's size and kind; None if that is the source.
        cards: the model cards of the recipe's styles, in its order.
    """

    recipe: Recipe
    content: Source | None
    cards: Sequence[ModelCard]


def style_distances(picture: Source, area: Area, card: ModelCard) -> Mapping[str, float]:
    """The distance of a picture, within ``area``, from a style: ``style_colour_distance`` and
    ``style_texture_distance``.

    Each is the root mean square of the differences from the mean statistics of the style's pictures, in standard
    deviations over those pictures. 0 is the style's mean; the style's own pictures have about 1. Colour is mean,
    deviation and covariance in Lab, texture is detail at three scales, both of values in sRGB; see
    :mod:`restoration.picture_statistics`. Empty if the model version lacks any of these statistics.

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
