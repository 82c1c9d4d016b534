"""Classical methods to measure a network beside, each told what the network is not: the noise level or the kernel.

Their other numbers did best on DIV2K photographs, at noise 25/255 and at Gaussian blur with 2 % and motion with 1 %
noise, and are near their best on the McMaster pictures.

Pictures are float32 (H, W, C), C 1 or 3, encoded values; what comes back has the same shape. BM3D isn't among them: the
licence of its package allows no commercial use.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, richardson_lucy, wiener

from restoration.degradation.image_defects import rescale

Array = NDArray[np.float32]
Baseline = Callable[[Array], Array]

_BORDER = 48  # px laid around a picture for methods that take it for periodic


def denoisers(sigma: float) -> dict[str, Baseline]:
    """Non-local means and total variation, told the noise's standard deviation (encoded units), and plain averaging."""

    def non_local_means(picture: Array) -> Array:
        cleaned = denoise_nl_means(
            picture, patch_size=5, patch_distance=6, h=0.6 * sigma, sigma=sigma, fast_mode=True, channel_axis=-1
        )
        return _float32(cleaned).reshape(picture.shape)  # scikit-image drops a single channel

    def total_variation(picture: Array) -> Array:
        return _float32(denoise_tv_chambolle(picture, weight=0.9 * sigma, channel_axis=-1))

    def by_bicubic(picture: Array) -> Array:
        return rescale(picture, 0.5)

    return {
        "non-local means": non_local_means,
        "total variation": total_variation,
        "bicubic, half size and back": by_bicubic,
    }


def deblurrers(kernel: Array, sigma: float) -> dict[str, Baseline]:
    """Wiener and Richardson-Lucy, told the true kernel, and an unsharp mask, told its extent.

    Args:
        kernel: (k, k), summing to 1.
        sigma: the noise's standard deviation (encoded units).
    """
    spread = float(np.sqrt(np.sum(kernel * _squared_distance(kernel.shape[0])) / 2))

    def by_wiener(picture: Array) -> Array:
        # The Laplacian that weighs the noise grows with frequency as photographs' spectra fall.
        return _channelwise(picture, lambda plane: wiener(plane, kernel, balance=max(1.5 * sigma, 1e-3), clip=False))

    def by_richardson_lucy(picture: Array) -> Array:
        return _channelwise(
            np.clip(picture, 1e-4, 1), lambda plane: richardson_lucy(plane, kernel, num_iter=20, clip=False)
        )

    def by_unsharp_mask(picture: Array) -> Array:
        low = ndimage.gaussian_filter(picture, (spread, spread, 0), mode="reflect")
        return _float32(picture + 0.3 * (picture - low))

    return {"Wiener": by_wiener, "Richardson-Lucy": by_richardson_lucy, "unsharp mask": by_unsharp_mask}


def _channelwise(picture: Array, method: Callable[[Array], NDArray[np.floating]]) -> Array:
    """Applies a method to each channel inside a border that runs from its edge to its mean.

    So opposite edges meet without a step, which would ring through the picture. A mirrored border won't do: motion is
    blurred the other way in a mirror.
    """
    planes = []
    for channel in range(picture.shape[-1]):
        plane = picture[..., channel]
        padded = np.pad(plane, _BORDER, mode="linear_ramp", end_values=float(plane.mean()))
        planes.append(method(padded)[_BORDER:-_BORDER, _BORDER:-_BORDER])
    return _float32(np.stack(planes, axis=-1))


def _squared_distance(size: int) -> NDArray[np.float64]:
    offsets = np.arange(size) - size // 2
    return np.asarray(offsets[:, None] ** 2 + offsets[None, :] ** 2, dtype=np.float64)


def _float32(picture: NDArray[np.floating]) -> Array:
    return np.asarray(picture, dtype=np.float32)
