"""A recipe's stages chained over a picture: each works on what the one before made, styles in a row on the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restoration.colour.greyscale import GreyscaleSource, RgbSource
from restoration.colour.space_conversion import FromSrgbSource, SrgbSource, convert_to_srgb, grey_to_srgb
from restoration.errors import ImageError, RecipeError
from restoration.image import ImageInfo, Samples, Source, SrgbConversion
from restoration.pipeline.tiling import NetworkScheduler, RowCache, StageSource
from restoration.recipe import PIPELINE_VERSION, Recipe, RecipeStage

if TYPE_CHECKING:
    from restoration.pipeline.loaded_models import LoadedModels

_PARAMETERS = {
    "restoration": {"strength", "texture", "repair"},
    "style": {"strength", "weight", "temperature", "tint", "brightness"},
}


@dataclass(frozen=True, kw_only=True)
class StageChain:
    """The picture that all stages make, each stage's own, and what each style was told of the whole picture.

    ``content`` is what the styles work on; where there are none, it is the result.
    """

    result: Source
    content: Source
    stages: tuple[StageSource, ...]
    statistics: tuple[Mapping[str, float], ...]


class BlendSource:
    """The mean of pictures of one size, each with its weight."""

    def __init__(self, parts: Sequence[tuple[Source, float]]) -> None:
        """Takes pictures with weights that sum to 1."""
        self.info = parts[0][0].info
        self._parts = parts

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        first, *others = (part.read(x, y, width, height) * np.float32(weight) for part, weight in self._parts)
        return sum(others, start=first)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._parts[0][0].read_extra(x, y, width, height)


class MaskedSource:
    """``after`` where the mask is white, ``before`` to the bit where it is black, and a mixture where it is grey."""

    def __init__(self, before: Source, after: Source, mask: Source) -> None:
        """Takes pictures of one size; the mask is grey."""
        self.info = after.info
        self._before, self._after, self._mask = before, after, mask

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        # The later one first: it needs more of what they have in common.
        after = self._after.read(x, y, width, height)
        before = self._before.read(x, y, width, height)
        return np.asarray(before + self._mask.read(x, y, width, height) * (after - before), dtype=np.float32)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._after.read_extra(x, y, width, height)


def check_recipe(recipe: Recipe) -> None:
    """Checks that this software can apply a recipe.

    Raises:
        RecipeError: it was made for another pipeline version, has a task or a parameter unknown here, or a mask
            without a style.
    """
    if recipe.pipeline_version != PIPELINE_VERSION:
        raise RecipeError(
            f"the recipe was made for pipeline version {recipe.pipeline_version}, and this software is "
            f"{PIPELINE_VERSION}: use the release that made it, or make a new recipe"
        )
    if recipe.mask_sha256 is not None and not recipe.styles:
        raise RecipeError("the recipe has a mask, which is for styles, and no style: leave it out")
    for stage in recipe.stages:
        if stage.task not in _PARAMETERS:
            raise RecipeError(f"{stage.model}@{stage.version} has the task {stage.task}, which is unknown here")
        if unknown := sorted(set(stage.parameters) - _PARAMETERS[stage.task]):
            raise RecipeError(f"{stage.model}@{stage.version} has parameters unknown here: {', '.join(unknown)}")


def check_mask(mask: Source | None, recipe: Recipe, info: ImageInfo) -> None:
    """Checks that there is a mask if the recipe names one, and that it fits a picture of ``info``.

    Raises:
        RecipeError: it is missing, or one too many.
        ImageError: it isn't grey, or of another size.
    """
    if (mask is None) != (recipe.mask_sha256 is None):
        raise RecipeError("the recipe names a mask: give it" if mask is None else "the recipe names no mask: give none")
    if mask is None:
        return
    if (mask.info.width, mask.info.height, mask.info.colour_channels) != (info.width, info.height, 1):
        raise ImageError(
            f"the mask is {mask.info.width}x{mask.info.height} px: it must be grey and as large as the upright "
            f"picture, {info.width}x{info.height} px"
        )


def share_parameter(stage: RecipeStage, name: str) -> float:
    """A stage's parameter from 0 to 1, which is 1 where the stage has none.

    Raises:
        RecipeError: it isn't such a number.
    """
    value = stage.parameters.get(name, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RecipeError(f"the {name} of {stage.model}@{stage.version} must lie between 0 and 1, not {value!r}")
    return float(value)


def chain_stages(
    source: Source,
    recipe: Recipe,
    models: LoadedModels,
    *,
    mask: Source | None = None,
    tile_size: int,
    neutral: bool,
    in_turn: NetworkScheduler,
) -> StageChain:
    """Chains a recipe's stages over ``source``; a neutral RGB one is worked on as the grey that it is.

    For a style, the picture that it works on is looked at as a whole, in bounded time, before this returns.
    """
    made = _Making(source, models, tile_size, in_turn, neutral=neutral)
    for task, stages in groupby(recipe.stages, key=lambda stage: stage.task):
        if task == "restoration":
            made.restore(list(stages))
        else:
            made.style(list(stages), mask)
    result, content = (
        RgbSource(each) if neutral and each.info.colour_channels == 1 else each
        for each in (made.result, made.content or made.result)
    )
    return StageChain(result=result, content=content, stages=tuple(made.stages), statistics=tuple(made.statistics))


class _Making:
    """A chain as far as it is made."""

    def __init__(
        self, source: Source, models: LoadedModels, tile_size: int, in_turn: NetworkScheduler, *, neutral: bool
    ) -> None:
        self.result: Source = GreyscaleSource(source) if neutral else source
        self.content: Source | None = None
        self.stages: list[StageSource] = []
        self.statistics: list[Mapping[str, float]] = []
        self._models, self._tile_size, self._in_turn, self._neutral = models, tile_size, in_turn, neutral

    def restore(self, stages: Sequence[RecipeStage]) -> None:
        for stage in stages:
            self.result = self._staged(self._read_once(), stage, {}, share_parameter(stage, "strength"))

    def style(self, stages: Sequence[RecipeStage], mask: Source | None) -> None:
        """Applies styles to the same picture and takes their weighted mean, within the mask."""
        weights = [share_parameter(stage, "weight") for stage in stages]
        if not sum(weights):
            raise RecipeError("all styles of the recipe have the weight 0: leave them out")
        if self.result.info.colour_channels == 1 and any(self._models.colours(stage) for stage in stages):
            # What is stored as RGB keeps its profile.
            self.result = RgbSource(self.result) if self._neutral else grey_to_srgb(self.result)
        statistics = _measured(convert_to_srgb(self.result))
        self.content = given = self._read_once()
        conversion = SrgbConversion.of(given.info)
        worked_on = given if conversion is None else RowCache(SrgbSource(given, conversion))
        parts: list[tuple[int, Source, float]] = []
        for stage, weight in zip(stages, weights, strict=True):
            strength = share_parameter(stage, "strength")
            made: Source
            if conversion is None:
                made = staged = self._staged(given, stage, statistics, strength)
            else:
                staged = self._staged(worked_on, stage, statistics, 1.0)
                made = FromSrgbSource(given, staged, conversion, strength=strength)
            parts.append((staged.margin_px, made, weight / sum(weights)))
        # The one that looks furthest first: what it has read is at hand for the others.
        parts.sort(key=lambda part: -part[0])
        self.result = BlendSource([part[1:] for part in parts]) if len(parts) > 1 else parts[0][1]
        if mask is not None:
            self.result = MaskedSource(given, self.result, mask)

    def _read_once(self) -> Source:
        return RowCache(self.result) if self.stages else self.result

    def _staged(
        self, given: Source, stage: RecipeStage, statistics: Mapping[str, float], strength: float
    ) -> StageSource:
        style = stage.task == "style"
        staged = StageSource(
            given,
            self._models.style(stage).for_picture(statistics) if style else self._models.stage(stage),
            tile_size=self._tile_size,
            in_turn=self._in_turn,
            strength=strength,
            name=f"{stage.model}@{stage.version}",
        )
        self.stages.append(staged)
        self.statistics.append(statistics)
        return staged


def _measured(source: Source) -> Mapping[str, float]:
    from restoration.picture_statistics import STATISTIC_NAMES, measure_statistics

    return dict(zip(STATISTIC_NAMES, measure_statistics(source).tolist(), strict=True))
