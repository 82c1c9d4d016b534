"""Noise estimate: the median of wavelet details, from a fine histogram in bounded memory."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from restoration.quality.windows import Values, Window

Counts = NDArray[np.int64]

_BINS_IN_ONE = 1 << 18  # the median is off by at most 2**-18, a quarter of a 16-bit level
_MOST_BINS = 3 << 17  # a detail of db2 is at most 1.4 where values are in [0, 1]
_CHUNK_ROWS = 16  # of details, at a time: their values stay in a processor's cache


def empty_histogram(channels: int) -> Counts:
    """Counts of nothing yet, for :func:`count_details` to be added to: (C, bins)."""
    return np.zeros((channels, _MOST_BINS), np.int64)


def count_details(window: Window, image: int) -> list[Counts]:
    """For each channel, how many of the window's finest diagonal details are of which size, exact zeros left out.

    The details are those of ``pywt.dwtn(channel, "db2")["dd"]`` of the whole picture to the last bit, so that the same
    ones are zero; number k along an axis belongs to the window that holds pixel 2 k, or to the last. The counts end
    with the largest detail found.
    """
    own, whole = window.own, window.whole
    top, bottom = _details(own.y, own.height, whole.height)
    left, right = _details(own.x, own.width, whole.width)
    chunks = []
    for first in range(top, bottom, _CHUNK_ROWS):
        last = min(first + _CHUNK_ROWS, bottom)
        values = window.cut(image, whole, (2 * first - 2, 2 * last), (2 * left - 2, 2 * right))
        overhangs = (2 * last - 2 > whole.height, 2 * right - 2 > whole.width)
        chunks.append([_sizes(channel, overhangs) for channel in values])
    return [_counted(np.concatenate([size.ravel() for size in sizes])) for sizes in zip(*chunks, strict=True)]


def _details(first: int, size: int, whole: int) -> tuple[int, int]:
    """The details along an axis of ``whole`` px, from the first to before the last, of a window's rows or columns."""
    end = first + size
    return -(-first // 2), (whole + 3) // 2 if end == whole else -(-end // 2)


def _sizes(values: Values, overhangs: tuple[bool, bool]) -> Values:
    """The sizes of the details of (2 h + 2, 2 w + 2) values, in bins, (w, h)."""
    sizes = _high_pass(_high_pass(values, overhangs[0]).T, overhangs[1])
    np.abs(sizes, out=sizes)
    sizes *= _BINS_IN_ONE
    return sizes


def _counted(sizes: Values) -> Counts:
    counts: Counts = np.bincount(sizes.astype(np.intp), minlength=1)
    counts[0] -= sizes.size - np.count_nonzero(sizes)
    return counts


def _high_pass(values: Values, overhangs: bool) -> Values:
    """Every second row through the wavelet's high pass, (h, w) of (2 h + 2, w), added up in pywt's order."""
    passed = _added(values, (0, 1, 2, 3))
    if overhangs:
        # Where but one tap lies within the picture, pywt begins at the edge.
        passed[-1] = _added(values[-4:], (2, 1, 0, 3))
    return passed


def _added(values: Values, order: tuple[int, int, int, int]) -> Values:
    rows = values.shape[0] // 2 - 1
    first, *others = ((tap, _high_pass_weights()[tap]) for tap in order)
    added: Values = values[3 - first[0] :: 2][:rows] * first[1]
    for tap, weight in others:
        added += values[3 - tap :: 2][:rows] * weight
    return added


@cache
def _high_pass_weights() -> tuple[float, ...]:
    import pywt

    return tuple(pywt.Wavelet("db2").dec_hi)


def estimate_sigma(counts: Counts) -> float | None:
    """The median of what was counted, (C, bins), as a Gaussian's standard deviation: the mean of the channels.

    None where a channel has no details. In the median's bin they are taken to lie evenly, in the lowest one to be 0.
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
    """The detail before which ``rank`` others come."""
    place = int(np.searchsorted(ends, rank, side="right"))
    if place == 0:
        return 0.0
    within = (rank - int(ends[place - 1]) + 0.5) / int(counts[place])
    return (place + within) / _BINS_IN_ONE
