"""Real grain: patches of pure grain from the flat places of scanned prints, and grain fields with their spectrum.

Simulated grain has a Gaussian autocorrelation. Real grain went through an enlarger, a scanner, resampling and JPEG
compression, and its spectrum shows all of that. A field of any size with a patch's spectrum is white noise convolved
with the patch (spot noise; B. Galerne, Y. Gousseau and J.-M. Morel, "Random Phase Textures: Theory and Synthesis", IEEE
TIP 20(1), 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Array = NDArray[np.float32]

PATCH_PX = 48
_BACKGROUND_PX = 6.0  # sigma of the Gaussian that estimates the picture's content in a flat place
_FLATTEST_SHARE = 0.04
_MOST_PATCHES = 6
_LEAST_LEVEL, _MOST_LEVEL = 1.2 / 255, 40 / 255
_MOST_ABOVE_FLATTEST = 1.6  # times the level of the flattest places; higher levels contain detail
_LIGHTNESS = (0.06, 0.94)


def find_grain_patches(luma: Array) -> list[Array]:
    """Finds patches of pure grain in a scan, at most six, flattest first.

    A place is flat if its lightness hardly varies at the scale of the patch, compared with the scan's other places. The
    background is subtracted, the deviation normalised to 1, and the edges faded out.

    Args:
        luma: (H, W), encoded values in [0, 1].

    Returns:
        Arrays (48, 48) with mean 0; none if the scan is too small, was cleaned, or has no flat place.
    """
    rows, columns = (side // PATCH_PX for side in luma.shape)
    if rows * columns < 16:
        return []
    own = luma[: rows * PATCH_PX, : columns * PATCH_PX]
    background = ndimage.gaussian_filter(own, _BACKGROUND_PX, mode="reflect", truncate=3)
    places = _as_places(background, rows, columns)
    grain = _as_places(own - background, rows, columns)
    variation, level, lightness = places.std(axis=(1, 2)), grain.std(axis=(1, 2)), places.mean(axis=(1, 2))
    usable = (lightness > _LIGHTNESS[0]) & (lightness < _LIGHTNESS[1])
    usable &= (level > _LEAST_LEVEL) & (level < _MOST_LEVEL) & (variation < level) & _is_homogeneous(grain)
    if not usable.any():
        return []
    usable &= level < _MOST_ABOVE_FLATTEST * np.percentile(level[level > _LEAST_LEVEL / 3], 5)
    order = np.argsort(variation / np.maximum(level, 1e-6) + 1e3 * ~usable)
    count = min(_MOST_PATCHES, int(usable.sum()), max(1, round(_FLATTEST_SHARE * len(order))))
    window = np.outer(*(np.hanning(PATCH_PX + 2)[1:-1].astype(np.float32),) * 2)
    return [_normalised((grain[index] - grain[index].mean()) * window) for index in order[:count]]


def _is_homogeneous(grain: Array) -> NDArray[np.bool_]:
    """Whether each place (n, 48, 48) is uniform in position and direction, as grain is and detail is not."""
    parts = grain.reshape(-1, 4, PATCH_PX // 4, 4, PATCH_PX // 4).std(axis=(2, 4)).reshape(-1, 16)
    level = np.maximum(grain.std(axis=(1, 2)), 1e-6)
    evenness = parts.std(axis=1) / np.maximum(parts.mean(axis=1), 1e-6)
    kurtosis = (grain**4).mean(axis=(1, 2)) / level**4
    down = (np.diff(grain, axis=1) ** 2).mean(axis=(1, 2))
    across = (np.diff(grain, axis=2) ** 2).mean(axis=(1, 2))
    direction = np.abs(np.log(np.maximum(down, 1e-12) / np.maximum(across, 1e-12)))
    found: NDArray[np.bool_] = (evenness < 0.18) & (np.abs(kurtosis - 3) < 0.6) & (direction < 0.35)
    return found


def grain_field(height: int, width: int, patch: Array, rng: np.random.Generator) -> Array:
    """A field of grain with the spectrum of ``patch``: (height, width), mean 0, standard deviation 1."""
    shape = (fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True))
    noise = rng.standard_normal(shape, dtype=np.float32)
    field = fft.irfft2(fft.rfft2(noise) * fft.rfft2(patch, s=shape), s=shape)[:height, :width]
    return _normalised(field.astype(np.float32))


def _as_places(plane: Array, rows: int, columns: int) -> Array:
    places: Array = plane.reshape(rows, PATCH_PX, columns, PATCH_PX).swapaxes(1, 2).reshape(-1, PATCH_PX, PATCH_PX)
    return places


def _normalised(field: Array) -> Array:
    centred = field - field.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-6), dtype=np.float32)
