"""Content similarity: SSIM that ignores tone and grain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import isotonic_regression
from skimage.metrics import structural_similarity

from restoration.image import Area, Source
from restoration.quality.block_metrics import SSIM_RADIUS, luma_of

_SIGMA, _CUT_AT = 2.0, 4.0  # of the Gaussian, and its truncation in sigmas
_HALO = int(_SIGMA * _CUT_AT) + SSIM_RADIUS
_TONES = 1024
_BAND_PIXELS = 1 << 21

_Values = NDArray[np.float64]


class _Band(NamedTuple):
    """A band of rows of both pictures' smoothed luma with a halo, and the rows that belong to the band."""

    made: _Values
    source: _Values
    own: slice


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
    curve = _curve(made, source, area)
    places = np.linspace(0, 1, _TONES)
    total = 0.0
    for band in _bands(made, source, area):
        _, similar = structural_similarity(
            np.interp(band.made, places, curve),
            band.source,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        total += float(similar[band.own, SSIM_RADIUS:-SSIM_RADIUS].sum())
    return total / ((area.width - 2 * SSIM_RADIUS) * (area.height - 2 * SSIM_RADIUS))


def _curve(made: Source, source: Source, area: Area) -> _Values:
    """The tone curve at evenly spaced tones of ``made``: the mean of ``source`` there, made monotone, (tones,)."""
    counts, sums = np.zeros(_TONES), np.zeros(_TONES)
    for band in _bands(made, source, area):
        tones = np.rint(band.made[band.own] * (_TONES - 1)).astype(np.intp).ravel()
        counts += np.bincount(tones, minlength=_TONES)
        sums += np.bincount(tones, weights=band.source[band.own].ravel(), minlength=_TONES)
    there = counts > 0
    rising = isotonic_regression(sums[there] / counts[there], weights=counts[there])
    places = np.linspace(0, 1, _TONES)
    return np.asarray(np.interp(places, places[there], rising.x))


def _bands(made: Source, source: Source, area: Area) -> Iterator[_Band]:
    """Yields bands from top to bottom; a row belongs to a band if the SSIM window of its pixels is in the area."""
    rows = max(_HALO, _BAND_PIXELS // area.width)
    for top in range(SSIM_RADIUS, area.height - SSIM_RADIUS, rows):
        bottom = min(top + rows, area.height - SSIM_RADIUS)
        first, last = max(0, top - _HALO), min(area.height, bottom + _HALO)
        smooth = [
            gaussian_filter(
                luma_of(picture.read(area.x, area.y + first, area.width, last - first)[0].astype(np.float64)),
                _SIGMA,
                truncate=_CUT_AT,
            )
            for picture in (made, source)
        ]
        yield _Band(made=smooth[0], source=smooth[1], own=slice(top - first, bottom - first))
