"""Positions beyond the ends of an axis, mirrored into it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mirrored(positions: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Positions on an axis of ``size`` px; those beyond its ends are mirrored at them, the edges repeated."""
    folded = positions % (2 * size)
    inside: NDArray[np.intp] = np.where(folded < size, folded, 2 * size - 1 - folded)
    return inside
