"""Windows and blocks: pictures are read once in windows of bounded size and cut into blocks at fixed positions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from restoration.image import Area, Source

BLOCK_ROWS, BLOCK_COLUMNS = 64, 512
HALO = 8  # px around a block, for filters

# Of 1 Mpx, some 14 MB an image: large enough for what is read twice, around the windows, to be little.
_WINDOW_ROWS, _WINDOW_COLUMNS = 4 * BLOCK_ROWS, 8 * BLOCK_COLUMNS

Values = NDArray[np.float32]
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a frame: its first row and column, its height and width, and the frame's size."""

    y: int
    x: int
    rows: int
    columns: int
    height: int
    width: int

    def within(self, *, before: int, after: int) -> tuple[slice, slice] | None:
        """Its rows and columns without the frame's first ``before`` and last ``after`` of each, or None."""
        top, bottom = max(before - self.y, 0), min(self.rows, self.height - after - self.y)
        left, right = max(before - self.x, 0), min(self.columns, self.width - after - self.x)
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


class Window:
    """The same rectangle of several pictures in memory, with up to the halo around it."""

    def __init__(self, images: Sequence[Source], references: Sequence[Source], *, own: Area, area: Area) -> None:
        """Reads it.

        Args:
            images: pictures, of one size.
            references: more of them, which are read only if the window has blocks.
            own: the rectangle that is this window's and no other's.
            area: the rectangle of the pictures that blocks are taken of.
        """
        info = images[0].info
        self.own = own
        self.whole = Area(x=0, y=0, width=info.width, height=info.height)
        self._area = area
        needed = [*images, *references] if any(self.blocks()) else images
        self._top, self._left = max(own.y - HALO, 0), max(own.x - HALO, 0)
        width = min(own.x + own.width + HALO, info.width) - self._left
        height = min(own.y + own.height + HALO, info.height) - self._top
        self._values = [image.read(self._left, self._top, width, height)[0] for image in needed]

    def blocks(self) -> Iterator[Block]:
        """The blocks of the area in this window. The blocks of all windows cover the area without overlap."""
        own, area = self.own, self._area
        bottom, right = min(own.y + own.height - area.y, area.height), min(own.x + own.width - area.x, area.width)
        for y in range(own.y - area.y, bottom, BLOCK_ROWS) if own.y >= area.y else ():
            for x in range(own.x - area.x, right, BLOCK_COLUMNS) if own.x >= area.x else ():
                yield Block(
                    y=y,
                    x=x,
                    rows=min(BLOCK_ROWS, area.height - y),
                    columns=min(BLOCK_COLUMNS, area.width - x),
                    height=area.height,
                    width=area.width,
                )

    def of_block(self, image: int, block: Block) -> Values:
        """The block's values with the halo around them, (C, 80, 528) always, whatever of it lies in the area."""
        rows = (block.y - HALO, block.y + BLOCK_ROWS + HALO)
        return self.cut(image, self._area, rows, (block.x - HALO, block.x + BLOCK_COLUMNS + HALO))

    def cut(self, image: int, frame: Area, rows: tuple[int, int], columns: tuple[int, int]) -> Values:
        """Values of a frame's rows and columns, from the first to before the last, (C, h, w).

        Beyond the frame they are its reflection, the edges repeated; what is more than the halo beyond repeats. They
        are not to be written to.
        """
        values = self._values[image]
        if rows[0] >= 0 and rows[1] <= frame.height and columns[0] >= 0 and columns[1] <= frame.width:
            top, left = frame.y - self._top, frame.x - self._left
            inside: Values = values[:, top + rows[0] : top + rows[1], left + columns[0] : left + columns[1]]
            return inside
        down = _reflected(*rows, frame.height) + (frame.y - self._top)
        across = _reflected(*columns, frame.width) + (frame.x - self._left)
        first, last = _inside(*rows, frame.height)
        left, right = _inside(*columns, frame.width)
        out = np.empty((values.shape[0], down.size, across.size), np.float32)
        # Slices are much faster than index lists, which are used only beyond the frame.
        out[:, first:last, left:right] = values[
            :, down[first] : down[last - 1] + 1, across[left] : across[right - 1] + 1
        ]
        for beyond in (slice(0, first), slice(last, None)):
            out[:, beyond] = values[:, down[beyond, np.newaxis], across]
        for beyond in (slice(0, left), slice(right, None)):
            out[:, :, beyond] = values[:, down[:, np.newaxis], across[beyond]]
        return out


def map_windows(
    images: Sequence[Source],
    references: Sequence[Source],
    *,
    area: Area,
    work: Callable[[Window], _Result],
    threads: int,
) -> Iterator[_Result]:
    """Yields the result of ``work`` for each window of the pictures, in order.

    Windows are read by the caller's thread alone, since sources needn't be safe for several, and worked on by
    ``threads`` others; a window for each of them and one more are held at a time.
    """
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="scores") as pool:
        try:
            for own in _places(images[0], area):
                waiting.append(pool.submit(work, Window(images, references, own=own, area=area)))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _places(image: Source, area: Area) -> Iterator[Area]:
    """The rectangles of all windows, aligned to the area so that no block lies in two windows."""
    rows = _cuts(area.y, image.info.height, _WINDOW_ROWS)
    columns = _cuts(area.x, image.info.width, _WINDOW_COLUMNS)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield Area(x=left, y=top, width=right - left, height=bottom - top)


def _cuts(origin: int, size: int, step: int) -> list[int]:
    """0 and ``size``, and between them ``origin`` and all positions at multiples of ``step`` from it."""
    return sorted({0, *range(origin % step, size, step), size})


def _inside(first: int, last: int, size: int) -> tuple[int, int]:
    """Which of the positions from ``first`` to before ``last`` lie on an axis of ``size`` px; ``first`` is number 0."""
    return max(-first, 0), min(last, size) - first


def _reflected(first: int, last: int, size: int) -> NDArray[np.intp]:
    """Positions from ``first`` to before ``last`` on an axis of ``size`` px, those beyond its ends reflected."""
    positions = np.minimum(np.arange(first, last), size - 1 + HALO) % (2 * size)
    folded: NDArray[np.intp] = np.where(positions < size, positions, 2 * size - 1 - positions)
    return folded
