"""The precision of a training: float32 or bfloat16, whichever takes less time a step on this machine.

Processors without bfloat16 instructions emulate it, many times slower than float32.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from restoration.execution import Execution, ResolvedExecution
from restoration.networks import build_generator
from restoration.training.restoration_gan import to_device
from restoration.training.training_settings import TrainingSettings

_PATCHES = 4
_STEPS = 3


def resolve_for_training(execution: Execution, settings: TrainingSettings) -> ResolvedExecution:
    """Resolves the execution settings; with the precision ``auto`` the faster one is measured, in some seconds.

    Raises:
        DeviceError: the device is not available, or a name is unknown.
    """
    if execution.precision != "auto":
        return execution.resolved()
    candidates = [replace(execution, precision=precision).resolved() for precision in ("fp32", "bf16")]
    return min(candidates, key=lambda how: seconds_per_step(how, settings))


def seconds_per_step(how: ResolvedExecution, settings: TrainingSettings) -> float:
    """The time of a forward and backward pass of a few patches, the fastest of some."""
    numbers = {"widths": settings.widths, "blocks": settings.blocks}
    network = to_device(build_generator("residual-unet", numbers), how.device)
    patches = torch.rand(_PATCHES, 3, settings.patch_px, settings.patch_px, device=how.device)
    taken = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        with torch.autocast(how.device.type, dtype=how.autocast, enabled=how.autocast is not None):
            loss = network(patches).square().mean()
        loss.backward()
        if how.device.type == "cuda":
            torch.cuda.synchronize(how.device)
        taken.append(time.perf_counter() - began)
    return min(taken)
