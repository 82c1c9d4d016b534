"""Training data of styles: content pictures, and pictures of each style.

Step ``i`` depends only on the seed and ``i``, so that a resumed training gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from restoration import picture_statistics
from restoration.colour.colour_operations import luma
from restoration.errors import TrainingError
from restoration.pipeline.style_stage import normalise_grain
from restoration.training.aged_pairs import TrainingPictures, find_pictures, read_photograph
from restoration.training.style.real_fake_classifier import PATCH_PX

Bytes = NDArray[np.uint8]
Array = NDArray[np.float32]

HELD_OUT_SHARE = 0.2  # of the style pictures, for evaluation: every 5th by name
_STYLE_VARIANTS = 4  # of each style picture: the whole and three random parts
_UNSCALED_VARIANTS, _CONTENT_VARIANTS = 4, 12  # of each content picture: at its own scale, and in total
_BORDER_PX = 6  # around a scaled or blurred patch, cropped afterwards
_STORED_PIXELS, _STEP_PIXELS = 4096, 1024  # per picture: stored, and used in one step


def find_styles(folders: Mapping[str, Path]) -> dict[str, TrainingPictures]:
    """Finds the pictures of each style; every 5th by name is held out as ``validation``.

    Raises:
        TrainingError: a folder holds fewer than two pictures.
    """
    return {name: find_pictures(folder, validation_share=HELD_OUT_SHARE) for name, folder in folders.items()}


@dataclass(frozen=True, kw_only=True)
class StyleStep:
    """The data of one training step, float32; pictures are encoded RGB in [0, 1].

    Attributes:
        style: the index of the style.
        content: (N, 3, size, size), content patches; ``content_statistics`` (N, statistics) of their whole pictures.
        real: (M, 3, size, size), patches of style pictures, with ``real_statistics``.
        noise: (N + M, 1, size, size), mean 0 and standard deviation 1.
        content_pixels: (K, 3, count), random pixels of other content pictures, with ``content_pixel_statistics``.
        real_pixels: the same for style pictures, with ``real_pixel_statistics``.
    """

    style: int
    content: Tensor
    content_statistics: Tensor
    real: Tensor
    real_statistics: Tensor
    noise: Tensor
    content_pixels: Tensor
    content_pixel_statistics: Tensor
    real_pixels: Tensor
    real_pixel_statistics: Tensor

    def to(self, device: torch.device) -> StyleStep:
        """Returns the same data on ``device``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return StyleStep(**{name: value if name == "style" else value.to(device) for name, value in values.items()})


class StyleSteps(Dataset[StyleStep]):
    """A dataset of training steps; the styles alternate."""

    def __init__(
        self,
        content: Sequence[Path],
        styles: Sequence[Sequence[Path]],
        *,
        patch_px: int,
        patches: int,
        pictures: int,
        seed: int,
    ) -> None:
        """Reads all pictures into memory.

        Args:
            content: content pictures.
            styles: for each style, its pictures.
            patch_px: side of the patches, px.
            patches: patches per step, of content and of style each.
            pictures: pictures per step whose pixels are sampled, of content and of style each.
            seed: the seed of all random choices.

        Raises:
            TrainingError: a picture can't be read or is too small.
        """
        self.patch_px, self.patches, self.pictures, self.seed = patch_px, patches, pictures, seed
        self.content = [_read(path) for path in content]
        self.styles = [[_read(path) for path in paths] for paths in styles]
        self._measurements: dict[tuple[int, int, int], tuple[Tensor, Array]] = {}

    def __getitem__(self, index: int) -> StyleStep:
        rng = np.random.default_rng([self.seed, index])
        style = index % len(self.styles)
        content, content_statistics = self._sample_patches(rng, -1)
        real, real_statistics = self._sample_patches(rng, style)
        content_pixels, content_pixel_statistics = self._sample_pixels(rng, -1)
        real_pixels, real_pixel_statistics = self._sample_pixels(rng, style)
        noise = normalise_grain(rng.random((2 * self.patches, 1, self.patch_px, self.patch_px), np.float32))
        return StyleStep(
            style=style,
            content=content,
            content_statistics=content_statistics,
            real=real,
            real_statistics=real_statistics,
            noise=torch.from_numpy(noise),
            content_pixels=content_pixels,
            content_pixel_statistics=content_pixel_statistics,
            real_pixels=real_pixels,
            real_pixel_statistics=real_pixel_statistics,
        )

    def all_statistics(self, style: int, max_pictures: int = 60) -> Tensor:
        """Statistics of a style's pictures (-1: content pictures) in all variants, of at most ``max_pictures``."""
        pictures = range(0, len(self._set(style)), -(-len(self._set(style)) // max_pictures))
        return torch.stack(
            [self._cached(style, one, variant)[0] for one in pictures for variant in range(_variant_count(style))]
        )

    def patches_of(self, style: int, count: int, rng: np.random.Generator) -> Tensor:
        """Patches (count, 3, size, size) of a style's pictures."""
        patches = [
            self._variant(style, *self._sample_variant(rng, style)).patch(rng, self.patch_px) for _ in range(count)
        ]
        return torch.from_numpy(np.stack(patches))

    def _set(self, style: int) -> list[Bytes]:
        return self.content if style < 0 else self.styles[style]

    def _variant(self, style: int, picture: int, variant: int) -> _Variant:
        """Returns one variant of a picture.

        Content pictures are also made neutral, changed in tone, scaled and blurred. Style pictures also occur as
        random parts.
        """
        rng = np.random.default_rng([self.seed, style + 1, picture, variant])
        whole = self._set(style)[picture]
        if style >= 0:
            return _Variant(_random_part(whole, rng, min_px=self.patch_px) if variant else whole)
        scaling = _Scaling.sample(rng) if variant >= _UNSCALED_VARIANTS else _Scaling()
        return _Variant(
            scaling.crop(whole, rng),
            scaling=scaling,
            neutral=variant % 4 >= 2,
            tone_change=_sample_tone_change(rng) if variant % 2 else None,
        )

    def _cached(self, style: int, picture: int, variant: int) -> tuple[Tensor, Array]:
        """Returns :meth:`_measure` of a variant; measures each variant once."""
        key = style, picture, variant
        if key not in self._measurements:
            self._measurements[key] = self._measure(*key)
        return self._measurements[key]

    def _measure(self, style: int, picture: int, variant: int) -> tuple[Tensor, Array]:
        """Returns the statistics of a variant, and random pixels of it, (3, _STORED_PIXELS)."""
        values = self._variant(style, picture, variant).whole()
        statistics = picture_statistics.window_statistics([values.transpose(2, 0, 1)[None].astype(np.float64)])
        flat = values.reshape(-1, 3)
        rng = np.random.default_rng([self.seed, picture, variant])
        return statistics, np.ascontiguousarray(flat[rng.integers(len(flat), size=_STORED_PIXELS)].T)

    def _sample_variant(self, rng: np.random.Generator, style: int) -> tuple[int, int]:
        return int(rng.integers(len(self._set(style)))), int(rng.integers(_variant_count(style)))

    def _sample_patches(self, rng: np.random.Generator, style: int) -> tuple[Tensor, Tensor]:
        variants = [self._sample_variant(rng, style) for _ in range(self.patches)]
        patches = [self._variant(style, *one).patch(rng, self.patch_px) for one in variants]
        return torch.from_numpy(np.stack(patches)), torch.stack([self._cached(style, *one)[0] for one in variants])

    def _sample_pixels(self, rng: np.random.Generator, style: int) -> tuple[Tensor, Tensor]:
        variants = [self._sample_variant(rng, style) for _ in range(self.pictures)]
        pixels = [self._cached(style, *one)[1][:, rng.integers(_STORED_PIXELS, size=_STEP_PIXELS)] for one in variants]
        return torch.from_numpy(np.stack(pixels)), torch.stack([self._cached(style, *one)[0] for one in variants])


def _read(path: Path) -> Bytes:
    picture = read_photograph(path)
    if min(picture.shape[:2]) < PATCH_PX:
        raise TrainingError(f"{path} is smaller than {PATCH_PX} px a side. Remove it")
    return picture


def _random_part(picture: Bytes, rng: np.random.Generator, *, min_px: int) -> Bytes:
    """A random rectangle of the picture, at least ``min_px`` a side if the picture is large enough."""
    height, width = (int(rng.integers(max(min(side, min_px), side // 2), side + 1)) for side in picture.shape[:2])
    return _crop(picture, rng, height, width)


def _variant_count(style: int) -> int:
    return _STYLE_VARIANTS if style >= 0 else _CONTENT_VARIANTS


def _sample_tone_change(rng: np.random.Generator) -> Callable[[Array], Array]:
    """Samples a change of contrast, brightness and saturation, as it varies between scans."""
    black, white = np.float32(rng.uniform(0, 0.12)), np.float32(rng.uniform(0.8, 1))
    exponent = np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    saturation = np.float32(np.exp(rng.uniform(-0.7, 0.5)))

    def change_tone(values: Array) -> Array:
        grey = luma(values)[..., None]
        coloured = np.clip(grey + saturation * (values - grey), 0, 1)
        return np.asarray(black + (white - black) * coloured**exponent, dtype=np.float32)

    return change_tone


@dataclass(frozen=True, kw_only=True)
class _Scaling:
    """Scaling and blur: ``scale`` 2 enlarges twofold; ``blur_px`` is the Gaussian's sigma after scaling."""

    scale: float = 1.0
    blur_px: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> _Scaling:
        """Samples the variation of scans: large negatives are smooth at 100 %, pictures reduced for the web are not."""
        return cls(
            scale=float(np.exp(rng.uniform(np.log(0.7), np.log(3)))),
            blur_px=float(rng.uniform(0.4, 1.6)) if rng.random() < 0.4 else 0.0,
        )

    def crop(self, picture: Bytes, rng: np.random.Generator) -> Bytes:
        """Crops the picture, so that after scaling it is no larger than the whole."""
        height, width = (min(side, math.ceil(side / self.scale)) for side in picture.shape[:2])
        return _crop(picture, rng, height, width)

    def apply(self, picture: Bytes) -> Array:
        """Scales and blurs the picture; returns floats."""
        if self.scale != 1:
            height, width = (max(1, round(side * self.scale)) for side in picture.shape[:2])
            picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
        values = picture.astype(np.float32) / np.float32(255)
        return ndimage.gaussian_filter(values, (self.blur_px, self.blur_px, 0)) if self.blur_px else values


@dataclass(frozen=True)
class _Variant:
    """A variant of a picture: some of its pixels, with scaling, greyscale conversion and tone change."""

    pixels: Bytes
    _: KW_ONLY
    scaling: _Scaling = _Scaling()
    neutral: bool = False
    tone_change: Callable[[Array], Array] | None = None

    def whole(self) -> Array:
        """The whole variant, (H, W, 3)."""
        return self._processed(self.pixels)

    def patch(self, rng: np.random.Generator, size: int) -> Array:
        """A random square, randomly mirrored, (3, size, size); smaller pictures are padded by reflection."""
        border = 0 if self.scaling == _Scaling() else _BORDER_PX
        side = math.ceil((size + 2 * border) / self.scaling.scale)
        padding = [max(0, side - own) for own in self.pixels.shape[:2]]
        pixels = np.pad(self.pixels, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="symmetric")
        patch = self._processed(_crop(pixels, rng, side, side))[border : border + size, border : border + size]
        return np.ascontiguousarray((patch[:, ::-1] if rng.random() < 0.5 else patch).transpose(2, 0, 1))

    def _processed(self, pixels: Bytes) -> Array:
        values = self.scaling.apply(pixels)
        if self.neutral:
            values = np.repeat(luma(values)[..., None], 3, axis=-1)
        return values if self.tone_change is None else self.tone_change(values)


def _crop(picture: Bytes, rng: np.random.Generator, height: int, width: int) -> Bytes:
    """Crops a rectangle of this size at a random position."""
    top, left = int(rng.integers(picture.shape[0] - height + 1)), int(rng.integers(picture.shape[1] - width + 1))
    return picture[top : top + height, left : left + width]
