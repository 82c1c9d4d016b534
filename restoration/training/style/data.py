"""What a style is trained on: pictures to be styled, and pictures that have the style.

Turn ``i`` of a training depends on its seed and on ``i`` alone, so that a resumed training gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from restoration import statistics
from restoration.colour import luma
from restoration.errors import TrainingError
from restoration.styling import as_grain
from restoration.training.data import TrainingPictures, find_pictures, read_photograph
from restoration.training.style.judge import PATCH_PX

Bytes = NDArray[np.uint8]
Array = NDArray[np.float32]

HELD_BACK_SHARE = 0.2  # of the style's pictures, for evaluation: every 5th by name
_VARIANTS = 4  # of every picture
_POOL, _PIXELS = 4096, 1024  # of a picture: those kept, and those that one turn uses


def find_styles(folders: Mapping[str, Path]) -> dict[str, TrainingPictures]:
    """The pictures of each style, every 5th by name held back as ``validation``.

    Raises:
        TrainingError: a folder holds fewer than two pictures.
    """
    return {name: find_pictures(folder, validation_share=HELD_BACK_SHARE) for name, folder in folders.items()}


@dataclass(frozen=True, kw_only=True)
class Turn:
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

    def to(self, device: torch.device) -> Turn:
        """The same on ``device``."""
        placed = {field.name: getattr(self, field.name) for field in fields(self)}
        return Turn(**{name: value if name == "style" else value.to(device) for name, value in placed.items()})


class Turns(Dataset[Turn]):
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

    def __getitem__(self, index: int) -> Turn:
        rng = np.random.default_rng([self.seed, index])
        style = index % len(self.styles)
        given, given_statistics = self._draw_patches(rng, -1)
        real, real_statistics = self._draw_patches(rng, style)
        given_pixels, given_pixel_statistics = self._draw_pixels(rng, -1)
        real_pixels, real_pixel_statistics = self._draw_pixels(rng, style)
        noise = as_grain(rng.random((2 * self.patches, 1, self.patch_px, self.patch_px), np.float32))
        return Turn(
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
        return torch.stack([self._known(style, one, way)[0] for one in pictures for way in range(_VARIANTS)])

    def patches_of(self, style: int, count: int, rng: np.random.Generator) -> Tensor:
        """Patches (count, 3, size, size) of a style's pictures."""
        drawn = [_patch(*self._variant(style, *self._pick(rng, style)), rng, self.patch_px) for _ in range(count)]
        return torch.from_numpy(np.stack(drawn))

    def _set(self, style: int) -> list[Bytes]:
        return self.content if style < 0 else self.styles[style]

    def _variant(self, style: int, picture: int, way: int) -> tuple[Bytes, Callable[[Bytes], Array]]:
        """A picture in one of its variants: the picture or a part of it, and what becomes of its values.

        Pictures to be styled come as they are and as neutral, and both in other light too; of the style's pictures
        parts count as pictures.
        """
        rng = np.random.default_rng([self.seed, style + 1, picture, way])
        whole = self._set(style)[picture]
        if style >= 0:
            return (_part(whole, rng, least_px=self.patch_px) if way else whole), _as_floats
        neutral, light = way >= 2, _light(rng) if way % 2 else None

        def seen(values: Bytes) -> Array:
            floats = _as_floats(values)
            if neutral:
                floats = np.repeat(luma(floats)[..., None], 3, axis=-1)
            return floats if light is None else light(floats)

        return whole, seen

    def _known(self, style: int, picture: int, way: int) -> tuple[Tensor, Array]:
        """What :meth:`_measured` says of a style's picture in one of its variants, each measured once."""
        variant = style, picture, way
        if variant not in self._measurements:
            self._measurements[variant] = self._measured(*variant)
        return self._measurements[variant]

    def _measured(self, style: int, picture: int, way: int) -> tuple[Tensor, Array]:
        """The statistics of a variant, and pixels from all over it, (3, _POOL)."""
        pixels, seen = self._variant(style, picture, way)
        values = seen(pixels)
        found = statistics.of_windows([values.transpose(2, 0, 1)[None].astype(np.float64)])
        flat = values.reshape(-1, 3)
        rng = np.random.default_rng([self.seed, picture, way])
        return found, np.ascontiguousarray(flat[rng.integers(len(flat), size=_POOL)].T)

    def _pick(self, rng: np.random.Generator, style: int) -> tuple[int, int]:
        return int(rng.integers(len(self._set(style)))), int(rng.integers(_VARIANTS))

    def _draw_patches(self, rng: np.random.Generator, style: int) -> tuple[Tensor, Tensor]:
        chosen = [self._pick(rng, style) for _ in range(self.patches)]
        patches = [_patch(*self._variant(style, *one), rng, self.patch_px) for one in chosen]
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
    top, left = int(rng.integers(picture.shape[0] - height + 1)), int(rng.integers(picture.shape[1] - width + 1))
    return picture[top : top + height, left : left + width]


def _as_floats(values: Bytes) -> Array:
    return values.astype(np.float32) / np.float32(255)


def _light(rng: np.random.Generator) -> Callable[[Array], Array]:
    """Makes pictures flatter or darker or paler, as scans come."""
    black, white = np.float32(rng.uniform(0, 0.12)), np.float32(rng.uniform(0.8, 1))
    exponent = np.float32(np.exp(rng.uniform(-0.4, 0.4)))

    def lit(values: Array) -> Array:
        return np.asarray(black + (white - black) * values**exponent, dtype=np.float32)

    return lit


def _patch(picture: Bytes, seen: Callable[[Bytes], Array], rng: np.random.Generator, size: int) -> Array:
    """A square of the picture, perhaps mirrored, (3, size, size); a smaller picture is continued by reflection."""
    missing = [max(0, size - side) for side in picture.shape[:2]]
    if any(missing):
        picture = np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    top, left = (int(rng.integers(side - size + 1)) for side in picture.shape[:2])
    patch = picture[top : top + size, left : left + size]
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    return np.ascontiguousarray(seen(patch).transpose(2, 0, 1))
