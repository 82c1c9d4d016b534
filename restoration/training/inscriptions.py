"""Draws simulated inscriptions on photographs: handwriting, captions, crop marks. They belong to the object.

Training adds them to clean pictures, so that the network learns to keep them; the evaluation measures whether it does.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.float32]

_KINDS, _PROBABILITIES = ("type", "handwriting", "rule"), (0.45, 0.35, 0.2)
_LETTERS = string.ascii_letters + string.digits + "    .,-/&"


def draw_inscriptions(picture: Array, rng: np.random.Generator) -> Array:
    """Draws one to three marks of ink, pencil or type on a picture.

    Args:
        picture: (H, W, 3), encoded values in [0, 1].
        rng: the random generator for the kinds, positions and appearance of the marks.

    Returns:
        The picture with its marks, the same shape. A quarter of the inks are light, as on dark mounts.
    """
    kinds = (str(rng.choice(_KINDS, p=_PROBABILITIES)) for _ in range(int(rng.integers(1, 4))))
    ink = draw_ink(picture.shape[0], picture.shape[1], kinds, rng)[..., None]
    dark = rng.random() < 0.75
    colour = rng.uniform(0.0, 0.3, 3) * (rng.random(3) < 0.5) if dark else rng.uniform(0.8, 1.0)
    return np.asarray(picture * (1 - ink) + ink * np.asarray(colour, dtype=np.float32), dtype=np.float32)


def draw_ink(height: int, width: int, kinds: Iterable[str], rng: np.random.Generator) -> Array:
    """Draws marks of the given kinds and returns their coverage per pixel, (height, width) in [0, 1].

    ``kinds`` are ``type``, ``handwriting`` and ``rule``. Marks are drawn at twice the size and downsampled, for soft
    edges.
    """
    canvas = Image.new("L", (2 * width, 2 * height))
    for kind in kinds:
        {"type": _draw_type, "handwriting": _draw_handwriting, "rule": _draw_rule}[kind](canvas, rng)
    downsampled = canvas.resize((width, height), Image.Resampling.BOX)
    return np.asarray(downsampled, dtype=np.float32) / np.float32(255)


def _draw_type(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Draws lines of type, half of them slightly rotated."""
    font = ImageFont.load_default(size=float(rng.uniform(14, 60)))
    lines = ["".join(rng.choice(list(_LETTERS), int(rng.integers(4, 28)))) for _ in range(int(rng.integers(1, 5)))]
    layer = Image.new("L", canvas.size)
    position = (float(rng.uniform(-0.1, 0.6) * canvas.width), float(rng.uniform(0, 0.9) * canvas.height))
    ImageDraw.Draw(layer).multiline_text(position, "\n".join(lines), fill=int(rng.uniform(130, 255)), font=font)
    if rng.random() < 0.5:
        layer = layer.rotate(float(rng.normal(0, 6)) + float(rng.choice([0, 90])), Image.Resampling.BILINEAR)
    canvas.paste(255, mask=layer)


def _draw_handwriting(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Draws handwriting: rows of connected loops, from a point that circles while it moves along the line."""
    draw = ImageDraw.Draw(canvas)
    size, slant = rng.uniform(8, 34), rng.normal(0.4, 0.3)
    pen, fill = int(rng.integers(1, 6)), int(rng.uniform(140, 255))
    for row in range(int(rng.integers(1, 4))):
        count = int(rng.integers(60, 240))
        phase = np.cumsum(rng.normal(0.55, 0.25, count))
        radius = size * (
            0.35 + 0.65 * np.abs(np.interp(np.arange(count), np.arange(0, count, 6), rng.random(-(-count // 6))))
        )
        up = np.sin(phase) * radius
        along = np.arange(count) * size * 0.09 + np.cos(phase) * radius * 0.6 + slant * up
        x = rng.uniform(-0.1, 0.4) * canvas.width + along
        y = rng.uniform(0.05, 0.95) * canvas.height + row * 2.2 * size - up
        draw.line([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill=fill, width=pen, joint="curve")


def _draw_rule(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Draws crop marks: two perpendicular straight lines."""
    draw = ImageDraw.Draw(canvas)
    fill, pen = int(rng.uniform(150, 255)), int(rng.integers(2, 8))
    x, y = rng.uniform(0.05, 0.95) * canvas.width, rng.uniform(0.05, 0.95) * canvas.height
    length = rng.uniform(0.08, 0.5) * canvas.width
    draw.line([(x - length, y), (x + length * rng.uniform(0, 1), y)], fill=fill, width=pen)
    draw.line([(x, y - length), (x, y + length * rng.uniform(0, 1))], fill=fill, width=pen)
