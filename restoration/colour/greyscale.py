"""Greyscale adapters: process neutral RGB pictures as grey, so that they can't gain a colour cast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from restoration.image import Samples, Source, has_unusable_profile

_BAND_ROWS = 256


def is_neutral(source: Source) -> bool:
    """Whether R, G and B are equal everywhere. Usually the first rows of a colour picture decide."""
    info = source.info
    if info.colour_channels != 3:
        return False
    for y in range(0, info.height, _BAND_ROWS):
        values = source.read(0, y, info.width, min(_BAND_ROWS, info.height - y))
        if not (np.array_equal(values[:, 0], values[:, 1]) and np.array_equal(values[:, 0], values[:, 2])):
            return False
    return True


class GreyscaleSource:
    """Presents a neutral RGB source as grey."""

    def __init__(self, source: Source) -> None:
        info = source.info
        self.info = replace(
            info,
            colour_channels=1,
            samples_per_pixel=1 + len(info.extra_samples),
            # A grey profile on RGB data is unusable; equal channels don't make it valid.
            icc_profile=None if has_unusable_profile(info) else info.icc_profile,
        )
        self._source = source

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        return self._source.read(x, y, width, height)[:, :1]

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)


class RgbSource:
    """Presents a grey source as RGB with equal channels."""

    def __init__(self, source: Source) -> None:
        info = source.info
        self.info = replace(info, colour_channels=3, samples_per_pixel=3 + len(info.extra_samples))
        self._source = source

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        return np.repeat(self._source.read(x, y, width, height), 3, axis=1)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)
