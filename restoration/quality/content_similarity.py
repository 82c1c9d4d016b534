"""Content similarity: SSIM that ignores tone and grain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import isotonic_regression
from skimage.metrics import structural_similarity

from restoration.image import Area, Source
from restoration.quality.block_metrics import SSIM_RADIUS, luma_of

SMOOTH_SIGMA, SMOOTH_RADIUS = 2.0, 8
"""The Gaussian that removes grain, and where it ends, in px."""
TONES = 1024
"""The number of tones of the curve."""

_HALO = SMOOTH_RADIUS + SSIM_RADIUS
_BAND_PIXELS = 1 << 21

_Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Band:
    """A band of the area with a halo: its first row, the end of its rows, and the slice of them without the halo."""

    first: int
    end: int
    own: slice

    def read(self, picture: Source, area: Area) -> NDArray[np.float32]:
        """The values of a picture in the band, (C, h, w)."""
        values: NDArray[np.float32] = picture.read(area.x, area.y + self.first, area.width, self.end - self.first)[0]
        return values


def content_ssim(made: Source, source: Source, area: Area) -> float | None:
    """The SSIM of two pictures' luma within ``area``; 1 if a style changed only tone and grain.

    Both are smoothed by a Gaussian of sigma 2, which removes grain, and ``made`` is mapped by the monotone tone curve
    that fits it best to ``source`` (isotonic regression on 1024 tones). The rest equals scikit-image's
    ``structural_similarity`` with Gaussian weights, sigma 1.5, computed in bands. None if the area is smaller than 11
    px.

    Raises:
        ImageError: a picture can't be read.
    """
    if min(area.width, area.height) <= 2 * SSIM_RADIUS:
        return None
    counts, sums = np.zeros(TONES), np.zeros(TONES)
    for band in bands(area):
        one, other = (_smoothed(band.read(picture, area))[band.own] for picture in (made, source))
        tones = np.rint(one * (TONES - 1)).astype(np.intp).ravel()
        counts += np.bincount(tones, minlength=TONES)
        sums += np.bincount(tones, weights=other.ravel(), minlength=TONES)
    curve, places, total = fit_curve(counts, sums), np.linspace(0, 1, TONES), 0.0
    for band in bands(area):
        one, other = (_smoothed(band.read(picture, area)) for picture in (made, source))
        _, similar = structural_similarity(
            np.interp(one, places, curve),
            other,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        total += float(similar[band.own, SSIM_RADIUS:-SSIM_RADIUS].sum())
    return total / count_pixels(area)


def count_pixels(area: Area) -> int:
    """The number of pixels whose SSIM window lies in the area."""
    return (area.width - 2 * SSIM_RADIUS) * (area.height - 2 * SSIM_RADIUS)


def fit_curve(counts: _Values, sums: _Values) -> _Values:
    """The tone curve at evenly spaced tones, (1024,), made monotone: where there are pixels, the mean of ``source``.

    ``counts`` holds the number of pixels of ``made`` with each tone, ``sums`` the sum of ``source`` there.
    """
    there = counts > 0
    rising = isotonic_regression(sums[there] / counts[there], weights=counts[there])
    places = np.linspace(0, 1, TONES)
    return np.asarray(np.interp(places, places[there], rising.x))


def bands(area: Area) -> Iterator[Band]:
    """Yields bands from top to bottom; a row belongs to a band if the SSIM window of its pixels is in the area."""
    rows = max(_HALO, _BAND_PIXELS // area.width)
    for top in range(SSIM_RADIUS, area.height - SSIM_RADIUS, rows):
        bottom = min(top + rows, area.height - SSIM_RADIUS)
        first = max(0, top - _HALO)
        yield Band(first=first, end=min(area.height, bottom + _HALO), own=slice(top - first, bottom - first))


def _smoothed(values: NDArray[np.float32]) -> _Values:
    """The smoothed luma of (C, h, w), (h, w)."""
    smoothed: _Values = gaussian_filter(luma_of(values.astype(np.float64)), SMOOTH_SIGMA, radius=SMOOTH_RADIUS)
    return smoothed
