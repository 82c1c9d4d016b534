"""Content similarity on a GPU, with torch: as :mod:`restoration.quality.content_similarity`, in double precision."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restoration.device_errors import run_on_device
from restoration.device_scheduling import DeviceScheduler
from restoration.image import Area, Source
from restoration.quality.block_metrics import SSIM_RADIUS
from restoration.quality.content_similarity import (
    SMOOTH_RADIUS,
    SMOOTH_SIGMA,
    TONES,
    Band,
    bands,
    count_pixels,
    fit_curve,
)
from restoration.quality.gpu_operations import filter_symmetric, luma_of, mirror_edges, structural_similarity

_UNITS_IN_ONE = 1 << 32  # sums of integers don't depend on the order of addition

_Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def content_ssim_on_gpu(
    made: Source, source: Source, area: Area, *, device: str, scheduler: DeviceScheduler
) -> float | None:
    """As :func:`restoration.quality.content_similarity.content_ssim`.

    Args:
        made: the styled picture.
        source: the picture that it was made from.
        area: the area to compare.
        device: torch's name of the device.
        scheduler: runs the calls on the device, one band at a time.

    Raises:
        ImageError: a picture can't be read.
        DeviceError: the device failed, or its memory is full.
    """
    if min(area.width, area.height) <= 2 * SSIM_RADIUS:
        return None
    counts, sums = np.zeros(TONES), np.zeros(TONES)
    for band in bands(area):
        pair = band.read(made, area), band.read(source, area)
        found = run_on_device(scheduler, partial(_count_tones, pair, band, device))
        counts += found[0]
        sums += found[1]
    curve, total = fit_curve(counts, sums), 0.0
    for band in bands(area):
        pair = band.read(made, area), band.read(source, area)
        total += run_on_device(scheduler, partial(_sum_similarity, pair, band, device, curve))
    return total / count_pixels(area)


def _count_tones(pair: _Pair, band: Band, device: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each tone of the first picture the number of its pixels, and the sum of the second one's values there."""
    made, source = (_smoothed(values, device)[band.own].flatten() for values in pair)
    tones = (made * (TONES - 1)).round().long()
    sums = torch.zeros((2, TONES), dtype=torch.int64, device=made.device)
    sums[0].index_add_(0, tones, torch.ones_like(tones))
    sums[1].index_add_(0, tones, (source * _UNITS_IN_ONE).long())
    counts, units = sums.cpu().numpy().astype(np.float64)
    return counts, units / _UNITS_IN_ONE


def _sum_similarity(pair: _Pair, band: Band, device: str, curve: NDArray[np.float64]) -> float:
    made, source = (_smoothed(values, device) for values in pair)
    similar = structural_similarity(_interpolate(made, torch.from_numpy(curve).to(device)), source)
    return float(similar[band.own.start - SSIM_RADIUS : band.own.stop - SSIM_RADIUS].sum())


def _interpolate(values: Tensor, curve: Tensor) -> Tensor:
    """The values of a curve at evenly spaced tones, linear between them."""
    places = values.clamp(0, 1) * (TONES - 1)
    below = places.long().clamp_max(TONES - 2)
    return torch.lerp(curve[below], curve[below + 1], places - below)


def _smoothed(values: NDArray[np.float32], device: str) -> Tensor:
    """The smoothed luma of (C, h, w), (h, w) in double precision."""
    weights = np.exp(-0.5 / SMOOTH_SIGMA**2 * np.arange(-SMOOTH_RADIUS, SMOOTH_RADIUS + 1) ** 2)
    luma = luma_of(torch.from_numpy(values).to(device).double())
    return filter_symmetric(mirror_edges(luma, SMOOTH_RADIUS), (weights / weights.sum()).tolist())
