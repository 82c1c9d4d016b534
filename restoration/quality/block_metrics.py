"""Metrics of one block: squared errors, structural similarity, changed pixels, moments and edges.

Planes are float32, relative to a value near the block's mean, so that squares keep their significant digits; SSIM is
computed from float64 planes where that isn't enough. A plane
with its halo is one contiguous line of 144 x 528 values: then a shift by rows or columns is a slice of the line, which
numpy processes in less than half the time of a two-dimensional view. Values that a shift wraps from row to row lie in
the halo and aren't counted. Sums over a block are float64, row by row, in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from restoration.quality.block_reading import BLOCK_COLUMNS, BLOCK_ROWS, HALO, Block, Values

SSIM_RADIUS = 5  # scikit-image truncates its Gaussian of sigma 1.5 at 3.5 sigma
SSIM_SIGMA, SSIM_C1, SSIM_C2 = 1.5, 0.01**2, 0.03**2
CHANGED_BY = 8 / 255 + 1e-6  # the margin covers rounding: exactly 8 levels don't count as changed
_LUMA_ERROR = 5e-7  # upper bound of the error of a difference of two float32 lumas
LUMA_WEIGHTS = (
    0.2125,
    0.7154,
    0.0721,
)  # as in scikit-image's rgb2gray; Python floats, so that they also serve float64
BLUR_SIZE, BLUR_FLOOR = 11, float(np.spacing(1))  # as in scikit-image's blur_effect

_Float = TypeVar("_Float", np.float32, np.float64)
_Kind = TypeVar("_Kind", np.float32, np.bool_)

# Rows or columns per product with the band matrix; small enough for OpenBLAS to compute it on the calling thread.
_STEP = 8
_REACH = _STEP + 2 * SSIM_RADIUS
_MEAN_ROW_STEP = 8  # use every 8th row to estimate the mean
_ROW = BLOCK_COLUMNS + 2 * HALO  # values from one row of a plane to the next
_SHAPE = (BLOCK_ROWS + 2 * HALO, _ROW)
_FIRST, _LAST = HALO * (_ROW + 1), (HALO + BLOCK_ROWS) * _ROW - HALO  # the block's pixels in the line of a plane
_ONES = np.ones(_ROW, np.float32)
_ROUNDING = np.float32(1e-5)  # two origins that are closer together are equally good
_MEAN_ERROR_ROW_STEP = 4  # use every 4th row to estimate the rounding error of SSIM
_MAX_ROUNDING_ERROR = 5e-7  # of a block's SSIM; above it, SSIM is computed in double precision


def gaussian_weights() -> NDArray[np.float64]:
    """The weights of the Gaussian of SSIM, (11,), as scikit-image truncates it; they sum to 1."""
    distances = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    weights = np.exp(-0.5 / SSIM_SIGMA**2 * distances**2)
    exact: NDArray[np.float64] = weights / weights.sum()
    return exact


def _gaussian_band(kind: type[_Float]) -> NDArray[_Float]:
    """The Gaussian as a band matrix, (8, 18), which maps 18 consecutive values to 8 smoothed ones."""
    rounded = gaussian_weights().astype(kind)
    # The weights must sum to exactly 1; otherwise flat areas would have a variance.
    rounded[[0, -1]] += kind((1 - rounded.astype(np.float64).sum()) / 2)
    band = np.zeros((_STEP, _REACH), kind)
    for row in range(_STEP):
        band[row, row : row + rounded.size] = rounded
    return band


def luma_of(values: NDArray[_Float]) -> NDArray[_Float]:
    """Luma of (C, ...) as (...), with the weights of scikit-image's rgb2gray."""
    if values.shape[0] == 1:
        grey: NDArray[_Float] = values[0]
        return grey
    luma: NDArray[_Float] = values[0] * values.dtype.type(LUMA_WEIGHTS[0])
    for channel, weight in ((1, LUMA_WEIGHTS[1]), (2, LUMA_WEIGHTS[2])):
        luma += values[channel] * values.dtype.type(weight)
    return luma


def opponent_colours(values: NDArray[_Float]) -> tuple[NDArray[_Float], NDArray[_Float]]:
    """Red-green and yellow-blue opponent colours, (...) each, of (3, ...)."""
    yellow_blue: NDArray[_Float] = values[0] + values[1]
    yellow_blue *= values.dtype.type(0.5)
    yellow_blue -= values[2]
    return values[0] - values[1], yellow_blue


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureBlock:
    """One picture's block with its halo: values and luma relative to the block's origin."""

    about: Values
    """(C, 144 * 528): the values less ``origins``."""
    origins: Values
    """(C,): for each channel the mean of some rows or, if that is nearly equal, one of the values."""
    luma: Values
    """(144 * 528,): the luma of ``about``."""

    @classmethod
    def of(cls, values: Values) -> PictureBlock:
        """The block of values (C, 144, 528)."""
        first = values[:, HALO, HALO]
        means = values[:, ::_MEAN_ROW_STEP].mean(axis=(1, 2))
        # The first value, so that a uniform block's variance is exactly 0.
        origins = np.where(np.abs(means - first) < _ROUNDING, first, means)
        about = np.empty(values.shape, np.float32)
        np.subtract(values, origins[:, np.newaxis, np.newaxis], out=about)
        flat = about.reshape(len(about), -1)
        return cls(about=flat, origins=origins, luma=luma_of(flat))

    @property
    def luma_origin(self) -> float:
        """The luma that ``luma`` is relative to."""
        return float(luma_of(self.origins.astype(np.float64)))


def block_core(plane: NDArray[_Kind], block: Block) -> NDArray[_Kind]:
    """The block's own pixels, (h, w), of a plane (144 * 528,) or (144, 528)."""
    core: NDArray[_Kind] = plane.reshape(_SHAPE)[HALO : HALO + block.rows, HALO : HALO + block.columns]
    return core


def count_changed(values: tuple[Values, Values], blocks: tuple[PictureBlock, PictureBlock], block: Block) -> int:
    """The pixels of two blocks, given as values (C, 144, 528) too, whose luma differs by more than 8/255."""
    apart = blocks[0].luma - blocks[1].luma
    apart += np.float32(blocks[0].luma_origin - blocks[1].luma_origin)
    np.abs(apart, out=apart)
    surely = np.count_nonzero(block_core(apart > CHANGED_BY + _LUMA_ERROR, block))
    perhaps = block_core(apart > CHANGED_BY - _LUMA_ERROR, block)
    if surely == np.count_nonzero(perhaps):
        return int(surely)
    exact = [
        luma_of(np.stack([block_core(channel, block)[perhaps] for channel in each]).astype(np.float64))
        for each in values
    ]
    return int(np.count_nonzero(np.abs(exact[0] - exact[1]) > CHANGED_BY))


def moments_about(about: Values, offset: float) -> tuple[float, float]:
    """The sum of (h, w) and the sum of squares, after adding ``offset`` to every value."""
    total, squares = _total(about), _squares(about)
    return total + about.size * offset, squares + 2 * offset * total + about.size * offset**2


def _total(values: Values) -> float:
    return float(np.vecdot(values, _ONES[: values.shape[1]]).sum(dtype=np.float64))


def _squares(values: Values) -> float:
    # A row is too short for BLAS to divide it among threads, which would change the order of addition.
    return float(np.vecdot(values, values).sum(dtype=np.float64))


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """Comparisons of pairs of blocks, summed over channels, and the smoothed luma of the blocks."""

    errors: list[float]
    """For each pair, the sum of the squared differences."""
    similarities: list[float]
    """For each pair, the sum of the structural similarity over the pixels whose Gaussian window lies in the area."""
    smoothed_lumas: list[Values]
    """For each block, its ``luma`` smoothed by the Gaussian, (128, 512)."""


class BlockComparer:
    """Compares pairs of blocks by squared error and structural similarity as scikit-image does.

    It keeps the memory of its planes from block to block. Not for several threads at once.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Prepares comparisons of the pairs, given by the blocks' positions."""
        self._pairs = pairs
        self._gaussian = GaussianFilter(np.float32)
        self._squares = np.empty(_SHAPE[0] * _ROW, np.float32)
        self._smooth = [np.empty((BLOCK_ROWS, BLOCK_COLUMNS), np.float32) for _ in range(2)]

    def compare(self, values: Sequence[Values], blocks: Sequence[PictureBlock], block: Block) -> Comparisons:
        """Compares blocks, given as values (C, 144, 528) and relative to their origins.

        The Gaussian is applied to each block, and to the squares of each pair's difference and sum.
        """
        channels = len(values[0])
        errors, similarities = [0.0] * len(self._pairs), [0.0] * len(self._pairs)
        lumas: list[Values] = []
        for channel in range(channels):
            smooth = [self._gaussian(each.about[channel]) for each in blocks]
            for number, (one, other) in enumerate(self._pairs):
                error, similarity = self._compare_channel(
                    (values[one][channel], values[other][channel]),
                    (blocks[one].about[channel], blocks[other].about[channel]),
                    (blocks[one].origins[channel], blocks[other].origins[channel]),
                    (smooth[one], smooth[other]),
                    block,
                )
                errors[number] += error
                similarities[number] += similarity
            for index, plane in enumerate(smooth):
                if channels > 1:
                    plane *= np.float32(LUMA_WEIGHTS[channel])
                if channel:
                    lumas[index] += plane
                else:
                    lumas.append(plane)
        return Comparisons(errors=errors, similarities=similarities, smoothed_lumas=lumas)

    def _compare_channel(
        self,
        values: tuple[Values, Values],
        about: tuple[Values, Values],
        origins: tuple[np.float32, np.float32],
        smooth: tuple[Values, Values],
        block: Block,
    ) -> tuple[float, float]:
        """The sums of squared errors and of SSIM over one channel of two blocks."""
        squares = self._squares
        # Of the values themselves, because values about different origins have other rounding errors.
        np.subtract(*values, out=squares.reshape(_SHAPE))
        error = _squares(block_core(squares, block))
        counted = block.within(before=SSIM_RADIUS, after=SSIM_RADIUS)
        if counted is None:
            return error, 0.0
        squares -= origins[0] - origins[1]
        np.multiply(squares, squares, out=squares)
        difference_squares = self._gaussian(squares, out=self._smooth[0])
        np.add(*about, out=squares)
        np.multiply(squares, squares, out=squares)
        sum_squares = self._gaussian(squares, out=self._smooth[1])
        if _rounding_error(smooth, difference_squares, sum_squares, counted) > _MAX_ROUNDING_ERROR:
            return error, float(_precise_similarity(*values)[counted].sum())
        return error, _total(_similarity(smooth, origins, difference_squares, sum_squares)[counted])


def _rounding_error(
    means: tuple[Values, Values], difference_squares: Values, sum_squares: Values, counted: tuple[slice, slice]
) -> float:
    """An estimate of how far the rounding of the mean squares can change the mean SSIM of a block's counted pixels.

    Rounding changes a variance by about 2⁻²³ of the mean square that it is computed from. In flat places far from the
    origin this is not small beside SSIM_C2, and all their pixels have the same error.
    """
    rows = (slice(counted[0].start, counted[0].stop, _MEAN_ERROR_ROW_STEP), counted[1])
    one, other, squares, sums = means[0][rows], means[1][rows], difference_squares[rows], sum_squares[rows]
    variance = squares - (one - other) ** 2
    both = variance + sums - (one + other) ** 2 + 2 * SSIM_C2
    return float(np.mean((squares + variance * sums / both) / both)) * 2**-22


def _precise_similarity(one: Values, other: Values) -> NDArray[np.float64]:
    """SSIM of a block's pixels, (128, 512), of values (144, 528) in double precision, which takes twice as long."""
    gaussian = GaussianFilter(np.float64)
    first, second = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    origin = np.float64(0)
    return _similarity(
        (gaussian(first), gaussian(second)),
        (origin, origin),
        gaussian((first - second) ** 2),
        gaussian((first + second) ** 2),
    )


def _similarity(
    means: tuple[NDArray[_Float], NDArray[_Float]],
    origins: tuple[_Float, _Float],
    difference_squares: NDArray[_Float],
    sum_squares: NDArray[_Float],
) -> NDArray[_Float]:
    """SSIM of the pixels, from the mean values and the mean squares of difference and sum, which it overwrites.

    With the difference d and the sum s of two values, SSIM is (E(s)² - E(d)² + 2 C1) / (E(s)² + E(d)² + 2 C1) times
    (V(s) - V(d) + 2 C2) / (V(s) + V(d) + 2 C2). This form is precise for very similar pictures.
    """
    difference, total = means[0] - means[1], means[0] + means[1]
    square = difference * difference
    difference_squares -= square
    sum_squares -= np.multiply(total, total, out=square)
    sum_squares += 2 * SSIM_C2
    difference += origins[0] - origins[1]
    total += origins[0] + origins[1]
    np.multiply(difference, difference, out=difference)
    np.multiply(total, total, out=total)
    total += 2 * SSIM_C1
    similar: NDArray[_Float] = np.subtract(sum_squares, difference_squares, out=square)
    sum_squares += difference_squares
    similar *= np.subtract(total, difference, out=difference_squares)
    total += difference
    sum_squares *= total
    similar /= sum_squares
    return similar


class GaussianFilter(Generic[_Float]):
    """The Gaussian filter, with memory for its first pass. Not for several threads at once.

    The products with a band matrix need more arithmetic than a sliding filter, but a third of the time.
    """

    def __init__(self, kind: type[_Float]) -> None:
        """Prepares a filter of planes of this type."""
        self._kind: type[_Float] = kind
        self._band: NDArray[_Float] = _gaussian_band(kind)
        self._band_turned: NDArray[_Float] = np.ascontiguousarray(self._band.T)
        rows: NDArray[_Float] = np.empty((BLOCK_ROWS, _ROW), kind)
        row, item = rows.strides
        self._bands: NDArray[_Float] = rows.reshape(BLOCK_ROWS // _STEP, _STEP, _ROW)
        groups = BLOCK_COLUMNS // _STEP
        columns = rows[:, HALO - SSIM_RADIUS :]
        self._wide: NDArray[_Float] = as_strided(columns, (groups, BLOCK_ROWS, _REACH), (_STEP * item, row, item))

    def __call__(self, plane: NDArray[_Float], out: NDArray[_Float] | None = None) -> NDArray[_Float]:
        """The smoothed pixels, (128, 512), of a plane (144 * 528,)."""
        smooth = np.empty((BLOCK_ROWS, BLOCK_COLUMNS), self._kind) if out is None else out
        np.matmul(self._band, _overlapping_bands(plane), out=self._bands)
        np.matmul(self._wide, self._band_turned, out=smooth.reshape(BLOCK_ROWS, -1, _STEP).swapaxes(0, 1))
        return smooth


def _overlapping_bands(plane: NDArray[_Float]) -> NDArray[_Float]:
    """The bands of 18 rows that the Gaussian's first pass maps to 8 rows each, (16, 18, 528)."""
    item = plane.itemsize
    return np.ndarray(  # many times faster than as_strided
        (BLOCK_ROWS // _STEP, _REACH, _ROW),
        plane.dtype,
        buffer=plane,
        offset=(HALO - SSIM_RADIUS) * _ROW * item,
        strides=(_STEP * _ROW * item, _ROW * item, item),
    )


def edge_sums(luma: Values, block: Block) -> Iterator[tuple[float, float]]:
    """For each axis: the sum of the luma's edges, and of the part of them that another blur removes, both times eight.

    ``luma`` is (144 * 528,). As in scikit-image: Sobel edges before and after a running mean of 11 px, without the
    frame's first two rows and columns and its last one.
    """
    counted = block.within(before=2, after=1)
    if counted is None:
        return
    for along, across in ((_ROW, 1), (1, _ROW)):
        # The Sobel filter: smoothing with 1 2 1 as two sums of neighbours, then the difference of the next and previous
        # values.
        pairs = luma[:-across] + luma[across:]
        smooth = pairs[:-across] + pairs[across:]  # begins with the pixel at ``across``
        yield _edges(smooth, along, _FIRST - across, counted)


def _edges(smooth: Values, along: int, first: int, counted: tuple[slice, slice]) -> tuple[float, float]:
    """The sums for the axis whose neighbours are ``along`` values apart; the block begins at ``first``."""
    size = _LAST - _FIRST

    def moved(offset: int) -> Values:
        return smooth[first + offset * along :][:size]

    planes = np.empty((2, BLOCK_ROWS, _ROW), np.float32)
    sharp, blurred = planes.reshape(2, -1)[:, :size]
    np.subtract(moved(1), moved(-1), out=sharp)
    np.abs(sharp, out=sharp)
    # Two running means that are two rows apart differ by the two added rows less the two removed ones.
    half = BLUR_SIZE // 2
    np.add(moved(half), moved(half + 1), out=blurred)
    blurred -= moved(-half - 1)
    blurred -= moved(-half)
    np.abs(blurred, out=blurred)
    blurred *= np.float32(1 / BLUR_SIZE)
    edges, remaining = (_total(plane[counted]) for plane in planes)
    np.maximum(sharp, blurred, out=blurred)
    pixels = planes[0][counted].size
    # scikit-image gives every edge a tiny least size, which matters only if there are no edges.
    return edges + pixels * 8 * BLUR_FLOOR, _total(planes[1][counted]) - remaining
