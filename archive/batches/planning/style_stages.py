"""Style stages: converts a style request to the stages of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from archive.catalogue.listings import find_version
from archive.catalogue.schema.vocabularies import StageTask
from archive.errors import UsageError
from archive.model_registry import card_of
from restoration.errors import RecipeError
from restoration.model_folders import ModelCard
from restoration.recipe import RecipeStage

_SHARE_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class StyleRequest:
    """Which styles to apply, with which parameters, and where."""

    styles: tuple[tuple[str, float], ...]
    """References with weights; a weight matters only in a blend."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of all styles; the cards' defaults apply to the others."""
    masks: Path | None = None
    """A folder of masks, if the styles apply to a part of each picture."""


def build_style_stages(session: Session, request: StyleRequest) -> list[tuple[ModelCard, RecipeStage]]:
    """The cards and stages of the styles, in recipe order.

    The styles of a blend are sorted by name, and their weights are normalised to a sum of 1, with six decimals, so that
    the same blend always gives the same recipe.

    Raises:
        UsageError: a model is not a style, lacks a parameter or is named twice, or a weight is not valid.
        NotFoundError: no such version.
    """
    weights = {}
    for reference, weight in request.styles:
        card = card_of(find_version(session, reference, task=StageTask.STYLE))
        if card.task != "style":
            raise UsageError(f"{card.reference} is not a style. Use it with --model (see `archive model list`)")
        if card.reference in weights:
            raise UsageError(f"{card.reference} is named twice. Name each style of a blend once")
        weights[card.reference] = card, weight
    ordered = [weights[reference] for reference in sorted(weights)]
    shares = _shares([weight for _, weight in ordered])
    try:
        return [
            (card, card.stage({**request.parameters, **share}))
            for (card, _), share in zip(ordered, shares, strict=True)
        ]
    except RecipeError as error:
        raise UsageError(str(error)) from error


def _shares(weights: Sequence[float]) -> list[dict[str, float]]:
    """The ``weight`` parameter of each style of a blend; empty for a single style."""
    if len(weights) == 1 and weights[0] != 1:
        raise UsageError(
            "A weight is the share of a style in a blend, but there is only one style. Use --style-strength for a "
            "weaker style, or name another style"
        )
    if not all(0 < weight < math.inf for weight in weights):
        raise UsageError("The weight of a style in a blend must be above 0. Omit a style that you do not want")
    if len(weights) == 1:
        return [{}]
    return [{"weight": round(weight / sum(weights), _SHARE_DIGITS)} for weight in weights]
