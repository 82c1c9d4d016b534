"""Applies a stage tile by tile in bounded memory, with the same result as on the whole picture.

The result is equal by construction, because each network call gets the same inputs as in the whole picture:

- Every region starts at a multiple of the stage's ``multiple_px``, so that downsampling groups the same pixels.
- Around the kept pixels, a region has a margin of ``margin_px`` real pixels, rounded up to that multiple.
- The margin is smaller only at the picture's borders. There the network's own padding applies, as on the whole picture.
- If the picture's size isn't a multiple, it is padded by reflection on the right and below, in tiles as on the whole.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restoration.device_scheduling import DeviceScheduler, run_immediately
from restoration.errors import OutputError
from restoration.image.image_info import Area
from restoration.image.picture import Source
from restoration.image.stored_pixels import Samples

if TYPE_CHECKING:
    from restoration.pipeline.stages import PlacedStage, Stage


class RowCache:
    """A source that reads every row once, as long as the requested windows move downwards.

    It caches the last window's rows over the full width. Between two stages it prevents the first one from computing
    the overlapping margins of the second one's tiles more than once.
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
        """Keeps the cached rows from ``top`` on and reads the missing ones down to ``bottom``."""
        known = self._bottom if self._top <= top <= self._bottom else top
        kept = self._rows[:, :, top - self._top : known - self._top].copy()
        self._rows = kept  # frees the other rows before it allocates new ones
        self._top = top
        more = self._source.read(0, known, self.info.width, bottom - known)
        self._rows = np.concatenate([kept, more], axis=2)


class StageSource:
    """The output of ``stage`` on ``source``: itself a source, computed as its windows are read.

    Every value is source + strength x (output - source), in [0, 1]; at strength 0 it is exactly the source's, and the
    stage isn't called. ``tiles`` and ``seconds`` count the stage's calls and their total time.
    """

    def __init__(
        self,
        source: Source,
        stage: Stage | PlacedStage,
        *,
        tile_size: int = 800,
        strength: float = 1.0,
        name: str = "stage",
        scheduler: DeviceScheduler = run_immediately,
    ) -> None:
        """Sets up the tiling; nothing is computed yet.

        Args:
            source: the picture to work on.
            stage: the stage to apply.
            tile_size: side in px of the square of kept pixels, rounded up to the stage's ``multiple_px``; squares are
                aligned to the corner of the window that is read.
            strength: 0 to 1.
            name: the stage's name in errors.
            scheduler: runs the calls of the stage.
        """
        self.info = source.info
        self.tile_px = _round_up(max(tile_size, 1), stage.multiple_px)
        self.tiles = 0
        self.seconds = 0.0
        self._source = source
        self._stage = stage
        self._strength = strength
        self._name = name
        self._scheduler = scheduler
        self.margin_px = _round_up(stage.margin_px, stage.multiple_px)
        self._input_range = _ValueRange()
        self._output_range = _ValueRange()

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """The window's encoded values, (1, colour channels, height, width), float32 in [0, 1].

        Raises:
            OutputError: the stage returned non-finite values or another shape.
            ImageError: the window isn't inside the picture, or its bytes can't be decoded.
        """
        Area(x=x, y=y, width=width, height=height).check_within(self.info)
        if self._strength == 0:
            return self._source.read(x, y, width, height)
        out = np.empty((1, self.info.colour_channels, height, width), np.float32)
        for top, bottom in _intervals(y, y + height, self.tile_px):
            for left, right in _intervals(x, x + width, self.tile_px):
                out[..., top - y : bottom - y, left - x : right - x] = self._tile(left, top, right, bottom)
        return out

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        """The source's extra samples, unchanged."""
        return self._source.read_extra(x, y, width, height)

    def check_output(self) -> None:
        """Checks, after the picture was read, that the stage didn't turn a varied picture into one flat colour.

        Raises:
            OutputError: it did.
        """
        if self._output_range.flat and not self._input_range.flat:
            raise OutputError(
                f"{self._name} made a picture of one flat colour. Check its weights, or try --precision fp32"
            )

    def _tile(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.float32]:
        """The kept pixels of one tile."""
        columns = self._region_bounds(left, right, self.info.width)
        rows = self._region_bounds(top, bottom, self.info.height)
        region = self._read_reflected(columns, rows)
        output = self._scheduler(lambda: self._call(region, columns[0], rows[0]))
        if output.shape != region.shape:
            raise OutputError(
                f"{self._name} returned shape {output.shape} for a region of shape {region.shape}; both must be equal"
            )
        kept = (..., slice(top - rows[0], bottom - rows[0]), slice(left - columns[0], right - columns[0]))
        before, after = region[kept], output[kept]
        if not np.isfinite(after).all():
            raise OutputError(
                f"{self._name} returned values that aren't numbers at x {left}, y {top}. Try --precision fp32"
            )
        after = np.clip(after, 0, 1)
        self._input_range.add(before)
        self._output_range.add(after)
        if self._strength == 1:
            return after
        blended: NDArray[np.float32] = before + np.float32(self._strength) * (after - before)
        return blended

    def _call(self, region: NDArray[np.float32], x: int, y: int) -> NDArray[np.float32]:
        """Applies the stage to the region at ``x`` and ``y``, and counts the call and its time."""
        started = time.perf_counter()
        stage = self._stage
        output = stage(region) if callable(stage) else stage.at(x, y)(region)
        self.seconds += time.perf_counter() - started
        self.tiles += 1
        return output

    def _region_bounds(self, first: int, last: int, size: int) -> tuple[int, int]:
        """First and end position, along one axis, of the region around ``first`` to ``last``."""
        multiple = self._stage.multiple_px
        begin = max(0, first // multiple * multiple - self.margin_px)
        end = min(_round_up(size, multiple), _round_up(last, multiple) + self.margin_px)
        return begin, end

    def _read_reflected(self, columns: tuple[int, int], rows: tuple[int, int]) -> NDArray[np.float32]:
        """Reads a region that may extend beyond the right and lower edges, where it is a reflection."""
        xs = _reflected(np.arange(*columns), self.info.width)
        ys = _reflected(np.arange(*rows), self.info.height)
        x, y = int(xs.min()), int(ys.min())
        region = self._source.read(x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y)
        if columns[1] > self.info.width:
            region = region[..., xs - x]
        if rows[1] > self.info.height:
            region = region[..., ys - y, :]
        return np.ascontiguousarray(region)


class _ValueRange:
    """The range of each channel over all added values."""

    def __init__(self) -> None:
        self._low = self._high = np.empty(0, np.float32)

    def add(self, values: NDArray[np.float32]) -> None:
        if self._low.size and not self.flat:
            return  # the channels already vary
        low, high = values.min(axis=(0, 2, 3)), values.max(axis=(0, 2, 3))
        self._low = np.minimum(self._low, low) if self._low.size else low
        self._high = np.maximum(self._high, high) if self._high.size else high

    @property
    def flat(self) -> bool:
        """Whether every channel had one value; False if nothing was added."""
        return self._low.size > 0 and bool((self._low == self._high).all())


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _intervals(begin: int, end: int, size: int) -> list[tuple[int, int]]:
    """``begin`` to ``end`` in steps of ``size``."""
    return list(pairwise([*range(begin, end, size), end]))


def _reflected(positions: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Positions along an axis of ``size`` pixels, those beyond it reflected at its edges (which aren't repeated)."""
    if size == 1:
        return np.zeros_like(positions)
    folded = positions % (2 * size - 2)
    reflected: NDArray[np.intp] = np.where(folded < size, folded, 2 * size - 2 - folded)
    return reflected
