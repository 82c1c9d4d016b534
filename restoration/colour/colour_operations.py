"""Colour work on encoded values: luma and photographic toning.

Pictures are float32 arrays of shape (H, W, 3) or (H, W, 1), channel order RGB, encoded values in [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LUMA_WEIGHTS = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32)
"""Rec. 709 weights, those of ``skimage.color.rgb2gray``."""


def luma(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The luma of a picture of shape (H, W, 3), or its only channel, as (H, W)."""
    if picture.shape[-1] == 1:
        return picture[..., 0]
    return picture @ LUMA_WEIGHTS


def apply_toning(
    grey: NDArray[np.float32], *, shadows: tuple[float, float, float], highlights: tuple[float, float, float]
) -> NDArray[np.float32]:
    """A toned print of a neutral picture, as albumen, sepia, selenium or cyanotype prints show it.

    Each channel runs from black over a tinted middle to a tinted paper white: the shadow colour is strongest at a
    quarter of the scale, the highlight colour at white.

    Args:
        grey: (H, W), encoded values in [0, 1].
        shadows: added to R, G and B in the shadows, in encoded units, small (within about 0.1).
        highlights: factors on R, G and B in the highlights, in (0, 1].

    Returns:
        (H, W, 3), encoded values in [0, 1].
    """
    value = grey[..., None]
    paper = 1.0 + value * (np.asarray(highlights, dtype=np.float32) - 1.0)
    middle = 4.0 * value * (1.0 - value) * (1.0 - value)
    toned = value * paper + middle * np.asarray(shadows, dtype=np.float32)
    return np.asarray(np.clip(toned, 0.0, 1.0), dtype=np.float32)


def apply_colour_balance(
    values: NDArray[np.float32], *, temperature: float = 0.0, tint: float = 0.0, brightness: float = 0.0
) -> NDArray[np.float32]:
    """Changes the colour balance. Black stays black; only ``brightness`` changes luma.

    Args:
        values: (1, C, h, w), encoded values about [0, 1], C 1 or 3; grey has no temperature and no tint.
        temperature: from -1, bluer, to 1, yellower.
        tint: from -1, greener, to 1, more magenta.
        brightness: from -1, darker, to 1, brighter; white stays white.
    """
    if values.shape[1] == 3 and (temperature or tint):
        factors = np.array([1 + 0.15 * temperature, 1 - 0.15 * tint, 1 - 0.15 * temperature], np.float32)
        warmed = values * factors[:, None, None]
        before, after = (np.tensordot(LUMA_WEIGHTS, each[0], 1) for each in (values, warmed))
        values = warmed + (before - after)
    if brightness:
        values = np.clip(values, 0, 1) ** np.float32(2 ** (-0.8 * brightness))
    return np.asarray(values, dtype=np.float32)
