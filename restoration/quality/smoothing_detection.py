"""Smoothing detection: the blocks of a picture that lost more detail than its own grain accounts for.

The grain is estimated in the picture's flattest blocks of similar lightness. A texture that a model mistook for grain,
such as gravel, grass or cloth, loses more than that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restoration.image import Area, Source
from restoration.quality.block_metrics import GaussianFilter, PictureBlock
from restoration.quality.block_reading import BLOCK_COLUMNS, HALO, Block, Values, Window, map_windows

CELL_PX = 16
"""The side of a cell in px. A block is two by two cells, so blocks are 16 px apart."""

Cells = NDArray[np.float32]
"""(3, rows, columns): for each cell the mean of the luma's high-pass, of its square, and of the luma."""

_FEWEST_BLOCKS = 20  # in a quarter of lightness with its own grain level
_PERCENTILE = 5
_GRAIN_FACTOR, _LEAST_LOSS = 2.0, 1 / 255


def _means(cells: int) -> Values:
    """The matrix that averages the rows of each cell, (cells, 16 * cells)."""
    matrix: Values = np.repeat(np.eye(cells, dtype=np.float32), CELL_PX, axis=1) / np.float32(CELL_PX)
    return matrix


_CELL_ROWS = 4  # at a time, few enough for OpenBLAS to compute them on the calling thread
_MEAN_OF_ROWS = _means(_CELL_ROWS)
_MEAN_OF_COLUMNS = np.ascontiguousarray(_means(BLOCK_COLUMNS // CELL_PX).T)


def empty_cells(width: int, height: int) -> Cells:
    """Cells without values for an area of this size in px."""
    return np.zeros((3, height // CELL_PX, width // CELL_PX), np.float32)


def measure_cells(own: PictureBlock, smooth: Values, block: Block) -> Cells:
    """Measures the cells that lie entirely in the area, from a block and its smoothed luma (128, 512).

    The high-pass is the luma less its Gaussian of sigma 1.5 px.
    """
    core = own.luma.reshape(-1, smooth.shape[1] + 2 * HALO)[HALO:-HALO, HALO:-HALO]
    high = core - smooth
    rows, columns = block.rows // CELL_PX, block.columns // CELL_PX
    cells = np.stack([_cell_means(plane) for plane in (high, high * high, core)])
    cells[2] += np.float32(own.luma_origin)
    return cells[:, :rows, :columns]


def _cell_means(plane: Values) -> Values:
    """The means of the cells of a block's plane (128, 512)."""
    rows: Values = _MEAN_OF_ROWS @ plane.reshape(-1, _CELL_ROWS * CELL_PX, BLOCK_COLUMNS)
    means: Values = rows.reshape(-1, BLOCK_COLUMNS) @ _MEAN_OF_COLUMNS
    return means


def place_cells(whole: Cells, part: Cells, block: Block) -> None:
    """Copies the cells of a block, from :func:`measure_cells`, to their place in the area's cells."""
    top, left = block.y // CELL_PX, block.x // CELL_PX
    whole[:, top : top + part.shape[1], left : left + part.shape[2]] = part


def smoothed_share(source: Cells, derivative: Cells) -> float | None:
    """The share of :func:`smoothed_blocks`, or None if the area is smaller than a block."""
    smoothed = smoothed_blocks(source, derivative)
    return float(np.mean(smoothed)) if smoothed.size else None


def smoothed_blocks(source: Cells, derivative: Cells) -> NDArray[np.bool_]:
    """Whether each block of 32 x 32 px, every 16 px, lost detail beyond the source's grain, (rows, columns) of the
    blocks.

    A block is smoothed if ``sqrt(max(0, before² - after²)) > 2 * grain + 1/255``, with the deviations of the high-pass
    before and after. The grain is the 5th percentile of the deviations before, over all blocks of the same quarter of
    lightness, or over all blocks if that quarter has fewer than 20.
    """
    before, lightness = _deviations(source), _of_blocks(source[2])
    after = _deviations(derivative)
    if not before.size:
        return np.zeros(before.shape, np.bool_)
    grain = np.full(before.shape, np.percentile(before, _PERCENTILE))
    quarter = np.clip(np.ceil(lightness * 4) - 1, 0, 3)
    for number in range(4):
        chosen = quarter == number
        if np.count_nonzero(chosen) >= _FEWEST_BLOCKS:
            grain[chosen] = np.percentile(before[chosen], _PERCENTILE)
    lost = np.sqrt(np.maximum(before**2 - after**2, 0))
    smoothed: NDArray[np.bool_] = lost > _GRAIN_FACTOR * grain + _LEAST_LOSS
    return smoothed


def find_smoothed_blocks(source: Source, derivative: Source) -> NDArray[np.bool_]:
    """The :func:`smoothed_blocks` of two whole pictures of one size, read in windows.

    Raises:
        ImageError: a picture can't be read.
    """
    info = source.info
    pictures = [empty_cells(info.width, info.height) for _ in range(2)]

    def measure(window: Window) -> list[tuple[Block, list[Cells]]]:
        found, smoothed = [], GaussianFilter(np.float32)
        for block in window.blocks():
            blocks = [PictureBlock.of(window.of_block(image, block)) for image in range(2)]
            found.append((block, [measure_cells(own, smoothed(own.luma), block) for own in blocks]))
        return found

    whole = Area(x=0, y=0, width=info.width, height=info.height)
    for found in map_windows([source, derivative], [], area=whole, work=measure, threads=1):
        for block, cells in found:
            for picture, own in zip(pictures, cells, strict=True):
                place_cells(picture, own, block)
    return smoothed_blocks(*pictures)


def _deviations(cells: Cells) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(_of_blocks(cells[1]) - _of_blocks(cells[0]) ** 2, 0))


def _of_blocks(cells: Cells) -> NDArray[np.float64]:
    """The means of two by two cells, (rows - 1, columns - 1)."""
    rows = cells[:-1].astype(np.float64) + cells[1:]
    means: NDArray[np.float64] = (rows[:, :-1] + rows[:, 1:]) / 4
    return means
