"""A look that is asked for, and the stages of a recipe that simulate it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from archive.catalogue.listings import find_version
from archive.errors import UsageError
from archive.model_registry import card_of
from restoration.errors import RecipeError
from restoration.model_folders import ModelCard
from restoration.recipe import RecipeStage

_SHARE_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class StyleRequest:
    """Which styles, and how and where they are to be applied."""

    styles: tuple[tuple[str, float], ...]
    """References, each with its weight, which matters in a blend alone."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Of every style, as its card declares them; else the card's defaults."""
    masks: Path | None = None
    """A folder of masks, where they are for a part of each picture."""


def build_style_stages(session: Session, styling: StyleRequest) -> list[tuple[ModelCard, RecipeStage]]:
    """The styles with their stages, in the order of the recipe.

    Those of a blend stand in the order of their names, and their weights add up to 1, to six decimals: the same blend
    is the same recipe however it is asked for.

    Raises:
        UsageError: one is not a style, lacks a parameter, or is named twice; or a weight makes no sense.
        NotFoundError: no such version.
    """
    weights = {}
    for reference, weight in styling.styles:
        card = card_of(find_version(session, reference))
        if card.task != "style":
            raise UsageError(f"{card.reference} is not a style: give it with --model (`archive model list` shows both)")
        if card.reference in weights:
            raise UsageError(f"{card.reference} is named twice: name each style of a blend once")
        weights[card.reference] = card, weight
    ordered = [weights[reference] for reference in sorted(weights)]
    shares = _shares([weight for _, weight in ordered])
    try:
        return [
            (card, card.stage({**styling.parameters, **share}))
            for (card, _), share in zip(ordered, shares, strict=True)
        ]
    except RecipeError as error:
        raise UsageError(str(error)) from error


def _shares(weights: Sequence[float]) -> list[dict[str, float]]:
    """The parameter by which each style has its share of a blend; none where there is one style."""
    if len(weights) == 1 and weights[0] != 1:
        raise UsageError(
            "a weight is the share of a style in a blend, and there is one style: "
            "give --style-strength for less of it, or name another style"
        )
    if not all(0 < weight < math.inf for weight in weights):
        raise UsageError("the weight of a style in a blend must be above 0: leave out what is not wanted")
    if len(weights) == 1:
        return [{}]
    return [{"weight": round(weight / sum(weights), _SHARE_DIGITS)} for weight in weights]
