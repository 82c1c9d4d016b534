"""The ageing model: what time, chemistry, optics and scanners do to a photograph, with the physical reason of each.

Pictures are float32 arrays of shape (H, W, 3), RGB, encoded values in [0, 1]. Every function takes its numbers as
arguments and its chance from a :class:`numpy.random.Generator`, so that the same seed gives the same ageing.

:func:`sample_ageing` draws the numbers of one photograph's life, :func:`age` applies them in the order in which they
happen: lens and camera, negative, print, decades in a box, handling, scanner, file.

What a restoration may undo and what it must leave is decided here: :func:`age` returns the aged picture together with a
target that keeps fading, yellowing and vignetting, since those are repaired only when a person asks, and toning, which
is the maker's choice.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from restoration.colour import luma
from restoration.damage import Damage, paint_damage, sample_damage

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
    """What light and bad air do to the image substance, over the whole picture, and unevenly.

    ``density_loss`` is the share of black that is gone, ``flare`` the share of white that has darkened, ``yellowing``
    the share of blue lost in the whites, ``unevenness`` how far all three vary over the picture, ``vignette`` the
    darkening towards the corners. All in [0, 1].
    """

    density_loss: float = 0.0
    flare: float = 0.0
    yellowing: float = 0.0
    unevenness: float = 0.0
    vignette: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Ageing:
    """One photograph's life in numbers. The default is a picture to which nothing happened.

    Noise levels are standard deviations of encoded values; a ``grain_size_px`` is the sigma of the grain's Gaussian
    autocorrelation; ``rescale`` is the factor at which the picture was kept before it was enlarged to its present size.
    """

    softness: tuple[Softness, ...] = ()
    grain: float = 0.0
    grain_size_px: float = 0.0
    grain_colour: float = 0.0  # 0: one emulsion (the channels share the grain); 1: each channel its own
    fading: Fading = Fading()
    damage: Damage | None = None
    gaussian_noise: float = 0.0
    noise_colour: float = 1.0
    photon_count: float = 0.0  # photons at white in a scanner's sensor; 0: no shot noise
    rescale: float = 1.0
    jpeg_quality: int | None = None
    clip: bool = True


@dataclass(frozen=True, kw_only=True)
class AgedPair:
    """An aged picture and what a restoration of it should give, both (H, W, 3); ``damage`` is (H, W), 1 = damaged."""

    aged: Array
    target: Array
    damage: Array


def age(clean: Array, ageing: Ageing, rng: np.random.Generator) -> AgedPair:
    """Ages a clean picture.

    Args:
        clean: (H, W, 3), encoded values in [0, 1].
        ageing: what happens to it.
        rng: the chance of grain and noise.

    Returns:
        The aged picture, the target (clean, but faded in the same way) and the mask of damage. With ``ageing.clip``
        the aged picture lies in [0, 1], as in a file; else noise may reach beyond.
    """
    picture = clean
    for softness in ageing.softness:
        picture = soften(picture, softness)
    if ageing.grain > 0:
        picture = add_grain(
            picture, rng, strength=ageing.grain, size_px=ageing.grain_size_px, colour=ageing.grain_colour
        )
    picture, target = fade(picture, ageing.fading), fade(clean, ageing.fading)
    mask = np.zeros(clean.shape[:2], dtype=np.float32)
    if ageing.damage is not None:
        picture, mask = paint_damage(picture, ageing.damage, rng)
    if ageing.photon_count > 0:
        picture = add_shot_noise(picture, rng, photon_count=ageing.photon_count)
    if ageing.gaussian_noise > 0:
        picture = add_noise(picture, rng, sigma=ageing.gaussian_noise, colour=ageing.noise_colour)
    if ageing.rescale != 1.0:
        picture = rescale(picture, ageing.rescale)
    if ageing.clip or ageing.jpeg_quality is not None:
        picture = np.clip(picture, 0.0, 1.0)
    if ageing.jpeg_quality is not None:
        picture = compress_jpeg(picture, ageing.jpeg_quality)
    return AgedPair(aged=picture.astype(np.float32), target=target, damage=mask)


def sample_ageing(rng: np.random.Generator, *, monochrome: bool = True) -> Ageing:
    """Draws the numbers of one photograph's life, from untouched (about one in eight) to ruined.

    About a third of the pictures get plain noise or plain blur alone, so that a network trained on them also does well
    where a scan has one simple defect.
    """
    kind = rng.random()
    if kind < 0.12:
        return _sample_untouched(rng)
    if kind < 0.32:
        return Ageing(
            gaussian_noise=float(rng.uniform(0.0, 55 / 255)),
            noise_colour=0.0 if monochrome else 1.0,
            clip=bool(rng.random() < 0.5),
        )
    if kind < 0.45:
        return Ageing(
            softness=(_sample_softness(rng),),
            gaussian_noise=float(rng.uniform(0.0, 0.03)),
            noise_colour=0.0 if monochrome else 1.0,
        )
    return _sample_life(rng, monochrome=monochrome)


def _sample_untouched(rng: np.random.Generator) -> Ageing:
    return Ageing(
        gaussian_noise=float(rng.choice([0.0, 0.002, 0.005])),
        jpeg_quality=int(rng.integers(92, 99)) if rng.random() < 0.4 else None,
        fading=_sample_fading(rng) if rng.random() < 0.4 else Fading(),
    )


def _sample_life(rng: np.random.Generator, *, monochrome: bool) -> Ageing:
    grainy = rng.random() < 0.75
    emulsion = 0.0 if monochrome else float(rng.uniform(0.3, 1.0))
    return Ageing(
        softness=tuple(_sample_softness(rng) for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.6, 0.15])))),
        grain=float(0.01 + 0.11 * rng.beta(1.2, 2.5)) if grainy else 0.0,
        grain_size_px=float(rng.uniform(0.35, 1.6)),
        grain_colour=emulsion,
        fading=_sample_fading(rng) if rng.random() < 0.6 else Fading(),
        damage=sample_damage(rng) if rng.random() < 0.45 else None,
        photon_count=float(np.exp(rng.uniform(np.log(80), np.log(4000)))) if rng.random() < 0.25 else 0.0,
        gaussian_noise=float(rng.uniform(0.0, 0.05) if rng.random() < 0.8 else rng.uniform(0.05, 0.2)),
        noise_colour=0.0 if monochrome and rng.random() < 0.7 else 1.0,
        rescale=float(rng.uniform(0.55, 1.0)) if rng.random() < 0.4 else 1.0,
        jpeg_quality=int(rng.integers(30, 96)) if rng.random() < 0.5 else None,
    )


def _sample_softness(rng: np.random.Generator) -> Softness:
    kind = rng.choice(["gaussian", "disc", "motion", "trajectory"], p=[0.55, 0.2, 0.15, 0.1])
    extent = {
        "gaussian": rng.uniform(0.3, 3.0),
        "disc": rng.uniform(0.6, 4.0),
        "motion": rng.uniform(3.0, 15.0),
        "trajectory": rng.uniform(4.0, 14.0),
    }[str(kind)]
    return Softness(
        kind=str(kind),  # type: ignore[arg-type]
        extent_px=float(extent),
        angle=float(rng.uniform(0, np.pi)),
        seed=int(rng.integers(2**31)),
    )


def _sample_fading(rng: np.random.Generator) -> Fading:
    return Fading(
        density_loss=float(rng.uniform(0.0, 0.45)),
        flare=float(rng.uniform(0.0, 0.25)),
        yellowing=float(rng.uniform(0.0, 0.4)) if rng.random() < 0.6 else 0.0,
        unevenness=float(rng.uniform(0.0, 0.6)),
        vignette=float(rng.uniform(0.0, 0.5)) if rng.random() < 0.3 else 0.0,
        seed=int(rng.integers(2**31)),
    )


def without_fading(ageing: Ageing) -> Ageing:
    """The same life in a dark, cool box: nothing faded."""
    return replace(ageing, fading=Fading())


def soften(picture: Array, softness: Softness) -> Array:
    """Blurs: a lens out of focus (disc), diffusion in emulsion and paper (Gaussian), camera or subject motion."""
    if softness.kind == "gaussian":
        sigma = (softness.extent_px, softness.extent_px, 0)
        return np.asarray(ndimage.gaussian_filter(picture, sigma, mode="reflect", truncate=3), dtype=np.float32)
    kernel = blur_kernel(softness)
    return np.stack(
        [ndimage.convolve(picture[..., channel], kernel, mode="reflect") for channel in range(picture.shape[-1])],
        axis=-1,
    )


def blur_kernel(softness: Softness) -> Array:
    """The point spread function, (k, k) with odd k, summing to 1; lines are drawn four times finer and averaged.

    A trajectory is a random walk with inertia, after Boracchi and Foi, "Modeling the Performance of Image Restoration
    From Motion Blur", IEEE TIP 2012, much simplified.
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


def add_grain(picture: Array, rng: np.random.Generator, *, strength: float, size_px: float, colour: float) -> Array:
    """Film grain: clumps of silver or dye, correlated over their size, strongest in the middle densities.

    Its spread over a uniform field follows the square root of the density's share of light passed and stopped (a
    binomial of grains, after Selwyn 1935), so it dies away in paper white and deep black.
    """
    height, width, channels = picture.shape
    field = rng.standard_normal((height, width, 1), dtype=np.float32)
    if colour > 0:
        own = rng.standard_normal((height, width, channels), dtype=np.float32)
        field = np.sqrt(1 - colour**2) * field + colour * own
    if size_px > 0.2:
        field = ndimage.gaussian_filter(field, (size_px, size_px, 0), mode="reflect", truncate=3)
        field /= max(float(field.std()), 1e-6)
    light = np.clip(luma(picture), 0, 1)[..., None]
    amplitude = strength * (0.25 + 0.75 * 2.0 * np.sqrt(light * (1 - light)))
    return np.asarray(picture + amplitude * field, dtype=np.float32)


def add_noise(picture: Array, rng: np.random.Generator, *, sigma: float, colour: float = 1.0) -> Array:
    """White Gaussian noise of a scanner's electronics; ``colour`` 0 gives all channels the same, as a grey scan has."""
    channels = picture.shape[-1] if colour > 0 else 1
    field = rng.standard_normal((*picture.shape[:2], channels), dtype=np.float32)
    return picture + np.float32(sigma) * field


def add_shot_noise(picture: Array, rng: np.random.Generator, *, photon_count: float) -> Array:
    """Shot noise of a sensor: Poisson counts of photons, on linear light approximated by a power of 2.2."""
    linear = np.clip(picture, 0, 1) ** 2.2
    counted = rng.poisson(linear * photon_count).astype(np.float32) / np.float32(photon_count)
    return (counted ** np.float32(1 / 2.2)).astype(np.float32)


def fade(picture: Array, fading: Fading) -> Array:
    """Fades, yellows and vignettes; the same numbers give the same field, whatever the picture."""
    if fading == Fading():
        return picture
    height, width, channels = picture.shape
    rng = np.random.default_rng(fading.seed)
    field = 1 + fading.unevenness * _cloud(rng, height, width)
    black = np.clip(fading.density_loss * 0.5 * field, 0, 0.6)[..., None]
    white = 1 - np.clip(fading.flare * 0.6 * field, 0, 0.5)[..., None]
    tint = np.ones((height, width, channels), dtype=np.float32)
    if channels == 3:
        yellow = np.clip(fading.yellowing * field, 0, 0.8)
        tint[..., 1] -= 0.25 * yellow
        tint[..., 2] -= 0.75 * yellow
    row = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    column = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    corners = 1 - fading.vignette * ((row**2 + column**2) / 2)[..., None]
    return np.asarray((black + (white - black) * picture) * tint * corners, dtype=np.float32)


def _cloud(rng: np.random.Generator, height: int, width: int) -> Array:
    """A smooth field of about unit range and zero mean: coarse noise, interpolated."""
    coarse = rng.uniform(-1, 1, (4, 4)).astype(np.float32)
    smooth = ndimage.zoom(coarse, (height / 4, width / 4), order=1, grid_mode=True, mode="nearest")
    return np.asarray(smooth, dtype=np.float32)


def rescale(picture: Array, factor: float) -> Array:
    """Keeps the picture for a while at ``factor`` of its size: an access copy that was enlarged again."""
    height, width, channels = picture.shape
    small = (max(8, round(width * factor)), max(8, round(height * factor)))
    planes = []
    for channel in range(channels):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., channel]))
        plane = plane.resize(small, Image.Resampling.BICUBIC).resize((width, height), Image.Resampling.BICUBIC)
        planes.append(np.asarray(plane))
    return np.stack(planes, axis=-1)


def compress_jpeg(picture: Array, quality: int) -> Array:
    """Through a JPEG file and back: 8 bits, 4:2:0 below quality 90, block artefacts."""
    as_bytes = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(as_bytes[..., 0] if as_bytes.shape[-1] == 1 else as_bytes)
    image.save(buffer, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    with Image.open(buffer) as decoded:
        values = np.asarray(decoded, dtype=np.float32) / np.float32(255)
    return values.reshape(picture.shape)
