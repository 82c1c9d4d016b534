"""The change map as an overlay for a viewer, and the places in it that a reviewer should look at first."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from archive.settings import Settings
from archive.views.pyramid import Advance
from archive.views.subjects import Subject, open_picture
from archive.views.view_store import ViewPendingError, ViewStore
from restoration.quality.change_detection import CHANGE_COLOURS, CHANGE_STEPS, FILLED_COLOUR, ChangeMap, change_map
from restoration.quality.smoothing_detection import CELL_PX, find_smoothed_blocks

OVERLAY_WIDTH_PX = 1600
_MOST_PLACES = 100
_MARGIN_PX = 48  # around a place, so that its surroundings are seen
_OPAQUE = 150


class ChangeOverlay(NamedTuple):
    """A change map as PNG with transparency, and the places in it."""

    png: bytes
    places: dict[str, list[dict[str, int]]]
    """``filled`` and ``smoothed`` by size, ``changed`` by the change: x, y, width, height in pixels of the picture."""


def change_overlay(store: ViewStore, settings: Settings, subject: Subject, *, wait_seconds: float) -> ChangeOverlay:
    """The overlay of a ``difference`` subject; it is made if it does not exist.

    Raises:
        ViewPendingError: it isn't finished after ``wait_seconds``; making it goes on.
        ViewError: it can't be made.
    """

    def build(path: Path, advance: Advance) -> None:
        before, after = subject.files
        with open_picture(settings, before) as scan, open_picture(settings, after) as made:
            found = change_map(scan, made, width_px=OVERLAY_WIDTH_PX)
            advance(0.5)
            smoothed = find_smoothed_blocks(scan, made)
        places = find_places(found, smoothed, subject.width, subject.height)
        path.write_bytes(json.dumps(places).encode() + b"\n" + _overlay(found))

    path = store.file(f"{subject.key}.changes", build, wait_seconds=wait_seconds)
    try:
        return _read(path)
    except (OSError, ValueError, SyntaxError) as error:  # damaged, as by a power cut, or deleted just now
        path.unlink(missing_ok=True)
        raise ViewPendingError(0.0) from error


def _read(path: Path) -> ChangeOverlay:
    head, _, png = path.read_bytes().partition(b"\n")
    with Image.open(io.BytesIO(png)) as image:
        image.verify()  # raises SyntaxError where a checksum is wrong
    return ChangeOverlay(png=png, places=json.loads(head))


def find_places(
    found: ChangeMap, smoothed: NDArray[np.bool_], width: int, height: int
) -> dict[str, list[dict[str, int]]]:
    """Rectangles around what was filled in or smoothed, largest first, and around the largest changes."""
    return {
        "smoothed": _around(_regions(smoothed), CELL_PX, width, height),
        "filled": _around(_regions(found.filled), found.factor, width, height),
        "changed": _around(_peaks(found), found.factor, width, height),
    }


def _regions(filled: NDArray[np.bool_]) -> list[tuple[slice, slice]]:
    labels, count = ndimage.label(filled, np.ones((3, 3)))
    sizes = ndimage.sum_labels(filled, labels, range(1, count + 1)) if count else []
    found = [place for place in ndimage.find_objects(labels) if place is not None]
    in_order = sorted(zip(sizes, found, strict=True), key=lambda pair: -float(pair[0]))
    return [place for _, place in in_order[:_MOST_PLACES]]


def _peaks(found: ChangeMap) -> list[tuple[slice, slice]]:
    """Where the change is largest in its neighbourhood of a twelfth of the picture, and above the second step."""
    side = max(3, max(found.change.shape) // 12)
    is_peak = (found.change == ndimage.maximum_filter(found.change, side)) & (found.change > CHANGE_STEPS[1] / 255)
    rows, columns = np.nonzero(is_peak)
    by_size = np.argsort(-found.change[rows, columns], kind="stable")[:20]
    return [(slice(y, y + 1), slice(x, x + 1)) for y, x in zip(rows[by_size], columns[by_size], strict=True)]


def _around(places: list[tuple[slice, slice]], factor: int, width: int, height: int) -> list[dict[str, int]]:
    rectangles = []
    for rows, columns in places:
        x, y = max(0, int(columns.start) * factor - _MARGIN_PX), max(0, int(rows.start) * factor - _MARGIN_PX)
        right = min(width, int(columns.stop) * factor + _MARGIN_PX)
        bottom = min(height, int(rows.stop) * factor + _MARGIN_PX)
        rectangles.append({"x": x, "y": y, "width": right - x, "height": bottom - y})
    return rectangles


def _overlay(found: ChangeMap) -> bytes:
    """The colours of the map, transparent where nothing changed."""
    steps = np.digitize(found.change, [step / 255 for step in CHANGE_STEPS], right=True)
    steps[ndimage.binary_dilation(found.filled)] = len(CHANGE_STEPS) + 1
    colours = np.array([(0, 0, 0, 0), *(_rgba(each) for each in (*CHANGE_COLOURS, FILLED_COLOUR))], np.uint8)
    colours[-1, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(colours[steps]).save(buffer, "PNG")
    return buffer.getvalue()


def _rgba(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue, _OPAQUE
