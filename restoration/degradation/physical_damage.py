"""Physical damage: scratches, hairs, dust, stains, spots, cracks and folds, drawn at random or from scanned masks.

A mask is a float32 array (H, W) in [0, 1], 1 where the picture is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from restoration.degradation.damage_strokes import draw_handling
from restoration.degradation.image_defects import Array, smooth_field

_MIN_SCALE, _MAX_SCALE = 0.8, 5.0  # of strokes in training; the widest scratches are 10 px wide


@dataclass(frozen=True, kw_only=True)
class Damage:
    """The amount of each kind of damage. Counts are for 256 by 256 pixels and scaled with the picture's area.

    ``mask`` is a scanned mask of real damage, (H, W) in [0, 1], applied at ``mask_offset`` and repeated. ``cracks``
    counts the cells into which a dried emulsion broke, ``stain`` and ``mirroring`` are strengths in [0, 1]. ``scale``
    multiplies the size of scratches, hairs, specks and folds, whose width in px depends on the scan's resolution.
    """

    scratches: float = 0.0
    hairs: float = 0.0
    specks: float = 0.0
    foxing: float = 0.0
    folds: float = 0.0
    cracks: float = 0.0
    stain: float = 0.0
    mirroring: float = 0.0
    scale: float = 1.0
    mask: Array | None = None
    mask_offset: tuple[int, int] = (0, 0)
    lightness: float = 0.9  # of the exposed material: paper white, or black
    seed: int = 0

    def mask_of(self, height: int, width: int) -> Array:
        """All damage for a picture of this size as a mask, (height, width), 1 where the picture is lost or changed."""
        changed = [
            _draw_foxing(height, width, self) > 0.1,
            _draw_stain(height, width, self) > 0.05,
            _draw_mirroring(height, width, self) > 0.1,
        ]
        return np.asarray(np.maximum(_draw_hard(height, width, self), np.any(changed, axis=0)), dtype=np.float32)


def sample_damage(rng: np.random.Generator) -> Damage:
    """Samples a moderate amount of damage; each kind is present in some pictures only."""

    def some(most: float, probability: float) -> float:
        return float(rng.uniform(0, most)) if rng.random() < probability else 0.0

    return Damage(
        scratches=some(8, 0.6),
        hairs=some(5, 0.4),
        specks=some(50, 0.65),
        foxing=some(6, 0.15),
        folds=some(1.5, 0.2),
        cracks=some(30, 0.1),
        stain=some(0.4, 0.12),
        mirroring=some(0.6, 0.1),
        scale=float(np.exp(rng.uniform(np.log(_MIN_SCALE), np.log(_MAX_SCALE)))),
        lightness=float(rng.uniform(0.75, 1.0) if rng.random() < 0.7 else rng.uniform(0.0, 0.25)),
        seed=int(rng.integers(2**31)),
    )


def paint_damage(picture: Array, damage: Damage, rng: np.random.Generator) -> Array:
    """Applies damage to a picture (H, W, C).

    Scratches, folds, cracks, dust and hairs replace the picture by the colour of exposed paper or of dust; foxing and
    stains multiply it by a brown; mirroring adds a bluish sheen to the shadows.
    """
    height, width, channels = picture.shape
    brown = np.array([0.80, 0.62, 0.42], dtype=np.float32) if channels == 3 else np.float32(0.65)
    browned = _draw_foxing(height, width, damage) + _draw_stain(height, width, damage)
    stained = picture * (1 - np.clip(browned, 0, 0.95)[..., None] * (1 - brown))
    if damage.mirroring > 0:
        silver = np.array([0.62, 0.66, 0.72], dtype=np.float32) if channels == 3 else np.float32(0.66)
        sheen = _draw_mirroring(height, width, damage)[..., None] * (1 - np.clip(stained, 0, 1)) ** 2
        stained = stained + sheen * (silver - stained)
    hard = _draw_hard(height, width, damage)[..., None]
    lightness = damage.lightness + rng.normal(0, 0.03, (height, width, 1)).astype(np.float32)
    bared = np.clip(lightness * _paper_of(picture), 0, 1)
    return np.asarray(stained * (1 - hard) + bared * hard, dtype=np.float32)


def _paper_of(picture: Array) -> Array:
    """The tint of exposed paper, (C,): as warm as the print, because both have aged alike."""
    if picture.shape[-1] == 1:
        return np.ones(1, dtype=np.float32)
    red, green, blue = (float(level) for level in picture.mean(axis=(0, 1)))
    warmth = min(max(1.2 * (red - blue) / max(red + green + blue, 1e-3), 0.0), 0.25)
    return np.array([1, 1 - 0.4 * warmth, 1 - warmth], dtype=np.float32)


def _laid(mask: Array, height: int, width: int, offset: tuple[int, int]) -> Array:
    rows = (np.arange(height) + offset[0]) % mask.shape[0]
    columns = (np.arange(width) + offset[1]) % mask.shape[1]
    laid: Array = mask[rows][:, columns]
    return laid


def _draw_hard(height: int, width: int, damage: Damage) -> Array:
    """The mask of where the image layer is missing or covered."""
    lost = draw_handling(
        height,
        width,
        np.random.default_rng(damage.seed),
        scratches=damage.scratches,
        hairs=damage.hairs,
        specks=damage.specks,
        folds=damage.folds,
        scale=damage.scale,
    )
    if damage.cracks > 0:
        lost = np.maximum(lost, _draw_cracks(height, width, damage))
    if damage.mask is not None:
        lost = np.maximum(lost, _laid(damage.mask, height, width, damage.mask_offset))
    return lost


def _draw_foxing(height: int, width: int, damage: Damage) -> Array:
    """Foxing, rust-brown spots of fungi or iron in paper: soft spots of many sizes, mostly small, ragged inside."""
    if damage.foxing <= 0:
        return np.zeros((height, width), dtype=np.float32)
    rng = np.random.default_rng(damage.seed + 1)
    blots = np.zeros((height, width), dtype=np.float32)
    for radius in (1.2, 2.5, 5.0):
        seeds = np.zeros((height, width), dtype=np.float32)
        for _ in range(rng.poisson(damage.foxing / radius * height * width / 65536)):
            seeds[rng.integers(height), rng.integers(width)] += rng.uniform(0.3, 1.0)
        blots += ndimage.gaussian_filter(seeds, radius) * (2 * np.pi * radius**2)
    ragged = ndimage.gaussian_filter(rng.standard_normal((height, width), dtype=np.float32), 1.2) * 3
    return np.asarray(np.clip(blots * np.clip(1 + 0.35 * ragged, 0, 2), 0, 0.9), dtype=np.float32)


def _draw_cracks(height: int, width: int, damage: Damage) -> Array:
    """Cracks in a dried emulsion or varnish: the edges of a Voronoi diagram, interrupted in places.

    Distances are measured between distorted positions, so that the lines wander and vary in width as real ones do.
    """
    rng = np.random.default_rng(damage.seed + 2)
    cells = max(3, rng.poisson(damage.cracks * height * width / 65536))
    points = rng.uniform(-0.1, 1.1, (cells, 2)) * (height, width)
    places = np.moveaxis(np.mgrid[:height, :width], 0, -1) + np.stack([_bends(rng, height, width) for _ in "yx"], -1)
    near = cKDTree(points).query(places.reshape(-1, 2), k=2)[0]
    gap = (near[:, 1] - near[:, 0]).reshape(height, width)
    broken = smooth_field(rng, height, width) + 0.1 * _bends(rng, height, width) > rng.uniform(-0.5, 0.3)
    return np.asarray(np.clip(1.4 - gap / rng.uniform(0.7, 1.8), 0, 1) * broken, dtype=np.float32)


def _bends(rng: np.random.Generator, height: int, width: int) -> Array:
    """The displacement of lines, px: large-scale bends with finer ones added."""
    bends = np.zeros((height, width), dtype=np.float32)
    for sigma, reach in ((9.0, 2.0), (2.5, 0.6)):
        field = ndimage.gaussian_filter(rng.standard_normal((height, width), dtype=np.float32), sigma, truncate=2.5)
        bends += np.float32(reach * 2 * np.sqrt(np.pi) * sigma) * field
    return bends


def _draw_stain(height: int, width: int, damage: Damage) -> Array:
    """A dried water stain: a brownish area with a darker tide line at its ragged edge."""
    if damage.stain <= 0:
        return np.zeros((height, width), dtype=np.float32)
    rng = np.random.default_rng(damage.seed + 3)
    level = smooth_field(rng, height, width) - rng.uniform(-0.3, 0.3) + 0.012 * _bends(rng, height, width)
    inside = 1 / (1 + np.exp(-np.clip(level * 40, -30, 30)))
    tide = np.where(level > 0, np.exp(-np.abs(level) / 0.06), np.exp(-((level / 0.015) ** 2)))
    return np.asarray(damage.stain * (0.4 * inside + 0.6 * tide), dtype=np.float32)


def _draw_mirroring(height: int, width: int, damage: Damage) -> Array:
    """Silver mirroring, silver that migrated to the surface: smooth areas, in real prints mostly near the edges."""
    if damage.mirroring <= 0:
        return np.zeros((height, width), dtype=np.float32)
    rng = np.random.default_rng(damage.seed + 4)
    field = np.clip(0.5 + smooth_field(rng, height, width), 0, 1)
    return np.asarray(damage.mirroring * field, dtype=np.float32)
