"""Stages: what a recipe applies to a picture, region by region."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restoration.errors import DeviceError, DeviceMemoryError
from restoration.hardware import ResolvedExecution


class Stage(Protocol):
    """What is applied to regions of a picture.

    Called with a region of encoded values, (1, C, h, w), float32 in [0, 1], C 1 (grey) or 3 (R G B), it gives the same
    shape, float32, not necessarily within [0, 1]. Regions begin at multiples of ``multiple_px`` and have such sizes; a
    value depends on no pixel further away than ``margin_px``.
    """

    @property
    def margin_px(self) -> int: ...

    @property
    def multiple_px(self) -> int: ...

    def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]: ...


_MEMORY_IS_FULL = (
    "out of memory",  # CUDA, of its allocator or of itself
    "STATUS_ALLOC_FAILED",  # its libraries
    "can't allocate memory",  # torch on the CPU
    # oneDNN keeps its reasons to itself; for convolutions that it has otherwise done it is always this one.
    "could not create a primitive",
    "could not execute a primitive",
)


@contextmanager
def _device_errors() -> Iterator[None]:
    """Turns what torch raises when the device fails or its memory is full into a :class:`DeviceError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, MemoryError) or any(text in str(error) for text in _MEMORY_IS_FULL):
            raise DeviceMemoryError(f"the device's memory is full ({first_line})") from error
        if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
            raise DeviceError(f"the device failed: {first_line}") from error
        raise


class NetworkStage:
    """A generator network as a stage, on the device and in the precision of ``execution``.

    Grey goes in as three equal channels and comes out as their mean, so a neutral picture can't gain a cast. The same
    regions give the same values on every run: convolutions are chosen by rule, not by timing.
    """

    def __init__(self, network: nn.Module, execution: ResolvedExecution, *, margin_px: int, multiple_px: int) -> None:
        """Takes the network over: it is moved to the device and put into evaluation mode.

        Args:
            network: (N, 3, h, w) floats in [0, 1] to the same shape.
            execution: where and how precisely it works.
            margin_px: the radius of its receptive field.
            multiple_px: what the sides of its regions must be multiples of.
        """
        self.margin_px = margin_px
        self.multiple_px = multiple_px
        self._execution = execution
        self._network = network.to(device=execution.device, dtype=torch.float32).eval()
        # torch lays convolutions' weights out anew only if told so by this untyped overload.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
        # To a thread that it meets for the first time, torch brings its number of threads only when asked for it.
        torch.get_num_threads()
        with (
            _device_errors(),
            torch.inference_mode(),
            # Full float32 where float32 was asked for: TF32 would round inputs to 10 bits.
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
            torch.autocast(
                self._execution.device.type, dtype=torch.bfloat16, enabled=self._execution.precision == "bf16"
            ),
        ):
            given = torch.from_numpy(region).to(self._execution.device)
            grey = given.shape[1] == 1
            colours = given.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            made: Tensor = self._network(colours).float()
            if grey:
                made = made.mean(dim=1, keepdim=True)
            values: NDArray[np.float32] = made.cpu().numpy()
            return values
