"""The windows in which changes of two pictures are detected, and their luma with a mirrored halo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restoration.image import Area, Source
from restoration.quality.block_metrics import luma_of
from restoration.quality.block_reading import read_strips
from restoration.quality.mirroring import mirrored

Luma = NDArray[np.float32]
Mask = NDArray[np.bool_]

_WINDOW_ROWS, _WINDOW_COLUMNS = 1024, 4096


@dataclass(frozen=True, kw_only=True)
class ChangeWindow:
    """A window of a picture, in pixels, and its size extended to whole blocks of the coarsest reduction."""

    x: int
    y: int
    width: int
    height: int
    filled_width: int
    filled_height: int

    def read_luma(self, picture: Source, halo: int, luma: Luma) -> None:
        """Reads the luma of the extended window with ``halo`` pixels around it; beyond the picture it is mirrored."""
        x, y = self.x - halo, self.y - halo
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + luma.shape[1], picture.info.width), min(y + luma.shape[0], picture.info.height)
        inside = luma[top - y : bottom - y, left - x : right - x]
        area = Area(x=left, y=top, width=right - left, height=bottom - top)
        for rows, columns, values in read_strips(picture, area):
            inside[rows, columns] = luma_of(values)
        rows, columns = slice(top - y, bottom - y), slice(left - x, right - x)
        _mirror(luma[rows].T, columns)
        _mirror(luma, rows)

    def clear_outside(self, mask: Mask) -> None:
        """Clears the parts of a mask (filled_height, filled_width) beyond the picture."""
        mask[self.height :] = False
        mask[:, self.width :] = False

    def reduced(self, factor: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The slices of the map that the window covers, and those of the window's own reduced values."""
        rows, columns = -(-self.height // factor), -(-self.width // factor)
        top, left = self.y // factor, self.x // factor
        return (slice(top, top + rows), slice(left, left + columns)), (slice(rows), slice(columns))


def _mirror(luma: Luma, inside: slice) -> None:
    """Fills the rows before and after ``inside`` with mirror images of those inside, edges repeated."""
    size = inside.stop - inside.start
    rows = mirrored(np.arange(-inside.start, len(luma) - inside.start), size) + inside.start
    for beyond in (slice(inside.start), slice(inside.stop, None)):
        luma[beyond] = luma[rows[beyond]]


def change_windows(width: int, height: int, step: int) -> Iterator[ChangeWindow]:
    """Windows that cover the picture, extended to multiples of ``step``."""
    rows, columns = max(_WINDOW_ROWS, step), max(_WINDOW_COLUMNS, step)
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            own_width, own_height = min(columns, width - x), min(rows, height - y)
            yield ChangeWindow(
                x=x,
                y=y,
                width=own_width,
                height=own_height,
                filled_width=-(-own_width // step) * step,
                filled_height=-(-own_height // step) * step,
            )
