"""Makes docs/how-to/styles.jpg: eight photographs in every style that is shipped, at three strengths, at 100 %.

Of each style the newest version is shown. The photographs are those that scikit-image carries under free terms. A row
is one photograph: as it is, then each style at a third, at two thirds and in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from restoration import restore_array, shipped_recipe
from restoration.model_folders import shipped_versions

Array = NDArray[np.uint8]

SHEET = Path(__file__).parent / "how-to" / "styles.jpg"
TILE_PX, LABEL_PX, GAP_PX = 168, 20, 5
STRENGTHS = (0.33, 0.67, 1.0)
PHOTOGRAPHS = {  # name, and the tile's top and left in it
    "astronaut": (40, 150),
    "camera": (60, 140),
    "chelsea": (60, 130),
    "coffee": (90, 260),
    "rocket": (180, 250),
    "motorcycle": (180, 250),
    "coins": (60, 80),
    "brick": (100, 100),
}


def make() -> Image.Image:
    """The sheet: a row for each photograph, what was done above each column."""
    labels = ["as it is", *(f"{name.removeprefix('simulated-')} {strength:g}" for name, strength in _columns())]
    step = TILE_PX + GAP_PX
    sheet = Image.new("RGB", (len(labels) * step + GAP_PX, len(PHOTOGRAPHS) * step + LABEL_PX + GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(labels):
        draw.text((GAP_PX + column * step, 3), label, fill="black", font=ImageFont.load_default(13))
    for row, (name, (top, left)) in enumerate(PHOTOGRAPHS.items()):
        for column, picture in enumerate(_made(_photograph(name))):
            tile = picture[top : top + TILE_PX, left : left + TILE_PX]
            sheet.paste(Image.fromarray(tile), (GAP_PX + column * step, LABEL_PX + GAP_PX + row * step))
    return sheet


def _columns() -> Iterator[tuple[str, float]]:
    for name in sorted({folder.card.name for folder in shipped_versions() if folder.card.task == "style"}):
        yield from ((name, strength) for strength in STRENGTHS)


def _made(photograph: Array) -> Iterator[Array]:
    yield photograph
    for name, strength in _columns():
        yield restore_array(photograph, shipped_recipe(name, strength=strength))


def _photograph(name: str) -> Array:
    if name == "motorcycle":
        return np.asarray(skimage.data.stereo_motorcycle()[0])
    found = np.asarray(getattr(skimage.data, name)())
    return np.repeat(found[..., None], 3, axis=2) if found.ndim == 2 else found


if __name__ == "__main__":
    make().save(SHEET, quality=88)
