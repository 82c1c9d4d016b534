"""Makes docs/explanation/ageing.jpg: what the ageing model does, each defect alone and then whole lives, at 100 %.

The photographs are those of the sample archive, which scikit-image carries under free terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from restoration.colour.colour_operations import apply_toning, luma
from restoration.degradation import Ageing, Damage, Fading, Softness, age_picture, sample_ageing

Array = NDArray[np.float32]

SHEET = Path(__file__).parent / "explanation" / "ageing.jpg"
TILE_PX, LABEL_PX, GAP_PX, COLUMNS = 200, 20, 6, 6

SINGLE = {
    "as it was": Ageing(),
    "film grain": Ageing(grain=0.06, grain_size_px=0.8),
    "coarse grain": Ageing(grain=0.05, grain_size_px=1.8),
    "Gaussian noise": Ageing(gaussian_noise=0.1, noise_colour=0.0),
    "shot noise": Ageing(photon_count=120),
    "sensor streaks": Ageing(streaks=0.03),
    "soft print": Ageing(softness=(Softness(kind="gaussian", extent_px=1.8),)),
    "out of focus": Ageing(softness=(Softness(kind="disc", extent_px=3.0),)),
    "motion": Ageing(softness=(Softness(kind="motion", extent_px=11, angle=0.5),)),
    "shaken camera": Ageing(softness=(Softness(kind="trajectory", extent_px=12, seed=3),)),
    "kept small": Ageing(rescale=0.4),
    "sharpened (kept)": Ageing(sharpening=1.5, sharpening_px=1.2),
    "JPEG 30": Ageing(jpeg_quality=30),
    "faded": Ageing(fading=Fading(density_loss=0.45, flare=0.2, unevenness=0.6, seed=2)),
    "yellowed": Ageing(fading=Fading(density_loss=0.15, yellowing=0.4, unevenness=0.4, seed=3)),
    "discoloured": Ageing(fading=Fading(density_loss=0.2, discolouration=0.8, seed=7)),
    "vignette (kept)": Ageing(vignette=0.5),
    "screen (kept)": Ageing(halftone_px=5),
    "scratches": Ageing(damage=Damage(scratches=16, seed=5)),
    "hairs": Ageing(damage=Damage(hairs=8, seed=2)),
    "dust and chips": Ageing(damage=Damage(specks=110, seed=3)),
    "folds": Ageing(damage=Damage(folds=4, seed=4)),
    "cracks": Ageing(damage=Damage(cracks=18, seed=11)),
    "foxing": Ageing(damage=Damage(foxing=14, seed=9)),
    "water stain": Ageing(damage=Damage(stain=0.5, seed=7)),
    "silver mirroring": Ageing(damage=Damage(mirroring=0.8, seed=8)),
}
LIVES = (
    ("astronaut", 0, 110),
    ("camera", 60, 150),
    ("chelsea", 60, 130),
    ("coffee", 90, 260),
    ("rocket", 180, 250),
    ("coins", 60, 80),
    ("astronaut", 240, 60),
    ("coffee", 150, 60),
    ("brick", 100, 100),
    ("gravel", 150, 150),
)


def make() -> Image.Image:
    """The sheet: a label below each tile."""
    tiles = [*_single(), *_lives()]
    rows = -(-len(tiles) // COLUMNS)
    step = TILE_PX + GAP_PX
    sheet = Image.new("RGB", (COLUMNS * step + GAP_PX, rows * (step + LABEL_PX) + GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (label, tile) in enumerate(tiles):
        x, y = GAP_PX + index % COLUMNS * step, GAP_PX + index // COLUMNS * (step + LABEL_PX)
        sheet.paste(Image.fromarray(np.rint(tile * 255).astype(np.uint8)), (x, y))
        draw.text((x, y + TILE_PX + 2), label, fill="black", font=ImageFont.load_default(13))
    return sheet


def _single() -> Iterator[tuple[str, Array]]:
    clean = _print("astronaut", 0, 110)
    for label, ageing in SINGLE.items():
        yield label, age_picture(clean, ageing, np.random.default_rng(1)).aged


def _lives() -> Iterator[tuple[str, Array]]:
    """Lives drawn by the chances of training, but those with one plain defect, which stand above."""
    for number, (name, top, left) in enumerate(LIVES):
        rng = np.random.default_rng([5, number])
        ageing = sample_ageing(rng)
        while not ageing.grain or not ageing.damage:
            ageing = sample_ageing(rng)
        yield f"a life ({name})", age_picture(_print(name, top, left), ageing, rng).aged


def _print(name: str, top: int, left: int) -> Array:
    """A part of a photograph as a slightly warm print."""
    pixels = getattr(skimage.data, name)()[top : top + TILE_PX, left : left + TILE_PX].astype(np.float32) / 255
    grey = luma(pixels) if pixels.ndim == 3 else pixels
    return apply_toning(grey, shadows=(0.04, 0.012, -0.024), highlights=(1.0, 0.97, 0.89))


if __name__ == "__main__":
    make().save(SHEET, quality=84, optimize=True)
