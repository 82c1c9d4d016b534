"""Simulates single defects of photographs, by age, chemistry, optics and scanners, with the physical reason of each.

Pictures are float32 arrays of shape (H, W, 3), RGB, encoded values in [0, 1]. Every function takes its parameters as
arguments and random numbers from a :class:`numpy.random.Generator`, so the same seed gives the same defect.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from restoration.colour.colour_operations import luma
from restoration.degradation.real_grain import grain_field

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Softness:
    """Loss of sharpness. ``extent_px`` is a Gaussian's sigma, a disc's radius, or a motion's length."""

    kind: Literal["gaussian", "disc", "motion", "trajectory"]
    extent_px: float
    angle: float = 0.0  # radians
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Fading:
    """The effects of light and polluted air on the image substance, unevenly over the whole picture.

    ``density_loss`` is the share of black that is lost, ``flare`` the share of white that has darkened, ``yellowing``
    the share of blue lost in the whites, ``discolouration`` how far one dye or the silver's colour has changed, more in
    some areas than in others, ``unevenness`` the variation of all these over the picture. All in [0, 1].
    """

    density_loss: float = 0.0
    flare: float = 0.0
    yellowing: float = 0.0
    discolouration: float = 0.0
    unevenness: float = 0.0
    seed: int = 0


_CASTS = ((0.05, 0.45, 1.0), (0.0, 0.3, 0.7), (0.1, 0.35, 0.6), (0.0, 0.6, 0.5), (0.1, 0.6, 0.15))
"""Shares of red, green and blue lost: three variants of silver browned by sulphur, then two of unequally faded dyes."""


def blur(picture: Array, softness: Softness) -> Array:
    """Blurs: defocus (disc), diffusion in emulsion and paper (Gaussian), camera or subject motion."""
    if softness.kind == "gaussian":
        sigma = (softness.extent_px, softness.extent_px, 0)
        return np.asarray(ndimage.gaussian_filter(picture, sigma, mode="reflect", truncate=3), dtype=np.float32)
    kernel = blur_kernel(softness)
    return np.stack(
        [ndimage.convolve(picture[..., channel], kernel, mode="reflect") for channel in range(picture.shape[-1])],
        axis=-1,
    )


def blur_kernel(softness: Softness) -> Array:
    """The point spread function, (k, k) with odd k, summing to 1; lines are drawn at four times the size and averaged.

    A trajectory is a random walk with inertia, a simplified form of Boracchi and Foi, "Modeling the Performance of
    Image Restoration From Motion Blur", IEEE TIP 2012.
    """
    radius = int(np.ceil(softness.extent_px if softness.kind == "disc" else softness.extent_px / 2)) + 1
    if softness.kind == "gaussian":
        radius = int(np.ceil(3 * softness.extent_px))
    size, fine = 2 * radius + 1, 4
    grid = (np.arange(size * fine) + 0.5) / fine - size / 2
    if softness.kind in ("disc", "gaussian"):
        distance = np.hypot(grid[:, None], grid[None, :])
        inside = (
            distance <= softness.extent_px
            if softness.kind == "disc"
            else np.exp(-((distance / softness.extent_px) ** 2) / 2)
        )
        weights = inside.astype(np.float64)
    else:
        points = _path(softness)
        weights = np.zeros((size * fine, size * fine))
        index = np.clip(((points + size / 2) * fine).astype(int), 0, size * fine - 1)
        np.add.at(weights, (index[:, 0], index[:, 1]), 1.0)
    kernel = weights.reshape(size, fine, size, fine).sum(axis=(1, 3))
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def _path(softness: Softness) -> NDArray[np.float64]:
    steps = 200
    if softness.kind == "motion":
        along = np.linspace(-0.5, 0.5, steps) * softness.extent_px
        return np.stack([along * np.sin(softness.angle), along * np.cos(softness.angle)], axis=1)
    rng = np.random.default_rng(softness.seed)
    heading = softness.angle + np.cumsum(rng.normal(0, 0.12, steps))
    points = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    extent: float = np.ptp(points, axis=0).max()
    scaled: NDArray[np.float64] = points * (softness.extent_px / extent)
    return scaled


def add_grain(
    picture: Array,
    rng: np.random.Generator,
    *,
    strength: float,
    size_px: float,
    colour: float,
    patch: Array | None = None,
) -> Array:
    """Adds film grain: clumps of silver or dye, correlated over their size, strongest in the middle densities.

    Its deviation in a uniform area is the square root of transmitted times absorbed light (a binomial distribution of
    grains, after Selwyn 1935), so it vanishes in paper white and deep black. With ``patch``, real grain from
    :func:`restoration.degradation.real_grain.find_grain_patches`, it has the spectrum of the patch.
    """
    height, width, channels = picture.shape

    def draw(count: int) -> Array:
        if patch is None:
            return rng.standard_normal((height, width, count), dtype=np.float32)
        return np.stack([grain_field(height, width, patch, rng) for _ in range(count)], axis=-1)

    field = draw(1)
    if colour > 0:
        field = np.sqrt(1 - colour**2) * field + colour * draw(channels)
    if patch is None and size_px > 0.2:
        field = ndimage.gaussian_filter(field, (size_px, size_px, 0), mode="reflect", truncate=3)
        field /= max(float(field.std()), 1e-6)
    light = np.clip(luma(picture), 0, 1)[..., None]
    amplitude = strength * (0.25 + 0.75 * 2.0 * np.sqrt(light * (1 - light)))
    return np.asarray(picture + amplitude * field, dtype=np.float32)


def add_noise(picture: Array, rng: np.random.Generator, *, sigma: float, colour: float = 1.0) -> Array:
    """Adds white Gaussian noise of a scanner's electronics; ``colour`` 0: all channels share it, as in a grey scan."""
    channels = picture.shape[-1] if colour > 0 else 1
    field = rng.standard_normal((*picture.shape[:2], channels), dtype=np.float32)
    return picture + np.float32(sigma) * field


def add_shot_noise(picture: Array, rng: np.random.Generator, *, photon_count: float) -> Array:
    """Adds a sensor's shot noise: Poisson counts of photons, in linear light approximated by a power of 2.2."""
    counts = np.clip(picture, 0, 1) ** 2.2 * np.float32(photon_count)
    # A normal approximation, accurate from some tens of photons on; it lets two pictures share their random numbers.
    counts += np.sqrt(counts) * rng.standard_normal(picture.shape, dtype=np.float32)
    linear = np.clip(counts, 0, None) / np.float32(photon_count)
    return np.asarray(linear ** np.float32(1 / 2.2), dtype=np.float32)


def add_streaks(picture: Array, rng: np.random.Generator, *, sigma: float) -> Array:
    """Adds lines in the direction of a line scanner: each sensor element is slightly too bright or too dark.

    They run vertically or horizontally, at random; ``sigma`` is their deviation in encoded units.
    """
    height, width, _ = picture.shape
    down = rng.random() < 0.5
    line = rng.standard_normal((1, width, 1) if down else (height, 1, 1), dtype=np.float32)
    return np.asarray(picture + np.float32(sigma) * line, dtype=np.float32)


def fade(picture: Array, fading: Fading) -> Array:
    """Fades and yellows the picture; the same parameters give the same spatial variation for every picture."""
    if fading == Fading():
        return picture
    height, width, channels = picture.shape
    rng = np.random.default_rng(fading.seed)
    field = 1 + fading.unevenness * smooth_field(rng, height, width)
    black = np.clip(fading.density_loss * 0.5 * field, 0, 0.6)[..., None]
    white = 1 - np.clip(fading.flare * 0.6 * field, 0, 0.5)[..., None]
    tint = np.ones((height, width, channels), dtype=np.float32)
    if channels == 3:
        yellow = np.clip(fading.yellowing * field, 0, 0.8)
        tint[..., 1] -= 0.25 * yellow
        tint[..., 2] -= 0.75 * yellow
        if fading.discolouration > 0:
            cast = np.asarray(_CASTS[rng.integers(len(_CASTS))], dtype=np.float32)
            patches = np.clip(0.6 + 0.8 * smooth_field(rng, height, width), 0, 1.4)
            tint *= 1 - 0.4 * fading.discolouration * patches[..., None] * cast
    return np.asarray((black + (white - black) * picture) * tint, dtype=np.float32)


def vignette(picture: Array, strength: float) -> Array:
    """Darkens the corners, as oblique rays, a small lens or a burnt-in print do; ``strength`` is the share of light
    lost.
    """
    height, width, _ = picture.shape
    row = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    column = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.asarray(picture * (1 - strength * ((row**2 + column**2) / 2)[..., None]), dtype=np.float32)


def halftone(picture: Array, pitch_px: float, *, angle: float = np.pi / 4) -> Array:
    """A halftone screen: dots that grow with darkness, at 45 degrees, softened by ink spread.

    The threshold is a product of cosines, which gives round dots in the highlights and round holes in the shadows.
    """
    height, width, _ = picture.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    along = (columns * np.cos(angle) + rows * np.sin(angle)) * (2 * np.pi / pitch_px)
    across = (rows * np.cos(angle) - columns * np.sin(angle)) * (2 * np.pi / pitch_px)
    threshold = 0.5 + 0.25 * (np.cos(along) + np.cos(across))
    dots = 1 / (1 + np.exp(np.clip((threshold - luma(picture)) * 12, -40, 40)))
    paper = picture.max(axis=(0, 1), keepdims=True)
    return np.asarray(dots[..., None] * paper, dtype=np.float32)


def smooth_field(rng: np.random.Generator, height: int, width: int) -> Array:
    """A smooth field with a range of about 1 and mean 0: coarse noise with cubic interpolation, which shows no lattice.

    It has up to four knots a side, at least about 96 px apart, because large-scale variation of a print hardly changes
    within a small part of it.
    """
    knots = [min(4, max(2, round(side / 96))) for side in (height, width)]
    coarse = rng.uniform(-1, 1, knots).astype(np.float32)
    smooth = ndimage.zoom(coarse, (height / knots[0], width / knots[1]), order=3, grid_mode=True, mode="nearest")
    return np.asarray(smooth, dtype=np.float32)


def rescale(picture: Array, factor: float) -> Array:
    """Reduces the picture to ``factor`` of its size and enlarges it again, as if only a small access copy had been
    kept.
    """
    height, width, channels = picture.shape
    small = (max(8, round(width * factor)), max(8, round(height * factor)))
    planes = []
    for channel in range(channels):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., channel]))
        plane = plane.resize(small, Image.Resampling.BICUBIC).resize((width, height), Image.Resampling.BICUBIC)
        planes.append(np.asarray(plane))
    return np.stack(planes, axis=-1)


def sharpen(picture: Array, *, amount: float, radius_px: float) -> Array:
    """Applies a scanning program's unsharp mask: adds ``amount`` times the detail finer than a Gaussian of
    ``radius_px``.

    It uses the luma, as those programs do, so that edges get no colour.
    """
    plane = luma(picture)
    fine = plane - ndimage.gaussian_filter(plane, radius_px, mode="reflect", truncate=3)
    return np.asarray(picture + np.float32(amount) * fine[..., None], dtype=np.float32)


def compress_jpeg(picture: Array, quality: int) -> Array:
    """Compresses as JPEG and decodes again: 8 bits, 4:2:0 below quality 90, with block artefacts."""
    as_bytes = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(as_bytes[..., 0] if as_bytes.shape[-1] == 1 else as_bytes)
    image.save(buffer, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    with Image.open(buffer) as decoded:
        values = np.asarray(decoded, dtype=np.float32) / np.float32(255)
    return values.reshape(picture.shape)
