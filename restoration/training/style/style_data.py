"""What a style is trained on: pictures to be styled, and pictures that have the style.

Turn ``i`` of a training depends on its seed and on ``i`` alone, so that a resumed training gives the same result.
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
from restoration.colour.toning import luma
from restoration.errors import TrainingError
from restoration.pipeline.style_stage import normalise_grain
from restoration.training.aged_pairs import TrainingPictures, find_pictures, read_photograph
from restoration.training.style.real_fake_classifier import PATCH_PX

Bytes = NDArray[np.uint8]
Array = NDArray[np.float32]

HELD_BACK_SHARE = 0.2  # of the style's pictures, for evaluation: every 5th by name
_PARTS = 4  # that every picture of a style comes in
_AS_FINE, _AS_FINE_OR_NOT = 4, 12  # ways in which a picture to be styled comes: as fine as it is, and altogether
_RIM_PX = 6  # around a patch that is enlarged or blurred, cut off afterwards
_POOL, _PIXELS = 4096, 1024  # of a picture: those kept, and those that one turn uses


def find_styles(folders: Mapping[str, Path]) -> dict[str, TrainingPictures]:
    """The pictures of each style, every 5th by name held back as ``validation``.

    Raises:
        TrainingError: a folder holds fewer than two pictures.
    """
    return {name: find_pictures(folder, validation_share=HELD_BACK_SHARE) for name, folder in folders.items()}


@dataclass(frozen=True, kw_only=True)
class StyleStep:
    """What one step is taken on, float32; encoded RGB in [0, 1].

    Attributes:
        style: the number of the style whose turn it is.
        given: (N, 3, size, size), patches to be styled; ``given_statistics`` (N, statistics) are of their pictures.
        real: (M, 3, size, size), patches of the style's pictures, with ``real_statistics``.
        noise: (N + M, 1, size, size), of mean 0 and spread 1.
        given_pixels: (K, 3, count), pixels from all over other pictures, with ``given_pixel_statistics``.
        real_pixels: the same of the style's pictures, with ``real_pixel_statistics``.
    """

    style: int
    given: Tensor
    given_statistics: Tensor
    real: Tensor
    real_statistics: Tensor
    noise: Tensor
    given_pixels: Tensor
    given_pixel_statistics: Tensor
    real_pixels: Tensor
    real_pixel_statistics: Tensor

    def to(self, device: torch.device) -> StyleStep:
        """The same on ``device``."""
        placed = {field.name: getattr(self, field.name) for field in fields(self)}
        return StyleStep(**{name: value if name == "style" else value.to(device) for name, value in placed.items()})


class StyleSteps(Dataset[StyleStep]):
    """Turns by number; the styles take turns."""

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
            content: pictures to be styled.
            styles: for each style, pictures that have it.
            patch_px: the side of patches.
            patches: how many patches a turn has of each kind.
            pictures: how many pictures' pixels a turn has of each kind.
            seed: another gives other turns.

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
        given, given_statistics = self._draw_patches(rng, -1)
        real, real_statistics = self._draw_patches(rng, style)
        given_pixels, given_pixel_statistics = self._draw_pixels(rng, -1)
        real_pixels, real_pixel_statistics = self._draw_pixels(rng, style)
        noise = normalise_grain(rng.random((2 * self.patches, 1, self.patch_px, self.patch_px), np.float32))
        return StyleStep(
            style=style,
            given=given,
            given_statistics=given_statistics,
            real=real,
            real_statistics=real_statistics,
            noise=torch.from_numpy(noise),
            given_pixels=given_pixels,
            given_pixel_statistics=given_pixel_statistics,
            real_pixels=real_pixels,
            real_pixel_statistics=real_pixel_statistics,
        )

    def all_statistics(self, style: int, most: int = 60) -> Tensor:
        """Statistics of a style's pictures (-1: of the pictures to be styled), of ``most`` at most, in all variants."""
        pictures = range(0, len(self._set(style)), -(-len(self._set(style)) // most))
        return torch.stack([self._known(style, one, way)[0] for one in pictures for way in range(_variants(style))])

    def patches_of(self, style: int, count: int, rng: np.random.Generator) -> Tensor:
        """Patches (count, 3, size, size) of a style's pictures."""
        drawn = [self._variant(style, *self._pick(rng, style)).patch(rng, self.patch_px) for _ in range(count)]
        return torch.from_numpy(np.stack(drawn))

    def _set(self, style: int) -> list[Bytes]:
        return self.content if style < 0 else self.styles[style]

    def _variant(self, style: int, picture: int, way: int) -> _Variant:
        """A picture in one of its variants.

        Pictures to be styled come as they are and as neutral, in other light, and smaller or larger or softer; of the
        style's pictures parts count as pictures.
        """
        rng = np.random.default_rng([self.seed, style + 1, picture, way])
        whole = self._set(style)[picture]
        if style >= 0:
            return _Variant(_part(whole, rng, least_px=self.patch_px) if way else whole)
        fineness = _Fineness.drawn(rng) if way >= _AS_FINE else _Fineness()
        return _Variant(
            fineness.part(whole, rng),
            fineness=fineness,
            neutral=way % 4 >= 2,
            light=_light(rng) if way % 2 else None,
        )

    def _known(self, style: int, picture: int, way: int) -> tuple[Tensor, Array]:
        """What :meth:`_measured` says of a style's picture in one of its variants, each measured once."""
        variant = style, picture, way
        if variant not in self._measurements:
            self._measurements[variant] = self._measured(*variant)
        return self._measurements[variant]

    def _measured(self, style: int, picture: int, way: int) -> tuple[Tensor, Array]:
        """The statistics of a variant, and pixels from all over it, (3, _POOL)."""
        values = self._variant(style, picture, way).whole()
        found = picture_statistics.window_statistics([values.transpose(2, 0, 1)[None].astype(np.float64)])
        flat = values.reshape(-1, 3)
        rng = np.random.default_rng([self.seed, picture, way])
        return found, np.ascontiguousarray(flat[rng.integers(len(flat), size=_POOL)].T)

    def _pick(self, rng: np.random.Generator, style: int) -> tuple[int, int]:
        return int(rng.integers(len(self._set(style)))), int(rng.integers(_variants(style)))

    def _draw_patches(self, rng: np.random.Generator, style: int) -> tuple[Tensor, Tensor]:
        chosen = [self._pick(rng, style) for _ in range(self.patches)]
        patches = [self._variant(style, *one).patch(rng, self.patch_px) for one in chosen]
        return torch.from_numpy(np.stack(patches)), torch.stack([self._known(style, *one)[0] for one in chosen])

    def _draw_pixels(self, rng: np.random.Generator, style: int) -> tuple[Tensor, Tensor]:
        chosen = [self._pick(rng, style) for _ in range(self.pictures)]
        pixels = [self._known(style, *one)[1][:, rng.integers(_POOL, size=_PIXELS)] for one in chosen]
        return torch.from_numpy(np.stack(pixels)), torch.stack([self._known(style, *one)[0] for one in chosen])


def _read(path: Path) -> Bytes:
    picture = read_photograph(path)
    if min(picture.shape[:2]) < PATCH_PX:
        raise TrainingError(f"{path} is smaller than {PATCH_PX} px a side: leave it out")
    return picture


def _part(picture: Bytes, rng: np.random.Generator, *, least_px: int) -> Bytes:
    """A rectangle of the picture, of at least ``least_px`` where it has as much."""
    height, width = (int(rng.integers(max(min(side, least_px), side // 2), side + 1)) for side in picture.shape[:2])
    return _cut(picture, rng, height, width)


def _variants(style: int) -> int:
    return _PARTS if style >= 0 else _AS_FINE_OR_NOT


def _light(rng: np.random.Generator) -> Callable[[Array], Array]:
    """Makes pictures flatter or darker, and paler or more colourful, as scans come."""
    black, white = np.float32(rng.uniform(0, 0.12)), np.float32(rng.uniform(0.8, 1))
    exponent = np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    saturation = np.float32(np.exp(rng.uniform(-0.7, 0.5)))

    def lit(values: Array) -> Array:
        grey = luma(values)[..., None]
        coloured = np.clip(grey + saturation * (values - grey), 0, 1)
        return np.asarray(black + (white - black) * coloured**exponent, dtype=np.float32)

    return lit


@dataclass(frozen=True, kw_only=True)
class _Fineness:
    """How large and how soft a picture is shown: ``scale`` 2 is twice as large; ``blur_px`` a Gaussian's sigma then."""

    scale: float = 1.0
    blur_px: float = 0.0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> _Fineness:
        """As pictures come: a scan of a large negative is smooth at 100 %, and one made small for the web is not."""
        return cls(
            scale=float(np.exp(rng.uniform(np.log(0.7), np.log(3)))),
            blur_px=float(rng.uniform(0.4, 1.6)) if rng.random() < 0.4 else 0.0,
        )

    def part(self, picture: Bytes, rng: np.random.Generator) -> Bytes:
        """So much of the picture that it becomes no larger than the whole was."""
        height, width = (min(side, math.ceil(side / self.scale)) for side in picture.shape[:2])
        return _cut(picture, rng, height, width)

    def shown(self, picture: Bytes) -> Array:
        """The picture in this size and softness, as floats."""
        if self.scale != 1:
            height, width = (max(1, round(side * self.scale)) for side in picture.shape[:2])
            picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
        values = picture.astype(np.float32) / np.float32(255)
        return ndimage.gaussian_filter(values, (self.blur_px, self.blur_px, 0)) if self.blur_px else values


@dataclass(frozen=True)
class _Variant:
    """A picture as a training sees it: some of its pixels, how fine they are shown, and what becomes of the values."""

    pixels: Bytes
    _: KW_ONLY
    fineness: _Fineness = _Fineness()
    neutral: bool = False
    light: Callable[[Array], Array] | None = None

    def whole(self) -> Array:
        """All of it, (H, W, 3)."""
        return self._seen(self.pixels)

    def patch(self, rng: np.random.Generator, size: int) -> Array:
        """A square of it, perhaps mirrored, (3, size, size); a smaller picture is continued by reflection."""
        scale = self.fineness.scale
        rim = 0 if self.fineness == _Fineness() else _RIM_PX
        side = math.ceil((size + 2 * rim) / scale)
        missing = [max(0, side - has) for has in self.pixels.shape[:2]]
        pixels = np.pad(self.pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
        seen = self._seen(_cut(pixels, rng, side, side))[rim : rim + size, rim : rim + size]
        return np.ascontiguousarray((seen[:, ::-1] if rng.random() < 0.5 else seen).transpose(2, 0, 1))

    def _seen(self, pixels: Bytes) -> Array:
        values = self.fineness.shown(pixels)
        if self.neutral:
            values = np.repeat(luma(values)[..., None], 3, axis=-1)
        return values if self.light is None else self.light(values)


def _cut(picture: Bytes, rng: np.random.Generator, height: int, width: int) -> Bytes:
    """A rectangle of this size from somewhere in the picture."""
    top, left = int(rng.integers(picture.shape[0] - height + 1)), int(rng.integers(picture.shape[1] - width + 1))
    return picture[top : top + height, left : left + width]
