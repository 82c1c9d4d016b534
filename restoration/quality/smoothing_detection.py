"""Smoothing detection: the blocks of a picture that lost more detail than its own grain accounts for.

The grain is taken from the picture's flattest blocks of similar lightness. A texture that was taken for grain, such as
gravel, grass or cloth, loses more than that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restoration.quality.block_metrics import SSIM_RADIUS, gaussian_smoothed
from restoration.quality.windows import BLOCK_COLUMNS, BLOCK_ROWS, HALO, Block, Values

CELL_PX = 16
"""Cells are squares of this side; a block is two by two of them, so that blocks lie 16 px apart."""

Cells = NDArray[np.float32]
"""(3, rows, columns): of each cell the mean of the luma's high-pass, of its square, and of the luma."""

_FEWEST_BLOCKS = 20  # of a quarter of lightness that has its own grain level
_PERCENTILE = 5
_GRAIN_FACTOR, _LEAST_LOSS = 2.0, 1 / 255


def empty_cells(width: int, height: int) -> Cells:
    """Cells without values yet, for an area of this size in px."""
    return np.zeros((3, height // CELL_PX, width // CELL_PX), np.float32)


def measure_cells(lumas: list[Values], block: Block) -> list[Cells]:
    """The cells of a block, those that lie wholly in the area, of each luma plane (80, 528) with the halo around it.

    The high-pass is the luma less its Gaussian of sigma 1.5 px.
    """
    reach = (slice(HALO - SSIM_RADIUS, SSIM_RADIUS - HALO),) * 2
    smooth = gaussian_smoothed(np.stack([luma[reach] for luma in lumas]))
    rows, columns = block.rows // CELL_PX, block.columns // CELL_PX
    found = []
    for luma, low in zip(lumas, smooth, strict=True):
        core = luma[HALO : HALO + BLOCK_ROWS, HALO : HALO + BLOCK_COLUMNS]
        high = core - low.swapaxes(0, 1).reshape(BLOCK_ROWS, BLOCK_COLUMNS)
        means = [_cell_means(plane)[:rows, :columns] for plane in (high, high * high, core)]
        found.append(np.asarray(means, np.float32))
    return found


def smoothed_share(source: Cells, derivative: Cells) -> float | None:
    """The share of blocks of 32 x 32 px, every 16 px, in which detail was lost beyond the source's grain.

    A block is smoothed where ``sqrt(max(0, before² - after²)) > 2 * grain + 1/255``, of the deviations of the high-pass
    before and after. The grain is the 5th percentile of the deviations before, over all blocks of the same quarter of
    lightness, or over all blocks where that quarter has fewer than 20. None if the area is smaller than a block.
    """
    before, lightness = _deviations(source), _of_blocks(source[2])
    after = _deviations(derivative)
    if not before.size:
        return None
    grain = np.full(before.shape, np.percentile(before, _PERCENTILE))
    quarter = np.clip(np.ceil(lightness * 4) - 1, 0, 3)
    for number in range(4):
        chosen = quarter == number
        if np.count_nonzero(chosen) >= _FEWEST_BLOCKS:
            grain[chosen] = np.percentile(before[chosen], _PERCENTILE)
    lost = np.sqrt(np.maximum(before**2 - after**2, 0))
    return float(np.mean(lost > _GRAIN_FACTOR * grain + _LEAST_LOSS))


def _cell_means(plane: Values) -> Values:
    means: Values = plane.reshape(BLOCK_ROWS // CELL_PX, CELL_PX, BLOCK_COLUMNS // CELL_PX, CELL_PX).mean(axis=(1, 3))
    return means


def _deviations(cells: Cells) -> Values:
    return np.sqrt(np.maximum(_of_blocks(cells[1]) - _of_blocks(cells[0]) ** 2, 0))


def _of_blocks(cells: Cells) -> Values:
    """The means of two by two cells each, (rows - 1, columns - 1)."""
    rows = cells[:-1].astype(np.float64) + cells[1:]
    means: Values = (rows[:, :-1] + rows[:, 1:]) / 4
    return means
