"""Conversion of torch's device failures to this package's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from restoration.device_scheduling import DeviceScheduler, Result
from restoration.errors import DeviceError, DeviceMemoryError

_OUT_OF_MEMORY_TEXTS = (
    "out of memory",  # CUDA and its allocator
    "STATUS_ALLOC_FAILED",  # CUDA libraries
    "can't allocate memory",  # torch on the CPU
    # oneDNN gives no reason; for convolutions that worked before, the reason is always memory.
    "could not create a primitive",
    "could not execute a primitive",
)


@contextmanager
def device_errors() -> Iterator[None]:
    """Converts torch's device failures and out-of-memory errors to :class:`DeviceError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
            text in str(error) for text in _OUT_OF_MEMORY_TEXTS
        ):
            raise DeviceMemoryError(f"the device's memory is full ({first_line})") from error
        if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
            raise DeviceError(f"the device failed: {first_line}") from error
        raise


def run_on_device(scheduler: DeviceScheduler, call: Callable[[], Result]) -> Result:
    """Runs a call with ``scheduler``; device failures raise :class:`DeviceError`."""

    def guarded() -> Result:
        with device_errors():
            return call()

    return scheduler(guarded)
