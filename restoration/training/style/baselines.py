"""Classical colour-transfer baselines for styles. Pictures are float32 (H, W, 3), encoded RGB in [0, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab
from skimage.exposure import match_histograms

Array = NDArray[np.float32]
Baseline = Callable[[int, Array], Array]
"""Called with the index of a picture and the picture."""


def colour_transfer_baselines(references: Sequence[Array]) -> dict[str, Baseline]:
    """Returns Reinhard's colour transfer (2001) to the mean reference, and histogram matching to one reference."""
    labs = [rgb2lab(reference).reshape(-1, 3) for reference in references]
    target_mean = np.mean([lab.mean(axis=0) for lab in labs], axis=0)
    target_spread = np.mean([lab.std(axis=0) for lab in labs], axis=0)

    def reinhard(_index: int, picture: Array) -> Array:
        lab = rgb2lab(picture)
        mean, spread = lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # out-of-gamut colours are clipped on purpose
            return _clipped(lab2rgb((lab - mean) / np.maximum(spread, 1e-3) * target_spread + target_mean))

    def histograms(index: int, picture: Array) -> Array:
        return _clipped(match_histograms(picture, references[index % len(references)], channel_axis=-1))

    return {"Reinhard in Lab": reinhard, "histogram matching": histograms}


def _clipped(picture: NDArray[np.floating]) -> Array:
    return np.asarray(np.clip(picture, 0, 1), dtype=np.float32)
