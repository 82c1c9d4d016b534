"""Metrics of one block: squared errors, structural similarity, changed pixels, moments and edges.

Planes are float32. Sums over a block are float64, row by row, in a fixed order. Values are centred on the block's mean
before they are squared, so that no significant digits are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from restoration.quality.block_reading import BLOCK_COLUMNS, BLOCK_ROWS, HALO, Block, Values

SSIM_RADIUS = 5  # scikit-image truncates its Gaussian of sigma 1.5 at 3.5 sigma
_SSIM_SIGMA, _SSIM_C1, _SSIM_C2 = 1.5, 0.01**2, 0.03**2
CHANGED_BY = 8 / 255 + 1e-6  # the margin covers rounding: exactly 8 levels don't count as changed
_LUMA_ERROR = 5e-7  # upper bound of the error of a difference of two float32 lumas
_LUMA_WEIGHTS = (
    0.2125,
    0.7154,
    0.0721,
)  # as in scikit-image's rgb2gray; Python floats, so that they also serve float64
_BLUR_SIZE, _BLUR_FLOOR = 11, float(np.spacing(1))  # as in scikit-image's blur_effect

_Float = TypeVar("_Float", np.float32, np.float64)

# Rows or columns per product with the band matrix; small enough for OpenBLAS to compute it on the calling thread.
_STEP = 8
_EVERY = 8  # use every 8th row to estimate the mean
_REACH = _STEP + 2 * SSIM_RADIUS
_PLANE = (BLOCK_ROWS + 2 * SSIM_RADIUS, BLOCK_COLUMNS + 2 * SSIM_RADIUS)
_CORE_OF_PLANE = (slice(SSIM_RADIUS, -SSIM_RADIUS),) * 2


def _gaussian_band() -> Values:
    """The Gaussian as a band matrix, (8, 18), which maps 18 consecutive values to 8 smoothed ones."""
    distances = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    weights = np.exp(-0.5 / _SSIM_SIGMA**2 * distances**2)
    exact = weights / weights.sum()
    rounded = exact.astype(np.float32)
    # The weights must sum to exactly 1; otherwise flat areas would have a variance.
    rounded[[0, -1]] += np.float32((1 - rounded.astype(np.float64).sum()) / 2)
    band = np.zeros((_STEP, _REACH), np.float32)
    for row in range(_STEP):
        band[row, row : row + weights.size] = rounded
    return band


_BAND = _gaussian_band()
_BAND_TURNED = np.ascontiguousarray(_BAND.T)


def luma_of(values: NDArray[_Float]) -> NDArray[_Float]:
    """Luma of (C, h, w) as (h, w), with the weights of scikit-image's rgb2gray."""
    if values.shape[0] == 1:
        grey: NDArray[_Float] = values[0]
        return grey
    luma: NDArray[_Float] = values[0] * values.dtype.type(_LUMA_WEIGHTS[0])
    for channel, weight in ((1, _LUMA_WEIGHTS[1]), (2, _LUMA_WEIGHTS[2])):
        luma += values[channel] * values.dtype.type(weight)
    return luma


class BlockLuma(NamedTuple):
    """A block's luma relative to one of its values, which keeps the precision of small differences in float32."""

    about: Values  # (80, 528)
    origin: float

    @classmethod
    def of(cls, values: Values) -> BlockLuma:
        """The luma of (C, 80, 528)."""
        first = values[:, HALO : HALO + 1, HALO : HALO + 1]
        return cls(luma_of(values - first), float(luma_of(first.astype(np.float64))[0, 0]))


def opponent_colours(values: Values) -> tuple[Values, Values]:
    """Red-green and yellow-blue opponent colours, (h, w) each, of (3, h, w)."""
    yellow_blue = values[0] + values[1]
    yellow_blue *= np.float32(0.5)
    yellow_blue -= values[2]
    return values[0] - values[1], yellow_blue


def block_core(values: Values, block: Block) -> Values:
    """The block's own pixels, without the halo."""
    core: Values = values[..., HALO : HALO + block.rows, HALO : HALO + block.columns]
    return core


def count_changed(ours: Values, theirs: Values, lumas: tuple[BlockLuma, BlockLuma], block: Block) -> int:
    """The pixels of two blocks, (C, 80, 528), whose luma differs by more than 8/255."""
    apart = block_core(lumas[0].about, block) - block_core(lumas[1].about, block)
    apart += np.float32(lumas[0].origin - lumas[1].origin)
    np.abs(apart, out=apart)
    surely = np.count_nonzero(apart > CHANGED_BY + _LUMA_ERROR)
    perhaps = apart > CHANGED_BY - _LUMA_ERROR
    if surely == np.count_nonzero(perhaps):
        return int(surely)
    exact = [luma_of(block_core(each, block)[:, perhaps].astype(np.float64)) for each in (ours, theirs)]
    return int(np.count_nonzero(np.abs(exact[0] - exact[1]) > CHANGED_BY))


def moments(values: Values, origin: float) -> tuple[float, float]:
    """The sum and the sum of squares of (h, w), about ``origin``."""
    first = values[0, 0]  # an existing value, so that a uniform block's variance is exactly 0
    return moments_about(values - first, float(first) - origin)


def moments_about(about: Values, offset: float) -> tuple[float, float]:
    """The sum of (h, w) and the sum of squares, after adding ``offset`` to every value."""
    total, squares = _total(about), _squares(about)
    return total + about.size * offset, squares + 2 * offset * total + about.size * offset**2


def _total(values: Values) -> float:
    return float(values.sum(axis=1).sum(dtype=np.float64))


def _squares(values: NDArray[_Float]) -> float:
    # Without BLAS, whose order of addition depends on the number of threads.
    return float(np.einsum("ij,ij->i", values, values).sum(dtype=np.float64))


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """Comparisons of pairs of blocks, summed over channels, and the smoothed luma of the blocks."""

    errors: list[float]
    """For each pair, the sum of the squared differences."""
    similarities: list[float]
    """For each pair, the sum of the structural similarity over the pixels whose Gaussian window lies in the area."""
    smoothed_lumas: list[Values]
    """For each block, the luma smoothed by the Gaussian, (64, 512)."""


def compare_blocks(blocks: Sequence[Values], pairs: Sequence[tuple[int, int]], block: Block) -> Comparisons:
    """Compares pairs of blocks, (C, 80, 528), by squared error and structural similarity as scikit-image does.

    The Gaussian is applied to each block less its mean, and to the squares of each pair's difference and sum.
    """
    reach = (slice(HALO - SSIM_RADIUS, SSIM_RADIUS - HALO),) * 2
    counted = block.within(before=SSIM_RADIUS, after=SSIM_RADIUS)
    count, channels = len(blocks), blocks[0].shape[0]
    errors, similarities = [0.0] * len(pairs), [0.0] * len(pairs)
    lumas: list[Values] = []
    offsets = [np.float32(0)] * count
    planes = np.empty((count + 2 * len(pairs), *_PLANE), np.float32)
    for channel in range(channels):
        weight = np.float32(1 if channels == 1 else _LUMA_WEIGHTS[channel])
        means = [np.float32(values[channel][::_EVERY].mean()) for values in blocks]
        for index, values in enumerate(blocks):
            np.subtract(values[channel][reach], means[index], out=planes[index])
        for index, (one, other) in enumerate(pairs):
            difference, total = planes[count + 2 * index], planes[count + 2 * index + 1]
            np.subtract(blocks[one][channel][reach], blocks[other][channel][reach], out=difference)
            # float32 sums aren't precise enough for PSNR.
            own = difference[_CORE_OF_PLANE][: block.rows, : block.columns].astype(np.float64)
            errors[index] += _squares(own)
            difference -= means[one] - means[other]
            np.multiply(difference, difference, out=difference)
            np.add(planes[one], planes[other], out=total)
            np.multiply(total, total, out=total)
        smooth = gaussian_smoothed(planes)
        for index in range(count):
            part = smooth[index] * weight
            offsets[index] += weight * means[index]
            if channel:
                lumas[index] += part
            else:
                lumas.append(part)
        for index, (one, other) in enumerate(pairs):
            if counted is not None:
                similarities[index] += _similarity(
                    (smooth[one], smooth[other]),
                    (means[one], means[other]),
                    (smooth[count + 2 * index], smooth[count + 2 * index + 1]),
                    counted,
                )
    return Comparisons(
        errors=errors,
        similarities=similarities,
        smoothed_lumas=[_in_rows(luma) + offset for luma, offset in zip(lumas, offsets, strict=True)],
    )


def _similarity(
    means: tuple[Values, Values],
    origins: tuple[np.float32, np.float32],
    squares: tuple[Values, Values],
    counted: tuple[slice, slice],
) -> float:
    """The sum of SSIM over the pixels, from the mean values and the mean squares of difference and sum.

    With the difference d and the sum s of two values, SSIM is (E(s)² - E(d)² + 2 C1) / (E(s)² + E(d)² + 2 C1) times
    (V(s) - V(d) + 2 C2) / (V(s) + V(d) + 2 C2). This form is precise for very similar pictures.
    """
    difference, total = means[0] - means[1], means[0] + means[1]
    unlike, alike = squares
    unlike -= difference * difference
    alike -= total * total
    alike += np.float32(2 * _SSIM_C2)
    difference += origins[0] - origins[1]
    total += origins[0] + origins[1]
    np.multiply(difference, difference, out=difference)
    np.multiply(total, total, out=total)
    total += np.float32(2 * _SSIM_C1)
    similar = alike - unlike
    alike += unlike
    similar *= np.subtract(total, difference, out=unlike)
    total += difference
    alike *= total
    similar /= alike
    if counted != (slice(0, BLOCK_ROWS), slice(0, BLOCK_COLUMNS)):
        return _total(_in_rows(similar)[counted])
    return _total(similar.reshape(-1, BLOCK_ROWS * _STEP))


def _in_rows(groups: Values) -> Values:
    """Rearranges (64, 64, 8), which is groups of columns, rows, columns, to (64, 512)."""
    return groups.swapaxes(0, 1).reshape(BLOCK_ROWS, BLOCK_COLUMNS)


def gaussian_smoothed(planes: Values) -> Values:
    """Applies the Gaussian to planes (n, 74, 522); returns (n, 64, 64, 8): the 512 columns in 64 groups, then rows.

    The products with a band matrix need more arithmetic than a sliding filter, but a third of the time.
    """
    count, _, width = planes.shape
    plane, row, item = planes.strides
    tall = as_strided(planes, (count, BLOCK_ROWS // _STEP, _REACH, width), (plane, _STEP * row, row, item))
    rows = np.matmul(_BAND, tall).reshape(count * BLOCK_ROWS, width)
    row, item = rows.strides
    groups = BLOCK_COLUMNS // _STEP
    wide = as_strided(rows, (groups, count * BLOCK_ROWS, _REACH), (_STEP * item, row, item))
    smooth: Values = np.matmul(wide, _BAND_TURNED).reshape(groups, count, BLOCK_ROWS, _STEP).swapaxes(0, 1)
    return smooth


def smoothed_luma(luma: BlockLuma) -> Values:
    """The luma of a block smoothed by the Gaussian, (64, 512)."""
    reach = (slice(HALO - SSIM_RADIUS, SSIM_RADIUS - HALO),) * 2
    plane = np.ascontiguousarray(luma.about[reach])
    return _in_rows(gaussian_smoothed(plane[np.newaxis])[0]) + np.float32(luma.origin)


def edge_sums(luma: Values, block: Block) -> Iterator[tuple[float, float]]:
    """For each axis: the sum of the luma's edges, and of the part of them that another blur removes, both times eight.

    ``luma`` is (80, 528). As in scikit-image: Sobel edges before and after a running mean of 11 px, without the frame's
    first two rows and columns and its last one.
    """
    counted = block.within(before=2, after=1)
    if counted is None:
        return
    rows, columns = (slice(HALO + part.start, HALO + part.stop) for part in counted)
    # The Sobel filter: smoothing with 1 2 1 as two sums of neighbours, then the difference of the next and previous
    # rows.
    pairs = luma[:, columns.start - 1 : columns.stop] + luma[:, columns.start : columns.stop + 1]
    yield _edges(pairs[:, 1:] + pairs[:, :-1], lambda values, offset: values[rows.start + offset : rows.stop + offset])
    pairs = luma[rows.start - 1 : rows.stop] + luma[rows.start : rows.stop + 1]
    yield _edges(
        pairs[1:] + pairs[:-1], lambda values, offset: values[:, columns.start + offset : columns.stop + offset]
    )


def _edges(smooth: Values, moved: Callable[[Values, int], Values]) -> tuple[float, float]:
    """The sums for one axis; ``moved`` returns the counted part, shifted along the axis."""
    sharp = moved(smooth, 1) - moved(smooth, -1)
    np.abs(sharp, out=sharp)
    np.maximum(sharp, np.float32(8 * _BLUR_FLOOR), out=sharp)
    # Two running means that are two rows apart differ by the two added rows less the two removed ones.
    half = _BLUR_SIZE // 2
    blurred = moved(smooth, half) + moved(smooth, half + 1)
    blurred -= moved(smooth, -half - 1)
    blurred -= moved(smooth, -half)
    np.abs(blurred, out=blurred)
    blurred *= np.float32(1 / _BLUR_SIZE)
    np.maximum(blurred, np.float32(8 * _BLUR_FLOOR), out=blurred)
    lost = np.subtract(sharp, blurred, out=blurred)
    np.maximum(lost, 0, out=lost)
    return _total(sharp), _total(lost)
