"""Change detection: the change map of a derivative, and the pixels that were filled in as damage.

A pixel is changed if its luma differs by more than 8/255, as in the score ``changed_share``. The map shows the absolute
difference averaged over at least 16x16 px, because single pixels mostly show grain.

A pixel is filled in if a small feature of the source is missing in the derivative. A small feature is what a median
filter removes. With ``s`` and ``d`` the luma less its median, of source and derivative, a pixel is filled in where

    |s - d| > max(24/255, 5 sigma)  and  |d| < |s| / 2,

if it also changed, in the direction against ``s`` (darker if it was a bright feature), and if at least three of the
3x3 pixels around it, itself included, exceed the same limit: the pixels of a scratch do, a single noisy pixel doesn't.
Here sigma is a robust deviation of ``s - d`` in the block of 16x16 px, from the 80th percentile of ``|s - d|``. So
grain that is removed everywhere does not count as filled in, nor does texture that is kept, nor a shift of tones such
as a repair of fading. The median filter is the separable one over 5x5 px, which removes lines up to 2 px wide. Wider
ones are found in the same way in the pictures reduced to 1/2, 1/4 and so on, down to a quarter of the map's size, or to
1/64.

All this is computed at full size, in windows at multiples of the block size, and reduced afterwards. So a thin scratch
remains visible, the result doesn't depend on the windows, and memory doesn't grow with the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from restoration.errors import ImageError
from restoration.image import ImageInfo, Source
from restoration.quality.block_metrics import CHANGED_BY
from restoration.quality.block_reading import ReusedMemory
from restoration.quality.change_windows import ChangeWindow, Luma, Mask, change_windows
from restoration.quality.median_filter import MEDIAN_RADIUS, subtract_median

CHANGE_STEPS = (4, 8, 16, 32)
"""Mean changes of luma, in 1/255, above which each of the map's colours for change begins."""
FILLED_THRESHOLD = 24
"""The least difference from its median, in 1/255, of a feature that counts as filled in."""

CHANGE_COLOURS = ("#a6cbe8", "#5c9ed6", "#1f6fb5", "#08306b")
"""The colours of the steps: blues, darker for larger changes."""
CHANGE_COVER = 0.6
"""The opacity of these colours over the greys of the picture."""
DARKEST_GREY = 0.45
"""The grey that black is shown as, in [0, 1], so that the colours stand out."""
FILLED_COLOUR = "#e66100"
"""Orange, which people with any colour vision deficiency can distinguish from blue."""

_Kind = TypeVar("_Kind", np.float32, np.bool_)

FILLED_HALO = MEDIAN_RADIUS + 1  # px around a pixel that its result and its neighbours' depend on
MIN_NEIGHBOURS = 3  # of 3x3 px, at least, exceed the limit
BLOCK_PX = 16  # px a side, in which the deviation is estimated, at each reduction
LIMIT_IN_SIGMAS = 5.0
DEVIATION_QUANTILE = 0.8  # of the sizes, gives the deviation; the median would be 0 in clipped shadows
QUANTILE_IN_SIGMAS = 1.2816  # that quantile of the absolute value of a standard Gaussian
LEAST_CHANGE = FILLED_THRESHOLD / 255
COARSEST = 64  # the largest reduction at which features are looked for
_PART_ROWS, _PART_COLUMNS = 64, 512

_MAP_WIDTH_PX = 800
_GREYS = 16  # levels of the picture below the colours
_SMOOTH_PX = 16  # side of the squares over which a change is averaged, at least
_TALLEST = 4  # the largest ratio of height to width of a map


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangeMap:
    """A change map, in which each point stands for ``factor`` x ``factor`` pixels of the picture."""

    luma: Luma
    """(h, w) in [0, 1]: the mean luma of the derivative."""
    change: Luma
    """(h, w) in [0, 1]: the mean absolute change of luma over at least 16 x 16 px around each point."""
    filled: Mask
    """(h, w): whether any pixel was filled in."""
    factor: int
    changed_pixels: int
    """Of the picture at full size."""
    filled_pixels: int
    filled_places: int
    """The number of separate places: groups of 16 px squares with filled pixels, connected by sides or corners."""

    def image(self) -> Image.Image:
        """Renders the map with a palette: the derivative in light greys, :data:`CHANGE_COLOURS` partly transparent over
        it, and :data:`FILLED_COLOUR` opaque and one point wider than the filled pixels, so that it is visible.
        """
        steps = np.digitize(self.change, [step / 255 for step in CHANGE_STEPS], right=True)
        steps[ndimage.binary_dilation(self.filled)] = len(CHANGE_STEPS) + 1
        greys = np.minimum((self.luma * _GREYS).astype(np.intp), _GREYS - 1)
        image = Image.fromarray((steps * _GREYS + greys).astype(np.uint8), "P")
        image.putpalette(_palette())
        return image


def change_map(source: Source, derivative: Source, *, width_px: int = _MAP_WIDTH_PX) -> ChangeMap:
    """Computes the change map, reduced by a power of two to at most ``width_px`` wide and four times that high.

    Args:
        source: the picture that the derivative was made from.
        derivative: a picture of the same size.
        width_px: the map's largest width.

    Raises:
        ImageError: the pictures differ in size, or can't be read.
    """
    info = source.info
    if (info.width, info.height) != (derivative.info.width, derivative.info.height):
        raise ImageError(
            f"a map of changes needs two pictures of one size, not {info.width}x{info.height} and "
            f"{derivative.info.width}x{derivative.info.height}"
        )
    factor = _factor(info, width_px)
    shape = -(-info.height // factor), -(-info.width // factor)
    luma, change, filled = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    places = FilledPlaces(info)
    changed_pixels = 0
    for window in _changes(source, derivative, _coarsest(factor)):
        changed_pixels += int(np.count_nonzero(window.is_changed))
        places.add(window.place, window.is_filled)
        place, cells = window.place.reduced(factor)
        luma[place] = _cells(window.after, factor).mean(axis=(1, 3))[cells]
        change[place] = _cells(window.apart, factor).mean(axis=(1, 3))[cells]
        filled[place] = np.any(_cells(window.is_filled, factor), axis=(1, 3))[cells]
    return ChangeMap(
        luma=luma,
        change=ndimage.uniform_filter(change, 2 * (_SMOOTH_PX // factor // 2) + 1, mode="nearest"),
        filled=filled,
        factor=factor,
        changed_pixels=changed_pixels,
        filled_pixels=places.pixels,
        filled_places=places.count(),
    )


def count_filled(source: Source, derivative: Source) -> tuple[int, int]:
    """Counts the filled-in pixels and the separate places of a :func:`change_map`, without making the map.

    Raises:
        ImageError: a picture can't be read.
    """
    places = FilledPlaces(source.info)
    for window in _changes(source, derivative, coarsest_reduction(source.info)):
        places.add(window.place, window.is_filled)
    return places.pixels, places.count()


def _factor(info: ImageInfo, width_px: int) -> int:
    """The reduction of a map of at most this width, a power of two."""
    factor = 1
    while max(info.width, info.height / _TALLEST) > factor * width_px and factor < BLOCK_PX * COARSEST:
        factor *= 2
    return factor


def coarsest_reduction(info: ImageInfo) -> int:
    """The largest reduction at which :func:`count_filled` looks for removed features."""
    return _coarsest(_factor(info, _MAP_WIDTH_PX))


def _coarsest(factor: int) -> int:
    return min(4 * factor, COARSEST)


class FilledPlaces:
    """Counts filled-in pixels and places over windows."""

    def __init__(self, info: ImageInfo) -> None:
        self.pixels = 0
        self._cells = np.zeros((-(-info.height // BLOCK_PX), -(-info.width // BLOCK_PX)), np.bool_)

    def add(self, window: ChangeWindow, is_filled: Mask) -> None:
        """Adds the filled-in pixels of a window, (filled_height, filled_width)."""
        if is_filled.any():
            self.add_cells(window, np.any(_cells(is_filled, BLOCK_PX), axis=(1, 3)), int(np.count_nonzero(is_filled)))

    def add_cells(self, window: ChangeWindow, is_filled: Mask, pixels: int) -> None:
        """Adds a window's number of filled-in pixels, and whether its squares of 16 px have any."""
        self.pixels += pixels
        place, cells = window.reduced(BLOCK_PX)
        self._cells[place] = is_filled[cells]

    def count(self) -> int:
        """The number of separate places."""
        return int(ndimage.label(self._cells, np.ones((3, 3)))[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Changes:
    """The changes in a window, extended to whole blocks; beyond the picture nothing has changed. Valid until the next
    window.
    """

    place: ChangeWindow
    before: Luma
    after: Luma
    is_filled: Mask

    @cached_property
    def apart(self) -> Luma:
        """The absolute change of luma."""
        apart: Luma = self.after - self.before
        np.abs(apart, out=apart)
        return apart

    @cached_property
    def is_changed(self) -> Mask:
        is_changed = self.apart > np.float32(CHANGED_BY)
        self.place.clear_outside(is_changed)
        return is_changed


def _changes(source: Source, derivative: Source, coarsest: int) -> Iterator[_Changes]:
    """The changes between two pictures of one size, window by window."""
    halo = FILLED_HALO * coarsest
    memory = ReusedMemory()
    for window in change_windows(source.info.width, source.info.height, BLOCK_PX * coarsest):
        shape = window.filled_height + 2 * halo, window.filled_width + 2 * halo
        before, after = (memory.array(number, shape) for number in range(2))
        window.read_luma(source, halo, before)
        window.read_luma(derivative, halo, after)
        changes = _Changes(
            place=window,
            before=_without_halo(before, halo),
            after=_without_halo(after, halo),
            is_filled=_filled_in(before, after, coarsest),
        )
        if changes.is_filled.any():
            np.logical_and(changes.is_filled, changes.is_changed, out=changes.is_filled)
        yield changes


def _filled_in(before: Luma, after: Luma, coarsest: int) -> Mask:
    """Where small features were removed, of luma with the halo that the coarsest reduction's median needs."""
    halo = FILLED_HALO * coarsest
    found = np.zeros([size - 2 * halo for size in before.shape], np.bool_)
    reduction = 1
    while True:
        spare = halo // reduction
        for rows, columns, is_filled in _filled_parts(
            *(_without_halo(each, spare - FILLED_HALO) for each in (before, after))
        ):
            cells = _cells(found, reduction)[rows, :, columns]
            np.logical_or(cells, is_filled[:, np.newaxis, :, np.newaxis], out=cells)
        if reduction == coarsest:
            return found
        reduction *= 2
        before, after = _halved(before), _halved(after)


def _filled_parts(before: Luma, after: Luma) -> Iterator[tuple[slice, slice, Mask]]:
    """Yields the parts of a window with filled-in pixels, and their masks, given luma with the median's halo.

    A part and its intermediate results fit into a processor's cache.
    """
    height, width = (size - 2 * FILLED_HALO for size in before.shape)
    for top, left in product(range(0, height, _PART_ROWS), range(0, width, _PART_COLUMNS)):
        bottom, right = min(top + _PART_ROWS, height), min(left + _PART_COLUMNS, width)
        part = slice(top, bottom + 2 * FILLED_HALO), slice(left, right + 2 * FILLED_HALO)
        is_filled = _filled_part(before[part], after[part])
        if is_filled is not None:
            yield slice(top, bottom), slice(left, right), is_filled


def _filled_part(before: Luma, after: Luma) -> Mask | None:
    """The mask of removed small features, (h, w) of (h + 6, w + 6), or None if there are none."""
    before, after = np.ascontiguousarray(before), np.ascontiguousarray(after)
    moved = after - before
    # A median changes by no more than its values.
    if max(float(moved.max()), -float(moved.min())) <= LEAST_CHANGE / 2:
        return None
    stood_out, stands_out = subtract_median(before), subtract_median(after)
    taken = stood_out - stands_out
    np.abs(taken, out=taken)
    own = _without_halo(taken, 1)
    rows, columns = np.divmod(np.flatnonzero(own > LEAST_CHANGE), own.shape[1])  # faster than np.nonzero
    was, remains = (detail[rows + 1, columns + 1] for detail in (stood_out, stands_out))
    keep = (np.abs(remains) < np.abs(was) / 2) & (moved[rows + FILLED_HALO, columns + FILLED_HALO] * was < 0)
    rows, columns = rows[keep], columns[keep]
    if not rows.size:
        return None
    limits = _limits(own, rows // BLOCK_PX, columns // BLOCK_PX)
    keep = own[rows, columns] > limits
    rows, columns, limits = rows[keep], columns[keep], limits[keep]
    around = (taken[rows + down, columns + across] > limits for down, across in product(range(3), repeat=2))
    together = sum(around, start=np.zeros(rows.size, np.int8))
    keep = together >= MIN_NEIGHBOURS
    if not keep.any():
        return None
    is_filled = np.zeros(own.shape, np.bool_)
    is_filled[rows[keep], columns[keep]] = True
    return is_filled


def _limits(sizes: Luma, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Luma:
    """The limits above which a size counts as filled in, for blocks given by their rows and columns.

    A limit follows the deviation in the block, which one line through the block hardly increases.
    """
    across = sizes.shape[1] // BLOCK_PX
    numbers, which = np.unique(rows * across + columns, return_inverse=True)
    blocks = _cells(sizes, BLOCK_PX)[numbers // across, :, numbers % across].reshape(numbers.size, -1)
    place = round(DEVIATION_QUANTILE * BLOCK_PX**2)
    spreads = np.partition(blocks, place, axis=1)[:, place] / np.float32(QUANTILE_IN_SIGMAS)
    limits: Luma = np.maximum(np.float32(LEAST_CHANGE), np.float32(LIMIT_IN_SIGMAS) * spreads)[which]
    return limits


def _halved(luma: Luma) -> Luma:
    """The means of two by two pixels."""
    rows = luma[0::2] + luma[1::2]
    means: Luma = rows[:, 0::2] + rows[:, 1::2]
    means *= np.float32(0.25)
    return means


def _cells(values: NDArray[_Kind], side: int) -> NDArray[_Kind]:
    """(h, w) as (h / side, side, w / side, side), which shares its memory."""
    return values.reshape(values.shape[0] // side, side, values.shape[1] // side, side)


def _without_halo(values: Luma, halo: int) -> Luma:
    return values[halo : values.shape[0] - halo, halo : values.shape[1] - halo]


def _palette() -> list[int]:
    """Red, green and blue of the grey levels, of each blue over these, and of orange, as many as grey levels."""
    greys = DARKEST_GREY + (1 - DARKEST_GREY) * np.arange(_GREYS) / (_GREYS - 1)
    grey = np.repeat(greys[:, np.newaxis], 3, axis=1)
    rows = [grey, *(CHANGE_COVER * _rgb(colour) + (1 - CHANGE_COVER) * grey for colour in CHANGE_COLOURS)]
    rows.append(np.broadcast_to(_rgb(FILLED_COLOUR), grey.shape))
    levels: list[int] = np.rint(np.concatenate(rows) * 255).astype(int).ravel().tolist()
    return levels


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
