"""Handling damage: scratches, hairs, dust and folds, drawn as strokes.

Strokes are drawn at twice the size and reduced, so that their edges are soft, as in scans.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from restoration.degradation.image_defects import Array

Points = NDArray[np.float64]

_SCALE = 2
_KNOT_PX = 6  # length of a stroke's straight segments, in the enlarged drawing


def draw_handling(
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    scratches: float = 0.0,
    hairs: float = 0.0,
    specks: float = 0.0,
    folds: float = 0.0,
    scale: float = 1.0,
) -> Array:
    """A mask of where the image layer is covered or missing, (height, width) in [0, 1].

    The counts are means for 256 by 256 pixels at a ``scale`` of 1. The scale multiplies widths and lengths, as a higher
    resolution of the scan does, and divides the counts, so that the damaged share of the picture grows in proportion.
    """
    canvas = Image.new("L", (_SCALE * width, _SCALE * height))
    draw = ImageDraw.Draw(canvas)
    share = height * width / 65536 / scale
    _draw_scratches(draw, rng, canvas.size, rng.poisson(scratches * share), scale)
    for _ in range(rng.poisson(hairs * share)):
        _draw_hair(draw, rng, canvas.size, scale)
    _draw_specks(draw, rng, canvas.size, rng.poisson(specks * share), scale)
    for _ in range(rng.poisson(folds * share)):
        _draw_fold(draw, rng, canvas.size, scale)
    reduced = canvas.resize((width, height), Image.Resampling.BOX)
    return np.asarray(reduced, dtype=np.float32) / np.float32(255)


def _draw_scratches(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], count: int, scale: float
) -> None:
    """Scratches by grit: slightly curved lines, mostly thin, with gaps and tapering ends.

    Most have the same direction, that of the film transport or of a sleeve.
    """
    way = rng.normal(np.pi / 2, 0.3)
    for _ in range(count):
        angle = way + rng.normal(0, 0.08) if rng.random() < 0.6 else rng.uniform(0, np.pi)
        length = scale * min(rng.exponential(140) + 15, 900)
        knots = max(3, int(length / (2 * _KNOT_PX)))
        heading = angle + np.linspace(0, rng.normal(0, 0.15), knots) + rng.normal(0, 0.015, knots)
        points = _walk(rng.uniform(0, 1, 2) * size, heading, length / knots)
        pressed = np.sin(np.linspace(0.15, np.pi - 0.15, knots)) ** 0.5 * _uneven(rng, knots, 0.35)
        pen = rng.choice([1, 2, 3, 4], p=[0.4, 0.35, 0.15, 0.1])
        _stroke(draw, points, rng.uniform(110, 255) * pressed, np.full(knots, scale * pen))


def _draw_hair(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], scale: float) -> None:
    """A fibre of dust: thin, with constant width and slowly changing curvature."""
    knots = int(rng.integers(12, 60))
    bend = np.cumsum(rng.normal(0, 0.03, knots)) + rng.normal(0, 0.04)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(np.clip(bend, -0.4, 0.4))
    points = _walk(rng.uniform(0, 1, 2) * size, heading, scale * rng.uniform(1.5, 4.0))
    fill = rng.uniform(120, 255) * _uneven(rng, knots, 0.1)
    _stroke(draw, points, fill, np.full(knots, scale * rng.choice([1, 2, 3], p=[0.4, 0.45, 0.15])))


def _draw_specks(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], count: int, scale: float
) -> None:
    """Dust and chipped emulsion: ragged, very few large, a third of them in clusters."""
    clouds = rng.uniform(0, 1, (3, 2)) * size
    for _ in range(count):
        middle = rng.uniform(0, 1, 2) * size
        if rng.random() < 0.35:
            middle = clouds[rng.integers(3)] + scale * rng.normal(0, 40, 2)
        radius = min(0.8 * (1 + rng.pareto(1.9)) * scale, 16.0)
        corners = int(rng.integers(5, 10))
        turn = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = radius * rng.uniform(0.6, 1.4, corners)
        along = rng.uniform(0, np.pi)
        longer = 1 + rng.exponential(0.5)
        around = np.stack([longer * reach * np.cos(turn), reach * np.sin(turn)], axis=1)
        turned = around @ np.array([[np.cos(along), np.sin(along)], [-np.sin(along), np.cos(along)]])
        draw.polygon([(float(x), float(y)) for x, y in middle + turned], fill=int(rng.uniform(110, 255)))


def _draw_fold(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], scale: float) -> None:
    """A crease from edge to edge, nearly straight: a fine line where the layer broke, with flakes missing along it."""
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.12)
    length = 1.5 * max(size)
    knots = int(length / _KNOT_PX)
    heading = angle + np.cumsum(rng.normal(0, 0.01, knots)) + rng.normal(0, 0.12, knots)
    points = _walk(rng.uniform(0, 1, 2) * size, heading, _KNOT_PX)
    points -= points[knots // 2] - rng.uniform(0, 1, 2) * size
    broken = _uneven(rng, knots, 0.5)
    wide = 1 + (rng.uniform(0.5, 3.5) * np.clip(broken - 0.6, 0, 1) ** 2 * 4).astype(int)
    _stroke(draw, points, rng.uniform(130, 255) * np.clip(1.3 * broken, 0, 1), scale * wide)


def _walk(start: Points, heading: Points, step: float) -> Points:
    points: Points = start + np.cumsum(step * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    return points


def _uneven(rng: np.random.Generator, knots: int, how_far: float) -> Points:
    """A share in [0, 1] that changes slowly along a stroke and sometimes falls to 0."""
    coarse = rng.normal(1 - how_far / 2, how_far, max(2, knots // 4))
    along: Points = np.clip(np.interp(np.linspace(0, 1, knots), np.linspace(0, 1, coarse.size), coarse), 0, 1)
    return along


def _stroke(draw: ImageDraw.ImageDraw, points: Points, fill: Points, wide: Points) -> None:
    """A line through points; each segment has its own strength (0 to 255) and width (px of the enlarged drawing)."""
    corners = [(float(x), float(y)) for x, y in points]
    for one, other, strength, pen in zip(corners, corners[1:], fill, wide, strict=False):
        if strength >= 8:
            draw.line([one, other], fill=int(strength), width=max(1, round(pen)))
