"""Counts filled-in pixels on a GPU, with torch: exactly those of :mod:`restoration.quality.change_detection`.

The lumas arrive in strips of rows, so no picture is read again. Only the rows that the next windows need are kept. All
operations are those of the processor, in single precision and each rounded by itself, so the results are equal.
"""

from __future__ import annotations

from collections import deque
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restoration.image import ImageInfo
from restoration.quality.block_metrics import CHANGED_BY
from restoration.quality.change_detection import (
    BLOCK_PX,
    DEVIATION_QUANTILE,
    FILLED_HALO,
    LEAST_CHANGE,
    LIMIT_IN_SIGMAS,
    MIN_NEIGHBOURS,
    QUANTILE_IN_SIGMAS,
    FilledPlaces,
    coarsest_reduction,
)
from restoration.quality.change_windows import ChangeWindow, change_windows
from restoration.quality.mirroring import mirrored


class FilledPixelCounter:
    """Counts the filled-in pixels and places of a picture from strips of its luma before and after."""

    def __init__(self, info: ImageInfo) -> None:
        """Prepares the count for pictures of the size of ``info``."""
        self._height, self._width = info.height, info.width
        self._coarsest = coarsest_reduction(info)
        self._halo = FILLED_HALO * self._coarsest
        self._places = FilledPlaces(info)
        self._windows = deque(change_windows(info.width, info.height, BLOCK_PX * self._coarsest))
        self._strips: deque[Tensor] = deque()
        self._top = self._bottom = 0  # the first row of the strips, and the end of their rows

    def add(self, lumas: Tensor) -> None:
        """Adds the next rows, (2, rows, width) float32: the luma before and after."""
        self._strips.append(lumas)
        self._bottom += lumas.shape[1]
        while self._windows and self._rows(self._windows[0])[1] <= self._bottom:
            self._count(self._windows.popleft())
        first = self._rows(self._windows[0])[0] if self._windows else self._height
        while self._strips and self._top + self._strips[0].shape[1] <= first:
            self._top += self._strips.popleft().shape[1]

    def count(self) -> tuple[int, int]:
        """The number of pixels and of separate places, after all rows were added."""
        return self._places.pixels, self._places.count()

    def _rows(self, window: ChangeWindow) -> tuple[int, int]:
        """The first row that a window needs, and the end of its rows."""
        return max(window.y - self._halo, 0), min(window.y + window.filled_height + self._halo, self._height)

    def _count(self, window: ChangeWindow) -> None:
        rows = _mirrored(window.y - self._halo, window.filled_height + 2 * self._halo, self._height) - self._top
        columns = _mirrored(window.x - self._halo, window.filled_width + 2 * self._halo, self._width)
        down, across = (torch.from_numpy(each).to(self._strips[0].device) for each in (rows, columns))
        before, after = torch.cat([strip.index_select(2, across) for strip in self._strips], 1).index_select(1, down)
        is_changed = (_without_halo(after, self._halo) - _without_halo(before, self._halo)).abs() > CHANGED_BY
        is_changed[window.height :] = False
        is_changed[:, window.width :] = False
        is_filled = _filled_in(before, after, self._coarsest) & is_changed
        cells = _cells(is_filled, BLOCK_PX).any(dim=3).any(dim=1)
        self._places.add_cells(window, cells.cpu().numpy(), int(is_filled.sum()))


def _mirrored(first: int, size: int, end: int) -> NDArray[np.intp]:
    """The positions of ``size`` px from ``first`` on an axis of ``end`` px; those beyond it mirror the ones inside."""
    top, bottom = max(first, 0), min(first + size, end)
    return mirrored(np.arange(first, first + size) - top, bottom - top) + top


def _filled_in(before: Tensor, after: Tensor, coarsest: int) -> Tensor:
    """Where small features were removed, of luma with the halo that the coarsest reduction's median needs."""
    halo = FILLED_HALO * coarsest
    found = _removed_features(*(_without_halo(each, halo - FILLED_HALO) for each in (before, after)))
    reduction = 1
    while reduction < coarsest:
        reduction *= 2
        before, after = _halved(before), _halved(after)
        reduced = _removed_features(*(_without_halo(each, halo // reduction - FILLED_HALO) for each in (before, after)))
        found |= reduced.repeat_interleave(reduction, 0).repeat_interleave(reduction, 1)
    return found


def _removed_features(before: Tensor, after: Tensor) -> Tensor:
    """The mask of removed small features, (h, w) of (h + 6, w + 6)."""
    stood_out, stands_out = _subtract_median(before), _subtract_median(after)
    taken = (stood_out - stands_out).abs()
    was, remains, own = (_without_halo(each, 1) for each in (stood_out, stands_out, taken))
    moved = _without_halo(after - before, FILLED_HALO)
    limits = _limits(own)
    is_filled = (own > limits) & (remains.abs() < was.abs() * 0.5) & (moved * was < 0)
    rows, columns = own.shape
    together = torch.zeros(own.shape, dtype=torch.int8, device=own.device)
    for down, across in product(range(3), repeat=2):
        together += taken[down : down + rows, across : across + columns] > limits
    return is_filled & (together >= MIN_NEIGHBOURS)


def _limits(sizes: Tensor) -> Tensor:
    """For each pixel the limit above which a size counts as filled in, from the deviation in its block."""
    cells = _cells(sizes, BLOCK_PX)
    blocks = cells.transpose(1, 2).flatten(2)
    place = round(DEVIATION_QUANTILE * BLOCK_PX**2)
    # Division by a number would be a multiplication by its reciprocal on a GPU, which rounds differently.
    spreads = blocks.kthvalue(place + 1, dim=2).values / torch.full((), QUANTILE_IN_SIGMAS, device=sizes.device)
    limits = (spreads * LIMIT_IN_SIGMAS).clamp_min(LEAST_CHANGE)
    return limits[:, None, :, None].expand(cells.shape).reshape(sizes.shape)


def _subtract_median(luma: Tensor) -> Tensor:
    """Luma less its separable median over 5x5 px, (h, w) of (h + 4, w + 4)."""
    rows, columns = luma.shape[0] - 4, luma.shape[1] - 4
    down = _median_of_five([luma[k : k + rows] for k in range(5)])
    across = _median_of_five([down[:, k : k + columns] for k in range(5)])
    return _without_halo(luma, 2) - across


def _median_of_five(planes: list[Tensor]) -> Tensor:
    """The median of five planes, value by value."""
    first, second, middle, third, fourth = planes
    # The least and the largest of four values can't be the median; it is the median of the three others.
    low = torch.maximum(torch.minimum(first, second), torch.minimum(third, fourth))
    high = torch.minimum(torch.maximum(first, second), torch.maximum(third, fourth))
    return torch.maximum(torch.minimum(low, high), torch.minimum(torch.maximum(low, high), middle))


def _halved(luma: Tensor) -> Tensor:
    """The means of two by two pixels."""
    rows = luma[0::2] + luma[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * 0.25


def _cells(values: Tensor, side: int) -> Tensor:
    """(h, w) as (h / side, side, w / side, side)."""
    return values.reshape(values.shape[0] // side, side, values.shape[1] // side, side)


def _without_halo(values: Tensor, halo: int) -> Tensor:
    return values[halo : values.shape[0] - halo, halo : values.shape[1] - halo]
