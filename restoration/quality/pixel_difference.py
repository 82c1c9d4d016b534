"""The difference of two pictures of one size, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from restoration.errors import ImageError
from restoration.image import Source

_BAND_PIXELS = 1 << 20  # pixels compared at a time


@dataclass(frozen=True, kw_only=True)
class PixelDifference:
    """The largest and the mean absolute difference of all samples, on a scale from 0 to 1."""

    largest: float
    mean: float


def pixel_difference(one: Source, other: Source) -> PixelDifference:
    """Compares two pictures, alpha and infrared samples included, in bands of rows.

    Raises:
        ImageError: they have different sizes, channels or depths, or can't be read.
    """
    info = one.info
    shapes = [
        (each.width, each.height, each.colour_channels, len(each.extra_samples), each.bits_per_sample)
        for each in (info, other.info)
    ]
    if shapes[0] != shapes[1]:
        raise ImageError(
            f"the pictures can't be compared: {shapes[0]} and {shapes[1]} (width, height, channels, extra, bits)"
        )
    largest, total = 0.0, 0.0
    rows = max(1, _BAND_PIXELS // info.width)
    for y in range(0, info.height, rows):
        window = 0, y, info.width, min(rows, info.height - y)
        colours = np.abs(one.read(*window).astype(np.float64) - other.read(*window))
        extra = np.abs(one.read_extra(*window).astype(np.float64) - other.read_extra(*window)) / info.largest_sample
        for values in (colours, extra):
            largest = max(largest, float(values.max(initial=0)))
            total += float(values.sum())
    return PixelDifference(largest=largest, mean=total / (info.width * info.height * info.samples_per_pixel))
