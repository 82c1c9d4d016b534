"""Chains a recipe's stages over a picture: each takes the previous output; consecutive styles share one input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restoration.colour.greyscale import GreyscaleSource, RgbSource
from restoration.colour.srgb_adapters import FromSrgbSource, SrgbSource, convert_to_srgb, grey_to_srgb
from restoration.device_scheduling import DeviceScheduler
from restoration.errors import ImageError, RecipeError
from restoration.grain_profile import measure_grain
from restoration.image import ImageInfo, Samples, Source, SrgbConversion
from restoration.pipeline.tiling import RowCache, StageSource
from restoration.recipe import PIPELINE_VERSION, Recipe, RecipeStage

if TYPE_CHECKING:
    from restoration.pipeline.loaded_models import LoadedModels
    from restoration.pipeline.stages import PlacedStage, Stage

_PARAMETERS = {
    "restoration": {"strength", "texture", "repair"},
    "style": {"strength", "weight", "temperature", "tint", "brightness"},
}


@dataclass(frozen=True, kw_only=True)
class StageChain:
    """The final picture, the output of each stage, and each stage's conditioning statistics.

    ``content`` is the input of the styles, or the result if there are no styles.
    """

    result: Source
    content: Source
    stages: tuple[StageSource, ...]
    statistics: tuple[Mapping[str, float], ...]


class BlendSource:
    """The weighted mean of pictures of one size."""

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
    """``after`` where the mask is white, exactly ``before`` where it is black, and a blend where it is grey."""

    def __init__(self, before: Source, after: Source, mask: Source) -> None:
        """Takes pictures of one size; the mask is grey."""
        self.info = after.info
        self._before, self._after, self._mask = before, after, mask

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        # `after` first: it reads a larger region, which the row cache then holds for `before`.
        after = self._after.read(x, y, width, height)
        before = self._before.read(x, y, width, height)
        return np.asarray(before + self._mask.read(x, y, width, height) * (after - before), dtype=np.float32)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._after.read_extra(x, y, width, height)


def check_recipe(recipe: Recipe) -> None:
    """Checks that this software can apply a recipe.

    Raises:
        RecipeError: it is for another pipeline version, has an unknown task or parameter, or a mask
            without a style.
    """
    if recipe.pipeline_version != PIPELINE_VERSION:
        raise RecipeError(
            f"the recipe was made for pipeline version {recipe.pipeline_version}, but this software has version "
            f"{PIPELINE_VERSION}. Use the release that made it, or make a new recipe"
        )
    if recipe.mask_sha256 is not None and not recipe.styles:
        raise RecipeError("the recipe has a mask but no style. Leave the mask out")
    for stage in recipe.stages:
        if stage.task not in _PARAMETERS:
            raise RecipeError(f"{stage.model}@{stage.version} has the unknown task {stage.task}")
        if unknown := sorted(set(stage.parameters) - _PARAMETERS[stage.task]):
            raise RecipeError(f"{stage.model}@{stage.version} has unknown parameters: {', '.join(unknown)}")


def check_mask(mask: Source | None, recipe: Recipe, info: ImageInfo) -> None:
    """Checks that a mask is given exactly if the recipe names one, and that it fits ``info``.

    Raises:
        RecipeError: the mask is missing, or not expected.
        ImageError: it isn't grey, or has another size.
    """
    if (mask is None) != (recipe.mask_sha256 is None):
        raise RecipeError("the recipe names a mask. Pass it" if mask is None else "the recipe names no mask. Pass none")
    if mask is None:
        return
    if (mask.info.width, mask.info.height, mask.info.colour_channels) != (info.width, info.height, 1):
        raise ImageError(
            f"the mask is {mask.info.width}x{mask.info.height} px: it must be grey and as large as the upright "
            f"picture, {info.width}x{info.height} px"
        )


def share_parameter(stage: RecipeStage, name: str) -> float:
    """A stage's parameter in [0, 1]; 1 if the stage doesn't have it.

    Raises:
        RecipeError: it is not a number in [0, 1].
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
    scheduler: DeviceScheduler,
) -> StageChain:
    """Chains a recipe's stages over ``source``; a neutral RGB one is processed as grey.

    Before it returns, this measures the statistics that condition the stages, in bounded time.
    """
    builder = _ChainBuilder(source, models, tile_size, scheduler, neutral=neutral)
    for task, stages in groupby(recipe.stages, key=lambda stage: stage.task):
        if task == "restoration":
            builder.restore(list(stages))
        else:
            builder.style(list(stages), mask)
    result, content = (
        RgbSource(each) if neutral and each.info.colour_channels == 1 else each
        for each in (builder.result, builder.content or builder.result)
    )
    return StageChain(
        result=result, content=content, stages=tuple(builder.stages), statistics=tuple(builder.statistics)
    )


class _ChainBuilder:
    """A stage chain under construction."""

    def __init__(
        self, source: Source, models: LoadedModels, tile_size: int, scheduler: DeviceScheduler, *, neutral: bool
    ) -> None:
        self.result: Source = GreyscaleSource(source) if neutral else source
        self.content: Source | None = None
        self.stages: list[StageSource] = []
        self.statistics: list[Mapping[str, float]] = []
        self._models, self._tile_size, self._scheduler, self._neutral = models, tile_size, scheduler, neutral

    def restore(self, stages: Sequence[RecipeStage]) -> None:
        for stage in stages:
            restoration = self._models.restoration(stage)
            grain = measure_grain(self.result) if restoration.needs_grain_profile else {}
            stage_input, strength = self._cached_result(), share_parameter(stage, "strength")
            self.result = self._add_stage(stage_input, stage, restoration.for_picture(grain), grain, strength)

    def style(self, stages: Sequence[RecipeStage], mask: Source | None) -> None:
        """Applies styles to the same picture and takes their weighted mean, within the mask."""
        weights = [share_parameter(stage, "weight") for stage in stages]
        if not sum(weights):
            raise RecipeError("all styles of the recipe have the weight 0. Leave them out")
        if self.result.info.colour_channels == 1 and any(self._models.colours(stage) for stage in stages):
            # A picture stored as RGB keeps its profile.
            self.result = RgbSource(self.result) if self._neutral else grey_to_srgb(self.result)
        statistics = _measure_style_statistics(convert_to_srgb(self.result))
        self.content = content = self._cached_result()
        conversion = SrgbConversion.of(content.info)
        srgb_content = content if conversion is None else RowCache(SrgbSource(content, conversion))
        parts: list[tuple[int, Source, float]] = []
        for stage, weight in zip(stages, weights, strict=True):
            strength = share_parameter(stage, "strength")
            styled: Source
            if conversion is None:
                styled = staged = self._add_style_stage(content, stage, statistics, strength)
            else:
                staged = self._add_style_stage(srgb_content, stage, statistics, 1.0)
                styled = FromSrgbSource(content, staged, conversion, strength=strength)
            parts.append((staged.margin_px, styled, weight / sum(weights)))
        # Largest margin first: the row cache then holds what the others read.
        parts.sort(key=lambda part: -part[0])
        self.result = BlendSource([part[1:] for part in parts]) if len(parts) > 1 else parts[0][1]
        if mask is not None:
            self.result = MaskedSource(content, self.result, mask)

    def _cached_result(self) -> Source:
        return RowCache(self.result) if self.stages else self.result

    def _add_style_stage(
        self, stage_input: Source, stage: RecipeStage, statistics: Mapping[str, float], strength: float
    ) -> StageSource:
        return self._add_stage(
            stage_input, stage, self._models.style(stage).for_picture(statistics), statistics, strength
        )

    def _add_stage(
        self,
        stage_input: Source,
        stage: RecipeStage,
        network: Stage | PlacedStage,
        statistics: Mapping[str, float],
        strength: float,
    ) -> StageSource:
        staged = StageSource(
            stage_input,
            network,
            tile_size=self._tile_size,
            scheduler=self._scheduler,
            strength=strength,
            name=f"{stage.model}@{stage.version}",
        )
        self.stages.append(staged)
        self.statistics.append(statistics)
        return staged


def _measure_style_statistics(source: Source) -> Mapping[str, float]:
    from restoration.picture_statistics import STATISTIC_NAMES, measure_statistics

    return dict(zip(STATISTIC_NAMES, measure_statistics(source).tolist(), strict=True))
