"""Draws thin structures that resemble damage: wires, rails, railings, rivets, buttons, stars, whiskers.

Training adds them to clean pictures, so that a network that repairs damage learns to keep them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.float32]
_SCALE = 3  # structures are drawn at this scale and downsampled, for soft edges


def draw_thin_structures(picture: Array, rng: np.random.Generator) -> Array:
    """Draws one to three kinds of thin structures on a picture.

    Args:
        picture: (H, W, 3), encoded values in [0, 1].
        rng: the random generator for the kinds, positions and appearance of the structures.

    Returns:
        The picture with the structures, the same shape.
    """
    for draw in rng.choice(np.asarray(_KINDS, dtype=object), int(rng.integers(1, 4)), replace=False):
        picture = _blend(picture, draw, rng)
    return picture


def _blend(picture: Array, draw: Callable[..., None], rng: np.random.Generator) -> Array:
    height, width = picture.shape[:2]
    canvas = Image.new("L", (_SCALE * width, _SCALE * height))
    draw(ImageDraw.Draw(canvas), _SCALE * width, _SCALE * height, rng)
    coverage = np.asarray(canvas.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / np.float32(255)
    coverage = coverage[..., None] * np.float32(rng.uniform(0.45, 1.0))
    dark = rng.random() < 0.5
    lightness = np.float32(rng.uniform(0.0, 0.3) if dark else rng.uniform(0.7, 1.0))
    tint = picture.mean(axis=(0, 1)) / max(float(picture.mean()), 1e-3)
    blended = picture * (1 - coverage) + coverage * np.clip(lightness * tint, 0, 1)
    return np.asarray(blended, dtype=np.float32)


def _draw_wires(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    """Draws wires, ropes, masts and rails: long lines, straight or sagging, alone or nearly parallel."""
    angle = rng.uniform(0, np.pi)
    along = np.asarray([np.cos(angle), np.sin(angle)])
    across = np.asarray([-along[1], along[0]])
    place, reach = rng.uniform(0, 1, 2) * (width, height), np.linspace(-1, 1, 40) * (width + height)
    sag = rng.uniform(0, 0.12) * (width + height) * (rng.random() < 0.4)
    pen, gap = int(rng.integers(2, 12)), rng.uniform(12, 120)
    for index in range(int(rng.choice([1, 2, 2, 3, 5]))):
        offset = index * gap * rng.uniform(0.9, 1.1) + sag * (reach / (width + height)) ** 2
        points = place + reach[:, None] * along + offset[:, None] * across
        draw.line([(float(x), float(y)) for x, y in points], fill=255, width=pen, joint="curve")


def _draw_bars(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    """Draws railings, window bars and fences: equal lines side by side, within a part of the picture."""
    left, top = rng.uniform(-0.2, 0.7) * width, rng.uniform(-0.2, 0.7) * height
    right, bottom = left + rng.uniform(0.2, 0.9) * width, top + rng.uniform(0.15, 0.7) * height
    pitch, pen, lean = rng.uniform(14, 90), int(rng.integers(2, 10)), rng.normal(0, 0.05) * height
    for x in np.arange(left, right, pitch):
        draw.line([(float(x), top), (float(x + lean), bottom)], fill=255, width=pen)
    for y in (top, bottom):
        draw.line([(left, y), (right, y)], fill=255, width=pen)


def _draw_rivets(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    """Draws rows of rivets, nail heads or buttons: equal small discs at equal distances."""
    radius, pitch = rng.uniform(2.5, 10), rng.uniform(20, 90)
    angle = float(rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]))
    step = np.asarray([np.cos(angle), np.sin(angle)]) * pitch
    for _ in range(int(rng.integers(1, 5))):
        start = rng.uniform(0, 1, 2) * (width, height)
        for index in range(int(rng.integers(3, 40))):
            x, y = start + index * step
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)


def _draw_points(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    """Draws catchlights, stars, lamps and pebbles: small spots of different sizes."""
    for _ in range(int(rng.integers(2, 40))):
        x, y = rng.uniform(0, 1, 2) * (width, height)
        radius = float(np.exp(rng.uniform(np.log(1.5), np.log(8))))
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=int(rng.uniform(120, 255)))


def _draw_whiskers(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    """Draws whiskers, straws and twigs: bundles of short thin curves."""
    for _ in range(int(rng.integers(1, 6))):
        x, y = rng.uniform(0, 1, 2) * (width, height)
        heading, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.25) * width
        for _ in range(int(rng.integers(2, 10))):
            direction = heading + rng.normal(0, 0.25)
            bend = rng.normal(0, 0.6)
            angles = direction + bend * np.linspace(0, 1, 12)
            points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], -1) * length / 12, axis=0)
            points += np.asarray([x, y]) + rng.normal(0, 8, 2)
            draw.line(
                [(float(a), float(b)) for a, b in points],
                fill=int(rng.uniform(140, 255)),
                width=int(rng.integers(1, 5)),
            )


_KINDS = (_draw_wires, _draw_bars, _draw_rivets, _draw_points, _draw_whiskers)
