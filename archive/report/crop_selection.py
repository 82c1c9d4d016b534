"""Crop selection: finds a few informative windows of a large picture without reading all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restoration.image import Area, Source

CROP_PX = 300
_PROBES = 9  # per side; covers about a third of a picture of 24 megapixels
_GRAIN_PX = 4  # averaged, so that grain does not count as detail
_BLANK_BELOW, _BLANK_ABOVE = 0.03, 0.97  # clipped areas are not informative
_MAX_OVERLAP = 0.5  # largest overlap of two windows


@dataclass(frozen=True, kw_only=True)
class CropLocation:
    """A window of a picture, and why it was selected."""

    why: str
    area: Area


def select_crops(picture: Source, area: Area) -> list[CropLocation]:
    """One to three windows inside ``area``, at most :data:`CROP_PX` a side: the most detailed, the flattest, a middle.

    They are chosen among windows on a grid by the mean gradient of the encoded values, averaged over 4 x 4 px first.
    Of a picture too small for windows that differ by half there are fewer. The same picture has the same ones always,
    whatever is made of it.

    Raises:
        ImageError: the area isn't inside the picture, or can't be decoded.
        OSError: it can't be read.
    """
    width, height = min(CROP_PX, area.width), min(CROP_PX, area.height)
    windows = [
        Area(x=area.x + x, y=area.y + y, width=width, height=height)
        for y in _starts(area.height - height)
        for x in _starts(area.width - width)
    ]
    measures = [_measure(picture.read(each.x, each.y, each.width, each.height)[0]) for each in windows]
    detail = [measure[0] for measure in measures]
    is_blank = [not _BLANK_BELOW < measure[1] < _BLANK_ABOVE for measure in measures]
    by_detail = sorted(range(len(windows)), key=lambda each: -detail[each])
    by_flatness = sorted(range(len(windows)), key=lambda each: (is_blank[each], detail[each]))
    middle = Area(
        x=area.x + (area.width - width) // 2, y=area.y + (area.height - height) // 2, width=width, height=height
    )
    found: list[CropLocation] = []
    for why, candidates in (
        ("most detail", [windows[each] for each in by_detail]),
        ("flattest", [windows[each] for each in by_flatness]),
        ("middle", [middle]),
    ):
        # The flattest of the remaining windows is better than none.
        apart = (each for each in candidates if all(_shared(each, known.area) <= _MAX_OVERLAP for known in found))
        if (area_found := next(apart, None)) is not None:
            found.append(CropLocation(why=why, area=area_found))
    return found


def _starts(room: int) -> list[int]:
    """The positions of windows along an axis with so much room to move, in px."""
    return sorted({round(step * room / (_PROBES - 1)) for step in range(_PROBES)})


def _measure(values: NDArray[np.float32]) -> tuple[float, float]:
    """The mean gradient and the mean value of a window, (channels, height, width)."""
    grey = values.mean(axis=0)
    grain = min(_GRAIN_PX, *grey.shape)
    height, width = (side // grain for side in grey.shape)
    smooth = grey[: height * grain, : width * grain].reshape(height, grain, width, grain).mean(axis=(1, 3))
    gradients = [np.abs(np.diff(smooth, axis=axis)) for axis in (0, 1)]
    return float(sum(each.mean() for each in gradients if each.size)), float(grey.mean())


def _shared(one: Area, other: Area) -> float:
    """The overlap of two windows of the same size, as a share of one window."""
    width = min(one.x, other.x) + one.width - max(one.x, other.x)
    height = min(one.y, other.y) + one.height - max(one.y, other.y)
    return max(0, width) * max(0, height) / (one.width * one.height)
