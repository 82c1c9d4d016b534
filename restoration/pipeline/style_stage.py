"""Style stages: apply a style network to regions, conditioned on the statistics of the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restoration.colour.colour_operations import apply_colour_balance
from restoration.device_errors import device_errors
from restoration.errors import WeightsError
from restoration.execution import ResolvedExecution
from restoration.model_folders import ModelFolder
from restoration.networks import StyleNetwork, build_style_network
from restoration.networks.style_colour_mapping import PALETTES
from restoration.picture_statistics import STATISTIC_NAMES
from restoration.pipeline.stages import inference
from restoration.recipe import ParameterValue

STYLE_VECTOR_NAME = "style.vector"
"""Name of the style vector, shape (style,), in a style's weights; all other tensors are the network's."""

COLOUR_BALANCE = ("temperature", "tint", "brightness")


class LoadedStyle:
    """A style's network and vector on a device. Its output depends on the statistics of the whole picture."""

    def __init__(
        self,
        network: StyleNetwork,
        vector: Tensor,
        execution: ResolvedExecution,
        *,
        palette: str,
        balance: Mapping[str, float] | None = None,
    ) -> None:
        """Moves the network to the device and puts it into evaluation mode.

        Args:
            network: the style network.
            vector: the style, (style,).
            execution: device and precision; its seed is the grain's.
            palette: the style's key in :data:`restoration.networks.style_colour_mapping.PALETTES`.
            balance: see :func:`restoration.colour.colour_operations.apply_colour_balance`.
        """
        self.execution, self.palette, self.balance = execution, palette, dict(balance or {})
        self.network = network.to(device=execution.device, dtype=torch.float32).eval()
        # torch changes the memory layout of the weights only with this untyped overload.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.vector = vector.to(execution.device).float().unsqueeze(0)

    def for_picture(self, statistics: Mapping[str, float]) -> StyleStage:
        """Returns the stage for a picture with these statistics, by name.

        See :func:`restoration.picture_statistics.measure_statistics`.
        """
        return StyleStage(self, torch.tensor([statistics[name] for name in STATISTIC_NAMES]))


class StyleStage:
    """A style applied to one picture in sRGB; see :class:`restoration.pipeline.stages.PlacedStage`.

    With a neutral style, a grey region stays grey.
    """

    def __init__(self, style: LoadedStyle, statistics: Tensor) -> None:
        self.margin_px = style.network.margin_px
        self.multiple_px = style.network.multiple_px
        self._style = style
        # On the CPU until it is called, because only calls are scheduled and have their device failures converted.
        self._statistics = statistics.float().unsqueeze(0)
        self._palette = torch.tensor([PALETTES[style.palette]])

    def at(self, x: int, y: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        return lambda region: self._apply(region, x, y)

    def _apply(self, region: NDArray[np.float32], x: int, y: int) -> NDArray[np.float32]:
        style = self._style
        noise = grain_noise(x, y, region.shape[3], region.shape[2], seed=style.execution.seed)
        with inference(style.execution):
            device = style.execution.device
            inputs = torch.from_numpy(region).to(device)
            rgb = inputs.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            grains = torch.from_numpy(noise).to(device)
            output = style.network(rgb, grains, self._statistics.to(device), style.vector, self._palette.to(device))
            values: NDArray[np.float32] = output[:, : region.shape[1]].float().cpu().numpy()
        return apply_colour_balance(values, **style.balance) if any(style.balance.values()) else values


def grain_noise(x: int, y: int, width: int, height: int, *, seed: int) -> NDArray[np.float32]:
    """Noise, (1, 1, height, width), of mean 0 and standard deviation 1; pixels depend only on position and seed.

    Positions are hashed with PCG (Jarzynski and Olano 2020), so that any region can be computed separately.
    """
    columns = np.arange(x, x + width, dtype=np.uint32)
    rows = np.arange(y, y + height, dtype=np.uint32)
    mixed = _hash(_hash(rows + _hash(np.full(1, seed % 2**32, np.uint32)))[:, None] + columns)
    return normalise_grain((mixed >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24))[None, None]


def normalise_grain(uniform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Converts uniform numbers in [0, 1) to noise with mean 0 and standard deviation 1."""
    return np.asarray((uniform - np.float32(0.5)) * np.float32(np.sqrt(12)), dtype=np.float32)


def _hash(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    state = words * np.uint32(747796405) + np.uint32(2891336453)
    word = ((state >> ((state >> np.uint32(28)) + np.uint32(4))) ^ state) * np.uint32(277803737)
    return np.asarray((word >> np.uint32(22)) ^ word, dtype=np.uint32)


@device_errors()
def load_style(
    folder: ModelFolder, parameters: Mapping[str, ParameterValue], execution: ResolvedExecution
) -> LoadedStyle:
    """Loads a style version with a recipe's parameters.

    Raises:
        WeightsError: the weights don't match the card, don't fit its architecture, or need other statistics.
        CardError: the card's architecture is unknown here.
        DeviceError: the device fails, or has no memory for the network.
    """
    network = build_style_network(folder.card.architecture, folder.card.network)
    if len(network.statistics_mean) != len(STATISTIC_NAMES):
        raise WeightsError(
            f"{folder.card.reference} needs {len(network.statistics_mean)} picture statistics, but this software "
            f"measures {len(STATISTIC_NAMES)}. Use the version of the software that it was trained with"
        )
    weights = folder.load_weights()
    try:
        vector = weights.pop(STYLE_VECTOR_NAME)
        network.load_state_dict(weights)
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"the weights of {folder.card.reference} don't fit its architecture: {error}") from error
    balance = {name: cast(float, parameters[name]) for name in COLOUR_BALANCE if name in parameters}
    return LoadedStyle(network, vector, execution, palette=folder.card.palette, balance=balance)
