"""Writes pictures to their sinks band by band; computes each band once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from restoration.image import Area, ImageInfo, Sink, Source

_BAND_PIXELS = 1 << 25  # pixels in a band: 400 MB for three channels
_LEAST_BAND_ROWS = 64
_WRITTEN_PIXELS = 1 << 22


def write_bands(
    source: Source,
    results: Sequence[tuple[Source, Sink]],
    area: Area,
    *,
    tile_px: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Writes each result to its sink within ``area``, and ``source`` around it.

    For each band it writes the first result first: the row caches then hold what the other results read.
    """
    for top, bottom in _bands(source.info, area, tile_px):
        for result, sink in results:
            _write_band(source, result, area, sink, top, bottom)
        if progress is not None:
            progress(bottom, source.info.height)


def _bands(info: ImageInfo, area: Area, tile_px: int) -> Iterator[tuple[int, int]]:
    """First row and end of each band. The area's are its rows of tiles, so that no tile is computed twice.

    They are lower than a tile if the picture is so wide that a row of square tiles would take too much memory.
    """
    rows = min(tile_px, max(_LEAST_BAND_ROWS, _BAND_PIXELS // area.width // _LEAST_BAND_ROWS * _LEAST_BAND_ROWS))
    for begin, end in pairwise((0, area.y, area.y + area.height, info.height)):
        for top in range(begin, end, rows):
            yield top, min(top + rows, end)


def _write_band(source: Source, result: Source, area: Area, sink: Sink, top: int, bottom: int) -> None:
    """Writes the rows ``top`` to ``bottom``, which are all of the area or all outside, a few at a time."""
    width = source.info.width
    inside = area.y <= top < area.y + area.height
    restored = result.read(0, top - area.y, area.width, bottom - top) if inside else None
    step = max(1, _WRITTEN_PIXELS // width)
    for y in range(top, bottom, step):
        rows = min(step, bottom - y)
        if restored is None or area.width < width:
            band = source.read(0, y, width, rows)
            if restored is not None:
                band[..., area.x : area.x + area.width] = restored[:, :, y - top : y - top + rows]
        else:
            band = restored[:, :, y - top : y - top + rows]
        sink.write(y, band, source.read_extra(0, y, width, rows))
