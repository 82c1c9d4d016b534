"""Neutral pictures that are stored as RGB: worked on as the grey that they are, so that they can't gain a cast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from restoration.image import Samples, Source, has_unusable_profile

_BAND_ROWS = 256


def is_neutral(source: Source) -> bool:
    """Whether R, G and B are equal everywhere. A picture in colour is told by its first rows, as a rule."""
    info = source.info
    if info.colour_channels != 3:
        return False
    for y in range(0, info.height, _BAND_ROWS):
        values = source.read(0, y, info.width, min(_BAND_ROWS, info.height - y))
        if not (np.array_equal(values[:, 0], values[:, 1]) and np.array_equal(values[:, 0], values[:, 2])):
            return False
    return True


class GreyscaleSource:
    """A neutral RGB source as a grey one."""

    def __init__(self, source: Source) -> None:
        info = source.info
        self.info = replace(
            info,
            colour_channels=1,
            samples_per_pixel=1 + len(info.extra_samples),
            # A profile of grey values says nothing of RGB, and wouldn't begin to because they are equal.
            icc_profile=None if has_unusable_profile(info) else info.icc_profile,
        )
        self._source = source

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        return self._source.read(x, y, width, height)[:, :1]

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)


class RgbSource:
    """A grey source as RGB, every channel the same."""

    def __init__(self, source: Source) -> None:
        info = source.info
        self.info = replace(info, colour_channels=3, samples_per_pixel=3 + len(info.extra_samples))
        self._source = source

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        return np.repeat(self._source.read(x, y, width, height), 3, axis=1)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)
