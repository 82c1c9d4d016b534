"""Training pictures: clean photographs from a folder, randomly aged, in pairs.

Pair ``i`` of a set depends on the set's seed and on ``i`` alone, so that a resumed training gives the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from restoration.colour.space_conversion import convert_to_srgb
from restoration.colour.toning import apply_toning, luma
from restoration.degradation import DEFECTS, Ageing, age_picture, sample_ageing, sample_repair
from restoration.errors import ImageError, TrainingError
from restoration.image import Picture
from restoration.training.inscriptions import draw_inscriptions

Array = NDArray[np.float32]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
_MOST_PX = 2048  # a side that is kept of a photograph
_BORDER = 16  # px around a patch that the ageing may use and that is then cut off
_MARKED_SHARE = 0.08  # of the photographs that somebody wrote on
_REDUCED_SHARE = 0.35  # of the photographs taken smaller than they are, and so with less noise of their own


@dataclass(frozen=True, kw_only=True)
class TrainingPictures:
    """Where the clean photographs and the masks of real damage lie, parted into training and validation."""

    training: tuple[Path, ...]
    validation: tuple[Path, ...]
    damage: tuple[Path, ...]


def find_pictures(folder: Path, *, validation_share: float = 0.05) -> TrainingPictures:
    """The pictures in ``folder``, or in its subfolders ``photographs`` and ``damage`` where it has them.

    Every n-th picture by name goes to validation, at least one.

    Raises:
        TrainingError: there are fewer than two pictures.
    """
    photographs = folder / "photographs" if (folder / "photographs").is_dir() else folder
    pictures = images_in(photographs)
    if len(pictures) < 2:
        raise TrainingError(f"{photographs} holds {len(pictures)} pictures; training needs at least two")
    every = max(2, round(1 / validation_share))
    validation = tuple(pictures[every - 1 :: every]) or (pictures[-1],)
    return TrainingPictures(
        training=tuple(path for path in pictures if path not in validation),
        validation=validation,
        damage=tuple(images_in(folder / "damage")),
    )


def images_in(folder: Path) -> list[Path]:
    """The JPEG, PNG and TIFF files directly in a folder, by name."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)


@dataclass(frozen=True, kw_only=True)
class AgedPatches:
    """A batch of pairs, or one pair without its first axis, float32.

    ``aged`` and ``target`` are (N, 3, size, size), RGB, encoded values, in [0, 1] but where noise isn't clipped;
    ``damage`` is (N, 1, size, size), 1 where damage was asked to be repaired; ``repair`` is (N, defects), 1 for each
    of :data:`restoration.degradation.DEFECTS` that the target is free of.
    """

    aged: Tensor
    target: Tensor
    damage: Tensor
    repair: Tensor

    def to(self, device: torch.device) -> AgedPatches:
        """The same on ``device``, pictures laid out as fast convolutions want them."""
        placed = (
            value.to(device, memory_format=torch.channels_last) for value in (self.aged, self.target, self.damage)
        )
        aged, target, damage = placed
        return AgedPatches(aged=aged, target=target, damage=damage, repair=self.repair.to(device))


def collate(patches: Sequence[AgedPatches]) -> AgedPatches:
    """Single pairs as a batch."""
    return AgedPatches(
        **{field.name: torch.stack([getattr(one, field.name) for one in patches]) for field in fields(AgedPatches)}
    )


class AgedPairs(Dataset[AgedPatches]):
    """Pairs of aged and target patches by number."""

    def __init__(self, photographs: tuple[Path, ...], damage: tuple[Path, ...], *, patch_px: int, seed: int) -> None:
        self.patch_px = patch_px
        self.seed = seed
        self._photographs = [read_photograph(path) for path in photographs]
        self._masks = [_read_mask(path) for path in damage]

    def __getitem__(self, index: int) -> AgedPatches:
        rng = np.random.default_rng([self.seed, index])
        clean, monochrome = self._draw(rng)
        ageing = self._with_real_damage(sample_ageing(rng, monochrome=monochrome), rng)
        repair = sample_repair(rng, ageing)
        pair = age_picture(clean, ageing, rng, repair=repair)
        inner = slice(_BORDER, _BORDER + self.patch_px)
        mended = pair.damage if "damage" in repair else np.zeros_like(pair.damage)
        return AgedPatches(
            aged=_as_tensor(pair.aged[inner, inner]),
            target=_as_tensor(pair.target[inner, inner]),
            damage=_as_tensor(mended[inner, inner, None]),
            repair=torch.tensor([float(defect in repair) for defect in DEFECTS]),
        )

    def _draw(self, rng: np.random.Generator) -> tuple[Array, bool]:
        """A clean patch with its border, turned and mirrored, as a colour photograph or as a neutral or toned print."""
        final = self.patch_px + 2 * _BORDER
        size = round(final * rng.uniform(1.1, 1.8)) if rng.random() < _REDUCED_SHARE else final
        photograph = self._photographs[rng.integers(len(self._photographs))]
        height, width = photograph.shape[:2]
        pad_rows, pad_columns = max(0, size - height), max(0, size - width)
        if pad_rows or pad_columns:
            photograph = np.pad(photograph, ((0, pad_rows), (0, pad_columns), (0, 0)), mode="symmetric")
            height, width = photograph.shape[:2]
        top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
        cut = photograph[top : top + size, left : left + size]
        if size > final:
            cut = np.asarray(Image.fromarray(cut).resize((final, final), Image.Resampling.LANCZOS))
        patch = cut.astype(np.float32) / np.float32(255)
        patch = np.rot90(patch, int(rng.integers(4)))
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        monochrome = bool(rng.random() < 0.55)
        clean = _as_print(patch, rng) if monochrome else np.ascontiguousarray(patch)
        return (draw_inscriptions(clean, rng) if rng.random() < _MARKED_SHARE else clean), monochrome

    def _with_real_damage(self, ageing: Ageing, rng: np.random.Generator) -> Ageing:
        if ageing.damage is None or not self._masks or rng.random() < 0.5:
            return ageing
        mask = self._masks[rng.integers(len(self._masks))]
        offset = (int(rng.integers(mask.shape[0])), int(rng.integers(mask.shape[1])))
        real = mask.astype(np.float32) / np.float32(255)
        return replace(ageing, damage=replace(ageing.damage, mask=real, mask_offset=offset))


def _as_print(patch: Array, rng: np.random.Generator) -> Array:
    grey = luma(patch)
    if rng.random() < 0.5:
        return np.repeat(grey[..., None], 3, axis=2)
    warmth = rng.uniform(0, 0.08)
    return apply_toning(
        grey,
        shadows=(float(warmth), float(0.3 * warmth), float(-0.6 * warmth)),
        highlights=(1.0, float(rng.uniform(0.9, 1.0)), float(rng.uniform(0.7, 0.98))),
    )


def read_photograph(path: Path) -> NDArray[np.uint8]:
    """A picture, or of a large one the middle, as 8-bit RGB in sRGB, (H, W, 3), at most 2048 px a side.

    Raises:
        TrainingError: it can't be read.
    """
    try:
        with Picture.open(path) as picture:
            info = picture.info
            width, height = min(info.width, _MOST_PX), min(info.height, _MOST_PX)
            values = convert_to_srgb(picture).read(
                (info.width - width) // 2, (info.height - height) // 2, width, height
            )[0]
    except (ImageError, OSError) as error:
        raise TrainingError(f"{path} can't be read for training: {error}. Leave it out, or mend it") from error
    as_bytes = np.rint(values * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(as_bytes, (height, width, 3)))


def _read_mask(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except OSError as error:
        raise TrainingError(f"the damage mask {path} can't be read: {error}") from error


def _as_tensor(picture: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


class ResumeSampler(Sampler[int]):
    """The whole numbers from ``first`` up to before ``last``: where a resumed training goes on."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last))

    def __len__(self) -> int:
        return self.last - self.first
