"""A recipe applied to a picture: models are loaded and checked, stages chained, bands written, and a record kept.

torch loads with the first network, not with this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restoration.errors import ModelError, RecipeError, WeightsError
from restoration.image import Area, ArraySink, Crop, ImageInfo, Picture, Sink, Source
from restoration.models import ModelFolder, shipped
from restoration.neutral import AsGrey, AsRgb, is_neutral
from restoration.recipe import PIPELINE_VERSION, Recipe, RecipeStage
from restoration.tiling import Staged

if TYPE_CHECKING:
    from restoration.hardware import Execution
    from restoration.stages import Stage

_PARAMETERS = {"strength"}
_COPIED_BAND_ROWS = 512


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
) -> RestorationRecord:
    """Applies ``recipe`` to ``source`` and writes the result to ``sink``, band by band.

    Args:
        source: the picture.
        recipe: what to do to it.
        sink: takes the result; closing it (or removing what was written, after an error) is the caller's.
        models: the networks; by itself the versions that this software ships, on the best device there is.
        picture_area: only this rectangle is restored; outside it the source's pixels are written as they are.
        progress: called with the rows done and the rows in all.

    Raises:
        RecipeError: the recipe was made for another pipeline version, or has a parameter that is unknown here.
        ModelError: a version isn't there, or its weights aren't those that the recipe names.
        OutputError: a network gave what isn't a picture.
        ImageError: the source can't be read, or the area isn't inside it.
    """
    _check_recipe(recipe)
    models = models or _shipped_models()
    result: Source = source if picture_area is None else Crop(source, picture_area)
    neutral = is_neutral(result)
    if neutral:
        result = AsGrey(result)
    stages: list[Staged] = []
    for stage in recipe.stages:
        result = Staged(
            result,
            models.stage(stage),
            tile_size=models.tile_size,
            strength=_strength(stage),
            name=f"{stage.model}@{stage.version}",
        )
        stages.append(result)
    if neutral:
        result = AsRgb(result)
    info = source.info
    for y, rows in _bands(info, picture_area, stages[-1].tile_px):
        sink.write(y, _band(source, result, picture_area, y, rows), source.read_extra(0, y, info.width, rows))
        if progress is not None:
            progress(y + rows, info.height)
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
                values=info.colour_space,
            )
            for index, (stage, done) in enumerate(zip(recipe.stages, stages, strict=True))
        ),
        environment=models.environment,
        pixel_sha256=sink.pixel_sha256,
        notes=info.problems,
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


def _bands(info: ImageInfo, area: Area | None, tile_px: int) -> Iterator[tuple[int, int]]:
    """First row and rows of each band: the area's are rows of its tiles, so that no tile is worked out twice."""
    top, bottom = (0, info.height) if area is None else (area.y, area.y + area.height)
    for begin, end, step in (
        (0, top, _COPIED_BAND_ROWS),
        (top, bottom, tile_px),
        (bottom, info.height, _COPIED_BAND_ROWS),
    ):
        for y in range(begin, end, step):
            yield y, min(step, end - y)


def _band(source: Source, result: Source, area: Area | None, y: int, rows: int) -> NDArray[np.float32]:
    if area is None:
        return result.read(0, y, source.info.width, rows)
    band = source.read(0, y, source.info.width, rows)
    if area.y <= y < area.y + area.height:
        band[..., area.x : area.x + area.width] = result.read(0, y - area.y, area.width, rows)
    return band


def _software_version() -> str:
    try:
        return version("archive-restoration")
    except PackageNotFoundError:  # running from a source tree that was never installed
        return "0+unknown"
