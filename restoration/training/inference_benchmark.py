"""Throughput of a restoration on a device, and its share of the device's matrix throughput."""

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
    stage: Stage, execution: ResolvedExecution, *, side_px: int = 2048, matrix_side: int = 8192
) -> dict[str, float]:
    """Measures a stage on one square region after a warm-up call, including transfers from and to CPU memory.

    Args:
        stage: a network on the device of ``execution``.
        execution: device and precision.
        side_px: side of the region, px.
        matrix_side: side of the matrices whose product, in the same precision, gives the device's ceiling.

    Returns:
        ``megapixels_per_second``, ``teraflops`` of the stage, ``matrix_teraflops`` of a matrix product, and
        ``share_of_matrix_ceiling``, their ratio.
    """
    region = np.random.default_rng(0).random((1, 3, side_px, side_px), dtype=np.float32)
    with FlopCounterMode(display=False) as counter:
        stage(region)
    seconds = _median_seconds(lambda: stage(region), execution.device)
    stage_flops = counter.get_total_flops() / seconds
    ceiling = _matrix_flops(execution, matrix_side)
    return {
        "megapixels_per_second": side_px**2 / 1e6 / seconds,
        "teraflops": stage_flops / 1e12,
        "matrix_teraflops": ceiling / 1e12,
        "share_of_matrix_ceiling": stage_flops / ceiling,
    }


def _matrix_flops(execution: ResolvedExecution, side: int) -> float:
    # torch's default for float32 is full precision, as in the networks.
    matrix = torch.randn(side, side, device=execution.device, dtype=execution.autocast or torch.float32)
    return 2 * side**3 / _median_seconds(lambda: matrix @ matrix, execution.device)


def _median_seconds(call: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return float(np.median(times))
