"""A stage applied to a picture of any size, tile by tile in bounded memory, equal to applying it to the whole.

Equality is by construction. A network sees the same as it would in the whole picture because

- every region handed to it begins at a multiple of the stage's ``multiple_px``, so that its downsampling falls on the
  same pixels;
- around the pixels that are kept, a region holds the stage's ``margin_px`` of real pixels, rounded up to that multiple;
- only at the picture's borders does a region have less, and there the network's own padding acts, as on the whole;
- a picture whose size isn't a multiple is continued to the right and below by its own reflection, tile or whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restoration.errors import OutputError
from restoration.image.image_info import Area
from restoration.image.picture import Source
from restoration.image.stored_pixels import Samples

if TYPE_CHECKING:
    from restoration.pipeline.stages import PlacedStage, Stage

NetworkScheduler = Callable[[Callable[[], NDArray[np.float32]]], NDArray[np.float32]]
"""Calls what it is given, once, in whatever thread and whenever it is its turn; its result and its errors come back."""


def run_immediately(call: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Where nobody else wants to use the device."""
    return call()


class RowCache:
    """A source of which every row is read once, as long as the windows that are asked for go downwards.

    The rows of the last window are kept over the picture's whole width. Between two stages this keeps the second one,
    whose windows overlap by its margins, from having the first one work them out again and again.
    """

    def __init__(self, source: Source) -> None:
        self.info = source.info
        self._source = source
        self._top = 0
        self._rows = np.empty((1, source.info.colour_channels, 0, source.info.width), np.float32)

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        Area(x=x, y=y, width=width, height=height).check_within(self.info)
        if y < self._top or y + height > self._bottom:
            self._move(y, y + height)
        return self._rows[..., y - self._top : y - self._top + height, x : x + width]

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)

    @property
    def _bottom(self) -> int:
        return self._top + self._rows.shape[2]

    def _move(self, top: int, bottom: int) -> None:
        """Keeps the rows from ``top`` on that are there, and reads those down to ``bottom`` that aren't."""
        known = self._bottom if self._top <= top <= self._bottom else top
        kept = self._rows[:, :, top - self._top : known - self._top].copy()
        self._rows = kept  # the rest is let go before new rows are made
        self._top = top
        more = self._source.read(0, known, self.info.width, bottom - known)
        self._rows = np.concatenate([kept, more], axis=2)


class StageSource:
    """The picture that ``stage`` makes of ``source``: itself a source, worked out as its windows are read.

    Every value is source + strength x (output - source), in [0, 1]; at strength 0 it is exactly the source's, and the
    stage isn't called. ``tiles`` and ``seconds`` tell how often the stage was called, and for how long.
    """

    def __init__(
        self,
        source: Source,
        stage: Stage | PlacedStage,
        *,
        tile_size: int = 800,
        strength: float = 1.0,
        name: str = "stage",
        in_turn: NetworkScheduler = run_immediately,
    ) -> None:
        """Sets up the tiling; nothing is computed yet.

        Args:
            source: the picture to work on.
            stage: what is applied to it.
            tile_size: side in px of the square of kept pixels, rounded up to the stage's ``multiple_px``; squares are
                laid out from the corner of the window that is read.
            strength: 0 to 1.
            name: the stage's name in errors.
            in_turn: calls the stage, when it is this picture's turn.
        """
        self.info = source.info
        self.tile_px = _round_up(max(tile_size, 1), stage.multiple_px)
        self.tiles = 0
        self.seconds = 0.0
        self._source = source
        self._stage = stage
        self._strength = strength
        self._name = name
        self._in_turn = in_turn
        self.margin_px = _round_up(stage.margin_px, stage.multiple_px)
        self._seen = _Extremes()
        self._made = _Extremes()

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """The window's encoded values, (1, colour channels, height, width), float32 in [0, 1].

        Raises:
            OutputError: the stage gave values that aren't numbers, or another shape.
            ImageError: the window isn't inside the picture, or its bytes can't be decoded.
        """
        Area(x=x, y=y, width=width, height=height).check_within(self.info)
        if self._strength == 0:
            return self._source.read(x, y, width, height)
        out = np.empty((1, self.info.colour_channels, height, width), np.float32)
        for top, bottom in _cells(y, y + height, self.tile_px):
            for left, right in _cells(x, x + width, self.tile_px):
                out[..., top - y : bottom - y, left - x : right - x] = self._tile(left, top, right, bottom)
        return out

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        """The source's further samples, untouched."""
        return self._source.read_extra(x, y, width, height)

    def check_output(self) -> None:
        """Checks, once the picture was read, that the stage didn't make one flat colour of a picture that had more.

        Raises:
            OutputError: it did.
        """
        if self._made.flat and not self._seen.flat:
            raise OutputError(
                f"{self._name} made a picture of one flat colour: its weights or its precision are at fault"
            )

    def _tile(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.float32]:
        """The kept pixels of one tile."""
        columns = self._reach(left, right, self.info.width)
        rows = self._reach(top, bottom, self.info.height)
        region = self._read_reflected(columns, rows)
        output = self._in_turn(lambda: self._call(region, columns[0], rows[0]))
        if output.shape != region.shape:
            raise OutputError(f"{self._name} made {output.shape} of a region of {region.shape}: the shape must stay")
        kept = (..., slice(top - rows[0], bottom - rows[0]), slice(left - columns[0], right - columns[0]))
        before, after = region[kept], output[kept]
        if not np.isfinite(after).all():
            raise OutputError(
                f"{self._name} made values that aren't numbers at x {left}, y {top}: try --precision fp32"
            )
        after = np.clip(after, 0, 1)
        self._seen.add(before)
        self._made.add(after)
        if self._strength == 1:
            return after
        blended: NDArray[np.float32] = before + np.float32(self._strength) * (after - before)
        return blended

    def _call(self, region: NDArray[np.float32], x: int, y: int) -> NDArray[np.float32]:
        """What the stage makes of a region that begins at ``x`` and ``y``, and a note of how long it took."""
        began = time.perf_counter()
        stage = self._stage
        output = stage(region) if callable(stage) else stage.at(x, y)(region)
        self.seconds += time.perf_counter() - began
        self.tiles += 1
        return output

    def _reach(self, first: int, last: int, size: int) -> tuple[int, int]:
        """From where to where, along one axis, the region around ``first`` to ``last`` goes."""
        multiple = self._stage.multiple_px
        begin = max(0, first // multiple * multiple - self.margin_px)
        end = min(_round_up(size, multiple), _round_up(last, multiple) + self.margin_px)
        return begin, end

    def _read_reflected(self, columns: tuple[int, int], rows: tuple[int, int]) -> NDArray[np.float32]:
        """A region that may go beyond the picture's right and lower edges, where the picture is reflected."""
        xs = _reflected(np.arange(*columns), self.info.width)
        ys = _reflected(np.arange(*rows), self.info.height)
        x, y = int(xs.min()), int(ys.min())
        region = self._source.read(x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y)
        if columns[1] > self.info.width:
            region = region[..., xs - x]
        if rows[1] > self.info.height:
            region = region[..., ys - y, :]
        return np.ascontiguousarray(region)


class _Extremes:
    """Whether each channel had only one value in everything that was added."""

    def __init__(self) -> None:
        self._low = self._high = np.empty(0, np.float32)

    def add(self, values: NDArray[np.float32]) -> None:
        if self._low.size and not self.flat:
            return  # it can't become so again
        low, high = values.min(axis=(0, 2, 3)), values.max(axis=(0, 2, 3))
        self._low = np.minimum(self._low, low) if self._low.size else low
        self._high = np.maximum(self._high, high) if self._high.size else high

    @property
    def flat(self) -> bool:
        """Whether all channels were; nothing added is not flat."""
        return self._low.size > 0 and bool((self._low == self._high).all())


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _cells(begin: int, end: int, size: int) -> list[tuple[int, int]]:
    """``begin`` to ``end`` in steps of ``size``."""
    return list(pairwise([*range(begin, end, size), end]))


def _reflected(positions: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Positions along an axis of ``size`` pixels, those beyond it reflected at its edges (which aren't repeated)."""
    if size == 1:
        return np.zeros_like(positions)
    folded = positions % (2 * size - 2)
    reflected: NDArray[np.intp] = np.where(folded < size, folded, 2 * size - 2 - folded)
    return reflected
