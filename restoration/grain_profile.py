"""Grain profile: a whole picture's grain and noise by lightness and scale, the conditioning input of restorations.

A network sees a neighbourhood, in which gravel and grain look alike. The flattest places of the whole picture
distinguish them, because they contain only grain.

The level at a scale and lightness is the standard deviation of white Gaussian noise with the same deviation in that
scale's band. White noise therefore has equal levels at all scales, and coarse grain has higher ones at coarse scales.
The estimate takes low percentiles over blocks, as in S. Pyatykh, J. Hesser and L. Zheng, "Image Noise Level Estimation
by Principal Component Analysis", IEEE TIP 22(2), 2013, but of the deviation of a band instead of a patch's eigenvalues,
and a curve over lightness, as in C. Liu, W. T. Freeman, R. Szeliski and S. B. Kang, "Noise Estimation from a Single
Image", CVPR 2006.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import nnls

from restoration.colour.colour_operations import LUMA_WEIGHTS
from restoration.image import Source
from restoration.window_sampling import sample_areas

Array = NDArray[np.float32]

WINDOW_PX = 128
MOST_WINDOWS = 256

SCALES_PX = (1, 2, 4)
LIGHTNESSES = (0.125, 0.375, 0.625, 0.875)
CHROMA_SCALES_PX = (1, 2)
GRAIN_NAMES = (
    *(f"grain_{scale}px_{round(100 * lightness)}" for scale in SCALES_PX for lightness in LIGHTNESSES),
    *(f"grain_chroma_{scale}px" for scale in CHROMA_SCALES_PX),
)
"""Luma levels by scale and lightness (in hundredths), then chroma levels by scale; in units of encoded values."""

_BLOCK_PX = 16
_PERCENTILE = 5.0
_BINS = 8
_FEWEST_BLOCKS = 12  # in a bin of lightness
_UNIFORM = 0.25 / 255  # a smaller deviation means a clipped, retouched or drawn area, not grain
_MOST_UNIFORM = 0.75  # of the blocks; if a picture has more, its other blocks contain edges, not grain
_CLIPPED = 0.6 / 255
_CLIPPED_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_CLIPPED_FACTORS = (1.0, 1.019, 1.044, 1.085, 1.180, 1.300, 1.465, 1.712)
"""Correction factors for the standard deviation of Gaussian values, by the share of them that is clipped at one end."""
_WHITE_NOISE = {1: 0.8023, 2: 0.3652, 4: 0.1488}
"""The percentile of blocks' deviations in the band of each scale, of white noise with a standard deviation of 1."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Measurements of a picture's blocks of 16 x 16 px: ``lightness`` is (n,), the mean luma; ``luma`` and ``chroma``
    hold the deviations in each scale's band, (n,) each, in encoded values. ``uniform`` counts further blocks that have
    a single value.
    """

    uniform: int

    lightness: Array
    luma: Mapping[int, Array]
    chroma: Mapping[int, Array]


def measure_grain(source: Source) -> dict[str, float]:
    """Measures the grain profile of a picture: a level for each of :data:`GRAIN_NAMES`, rounded to 5 decimals.

    It reads at most :data:`MOST_WINDOWS` windows, always the same ones, so memory and time are bounded and the result
    depends neither on tiles nor on threads.

    Raises:
        ImageError: the picture can't be read.
    """
    areas = sample_areas(source.info, window_px=WINDOW_PX, most=MOST_WINDOWS)
    return grain_profile(_measure_blocks(source.read(area.x, area.y, area.width, area.height)[0]) for area in areas)


def measure_array_grain(picture: NDArray[Any]) -> dict[str, float]:
    """As :func:`measure_grain`, for an array (C, H, W), C 1 or 3, encoded values in [0, 1]."""
    height, width = picture.shape[1:]
    return grain_profile(
        _measure_blocks(picture[:, y : y + WINDOW_PX, x : x + WINDOW_PX])
        for y in range(0, height, WINDOW_PX)
        for x in range(0, width, WINDOW_PX)
    )


def mean_luma_level(profile: Mapping[str, float], scale_px: int) -> float:
    """The mean of a profile's luma levels over lightness, at one of :data:`SCALES_PX`."""
    names = [name for name in GRAIN_NAMES if name.startswith(f"grain_{scale_px}px_")]
    return sum(profile[name] for name in names) / len(names)


def encode_grain(profile: Mapping[str, float]) -> Array:
    """The profile as network conditions, (len(GRAIN_NAMES),) in [0, 1]: the square root of four times each level."""
    levels = np.asarray([profile[name] for name in GRAIN_NAMES], np.float32)
    return np.sqrt(np.minimum(4 * levels, 1))


def grain_profile(windows: Iterable[Blocks]) -> dict[str, float]:
    """Combines the measured blocks of one picture's windows into its profile."""
    measured = list(windows)
    lightness = np.concatenate([one.lightness for one in measured])
    uniform = sum(one.uniform for one in measured)
    if uniform > _MOST_UNIFORM * (uniform + lightness.size):
        return dict.fromkeys(GRAIN_NAMES, 0.0)
    levels: list[float] = []
    for scale in SCALES_PX:
        deviations = np.concatenate([one.luma[scale] for one in measured])
        curve = _fit_curve(lightness, np.asarray(deviations / _WHITE_NOISE[scale], np.float32))
        levels += [float(_basis(np.asarray(place)) @ curve) for place in LIGHTNESSES]
    for scale in CHROMA_SCALES_PX:
        deviations = np.concatenate([one.chroma[scale] for one in measured])
        enough = deviations.size >= _FEWEST_BLOCKS
        levels.append(float(np.percentile(deviations, _PERCENTILE)) / _WHITE_NOISE[scale] if enough else 0.0)
    return {name: round(level, 5) for name, level in zip(GRAIN_NAMES, levels, strict=True)}


def _measure_blocks(window: NDArray[Any]) -> Blocks:
    """Measures the blocks of a window (C, h, w), except those that are half clipped, uniform or incomplete."""
    values = window.astype(np.float32)
    height, width = (side // _BLOCK_PX * _BLOCK_PX for side in values.shape[1:])
    colour = values.shape[0] == 3
    luma = np.tensordot(LUMA_WEIGHTS, values, 1) if colour else values[0]
    planes = [luma, *((values[2] - luma, values[0] - luma) if colour else ())]
    is_clipped = ((luma <= _CLIPPED) | (luma >= 1 - _CLIPPED))[:height, :width]
    clipped = _block_means(is_clipped.astype(np.float32), _BLOCK_PX)
    bands = [
        _band_deviations(plane, height, width, CHROMA_SCALES_PX if number else SCALES_PX)
        for number, plane in enumerate(planes)
    ]
    unclipped = clipped < _CLIPPED_SHARES[-1]
    usable = unclipped & (bands[0][1] > _UNIFORM)
    factor = np.interp(clipped[usable], _CLIPPED_SHARES, _CLIPPED_FACTORS).astype(np.float32)
    nothing = np.zeros(int(usable.sum()), np.float32)
    return Blocks(
        uniform=int((unclipped & ~usable).sum()),
        lightness=_block_means(luma[:height, :width], _BLOCK_PX)[usable],
        luma={scale: bands[0][scale][usable] * factor for scale in SCALES_PX},
        chroma={
            scale: np.sqrt((bands[1][scale] ** 2 + bands[2][scale] ** 2) / 2)[usable] if colour else nothing
            for scale in CHROMA_SCALES_PX
        },
    )


def _band_deviations(plane: Array, height: int, width: int, scales: Iterable[int]) -> dict[int, Array]:
    """By scale, the standard deviation of each block in the plane, downsampled to that scale, less its Gaussian."""
    deviations = {}
    for scale in scales:
        reduced = _block_means(plane[: plane.shape[0] // scale * scale, : plane.shape[1] // scale * scale], scale)
        if min(reduced.shape) == 0:
            deviations[scale] = np.zeros((height // _BLOCK_PX, width // _BLOCK_PX), np.float32)
            continue
        band = reduced - ndimage.gaussian_filter(reduced, 1.0, mode="reflect", truncate=3)
        side = _BLOCK_PX // scale
        squares = _block_means(band[: height // scale, : width // scale] ** 2, side)
        deviations[scale] = np.sqrt(squares)
    return deviations


def _block_means(plane: Array, side: int) -> Array:
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    means: Array = plane.reshape(rows, side, columns, side).mean(axis=(1, 3))
    return means


def _fit_curve(lightness: Array, levels: Array) -> NDArray[np.float64]:
    """Fits the level's curve over lightness: coefficients of a quadratic in Bernstein form, (3,), none negative.

    Each bin of lightness contributes the low percentile of its blocks. The weight of a bin decreases with the spread of
    its low percentiles: they hardly differ where all blocks are pure grain, but differ among textures or retouched
    blocks. Bins far from the others' curve have less weight, above it (texture everywhere) even less than below it
    (retouched).
    """
    points = [
        (float(inside.mean()), float(np.percentile(own, _PERCENTILE)), float(np.percentile(own, 25)), own.size)
        for low in np.arange(_BINS) / _BINS
        if (chosen := (lightness >= low) & (lightness < low + 1 / _BINS)).sum() >= _FEWEST_BLOCKS
        for inside, own in [(lightness[chosen], levels[chosen])]
    ]
    if not points:
        return np.full(3, float(np.percentile(levels, _PERCENTILE)) if levels.size else 0.0)
    place, level, quartile, count = (np.asarray(column, np.float64) for column in zip(*points, strict=True))
    trust = np.minimum(1, count / 100) / (quartile / np.maximum(level, 1e-6) - 0.9)
    basis = _basis(place)
    smooth = np.asarray([[1, -1, 0], [0, 1, -1]], np.float64)
    weight = trust
    curve = np.zeros(3)
    for _ in range(8):
        relative = np.sqrt(weight) / np.maximum(level, 1e-4)
        tie = np.sqrt(0.1 * weight.sum()) / np.maximum(np.average(level, weights=weight), 1e-4)
        rows = np.concatenate([basis * relative[:, None], smooth * tie])
        curve = nnls(rows, np.concatenate([level * relative, np.zeros(2)]))[0]
        off = np.log(np.maximum(level, 1e-5) / np.maximum(basis @ curve, 1e-5))
        weight = trust / (1 + (off / np.where(off > 0, 0.2, 0.5)) ** 2)
    return curve


def _basis(place: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([(1 - place) ** 2, 2 * place * (1 - place), place**2], axis=-1)
