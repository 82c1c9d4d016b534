"""Reads pictures once, in windows of bounded size, and divides the windows into blocks at fixed positions."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from restoration.image import Area, Source
from restoration.quality.mirroring import mirrored

# Smaller blocks fit better into a processor's cache, but need more calls of numpy: in all, 64 rows take 7 % more time.
BLOCK_ROWS, BLOCK_COLUMNS = 128, 512
HALO = 8  # px around a block, needed by filters

# 1 Mpx, about 14 MB per image; large enough that the overlap of windows, which is read twice, is small.
_WINDOW_ROWS, _WINDOW_COLUMNS = 2 * BLOCK_ROWS, 8 * BLOCK_COLUMNS
_STRIP_PIXELS = 1 << 16

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
        """The block's rows and columns without the frame's first ``before`` and last ``after`` ones, or None if none
        are left.
        """
        top, bottom = max(before - self.y, 0), min(self.rows, self.height - after - self.y)
        left, right = max(before - self.x, 0), min(self.columns, self.width - after - self.x)
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def read_strips(image: Source, area: Area) -> Iterator[tuple[slice, slice, Values]]:
    """Reads an area in strips that fit into a processor's cache: their rows and columns in it, and values (C, h, w)."""
    step = max(1, _STRIP_PIXELS // (area.height if image.info.is_stored_sideways else area.width))
    width, height = (step, area.height) if image.info.is_stored_sideways else (area.width, step)
    for y in range(0, area.height, height):
        for x in range(0, area.width, width):
            rows, columns = slice(y, min(y + height, area.height)), slice(x, min(x + width, area.width))
            values = image.read(area.x + x, area.y + y, columns.stop - x, rows.stop - y)[0]
            yield rows, columns, values


class ReusedMemory:
    """Arrays of any shape in the same memory. Fresh memory costs almost as much time as reading, as it is cleared."""

    def __init__(self) -> None:
        self._lines: dict[int, Values] = {}

    def array(self, number: int, shape: tuple[int, ...]) -> Values:
        """An array of unknown values, in the memory of the earlier arrays of this number."""
        size = math.prod(shape)
        if number not in self._lines or self._lines[number].size < size:
            self._lines[number] = np.empty(size, np.float32)
        return self._lines[number][:size].reshape(shape)


class Window:
    """The same rectangle of several pictures in memory, with up to a halo around it."""

    def __init__(
        self,
        images: Sequence[Source],
        references: Sequence[Source],
        *,
        own: Area,
        area: Area,
        memory: ReusedMemory | None = None,
    ) -> None:
        """Reads the window.

        Args:
            images: pictures of one size.
            references: more pictures, which are read only if the window has blocks.
            own: the rectangle of this window, without overlap.
            area: the part of the pictures that is divided into blocks.
            memory: receives the values; a window that used it before must not be needed any more.
        """
        info = images[0].info
        self.own = own
        self.whole = Area(x=0, y=0, width=info.width, height=info.height)
        self._area = area
        needed = [*images, *references] if self.area_block() is not None else images
        self._top, self._left = max(own.y - HALO, 0), max(own.x - HALO, 0)
        width = min(own.x + own.width + HALO, info.width) - self._left
        height = min(own.y + own.height + HALO, info.height) - self._top
        memory = memory or ReusedMemory()
        self.values = [
            memory.array(number, (image.info.colour_channels, height, width)) for number, image in enumerate(needed)
        ]
        """The pictures' values with the halo, (C, h, w) each."""
        held = Area(x=self._left, y=self._top, width=width, height=height)
        for image, values in zip(needed, self.values, strict=True):
            for rows, columns, strip in read_strips(image, held):
                values[:, rows, columns] = strip

    def area_block(self) -> Block | None:
        """The part of the area in this window, as one block, or None if it has none."""
        own, area = self.own, self._area
        bottom, right = min(own.y + own.height - area.y, area.height), min(own.x + own.width - area.x, area.width)
        y, x = own.y - area.y, own.x - area.x
        if not (0 <= y < bottom and 0 <= x < right):
            return None
        return Block(y=y, x=x, rows=bottom - y, columns=right - x, height=area.height, width=area.width)

    def blocks(self) -> Iterator[Block]:
        """The blocks of the area in this window. The blocks of all windows cover the area without overlap."""
        if (part := self.area_block()) is None:
            return
        for y in range(part.y, part.y + part.rows, BLOCK_ROWS):
            for x in range(part.x, part.x + part.columns, BLOCK_COLUMNS):
                yield replace(
                    part,
                    y=y,
                    x=x,
                    rows=min(BLOCK_ROWS, part.height - y),
                    columns=min(BLOCK_COLUMNS, part.width - x),
                )

    def of_block(self, image: int, block: Block) -> Values:
        """The block's values with a halo, always (C, 144, 528), even if only a part of it lies in the area."""
        rows = (block.y - HALO, block.y + BLOCK_ROWS + HALO)
        return self.cut(image, self._area, rows, (block.x - HALO, block.x + BLOCK_COLUMNS + HALO))

    def cut(self, image: int, frame: Area, rows: tuple[int, int], columns: tuple[int, int]) -> Values:
        """The values of a range of rows and columns of a frame, (C, h, w), read-only.

        Beyond the frame they are its reflection, with the edges repeated; beyond the halo they repeat.
        """
        values = self.values[image]
        if rows[0] >= 0 and rows[1] <= frame.height and columns[0] >= 0 and columns[1] <= frame.width:
            top, left = frame.y - self._top, frame.x - self._left
            inside: Values = values[:, top + rows[0] : top + rows[1], left + columns[0] : left + columns[1]]
            return inside
        down, across = self.positions(frame, rows, columns)
        first, last = _inside(*rows, frame.height)
        left, right = _inside(*columns, frame.width)
        out = np.empty((values.shape[0], down.size, across.size), np.float32)
        # Slices are much faster than index lists, and one of these than two.
        level = values[:, down[first] : down[last - 1] + 1]
        out[:, first:last, left:right] = level[:, :, across[left] : across[right - 1] + 1]
        for beyond in (slice(0, left), slice(right, None)):
            out[:, first:last, beyond] = level[:, :, across[beyond]]
        for beyond in (slice(0, first), slice(last, None)):
            out[:, beyond] = values[:, down[beyond, np.newaxis], across]
        return out

    def positions(
        self, frame: Area, rows: tuple[int, int], columns: tuple[int, int]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows and columns of :attr:`values` that hold a range of rows and columns of a frame or, beyond it, its
        reflection.
        """
        down = _reflected(*rows, frame.height) + (frame.y - self._top)
        across = _reflected(*columns, frame.width) + (frame.x - self._left)
        return down, across


def map_windows(
    images: Sequence[Source],
    references: Sequence[Source],
    *,
    area: Area,
    work: Callable[[Window], _Result],
    threads: int,
) -> Iterator[_Result]:
    """Yields the result of ``work`` for each window of the pictures, in order.

    Only the caller's thread reads windows, because sources needn't be thread-safe; ``threads`` others process them. At
    most one window per thread and one more are in memory.
    """
    waiting: deque[Future[_Result]] = deque()
    memories = [ReusedMemory() for _ in range(threads + 1)]
    with ThreadPoolExecutor(threads, thread_name_prefix="scores") as pool:
        try:
            for own, memory in zip(_places(images[0], area), cycle(memories), strict=False):
                waiting.append(pool.submit(work, Window(images, references, own=own, area=area, memory=memory)))
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
    """0, ``size``, and all positions between them that are a multiple of ``step`` away from ``origin``."""
    return sorted({0, *range(origin % step, size, step), size})


def _inside(first: int, last: int, size: int) -> tuple[int, int]:
    """The part of the range ``first`` to ``last`` that lies on an axis of ``size`` px, relative to ``first``."""
    return max(-first, 0), min(last, size) - first


def _reflected(first: int, last: int, size: int) -> NDArray[np.intp]:
    """The positions ``first`` to ``last`` (exclusive) on an axis of ``size`` px; positions beyond its ends are
    reflected.
    """
    return mirrored(np.minimum(np.arange(first, last), size - 1 + HALO), size)
