"""Loaded models: the networks of a recipe, each loaded and checked once and kept between pictures.

Importing this module doesn't load torch; loading the first network does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from restoration.errors import WeightsError
from restoration.model_folders import ModelCard, ModelFolder
from restoration.pipeline.record import Environment
from restoration.recipe import RecipeStage

if TYPE_CHECKING:
    from restoration.execution import Execution
    from restoration.pipeline.stages import LoadedRestoration
    from restoration.pipeline.style_stage import LoadedStyle


class LoadedModels:
    """Loaded networks, each loaded and checked once and kept between pictures.

    It sets torch's thread count, which applies to the whole process.
    """

    def __init__(self, folder_of: Callable[[RecipeStage], ModelFolder], execution: Execution | None = None) -> None:
        """Resolves the device; loads no network yet.

        Args:
            folder_of: returns the folder of the model version that a stage names.
            execution: execution settings; by default the best available device.

        Raises:
            DeviceError: the device is not available.
        """
        import torch

        from restoration.execution import Execution

        self._folder_of = folder_of
        self._resolved = (execution or Execution()).resolved()
        self._restorations: dict[tuple[Hashable, ...], LoadedRestoration] = {}
        self._styles: dict[tuple[Hashable, ...], LoadedStyle] = {}
        torch.set_num_threads(self._resolved.threads)

    @property
    def tile_size(self) -> int:
        return self._resolved.tile_size

    @property
    def scores_device(self) -> str | None:
        """Torch's name of the GPU that computes scores, or None if the processor does."""
        device = self._resolved.device
        return None if device.type == "cpu" else str(device)

    @property
    def environment(self) -> Environment:
        """The execution environment, for the record."""
        from restoration.execution import convolution_library

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
            libraries={
                "convolutions": convolution_library(self._resolved.device),
                "numpy": np.__version__,
                "colours": imagecodecs.cms_version(),
            },
        )

    def load(self, stage: RecipeStage) -> None:
        """Loads the network of a recipe's stage, restoration or style, ahead of its use.

        Raises:
            ModelError, DeviceError: as :meth:`restoration`.
        """
        if stage.task == "style":
            self.style(stage)
        else:
            self.restoration(stage)

    def restoration(self, stage: RecipeStage) -> LoadedRestoration:
        """The network of a recipe's restoration stage; checked against its card and the recipe.

        Raises:
            ModelError: the version is missing, its card is invalid, or its weights differ.
            DeviceError: the device fails, or has no memory for the network.
        """
        from restoration.pipeline.stages import load_restoration

        key = _key(stage)
        if key not in self._restorations:
            self._restorations[key] = load_restoration(self._folder(stage), stage.parameters, self._resolved)
        return self._restorations[key]

    def style(self, stage: RecipeStage) -> LoadedStyle:
        """The style of a recipe's style stage, ready for any picture.

        Raises:
            ModelError, DeviceError: as :meth:`restoration`.
        """
        from restoration.pipeline.style_stage import load_style

        key = _key(stage)
        if key not in self._styles:
            self._styles[key] = load_style(self._folder(stage), stage.parameters, self._resolved)
        return self._styles[key]

    def card(self, stage: RecipeStage) -> ModelCard:
        """The card of a recipe's stage.

        Raises:
            ModelError: as :meth:`restoration`.
        """
        return self._folder(stage).card

    def colours(self, stage: RecipeStage) -> bool:
        """Whether a stage adds colour to a grey picture.

        Raises:
            ModelError: as :meth:`restoration`.
        """
        return stage.task == "style" and self.card(stage).gives_colour(stage.parameters)

    def _folder(self, stage: RecipeStage) -> ModelFolder:
        folder = self._folder_of(stage)
        card = folder.card
        if (card.name, card.version, card.weights_sha256) != (stage.model, stage.version, stage.weights_sha256):
            raise WeightsError(
                f"{folder.path} holds {card.reference} with weights {card.weights_sha256}, but the recipe asks for "
                f"{stage.model}@{stage.version} with {stage.weights_sha256}. Use the recipe's own folder"
            )
        return folder


def _key(stage: RecipeStage) -> tuple[Hashable, ...]:
    """The cache key of a loaded network: everything that affects it."""
    how = {name: value for name, value in stage.parameters.items() if name not in ("strength", "weight")}
    return (stage.model, stage.version, stage.weights_sha256, tuple(sorted(how.items())))


def _software_version() -> str:
    try:
        return version("archive-restoration")
    except PackageNotFoundError:  # running from a source tree that was never installed
        return "0+unknown"
