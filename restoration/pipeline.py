"""A recipe applied to a picture: models are loaded and checked, stages chained, bands written, and a record kept.

torch loads with the first network, not with this module.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restoration.errors import DeviceMemoryError, ModelError, RecipeError, WeightsError
from restoration.image import Area, ArraySink, Crop, ImageInfo, Picture, Sink, Source
from restoration.models import ModelFolder, shipped
from restoration.neutral import AsGrey, AsRgb, is_neutral
from restoration.recipe import PIPELINE_VERSION, Recipe, RecipeStage
from restoration.tiling import InTurn, Rows, Staged, at_once

if TYPE_CHECKING:
    from restoration.hardware import Execution
    from restoration.stages import Stage

_PARAMETERS = {"strength"}
_BAND_PIXELS = 1 << 25  # of a row of tiles: 400 MB for three channels
_LEAST_BAND_ROWS = 64
_WRITTEN_PIXELS = 1 << 22
_LEAST_TILE_PX = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """All that a derivative's pixels depend on beside its master and its recipe."""

    software_version: str
    torch_version: str
    device: str
    instruction_set: str
    precision: str
    tile_size: int
    threads: int
    seed: int
    libraries: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What one stage did: its place in the recipe, and how long its network worked on how many tiles.

    ``values`` says what it worked on: encoded values, as they are stored, in the space of the picture's profile.
    """

    index: int
    model: str
    version: str
    seconds: float
    tiles: int
    values: str


@dataclass(frozen=True, kw_only=True)
class RestorationRecord:
    """What was done to one picture. ``notes`` says what of the source isn't carried, and why."""

    stages: tuple[StageRecord, ...]
    environment: Environment
    pixel_sha256: str
    notes: tuple[str, ...]


class LoadedModels:
    """Networks ready to work, each loaded and checked once and kept between pictures.

    The number of threads is torch's and holds for the whole process.
    """

    def __init__(self, folder_of: Callable[[RecipeStage], ModelFolder], execution: Execution | None = None) -> None:
        """Finds the device; no network is loaded yet.

        Args:
            folder_of: gives the model version's folder that a recipe's stage names.
            execution: where and how precisely to work; by itself the best that is there.

        Raises:
            DeviceError: the device asked for isn't there.
        """
        import torch

        from restoration.hardware import Execution

        self._folder_of = folder_of
        self._resolved = (execution or Execution()).resolved()
        self._stages: dict[tuple[str, str, str], Stage] = {}
        torch.set_num_threads(self._resolved.threads)

    @property
    def tile_size(self) -> int:
        return self._resolved.tile_size

    @property
    def environment(self) -> Environment:
        """Where the networks work, for the record."""
        from restoration.hardware import library

        described = self._resolved.described()
        return Environment(
            software_version=_software_version(),
            torch_version=described["torch"],
            device=described["device"],
            instruction_set=described["instruction_set"],
            precision=described["precision"],
            tile_size=self._resolved.tile_size,
            threads=self._resolved.threads,
            seed=self._resolved.seed,
            libraries={"convolutions": library(self._resolved.device), "numpy": np.__version__},
        )

    def stage(self, stage: RecipeStage) -> Stage:
        """The network of a recipe's stage; its weights are those of its card and of the recipe.

        Raises:
            ModelError: the version isn't there, its card isn't valid, or its weights are others.
        """
        key = (stage.model, stage.version, stage.weights_sha256)
        if key not in self._stages:
            self._stages[key] = self._load(stage)
        return self._stages[key]

    def _load(self, stage: RecipeStage) -> Stage:
        from restoration.networks import build
        from restoration.stages import NetworkStage

        folder = self._folder_of(stage)
        card = folder.card
        if (card.name, card.version, card.weights_sha256) != (stage.model, stage.version, stage.weights_sha256):
            raise WeightsError(
                f"{folder.path} holds {card.reference} with weights {card.weights_sha256}, but the recipe asks for "
                f"{stage.model}@{stage.version} with {stage.weights_sha256}: find the folder that it was made with"
            )
        network = build(card.architecture, card.network)
        try:
            network.load_state_dict(folder.load_weights())
        except RuntimeError as error:
            raise WeightsError(f"the weights of {card.reference} don't fit its architecture: {error}") from error
        return NetworkStage(network, self._resolved, margin_px=network.margin_px, multiple_px=network.multiple_px)


def restore(
    source: Source,
    recipe: Recipe,
    sink: Sink,
    *,
    models: LoadedModels | None = None,
    picture_area: Area | None = None,
    progress: Callable[[int, int], None] | None = None,
    in_turn: InTurn = at_once,
) -> RestorationRecord:
    """Applies ``recipe`` to ``source`` and writes the result to ``sink``, band by band.

    Where memory is full, the tiles are halved and the picture is begun again: all of it is made with the tile size of
    the record, so that it can be made again.

    Args:
        source: the picture.
        recipe: what to do to it.
        sink: takes the result; closing it (or removing what was written, after an error) is the caller's.
        models: the networks; by itself the versions that this software ships, on the best device there is.
        picture_area: only this rectangle is restored; outside it the source's pixels are written as they are.
        progress: called with the rows done and the rows in all.
        in_turn: calls the networks, one region at a time, where several pictures with the same ``models`` share a
            device. The pixels don't depend on it.

    Raises:
        RecipeError: the recipe was made for another pipeline version, or has a parameter that is unknown here.
        ModelError: a version isn't there, or its weights aren't those that the recipe names.
        DeviceError: the device fails, or its memory is full even with the smallest tiles.
        MemoryError: this machine's own memory is full even with them.
        OutputError: a network gave what isn't a picture.
        ImageError: the source can't be read, or the area isn't inside it.
    """
    _check_recipe(recipe)
    models = models or _shipped_models()
    area = picture_area or Area(x=0, y=0, width=source.info.width, height=source.info.height)
    picture: Source = source if picture_area is None else Crop(source, picture_area)
    neutral = is_neutral(picture)
    notes, tile_size = list(source.info.problems), models.tile_size
    while True:
        result, stages = _staged(picture, recipe, models, tile_size=tile_size, neutral=neutral, in_turn=in_turn)
        try:
            _write(source, result, area, sink, tile_px=stages[-1].tile_px, progress=progress)
            break
        except (DeviceMemoryError, MemoryError) as error:
            smaller = _halved(tile_size, error)
            notes.append(f"made in tiles of {smaller} px, because for {tile_size} px there was not enough memory")
            _log.warning("begun again in tiles of %d px: %r", smaller, error)
            tile_size = smaller
        # Here, where nothing holds on any more to what the failed attempt had in memory.
        sink.restart()
    for staged in stages:
        staged.check_output()
    return RestorationRecord(
        stages=tuple(
            StageRecord(
                index=index,
                model=stage.model,
                version=stage.version,
                seconds=done.seconds,
                tiles=done.tiles,
                values=source.info.colour_space,
            )
            for index, (stage, done) in enumerate(zip(recipe.stages, stages, strict=True))
        ),
        environment=replace(models.environment, tile_size=tile_size),
        pixel_sha256=sink.pixel_sha256,
        notes=tuple(notes),
    )


def restore_array(array: NDArray[Any], recipe: Recipe, *, models: LoadedModels | None = None) -> NDArray[Any]:
    """Applies ``recipe`` to an array, and gives one of the same shape and type.

    Args:
        array: (H, W) or (H, W, 3), R G B; uint8, uint16, or floats in [0, 1], which come back in steps of 1/65535.
        recipe: what to do to it.
        models: as in :func:`restore`.

    Raises:
        RestorationError: as :func:`restore`, or the array isn't a picture.
    """
    picture = Picture.from_array(array)
    sink = ArraySink(picture.info)
    restore(picture, recipe, sink, models=models)
    made = sink.array.reshape(array.shape)
    return (made / 65535).astype(array.dtype) if np.issubdtype(array.dtype, np.floating) else made


def shipped_recipe(model: str, **parameters: Any) -> Recipe:
    """A recipe of one stage: ``model`` as this software ships it, ``name`` (its newest version) or ``name@version``.

    Raises:
        ModelError: no such version is shipped.
        RecipeError: a parameter is unknown to it, or out of range.
    """
    name, _, wanted = model.partition("@")
    found = [folder.card for folder in shipped() if folder.card.name == name and wanted in ("", folder.card.version)]
    if not found:
        raise ModelError(f"{model} isn't among the shipped versions: {_shipped_names()}")
    newest = max(found, key=lambda card: [int(number) for number in re.findall(r"\d+", card.version)])
    return Recipe(stages=(newest.stage(parameters),))


@cache
def _shipped_models() -> LoadedModels:
    return LoadedModels(_shipped_folder)


def _shipped_folder(stage: RecipeStage) -> ModelFolder:
    for folder in shipped():
        if (folder.card.name, folder.card.version) == (stage.model, stage.version):
            return folder
    raise ModelError(
        f"{stage.model}@{stage.version} isn't among the shipped versions: {_shipped_names()}; give its folder in models"
    )


def _shipped_names() -> str:
    return ", ".join(folder.card.reference for folder in shipped()) or "none"


def _check_recipe(recipe: Recipe) -> None:
    if recipe.pipeline_version != PIPELINE_VERSION:
        raise RecipeError(
            f"the recipe was made for pipeline version {recipe.pipeline_version}, and this software is "
            f"{PIPELINE_VERSION}: use the release that made it, or make a new recipe"
        )
    if recipe.mask_sha256 is not None or any(stage.task != "restoration" for stage in recipe.stages):
        raise RecipeError("the recipe has a style stage or a mask, which this software can't apply: leave it out")
    for stage in recipe.stages:
        if unknown := sorted(set(stage.parameters) - _PARAMETERS):
            raise RecipeError(f"{stage.model}@{stage.version} has parameters unknown here: {', '.join(unknown)}")


def _strength(stage: RecipeStage) -> float:
    strength = stage.parameters.get("strength", 1.0)
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise RecipeError(f"the strength of {stage.model}@{stage.version} must lie between 0 and 1, not {strength!r}")
    return float(strength)


def _staged(
    source: Source, recipe: Recipe, models: LoadedModels, *, tile_size: int, neutral: bool, in_turn: InTurn
) -> tuple[Source, list[Staged]]:
    """The picture that all stages make of ``source``, and each stage's own."""
    result: Source = AsGrey(source) if neutral else source
    stages: list[Staged] = []
    for stage in recipe.stages:
        result = Staged(
            Rows(result) if stages else result,
            models.stage(stage),
            tile_size=tile_size,
            in_turn=in_turn,
            strength=_strength(stage),
            name=f"{stage.model}@{stage.version}",
        )
        stages.append(result)
    return AsRgb(result) if neutral else result, stages


def _halved(tile_size: int, error: DeviceMemoryError | MemoryError) -> int:
    """Half the tile size, where that is not too small to go on with after ``error``."""
    if tile_size // 2 >= _LEAST_TILE_PX:
        return tile_size // 2
    if isinstance(error, MemoryError):
        raise error
    raise DeviceMemoryError(
        f"{error}, with tiles of only {tile_size} px: end what else uses it, or use another device"
    ) from error


def _write(
    source: Source,
    result: Source,
    area: Area,
    sink: Sink,
    *,
    tile_px: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Writes ``result`` within ``area``, and ``source`` around it."""
    for top, bottom in _bands(source.info, area, tile_px):
        _write_band(source, result, area, sink, top, bottom)
        if progress is not None:
            progress(bottom, source.info.height)


def _bands(info: ImageInfo, area: Area, tile_px: int) -> Iterator[tuple[int, int]]:
    """First row and end of each band. The area's are its rows of tiles, so that no tile is worked out twice.

    They are lower than the tiles may be where the picture is so wide that a row of squares would take too much memory.
    """
    rows = min(tile_px, max(_LEAST_BAND_ROWS, _BAND_PIXELS // area.width // _LEAST_BAND_ROWS * _LEAST_BAND_ROWS))
    for begin, end in pairwise((0, area.y, area.y + area.height, info.height)):
        for top in range(begin, end, rows):
            yield top, min(top + rows, end)


def _write_band(source: Source, result: Source, area: Area, sink: Sink, top: int, bottom: int) -> None:
    """Writes the rows ``top`` to ``bottom``, which are all of the area or all outside, a few at a time."""
    width = source.info.width
    inside = area.y <= top < area.y + area.height
    made = result.read(0, top - area.y, area.width, bottom - top) if inside else None
    step = max(1, _WRITTEN_PIXELS // width)
    for y in range(top, bottom, step):
        rows = min(step, bottom - y)
        if made is None or area.width < width:
            band = source.read(0, y, width, rows)
            if made is not None:
                band[..., area.x : area.x + area.width] = made[:, :, y - top : y - top + rows]
        else:
            band = made[:, :, y - top : y - top + rows]
        sink.write(y, band, source.read_extra(0, y, width, rows))


def _software_version() -> str:
    try:
        return version("archive-restoration")
    except PackageNotFoundError:  # running from a source tree that was never installed
        return "0+unknown"
