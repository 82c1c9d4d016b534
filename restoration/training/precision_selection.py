"""Selects the precision of a training: float32 or bfloat16, whichever is faster on this machine.

Processors without bfloat16 instructions emulate it, many times slower than float32.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from restoration.execution import Execution, ResolvedExecution, autocast
from restoration.networks import build_generator
from restoration.training.restoration_gan import to_device
from restoration.training.training_settings import TrainingSettings

_PATCHES = 4
_STEPS = 3


def keep_precision(execution: Execution, loop_state: Mapping[str, Any]) -> Execution:
    """Replaces precision ``auto`` by that of the training so far, which a resumed one continues.

    A training in bfloat16 keeps ``auto`` on a device without instructions for it.
    """
    kept = loop_state.get("precision")
    if execution.precision != "auto" or kept is None or (kept == "bf16" and execution.resolved().precision != "bf16"):
        return execution
    return replace(execution, precision=kept)


def resolve_for_training(execution: Execution, settings: TrainingSettings) -> ResolvedExecution:
    """Resolves the execution settings; with precision ``auto``, measures for a few seconds which one is faster.

    Raises:
        DeviceError: the device is not available, or a name is unknown.
    """
    if execution.precision != "auto":
        return execution.resolved()
    candidates = [replace(execution, precision=precision).resolved() for precision in ("fp32", "bf16")]
    return min(candidates, key=lambda resolved_execution: seconds_per_step(resolved_execution, settings))


def seconds_per_step(resolved_execution: ResolvedExecution, settings: TrainingSettings) -> float:
    """Time of a forward and backward pass of four patches, s; the shortest of three."""
    numbers = {"widths": settings.widths, "blocks": settings.blocks}
    network = to_device(build_generator("residual-unet", numbers), resolved_execution.device)
    patches = torch.rand(_PATCHES, 3, settings.patch_px, settings.patch_px, device=resolved_execution.device)
    times = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        with autocast(resolved_execution.device, resolved_execution.autocast):
            loss = network(patches).square().mean()
        loss.backward()
        if resolved_execution.device.type == "cuda":
            torch.cuda.synchronize(resolved_execution.device)
        times.append(time.perf_counter() - started)
    return min(times)
