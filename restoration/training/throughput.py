"""How fast a device restores, and how near that comes to the most that it can multiply."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from restoration.execution import ResolvedExecution
from restoration.pipeline.stages import Stage

_REPEATS = 7


def measure_throughput(
    stage: Stage, how: ResolvedExecution, *, side_px: int = 2048, matrix_side: int = 8192
) -> dict[str, float]:
    """Measures a stage on one square region, warm, from and to the memory of the CPU.

    Args:
        stage: a network on the device of ``how``.
        how: the device and its precision.
        side_px: of the region.
        matrix_side: of the matrices whose product, in the same precision, is the device's ceiling.

    Returns:
        ``megapixels_per_second``, ``teraflops`` of the stage, ``matrix_teraflops`` of the product of two matrices, and
        ``share_of_matrix_ceiling``, the one by the other; all of them of this run.
    """
    region = np.random.default_rng(0).random((1, 3, side_px, side_px), dtype=np.float32)
    with FlopCounterMode(display=False) as counter:
        stage(region)
    seconds = _median_seconds(lambda: stage(region), how.device)
    of_stage = counter.get_total_flops() / seconds
    ceiling = _matrix_flops(how, matrix_side)
    return {
        "megapixels_per_second": side_px**2 / 1e6 / seconds,
        "teraflops": of_stage / 1e12,
        "matrix_teraflops": ceiling / 1e12,
        "share_of_matrix_ceiling": of_stage / ceiling,
    }


def _matrix_flops(how: ResolvedExecution, side: int) -> float:
    # torch multiplies float32 in full by itself, as networks do here where float32 was asked for.
    one = torch.randn(side, side, device=how.device, dtype=how.autocast or torch.float32)
    return 2 * side**3 / _median_seconds(lambda: one @ one, how.device)


def _median_seconds(work: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))
