"""Applies a recipe to a picture: loads the models, chains the stages, writes the bands and returns a record.

Importing this module doesn't load torch; loading the first network does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restoration.colour.greyscale import is_neutral
from restoration.colour.srgb_adapters import grey_to_srgb, rgb_in_srgb
from restoration.device_scheduling import DeviceScheduler, run_immediately
from restoration.errors import DeviceMemoryError, ModelError
from restoration.image import (
    Area,
    ArraySink,
    Crop,
    ImageInfo,
    Picture,
    Sink,
    Source,
    SrgbConversion,
    has_unusable_profile,
    working_space,
)
from restoration.model_folders import ModelFolder, shipped
from restoration.pipeline.band_writer import write_bands
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.record import RestorationRecord, StageRecord
from restoration.pipeline.stage_chain import StageChain, chain_stages, check_mask, check_recipe
from restoration.recipe import Recipe, RecipeStage

_LEAST_TILE_PX = 64

_log = logging.getLogger(__name__)


def derivative_info(info: ImageInfo, recipe: Recipe, models: LoadedModels | None = None) -> ImageInfo:
    """Describes the derivative that ``recipe`` makes of a picture described by ``info``; create the sink with it.

    It equals ``info``, except that a style with colour turns a grey picture into RGB with an sRGB profile.

    Raises:
        ModelError: a version is missing, or its card is invalid.
    """
    models = models or _shipped_models()
    if info.colour_channels == 3 or not any(models.colours(stage) for stage in recipe.stages):
        return info
    return rgb_in_srgb(info)


def restore(
    source: Source,
    recipe: Recipe,
    sink: Sink,
    *,
    models: LoadedModels | None = None,
    picture_area: Area | None = None,
    mask: Source | None = None,
    content: Sink | None = None,
    progress: Callable[[int, int], None] | None = None,
    scheduler: DeviceScheduler = run_immediately,
) -> RestorationRecord:
    """Applies ``recipe`` to ``source`` and writes the result to ``sink``, band by band.

    If memory runs out, the whole picture restarts with tiles of half the size. The record holds the final tile size, so
    that the result can be reproduced.

    Args:
        source: the picture.
        recipe: what to do to it.
        sink: receives the result, described by :func:`derivative_info`. The caller closes it, or removes partial output
            after an error.
        models: the networks; by default the shipped versions on the best available device.
        picture_area: only this rectangle is restored; outside it the source's pixels are copied.
        mask: a grey picture of the source's size: styles apply where it is white, not where it is black. The caller
            checks that its digest is the recipe's.
        content: receives the input of the styles, also described by :func:`derivative_info`.
        progress: called with the number of finished rows and of all rows.
        scheduler: runs each network call, one region at a time; for several pictures that share a device. It doesn't
            affect the pixels.

    Raises:
        RecipeError: the recipe is for another pipeline version, has an unknown parameter, or lacks its mask.
        ModelError: a version is missing, or its weights differ from the recipe's.
        DeviceError: the device fails, or its memory is too small for the smallest tiles.
        MemoryError: main memory is too small for the smallest tiles.
        OutputError: a network returned an invalid picture.
        ImageError: the source or the mask is unreadable, the mask has another size, or the area is outside the picture.
    """
    # Over 60 lines because of the argument and error documentation; the body is about 25 lines.
    check_recipe(recipe)
    check_mask(mask, recipe, source.info)
    models = models or _shipped_models()
    area = picture_area or Area(x=0, y=0, width=source.info.width, height=source.info.height)
    picture: Source = source if picture_area is None else Crop(source, picture_area)
    within = mask if mask is None or picture_area is None else Crop(mask, picture_area)
    neutral = is_neutral(picture)
    output_info = derivative_info(source.info, recipe, models)
    whole: Source = grey_to_srgb(source) if output_info.colour_channels > source.info.colour_channels else source

    def attempt(tile_size: int) -> StageChain:
        chain = chain_stages(
            picture, recipe, models, mask=within, tile_size=tile_size, neutral=neutral, scheduler=scheduler
        )
        results = [(chain.result, sink), *([] if content is None else [(chain.content, content)])]
        write_bands(whole, results, area, tile_px=chain.stages[-1].tile_px, progress=progress)
        return chain

    sinks = [sink] if content is None else [sink, content]
    chain, tile_size, memory_notes = _retry_with_smaller_tiles(attempt, models.tile_size, sinks)
    for staged in chain.stages:
        staged.check_output()
    return RestorationRecord(
        stages=_stage_records(recipe, chain, source.info),
        environment=replace(models.environment, tile_size=tile_size),
        pixel_sha256=sink.pixel_sha256,
        notes=(*source.info.problems, *_colour_notes(source.info, output_info, recipe), *memory_notes),
    )


def _retry_with_smaller_tiles(
    attempt: Callable[[int], StageChain], tile_size: int, sinks: Sequence[Sink]
) -> tuple[StageChain, int, list[str]]:
    """Calls ``attempt`` with a tile size, which it halves while memory runs out.

    Returns:
        The chain, the tile size that worked, and a note for each retry.
    """
    notes: list[str] = []
    while True:
        try:
            return attempt(tile_size), tile_size, notes
        except (DeviceMemoryError, MemoryError) as error:
            smaller = _halved(tile_size, error)
            notes.append(f"made in tiles of {smaller} px, because for {tile_size} px there was not enough memory")
            # As text, because a log record that is kept would keep the exception, and so the failed attempt's arrays.
            reason = str(error) or type(error).__name__
            _log.warning("restarting with tiles of %d px: %s", smaller, reason)
            tile_size = smaller
        # Outside the except block, so that the exception no longer keeps the failed attempt's arrays alive.
        for sink in sinks:
            sink.restart()


def _stage_records(recipe: Recipe, chain: StageChain, info: ImageInfo) -> tuple[StageRecord, ...]:
    return tuple(
        StageRecord(
            index=index,
            model=stage.model,
            version=stage.version,
            seconds=done.seconds,
            tiles=done.tiles,
            values=working_space(info, stage.task),
            statistics=statistics,
        )
        for index, (stage, done, statistics) in enumerate(
            zip(recipe.stages, chain.stages, chain.statistics, strict=True)
        )
    )


def _colour_notes(info: ImageInfo, output_info: ImageInfo, recipe: Recipe) -> Iterator[str]:
    """Notes on colour: a grey picture that became RGB, and a profile that can't be used."""
    if output_info.colour_channels > info.colour_channels:
        own = "" if info.icc_profile is None else f" in place of its own, {info.icc_description or 'unnamed'}"
        taken = "; grey was taken for sRGB's" if SrgbConversion.of(info) is None else ""
        yield f"grey was made RGB with an sRGB profile{own}, because the style has colour{taken}"
    if recipe.styles and has_unusable_profile(info):
        yield f"the profile {info.icc_description or 'without a name'} can't be used: values were taken for sRGB's"


def restore_array(array: NDArray[Any], recipe: Recipe, *, models: LoadedModels | None = None) -> NDArray[Any]:
    """Applies ``recipe`` to an array and returns one of the same shape and type (RGB if a style adds colour to grey).

    Args:
        array: (H, W) or (H, W, 3), R G B; uint8, uint16, or floats in [0, 1] (quantised to 1/65535).
        recipe: what to do to it.
        models: as in :func:`restore`.

    Raises:
        RestorationError: as :func:`restore`, or the array is not a valid picture.
    """
    picture = Picture.from_array(array)
    info = derivative_info(picture.info, recipe, models)
    sink = ArraySink(info)
    restore(picture, recipe, sink, models=models)
    restored = sink.array.reshape(
        array.shape if info.colour_channels == picture.info.colour_channels else sink.array.shape
    )
    values = restored / 65535 if np.issubdtype(array.dtype, np.floating) else restored
    return values.astype(array.dtype, copy=False)


def shipped_recipe(model: str, **parameters: Any) -> Recipe:
    """Builds a one-stage recipe of a shipped model: ``name`` (its newest version) or ``name@version``.

    Raises:
        ModelError: no such version is shipped.
        RecipeError: a parameter is unknown or out of range.
    """
    return Recipe(stages=(shipped(model).card.stage(parameters),))


@cache
def _shipped_models() -> LoadedModels:
    return LoadedModels(_shipped_folder)


def _shipped_folder(stage: RecipeStage) -> ModelFolder:
    try:
        return shipped(f"{stage.model}@{stage.version}")
    except ModelError as error:
        raise ModelError(f"{error}; pass its folder in models") from error


def _halved(tile_size: int, error: DeviceMemoryError | MemoryError) -> int:
    """Halves the tile size, or raises ``error`` if the result is below the minimum."""
    if tile_size // 2 >= _LEAST_TILE_PX:
        return tile_size // 2
    if isinstance(error, MemoryError):
        raise error
    raise DeviceMemoryError(
        f"{error}, with tiles of only {tile_size} px. Stop other programs that use it, or use another device"
    ) from error
