"""A recipe applied to a picture: models are loaded and checked, stages chained, bands written, and a record kept.

torch loads with the first network, not with this module.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restoration.colour.greyscale import is_neutral
from restoration.colour.space_conversion import grey_to_srgb, rgb_in_srgb
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
from restoration.model_folders import ModelFolder, shipped_versions
from restoration.pipeline.bands import write_bands
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.record import RestorationRecord, StageRecord
from restoration.pipeline.stage_chain import chain_stages, check_mask, check_recipe
from restoration.pipeline.tiling import NetworkScheduler, run_immediately
from restoration.recipe import Recipe, RecipeStage

if TYPE_CHECKING:
    pass

_LEAST_TILE_PX = 64

_log = logging.getLogger(__name__)


def derivative_info(info: ImageInfo, recipe: Recipe, models: LoadedModels | None = None) -> ImageInfo:
    """What the picture will be that ``recipe`` makes of one of ``info``, for the sink that is to take it.

    It is the same, but for a grey picture under a style that has colour: that becomes RGB with an sRGB profile.

    Raises:
        ModelError: a version isn't there, or its card isn't valid.
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
    in_turn: NetworkScheduler = run_immediately,
) -> RestorationRecord:
    """Applies ``recipe`` to ``source`` and writes the result to ``sink``, band by band.

    Where memory is full, the tiles are halved and the picture is begun again: all of it is made with the tile size of
    the record, so that it can be made again.

    Args:
        source: the picture.
        recipe: what to do to it.
        sink: takes the result, which is as :func:`derivative_info` says; closing it (or removing what was written,
            after an error) is the caller's.
        models: the networks; by itself the versions that this software ships, on the best device there is.
        picture_area: only this rectangle is restored; outside it the source's pixels are written as they are.
        mask: where the styles are applied, white, and where not, black; grey, of the source's size. That it is the one
            which the recipe names is the caller's to check.
        content: takes what the styles are applied to, which is as :func:`derivative_info` says, too.
        progress: called with the rows done and the rows in all.
        in_turn: calls the networks, one region at a time, where several pictures with the same ``models`` share a
            device. The pixels don't depend on it.

    Raises:
        RecipeError: the recipe was made for another pipeline version, or has a parameter that is unknown here; or its
            mask is missing.
        ModelError: a version isn't there, or its weights aren't those that the recipe names.
        DeviceError: the device fails, or its memory is full even with the smallest tiles.
        MemoryError: this machine's own memory is full even with them.
        OutputError: a network gave what isn't a picture.
        ImageError: the source or the mask can't be read, or is of another size; or the area isn't inside.
    """
    check_recipe(recipe)
    check_mask(mask, recipe, source.info)
    models = models or _shipped_models()
    area = picture_area or Area(x=0, y=0, width=source.info.width, height=source.info.height)
    picture: Source = source if picture_area is None else Crop(source, picture_area)
    within = mask if mask is None or picture_area is None else Crop(mask, picture_area)
    neutral = is_neutral(picture)
    made_info = derivative_info(source.info, recipe, models)
    notes, tile_size = [*source.info.problems, *_about_colour(source.info, made_info, recipe)], models.tile_size
    whole: Source = grey_to_srgb(source) if made_info.colour_channels > source.info.colour_channels else source
    while True:
        try:
            chain = chain_stages(
                picture, recipe, models, mask=within, tile_size=tile_size, neutral=neutral, in_turn=in_turn
            )
            results = [(chain.result, sink), *([] if content is None else [(chain.content, content)])]
            write_bands(whole, results, area, tile_px=chain.stages[-1].tile_px, progress=progress)
            break
        except (DeviceMemoryError, MemoryError) as error:
            smaller = _halved(tile_size, error)
            notes.append(f"made in tiles of {smaller} px, because for {tile_size} px there was not enough memory")
            _log.warning("begun again in tiles of %d px: %r", smaller, error)
            tile_size = smaller
        # Here, where nothing holds on any more to what the failed attempt had in memory.
        for each in (sink, content):
            if each is not None:
                each.restart()
    for staged in chain.stages:
        staged.check_output()
    return RestorationRecord(
        stages=tuple(
            StageRecord(
                index=index,
                model=stage.model,
                version=stage.version,
                seconds=done.seconds,
                tiles=done.tiles,
                values=working_space(source.info, stage.task),
                statistics=statistics,
            )
            for index, (stage, done, statistics) in enumerate(
                zip(recipe.stages, chain.stages, chain.statistics, strict=True)
            )
        ),
        environment=replace(models.environment, tile_size=tile_size),
        pixel_sha256=sink.pixel_sha256,
        notes=tuple(notes),
    )


def _about_colour(info: ImageInfo, made: ImageInfo, recipe: Recipe) -> Iterator[str]:
    """What a style adds to a picture's kind, and whether it knew what the values mean, in words."""
    if made.colour_channels > info.colour_channels:
        own = "" if info.icc_profile is None else f" in place of its own, {info.icc_description or 'unnamed'}"
        taken = "; grey was taken for sRGB's" if SrgbConversion.of(info) is None else ""
        yield f"grey was made RGB with an sRGB profile{own}, because the style has colour{taken}"
    if recipe.styles and has_unusable_profile(info):
        yield f"the profile {info.icc_description or 'without a name'} can't be used: values were taken for sRGB's"


def restore_array(array: NDArray[Any], recipe: Recipe, *, models: LoadedModels | None = None) -> NDArray[Any]:
    """Applies ``recipe`` to an array, and gives one of the same shape and type; RGB where a style colours a grey one.

    Args:
        array: (H, W) or (H, W, 3), R G B; uint8, uint16, or floats in [0, 1], which come back in steps of 1/65535.
        recipe: what to do to it.
        models: as in :func:`restore`.

    Raises:
        RestorationError: as :func:`restore`, or the array isn't a picture.
    """
    picture = Picture.from_array(array)
    info = derivative_info(picture.info, recipe, models)
    sink = ArraySink(info)
    restore(picture, recipe, sink, models=models)
    made = sink.array.reshape(array.shape if info.colour_channels == picture.info.colour_channels else sink.array.shape)
    return (made / 65535).astype(array.dtype) if np.issubdtype(array.dtype, np.floating) else made


def shipped_recipe(model: str, **parameters: Any) -> Recipe:
    """A recipe of one stage: ``model`` as this software ships it, ``name`` (its newest version) or ``name@version``.

    Raises:
        ModelError: no such version is shipped.
        RecipeError: a parameter is unknown to it, or out of range.
    """
    name, _, wanted = model.partition("@")
    found = [
        folder.card for folder in shipped_versions() if folder.card.name == name and wanted in ("", folder.card.version)
    ]
    if not found:
        raise ModelError(f"{model} isn't among the shipped versions: {_shipped_names()}")
    newest = max(found, key=lambda card: [int(number) for number in re.findall(r"\d+", card.version)])
    return Recipe(stages=(newest.stage(parameters),))


@cache
def _shipped_models() -> LoadedModels:
    return LoadedModels(_shipped_folder)


def _shipped_folder(stage: RecipeStage) -> ModelFolder:
    for folder in shipped_versions():
        if (folder.card.name, folder.card.version) == (stage.model, stage.version):
            return folder
    raise ModelError(
        f"{stage.model}@{stage.version} isn't among the shipped versions: {_shipped_names()}; give its folder in models"
    )


def _shipped_names() -> str:
    return ", ".join(folder.card.reference for folder in shipped_versions()) or "none"


def _halved(tile_size: int, error: DeviceMemoryError | MemoryError) -> int:
    """Half the tile size, where that is not too small to go on with after ``error``."""
    if tile_size // 2 >= _LEAST_TILE_PX:
        return tile_size // 2
    if isinstance(error, MemoryError):
        raise error
    raise DeviceMemoryError(
        f"{error}, with tiles of only {tile_size} px: end what else uses it, or use another device"
    ) from error
