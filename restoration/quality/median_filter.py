"""The separable median filter over 5x5 px, which removes lines up to 2 px wide.

P. M. Narendra, A separable median filter for image noise smoothing, IEEE PAMI 3(1), 1981.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEDIAN_RADIUS = 2

Values = NDArray[np.float32]


def subtract_median(luma: Values) -> Values:
    """Luma less its median, (h, w) of (h + 4, w + 4): small features, bright ones positive, dark ones negative.

    The given luma is contiguous. Both passes work on lines without gaps, which is fastest; in the second one the last
    columns of each row are of no use.
    """
    width, rows = luma.shape[1], luma.shape[0] - 2 * MEDIAN_RADIUS
    line = luma.reshape(-1)
    down = _median_of_five([line[k * width :][: rows * width] for k in range(5)])
    used = down.size - 2 * MEDIAN_RADIUS
    across = _median_of_five([down[k:][:used] for k in range(5)])
    np.subtract(line[MEDIAN_RADIUS * (width + 1) :][:used], across, out=down[:used])
    return down.reshape(rows, width)[:, : width - 2 * MEDIAN_RADIUS]


def _median_of_five(lines: list[Values]) -> Values:
    """The median of five arrays, value by value."""
    first, second, middle, third, fourth = lines
    # The least and the largest of four values can't be the median; it is the median of the three others.
    low, other = np.minimum(first, second), np.minimum(third, fourth)
    np.maximum(low, other, out=low)
    high = np.maximum(first, second, out=other)
    third = np.maximum(third, fourth)
    np.minimum(high, third, out=high)
    least = np.minimum(low, high, out=third)
    np.maximum(low, high, out=low)
    np.minimum(low, middle, out=low)
    median: Values = np.maximum(least, low, out=low)
    return median
