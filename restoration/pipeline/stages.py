"""Stages: operations that a recipe applies to a picture, region by region."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restoration.device_errors import device_errors
from restoration.errors import WeightsError
from restoration.execution import ResolvedExecution, autocast
from restoration.grain_profile import GRAIN_NAMES, encode_grain
from restoration.model_folders import ModelFolder
from restoration.networks import Generator, build_generator, interpolate_weights
from restoration.recipe import ParameterValue


class Stage(Protocol):
    """An operation on regions of a picture.

    It takes a region of encoded values, (1, C, h, w), float32 in [0, 1], C 1 (grey) or 3 (R G B), and returns the same
    shape, float32, not necessarily within [0, 1]. Positions and sizes of regions are multiples of ``multiple_px``. A
    value depends on no pixel further away than ``margin_px``.
    """

    @property
    def margin_px(self) -> int: ...

    @property
    def multiple_px(self) -> int: ...

    def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]: ...


class PlacedStage(Protocol):
    """A stage whose output also depends on the region's position, as grain does."""

    @property
    def margin_px(self) -> int: ...

    @property
    def multiple_px(self) -> int: ...

    def at(self, x: int, y: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Returns the operation for the region whose first pixel is at ``x`` and ``y``, called as a :class:`Stage`."""
        ...


_CUDNN_FLAGS = threading.RLock()


@contextmanager
def _reproducible_convolutions() -> Iterator[None]:
    """Sets cuDNN's flags, which belong to the whole process; other threads wait until they are set back."""
    # Full float32 precision: TF32 would round inputs to 10 bits.
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with _CUDNN_FLAGS, flags:
        yield


@contextmanager
def inference(execution: ResolvedExecution) -> Iterator[None]:
    """Context for reproducible inference with ``execution``; device failures raise
    :class:`restoration.errors.DeviceError`."""
    # torch applies its thread count to a new thread only when the count is read there.
    torch.get_num_threads()
    with (
        device_errors(),
        torch.inference_mode(),
        _reproducible_convolutions() if execution.device.type == "cuda" else nullcontext(),
        autocast(execution.device, execution.autocast),
    ):
        yield


class NetworkStage:
    """A generator network as a stage, on the device and in the precision of ``execution``.

    A grey picture is expanded to three equal channels and averaged afterwards, so it can't get a colour cast. Results
    are reproducible: convolution algorithms are chosen by rule, not by timing.
    """

    def __init__(
        self,
        network: nn.Module,
        execution: ResolvedExecution,
        *,
        margin_px: int,
        multiple_px: int,
    ) -> None:
        """Moves the network to the device and puts it into evaluation mode, without conditioning inputs.

        Args:
            network: (N, 3, h, w) floats in [0, 1] to the same shape.
            execution: device and precision.
            margin_px: the radius of its receptive field.
            multiple_px: what the sides of its regions must be multiples of.
        """
        self.margin_px = margin_px
        self.multiple_px = multiple_px
        self._execution = execution
        self._conditions: tuple[Tensor, ...] = ()
        self._network = network.to(device=execution.device, dtype=torch.float32).eval()
        # torch changes the memory layout of the weights only with this untyped overload.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def with_conditions(self, conditions: Sequence[float]) -> NetworkStage:
        """Returns a stage of the same network with conditioning inputs, one number each; none if it takes none.

        The network itself is not touched, because threads of other pictures may be using it.
        """
        stage = copy.copy(self)
        # On the CPU until it is called, because only calls are scheduled and have their device failures converted.
        stage._conditions = (torch.tensor([conditions]),) if conditions else ()
        return stage

    def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
        with inference(self._execution):
            device = self._execution.device
            inputs = torch.from_numpy(region).to(device)
            is_grey = inputs.shape[1] == 1
            rgb = inputs.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            output: Tensor = self._network(rgb, *(condition.to(device) for condition in self._conditions)).float()
            if is_grey:
                output = output.mean(dim=1, keepdim=True)
            values: NDArray[np.float32] = output.cpu().numpy()
            return values


class LoadedRestoration:
    """A restoration network on a device, with the defects to repair. Its output can depend on the picture's grain."""

    def __init__(self, network: Generator, execution: ResolvedExecution, *, repair: Collection[str]) -> None:
        """Takes the network over and moves it to the device, once for all pictures.

        Args:
            network: the generator.
            execution: device and precision.
            repair: the names of those of the network's conditions that are defects to repair.
        """
        self._conditions, self._repair = network.conditions, frozenset(repair)
        self._stage = NetworkStage(network, execution, margin_px=network.margin_px, multiple_px=network.multiple_px)

    @property
    def needs_grain_profile(self) -> bool:
        """Whether the grain of the whole picture is a conditioning input."""
        return any(name in GRAIN_NAMES for name in self._conditions)

    def for_picture(self, grain: Mapping[str, float]) -> NetworkStage:
        """Returns the stage for a picture with this grain profile, which is empty if it isn't needed.

        See :func:`restoration.grain_profile.measure_grain`.
        """
        encoded = dict(zip(GRAIN_NAMES, encode_grain(grain).tolist(), strict=True)) if self.needs_grain_profile else {}
        return self._stage.with_conditions(
            [encoded.get(name, float(name in self._repair)) for name in self._conditions]
        )


@device_errors()
def load_restoration(
    folder: ModelFolder, parameters: Mapping[str, ParameterValue], execution: ResolvedExecution
) -> LoadedRestoration:
    """Loads a restoration model version with a recipe's parameters.

    ``texture`` interpolates between the two endpoints in its weights; ``repair`` selects the defects to repair. A
    version without these parameters has one endpoint, or repairs all defects it knows.

    Raises:
        WeightsError: the weights don't match the card, or don't fit its architecture.
        CardError: the card's architecture is unknown here.
        DeviceError: the device fails, or has no memory for the network.
    """
    network = build_generator(folder.card.architecture, folder.card.network)
    try:
        weights = folder.load_weights()
        if "texture" in parameters:
            weights = interpolate_weights(weights, cast(float, parameters["texture"]))
        network.load_state_dict(weights)
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"the weights of {folder.card.reference} don't fit its architecture: {error}") from error
    repair = cast(tuple[str, ...], parameters.get("repair", network.conditions))
    return LoadedRestoration(network, execution, repair=repair)
