"""Sums over several pictures, from which scores are computed.

The sums are integers, so they don't depend on the order in which they are added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from restoration.image import Area, Source
from restoration.quality.block_metrics import luma_of, opponent_colours
from restoration.quality.block_reading import Values
from restoration.quality.noise_estimate import empty_histogram, estimate_sigma
from restoration.quality.smoothing_detection import empty_cells, smoothed_share

FEATURES = ("luma", "red_green", "yellow_blue")
"""What moments are computed of; of a grey picture only of the first."""

SumKey = tuple[str, ...]
"""The name of a sum, then the names of its pictures; see :meth:`MetricSums.of`."""

_UNITS_IN_ONE = 1 << 100  # fine enough to lose no significant bits


class MetricSums:
    """Sums over an area of several pictures, the noise of the whole pictures, and what was filled in.

    Attributes:
        area: the area.
        origins: by picture, the features of one of its pixels. Variances are computed about them, so that a uniform
            picture's variance is exactly 0.
        details: by picture, the histograms of the wavelet details of the whole picture, (C, bins).
        cells: by picture, see :data:`restoration.quality.smoothing_detection.Cells`.
        filled: the numbers of filled-in pixels and places, see
            :func:`restoration.quality.change_detection.count_filled`.
    """

    def __init__(self, described: Mapping[str, Source], *, area: Area) -> None:
        """Prepares empty sums for the pictures that get all scores, by name."""
        self.area = area
        pixel = (area.x, area.y, 1, 1)
        self.origins = {name: features(image.read(*pixel)[0, :, 0, 0]) for name, image in described.items()}
        self.details = {name: empty_histogram(image.info.colour_channels) for name, image in described.items()}
        self.cells = {name: empty_cells(area.width, area.height) for name in described}
        self.filled = (0, 0)
        self._sums: Counter[SumKey] = Counter()

    def add(self, sums: Mapping[SumKey, int]) -> None:
        """Adds sums, in the units of :func:`in_units`."""
        self._sums.update(sums)

    def of(self, *key: str) -> float:
        """Returns a sum over the pixels of the area, and over the channels where it is computed by channel.

        The first key is ``error``, ``similarity`` (SSIM, inner pixels only) or ``changed`` (pixels), then two pictures;
        or ``edges_0``, ``lost_0``, ``edges_1``, ``lost_1`` (see
        :func:`restoration.quality.block_metrics.edge_sums`), then one; or one of :data:`FEATURES`, or this with
        ``_squared``, then one: the sum of the differences from the origin, or of their squares.
        """
        return self._sums[key] / _UNITS_IN_ONE

    def moments(self, feature: str, name: str) -> tuple[float, float]:
        """Mean and variance of one of a picture's :data:`FEATURES`."""
        pixels = self.area.width * self.area.height
        mean = self.of(feature, name) / pixels
        return mean + self.origins[name][feature], max(0.0, self.of(f"{feature}_squared", name) / pixels - mean**2)

    def smoothed_share(self, source: str, derivative: str) -> float | None:
        """See :func:`restoration.quality.smoothing_detection.smoothed_share`."""
        return smoothed_share(self.cells[source], self.cells[derivative])

    def noise(self, name: str) -> float | None:
        """The noise estimate of the whole picture, or None if it has no details."""
        return estimate_sigma(self.details[name])


def in_units(value: float) -> int:
    """A sum in units of 2**-100."""
    return int(value * _UNITS_IN_ONE)


def features(colours: Values) -> dict[str, float]:
    """The :data:`FEATURES` of one pixel, (C,)."""
    exact = colours.astype(np.float64)
    found = [luma_of(exact), *(opponent_colours(exact) if exact.size == 3 else ())]
    return dict(zip(FEATURES, map(float, found), strict=False))
