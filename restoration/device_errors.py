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
    # cuBLAS and cuDNN report these when they can't allocate their workspace.
    "STATUS_NOT_INITIALIZED",
    "unable to find an engine",
    "nable to find a valid cuDNN algorithm",
    "can't allocate memory",  # torch on the CPU
    # oneDNN gives no reason; for convolutions that worked before, the reason is always memory.
    "could not create a primitive",
    "could not execute a primitive",
)

_FAILURE_TEXTS = ("CUDA error", "CUDA driver error", "cuDNN error", "cuBLAS", "No CUDA GPUs", "no NVIDIA driver")
"""Device failures that torch raises as a plain RuntimeError."""


@contextmanager
def device_errors() -> Iterator[None]:
    """Converts torch's device failures and out-of-memory errors to :class:`DeviceError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reason = str(error)
        first_line = next(iter(reason.splitlines()), type(error).__name__)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or _has_any(reason, _OUT_OF_MEMORY_TEXTS):
            raise DeviceMemoryError(f"the device's memory is full ({first_line})") from error
        if isinstance(error, torch.AcceleratorError) or _has_any(reason, _FAILURE_TEXTS):
            raise DeviceError(f"the device failed: {first_line}") from error
        raise


def _has_any(reason: str, texts: tuple[str, ...]) -> bool:
    return any(text in reason for text in texts)


def run_on_device(scheduler: DeviceScheduler, call: Callable[[], Result]) -> Result:
    """Runs a call with ``scheduler``; device failures raise :class:`DeviceError`."""

    def guarded() -> Result:
        with device_errors():
            return call()

    return scheduler(guarded)
