"""Window sampling: evenly spread areas that represent a whole picture, in bounded memory and time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from restoration.image import Area, ImageInfo


def sample_areas(info: ImageInfo, *, window_px: int, most: int) -> Iterator[Area]:
    """Cells of a grid over the picture: all of them, or ``most`` of them, evenly spread.

    Args:
        info: describes the picture.
        window_px: the cells' side; those at the right and lower edge may be smaller.
        most: how many cells to take at most.
    """
    columns, rows = -(-info.width // window_px), -(-info.height // window_px)
    share = min(1.0, math.sqrt(most / (columns * rows)))
    across = min(columns, most, max(1, int(columns * share)))
    down = min(rows, most // across)
    for row in _evenly_spread(rows, down):
        for column in _evenly_spread(columns, across):
            x, y = column * window_px, row * window_px
            yield Area(x=x, y=y, width=min(window_px, info.width - x), height=min(window_px, info.height - y))


def _evenly_spread(count: int, chosen: int) -> list[int]:
    return [count // 2] if chosen == 1 else [round(place * (count - 1) / (chosen - 1)) for place in range(chosen)]
