"""Operations on planes on a GPU, with torch, that several metrics use.

Filters are sums of shifted planes, so that the order of addition is known, and with it the result on any device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from restoration.quality.block_metrics import LUMA_WEIGHTS, SSIM_C1, SSIM_C2, gaussian_weights
from restoration.quality.mirroring import mirrored


def luma_of(values: Tensor) -> Tensor:
    """Luma of (C, h, w) as (h, w), rounded at each step as on the processor."""
    if len(values) == 1:
        return values[0]
    luma = values[0] * LUMA_WEIGHTS[0]
    for channel in (1, 2):
        luma = luma + values[channel] * LUMA_WEIGHTS[channel]
    return luma


def filter_symmetric(values: Tensor, weights: Sequence[float]) -> Tensor:
    """Filters rows and columns with 2 r + 1 symmetric weights, (..., h - 2 r, w - 2 r) of (..., h, w)."""
    radius = len(weights) // 2
    for axis in (-2, -1):
        size = values.shape[axis] - 2 * radius
        filtered = values.narrow(axis, radius, size) * weights[radius]
        for distance in range(1, radius + 1):
            before, after = (values.narrow(axis, radius + way * distance, size) for way in (-1, 1))
            filtered.add_(before + after, alpha=weights[radius + distance])
        values = filtered
    return values


def structural_similarity(one: Tensor, other: Tensor) -> Tensor:
    """SSIM as scikit-image computes it with Gaussian weights, (..., h - 10, w - 10) of values in [0, 1], (..., h, w).

    From the difference and the sum of both, as in :mod:`restoration.quality.block_metrics`.
    """
    weights = gaussian_weights().tolist()
    difference, total = one - other, one + other
    mean_difference, mean_total = (filter_symmetric(each, weights).square() for each in (difference, total))
    spread_difference = filter_symmetric(difference.square(), weights) - mean_difference
    spread_total = filter_symmetric(total.square(), weights) - mean_total
    similar = (mean_total - mean_difference + 2 * SSIM_C1) * (spread_total - spread_difference + 2 * SSIM_C2)
    similar /= (mean_total + mean_difference + 2 * SSIM_C1) * (spread_total + spread_difference + 2 * SSIM_C2)
    return similar


def mirror_edges(plane: Tensor, width: int) -> Tensor:
    """A plane (h, w) with ``width`` px around it that mirror those inside, the edges repeated."""
    for axis, size in enumerate(plane.shape):
        positions = mirrored(np.arange(-width, size + width), size)
        plane = plane.index_select(axis, torch.from_numpy(positions).to(plane.device))
    return plane
