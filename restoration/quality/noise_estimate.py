"""Noise estimate: the median of wavelet details, from a histogram in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from restoration.quality.block_reading import Values, Window

Counts = NDArray[np.int64]
_Float = TypeVar("_Float", np.float32, np.float64)

BINS_IN_ONE = 1 << 18  # error of the median: at most 2**-18, a quarter of a 16-bit level
MAX_BINS = 3 << 17  # the largest detail of db2 is 1.4 for values in [0, 1]
_PERHAPS_ZERO = 2e-6  # twice the error of a detail in float32
TAP_ORDER = (0, 1, 2, 3)  # the order in which pywt adds the products of its taps
TAP_ORDER_AT_OVERHANG = (2, 1, 0, 3)  # the order if only one tap lies within the picture: it begins at the edge
_CHUNK_ROWS, _CHUNK_COLUMNS = 128, 512  # details at a time; smaller chunks need more calls of numpy


def empty_histogram(channels: int) -> Counts:
    """An empty histogram, (C, bins), to which :func:`count_details` adds."""
    return np.zeros((channels, MAX_BINS), np.int64)


def count_details(window: Window, image: int) -> list[Counts]:
    """Histograms, by channel, of the sizes of the window's finest diagonal details, without exact zeros.

    The details are those of ``pywt.dwtn(channel, "db2")["dd"]`` of the whole picture to the last bit, so that the same
    ones are zero. Number k along an axis belongs to the window that contains pixel 2 k, or to the last window. The
    histograms end with the largest detail found.
    """
    own, whole = window.own, window.whole
    top, bottom = detail_range(own.y, own.height, whole.height)
    left, right = detail_range(own.x, own.width, whole.width)
    chunks, doubtful = [], list[_Doubtful]()
    for first, start in product(range(top, bottom, _CHUNK_ROWS), range(left, right, _CHUNK_COLUMNS)):
        last, end = min(first + _CHUNK_ROWS, bottom), min(start + _CHUNK_COLUMNS, right)
        values = window.cut(image, whole, (2 * first - 2, 2 * last), (2 * start - 2, 2 * end))
        overhangs = (2 * last - 2 > whole.height, 2 * end - 2 > whole.width)
        chunks.append([_sizes(channel, overhangs, doubtful) for channel in values])
    _compute_exactly(doubtful)
    return [_counted(np.concatenate([size.ravel() for size in sizes])) for sizes in zip(*chunks, strict=True)]


def detail_range(first: int, size: int, whole: int) -> tuple[int, int]:
    """The range of details, along an axis of ``whole`` px, that belongs to ``size`` rows or columns from ``first``."""
    end = first + size
    return -(-first // 2), (whole + 3) // 2 if end == whole else -(-end // 2)


class _Doubtful(NamedTuple):
    """Few details of a chunk that may be 0, to be computed in pywt's precision together with those of other chunks."""

    sizes: Values
    places: NDArray[np.intp]  # in the flat ``sizes``
    around: Values  # (4, 4, places): the values from which they are computed


def _sizes(values: Values, overhangs: tuple[bool, bool], doubtful: list[_Doubtful]) -> Values:
    """The absolute details, (h, w), of (2 h + 2, 2 w + 2) values.

    They are computed in float32, and again in pywt's precision where they may be 0; a few such ones are only added to
    ``doubtful``.
    """
    sizes = np.abs(_quick_high_pass(values))
    perhaps = sizes < _PERHAPS_ZERO
    places = np.flatnonzero(perhaps)
    if not places.size:
        return sizes
    at_overhang = (overhangs[0] and perhaps[-1].any()) or (overhangs[1] and perhaps[:, -1].any())
    if places.size > sizes.size // 16 or at_overhang:
        # Only these, so that no value depends on the rest of the chunk.
        sizes[perhaps] = np.abs(_high_pass(values.astype(np.float64), overhangs)[perhaps])
    else:
        rows, columns = np.divmod(places, sizes.shape[1])
        four = np.arange(4)[:, np.newaxis]
        around = values[2 * rows + four[:, np.newaxis], 2 * columns + four]
        doubtful.append(_Doubtful(sizes, places, around))
    return sizes


def _compute_exactly(doubtful: Sequence[_Doubtful]) -> None:
    """Replaces the sizes of these details."""
    if not doubtful:
        return
    around = np.concatenate([each.around for each in doubtful], axis=2, dtype=np.float64)
    exact = np.abs(_weighted(_weighted(around, TAP_ORDER), TAP_ORDER))
    ends = np.cumsum([each.places.size for each in doubtful])
    for each, sizes in zip(doubtful, np.split(exact, ends[:-1]), strict=True):
        np.put(each.sizes, each.places, sizes)


def _quick_high_pass(values: Values) -> Values:
    """High-pass filters every second row and column, (h, w) of (2 h + 2, 2 w + 2), in any order of addition.

    Contiguous lines are fastest. Across, all values are weighted, and then pairs of neighbours are added.
    """
    rows, width = len(values) // 2 - 1, values.shape[1]
    even, odd = (np.ascontiguousarray(values[first::2]).reshape(-1) for first in range(2))
    line = _weighted([even[:-width], odd[:-width], even[width:], odd[width:]], TAP_ORDER)
    first, second = _weights_of_pairs()[:, : line.size - 2]
    pairs = line[:-2] * first
    pairs += line[2:] * second
    passed = np.empty(line.size // 2, np.float32)
    np.add(pairs[0::2], pairs[1::2], out=passed[:-1])
    return passed.reshape(rows, width // 2)[:, :-1]


def _counted(sizes: Values) -> Counts:
    zeros = sizes.size - np.count_nonzero(sizes)
    sizes *= np.float32(BINS_IN_ONE)
    counts: Counts = np.bincount(sizes.astype(np.intp), minlength=1)
    counts[0] -= zeros
    return counts


def _high_pass(values: NDArray[np.float64], overhangs: tuple[bool, bool]) -> NDArray[np.float64]:
    """High-pass filters every second row and column, (h, w) of (2 h + 2, 2 w + 2), in pywt's order of addition."""
    rows, columns = (size // 2 - 1 for size in values.shape)
    down = _weighted([values[k::2][:rows] for k in range(4)], TAP_ORDER)
    if overhangs[0]:
        down[-1] = _weighted(list(values[-4:]), TAP_ORDER_AT_OVERHANG)
    even, odd = np.ascontiguousarray(down[:, 0::2]), np.ascontiguousarray(down[:, 1::2])
    passed = _weighted([(even, odd)[k % 2][:, k // 2 : k // 2 + columns] for k in range(4)], TAP_ORDER)
    if overhangs[1]:
        passed[:, -1] = _weighted(list(down[:, -4:].T), TAP_ORDER_AT_OVERHANG)
    return passed


def _weighted(four: Sequence[NDArray[_Float]] | NDArray[_Float], taps: tuple[int, ...]) -> NDArray[_Float]:
    """The weighted sum of four values, the last of them with the first tap, added in the order of ``taps``."""
    first, *others = ((four[3 - tap], four[0].dtype.type(high_pass_weights()[tap])) for tap in taps)
    added: NDArray[_Float] = first[0] * first[1]
    for values, weight in others:
        added += values * weight
    return added


@cache
def _weights_of_pairs() -> Values:
    """The weights of the first and second pair of four values in a row, repeated for a chunk, (2, values)."""
    pairs = np.array(high_pass_weights()[::-1], np.float32).reshape(2, 2)
    return np.tile(pairs, _CHUNK_ROWS * (_CHUNK_COLUMNS + 1))


@cache
def high_pass_weights() -> tuple[float, ...]:
    """The four weights of the wavelet db2's high-pass filter, in pywt's order."""
    import pywt

    return tuple(pywt.Wavelet("db2").dec_hi)


def estimate_sigma(counts: Counts) -> float | None:
    """The standard deviation of a Gaussian with the median of the histograms (C, bins), averaged over channels.

    None if a channel has no details. Within the median's bin, details are assumed to be evenly distributed; in the
    lowest bin they count as 0.
    """
    medians = [_median(channel) for channel in counts]
    found = [median for median in medians if median is not None]
    if len(found) < len(medians):
        return None
    return sum(found) / len(found) / NormalDist().inv_cdf(0.75)


def _median(counts: Counts) -> float | None:
    total = int(counts.sum())
    if not total:
        return None
    ends = np.cumsum(counts)
    return (_ranked(counts, ends, (total - 1) // 2) + _ranked(counts, ends, total // 2)) / 2


def _ranked(counts: Counts, ends: Counts, rank: int) -> float:
    """The detail with rank ``rank``, counted from 0."""
    place = int(np.searchsorted(ends, rank, side="right"))
    if place == 0:
        return 0.0
    within = (rank - int(ends[place - 1]) + 0.5) / int(counts[place])
    return (place + within) / BINS_IN_ONE
