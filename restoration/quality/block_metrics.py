"""What one block of a picture adds to its scores. All arithmetic is float64, in an order that the block alone sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from restoration.quality.windows import BLOCK_COLUMNS, BLOCK_ROWS, HALO, Block, Values

SSIM_RADIUS = 5  # scikit-image cuts its Gaussian of sigma 1.5 at 3.5 sigma
_SSIM_SIGMA, _SSIM_C1, _SSIM_C2 = 1.5, 0.01**2, 0.03**2
CHANGED_BY = 8 / 255 + 1e-6  # a change of exactly 8 levels isn't more than that, however it is rounded
_BLUR_SIZE, _BLUR_FLOOR = 11, float(np.spacing(1))  # as in scikit-image's blur_effect

_Float = TypeVar("_Float", np.float32, np.float64)

# Rows or columns that one product with the band matrix gives. So small that OpenBLAS does it on the calling thread.
_STEP = 8
_REACH = _STEP + 2 * SSIM_RADIUS


def _gaussian_band() -> Values:
    """The Gaussian as a band matrix, (8, 18): times 18 values in a row it gives 8 smoothed ones."""
    distances = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    weights = np.exp(-0.5 / _SSIM_SIGMA**2 * distances**2)
    band = np.zeros((_STEP, _REACH))
    for row in range(_STEP):
        band[row, row : row + weights.size] = weights / weights.sum()
    return band


_BAND = _gaussian_band()
_BAND_TURNED = np.ascontiguousarray(_BAND.T)


def luma_of(values: NDArray[_Float]) -> NDArray[_Float]:
    """Luma of (C, h, w), (h, w), with the weights of scikit-image's rgb2gray."""
    if values.shape[0] == 1:
        grey: NDArray[_Float] = values[0]
        return grey
    luma: NDArray[_Float] = values[0] * 0.2125
    for channel, weight in ((1, 0.7154), (2, 0.0721)):
        luma += values[channel] * weight
    return luma


def opponent_colours(values: Values) -> tuple[Values, Values]:
    """Red against green and yellow against blue, (h, w) each, of (3, h, w)."""
    yellow_blue = values[0] + values[1]
    yellow_blue *= 0.5
    yellow_blue -= values[2]
    return values[0] - values[1], yellow_blue


def block_core(values: Values, block: Block) -> Values:
    """The block's own pixels, without what is around them."""
    core: Values = values[..., HALO : HALO + block.rows, HALO : HALO + block.columns]
    return core


def squared_error(ours: Values, theirs: Values) -> float:
    """The sum of the squared differences of two blocks of the same shape."""
    return _squares(ours - theirs)


def count_changed(ours: Values, theirs: Values) -> int:
    """The pixels whose luma, (h, w), differs by more than 8/255."""
    apart = ours - theirs
    return int(np.count_nonzero(np.abs(apart, out=apart) > CHANGED_BY))


def moments(values: Values, origin: float) -> tuple[float, float]:
    """The sum of (h, w) and that of its squares, about ``origin``."""
    about = values - origin
    return float(about.sum()), _squares(about)


def _squares(values: Values) -> float:
    # Not by BLAS, which adds in another order where it has more threads.
    return float(np.einsum("i,i->", values.ravel(), values.ravel()))


def ssim_sums(blocks: Sequence[Values], pairs: Sequence[tuple[int, int]], block: Block) -> list[float]:
    """For each pair of blocks, (C, 80, 528), the sum of their structural similarity over pixels and channels.

    Only pixels whose Gaussian window lies in the frame count, as in scikit-image. Smoothed are each block, and of each
    pair the product and the sum of squares.
    """
    sums = [0.0] * len(pairs)
    counted = block.within(before=SSIM_RADIUS, after=SSIM_RADIUS)
    if counted is None:
        return sums
    reach = (slice(HALO - SSIM_RADIUS, SSIM_RADIUS - HALO),) * 2
    count = len(blocks)
    planes = np.empty((count + 2 * len(pairs), BLOCK_ROWS + 2 * SSIM_RADIUS, BLOCK_COLUMNS + 2 * SSIM_RADIUS))
    for channel in range(blocks[0].shape[0]):
        for index, values in enumerate(blocks):
            planes[index] = values[channel][reach]
        squares = planes[:count] * planes[:count]
        for (one, other), product, energy in zip(pairs, planes[count::2], planes[count + 1 :: 2], strict=True):
            np.multiply(planes[one], planes[other], out=product)
            np.add(squares[one], squares[other], out=energy)
        smooth = gaussian_smoothed(planes)
        squares = smooth[:count] * smooth[:count]
        for index, (one, other) in enumerate(pairs):
            similar = _similarity(
                smooth[one] * smooth[other],
                squares[one] + squares[other],
                smooth[count + 2 * index],
                smooth[count + 2 * index + 1],
            )
            sums[index] += _sum_of(similar, counted)
    return sums


def _similarity(product: Values, squares: Values, mixed: Values, energy: Values) -> Values:
    """SSIM from the means' product, the sum of their squares, the mean product and the mean sum of squares.

    All of them are used up.
    """
    variances = np.subtract(energy, squares, out=energy)
    mixed -= product
    mixed *= 2
    mixed += _SSIM_C2
    product *= 2
    product += _SSIM_C1
    product *= mixed
    squares += _SSIM_C1
    variances += _SSIM_C2
    squares *= variances
    product /= squares
    return product


def _sum_of(groups: Values, counted: tuple[slice, slice]) -> float:
    """The sum of the rows and columns that count, of (64, 64, 8): groups of columns, rows, columns."""
    if counted == (slice(0, BLOCK_ROWS), slice(0, BLOCK_COLUMNS)):
        return float(groups.sum())
    return float(groups.swapaxes(0, 1).reshape(BLOCK_ROWS, BLOCK_COLUMNS)[counted].sum())


def gaussian_smoothed(planes: Values) -> Values:
    """Planes, (n, 74, 522), through the Gaussian; (n, 64, 64, 8): the 512 columns in 64 groups, then rows.

    Products with a band matrix do more arithmetic than a filter that goes from pixel to pixel, and take a third of the
    time.
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


def edge_sums(luma: Values, block: Block) -> Iterator[tuple[float, float]]:
    """Along each axis: the sum of the luma's edges, and of what of them another blur takes away, both eightfold.

    ``luma`` is (80, 528). As in scikit-image: Sobel edges before and after a running mean of 11 px, without the
    frame's first two rows and columns and its last one.
    """
    counted = block.within(before=2, after=1)
    if counted is None:
        return
    rows, columns = (slice(HALO + part.start, HALO + part.stop) for part in counted)
    yield _edges_down(luma, rows, columns)
    yield _edges_down(luma.T, columns, rows)


def _edges_down(luma: Values, rows: slice, columns: slice) -> tuple[float, float]:
    # The Sobel filter's 1 2 1 across, as two sums of neighbours; then what is a row before from what is one after.
    pairs = luma[:, columns.start - 1 : columns.stop] + luma[:, columns.start : columns.stop + 1]
    smooth = pairs[:, 1:] + pairs[:, :-1]
    sharp = _moved(smooth, rows, 1) - _moved(smooth, rows, -1)
    np.abs(sharp, out=sharp)
    np.maximum(sharp, 8 * _BLUR_FLOOR, out=sharp)
    # Running means that are two rows apart differ by the two rows that came in less the two that went out.
    half = _BLUR_SIZE // 2
    pairs = smooth[1:] + smooth[:-1]
    blurred = _moved(pairs, rows, half) - _moved(pairs, rows, -half - 1)
    np.abs(blurred, out=blurred)
    blurred *= 1 / _BLUR_SIZE
    np.maximum(blurred, 8 * _BLUR_FLOOR, out=blurred)
    lost = np.subtract(sharp, blurred, out=blurred)
    np.maximum(lost, 0, out=lost)
    return float(sharp.sum()), float(lost.sum())


def _moved(values: Values, rows: slice, offset: int) -> Values:
    return values[rows.start + offset : rows.stop + offset]
