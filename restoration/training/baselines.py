"""Classical baselines. Unlike the network, each one is given the true noise level or blur kernel.

Their other parameters were tuned on DIV2K photographs (noise 25/255; Gaussian blur with 2 % noise; motion with 1 %
noise) and are close to optimal on the McMaster pictures too.

Pictures are float32 (H, W, C), C 1 or 3, encoded values; the output has the same shape. BM3D is not included, because
the licence of its package forbids commercial use.
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

_PADDING_PX = 48  # px of padding for methods that assume a periodic picture


def denoisers(sigma: float) -> dict[str, Baseline]:
    """Returns denoisers: non-local means and total variation, given the noise level, and downsampling.

    Args:
        sigma: standard deviation of the noise, encoded units.
    """

    def non_local_means(picture: Array) -> Array:
        denoised = denoise_nl_means(
            picture, patch_size=5, patch_distance=6, h=0.6 * sigma, sigma=sigma, fast_mode=True, channel_axis=-1
        )
        return _float32(denoised).reshape(picture.shape)  # scikit-image drops a single channel

    def total_variation(picture: Array) -> Array:
        return _float32(denoise_tv_chambolle(picture, weight=0.9 * sigma, channel_axis=-1))

    def bicubic_half_size(picture: Array) -> Array:
        return rescale(picture, 0.5)

    return {
        "non-local means": non_local_means,
        "total variation": total_variation,
        "bicubic, half size and back": bicubic_half_size,
    }


def deblurrers(kernel: Array, sigma: float) -> dict[str, Baseline]:
    """Returns Wiener and Richardson-Lucy deconvolution with the true kernel, and an unsharp mask with its size.

    Args:
        kernel: (k, k), summing to 1.
        sigma: standard deviation of the noise, encoded units.
    """
    spread = float(np.sqrt(np.sum(kernel * _squared_distance(kernel.shape[0])) / 2))

    def wiener_filter(picture: Array) -> Array:
        # The regularising Laplacian grows with frequency, as the spectra of photographs fall.
        return _per_channel(picture, lambda plane: wiener(plane, kernel, balance=max(1.5 * sigma, 1e-3), clip=False))

    def richardson_lucy_deconvolution(picture: Array) -> Array:
        return _per_channel(
            np.clip(picture, 1e-4, 1), lambda plane: richardson_lucy(plane, kernel, num_iter=20, clip=False)
        )

    def unsharp_mask(picture: Array) -> Array:
        low = ndimage.gaussian_filter(picture, (spread, spread, 0), mode="reflect")
        return _float32(picture + 0.3 * (picture - low))

    return {"Wiener": wiener_filter, "Richardson-Lucy": richardson_lucy_deconvolution, "unsharp mask": unsharp_mask}


def _per_channel(picture: Array, method: Callable[[Array], NDArray[np.floating]]) -> Array:
    """Applies a method to each channel, padded with a linear ramp from its edge to its mean.

    The ramp prevents a step between opposite edges, which would cause ringing. Mirrored padding does not work, because
    it reverses the direction of motion blur.
    """
    planes = []
    for channel in range(picture.shape[-1]):
        plane = picture[..., channel]
        padded = np.pad(plane, _PADDING_PX, mode="linear_ramp", end_values=float(plane.mean()))
        planes.append(method(padded)[_PADDING_PX:-_PADDING_PX, _PADDING_PX:-_PADDING_PX])
    return _float32(np.stack(planes, axis=-1))


def _squared_distance(size: int) -> NDArray[np.float64]:
    offsets = np.arange(size) - size // 2
    return np.asarray(offsets[:, None] ** 2 + offsets[None, :] ** 2, dtype=np.float64)


def _float32(picture: NDArray[np.floating]) -> Array:
    return np.asarray(picture, dtype=np.float32)
