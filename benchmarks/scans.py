"""Writes scans to measure with: 16-bit RGB TIFFs of any size, in little memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

BYTES_PER_PIXEL = 6
TILE_PX = 256
DEFLATED_ROWS = 16
LAYOUTS: dict[str, dict[str, Any]] = {
    "striped": {"rowsperstrip": 1},
    "tiled": {"tile": (TILE_PX, TILE_PX)},
    "deflate": {"rowsperstrip": DEFLATED_ROWS, "compression": "zlib"},
}


def write_picture(path: Path, megapixels: float, layout: str) -> None:
    """Writes colour gradients with grain and edges, in pieces."""
    width = round((megapixels * 1.5e6) ** 0.5)
    height = round(megapixels * 1e6 / width)
    grain = np.random.default_rng(1).integers(0, 3000, (1024, width + 1024, 3), np.uint16)
    across = np.linspace(0, 30000, width, dtype=np.uint16)[:, None] * np.ones(3, np.uint16)

    def rows(top: int, count: int) -> NDArray[np.uint16]:
        ys = np.arange(top, top + count)
        noise = np.stack([grain[y % 1024, y // 1024 * 37 % 1024 :][:width] for y in ys])
        down = (ys * (20000 / height)).astype(np.uint16)
        down += np.where(ys // 100 % 2, 4000, 0).astype(np.uint16)
        made: NDArray[np.uint16] = across + noise + down[:, None, None]
        return made

    def pieces() -> Iterator[Any]:  # rows, tiles, or encoded strips
        step = {"striped": 1, "tiled": TILE_PX, "deflate": DEFLATED_ROWS}[layout]
        for top in range(0, height, step):
            band = rows(top, min(step, height - top))
            if layout == "striped":
                yield band
            elif layout == "deflate":
                yield zlib.compress(band.tobytes())
            else:
                for left in range(0, width, TILE_PX):
                    tile = band[:, left : left + TILE_PX]
                    yield np.pad(tile, ((0, TILE_PX - tile.shape[0]), (0, TILE_PX - tile.shape[1]), (0, 0)))

    big = BYTES_PER_PIXEL * megapixels > 4000
    with tifffile.TiffWriter(path, bigtiff=big) as writer:
        writer.write(
            pieces(),
            shape=(height, width, 3),
            dtype=np.uint16,
            photometric="rgb",
            metadata=None,
            maxworkers=1,
            **LAYOUTS[layout],
        )
