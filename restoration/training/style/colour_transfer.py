"""Classical colour transfer to measure a style beside. Pictures are float32 (H, W, 3), encoded RGB in [0, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab
from skimage.exposure import match_histograms

Array = NDArray[np.float32]
Baseline = Callable[[int, Array], Array]
"""Called with a picture's number and the picture."""


def colour_transfer_baselines(references: Sequence[Array]) -> dict[str, Baseline]:
    """Reinhard's transfer (2001), in Lab, to the mean of all references, and the histograms of one after the other."""
    labs = [rgb2lab(reference).reshape(-1, 3) for reference in references]
    aim_mean = np.mean([lab.mean(axis=0) for lab in labs], axis=0)
    aim_spread = np.mean([lab.std(axis=0) for lab in labs], axis=0)

    def reinhard(_number: int, picture: Array) -> Array:
        lab = rgb2lab(picture)
        mean, spread = lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # colours that RGB doesn't have are clipped, as they must be
            return _within(lab2rgb((lab - mean) / np.maximum(spread, 1e-3) * aim_spread + aim_mean))

    def histograms(number: int, picture: Array) -> Array:
        return _within(match_histograms(picture, references[number % len(references)], channel_axis=-1))

    return {"Reinhard in Lab": reinhard, "histogram matching": histograms}


def _within(picture: NDArray[np.floating]) -> Array:
    return np.asarray(np.clip(picture, 0, 1), dtype=np.float32)
