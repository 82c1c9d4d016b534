"""Training data: pairs of patches of clean photographs and of the same photographs with simulated ageing.

Sample ``i`` depends only on the seed and ``i``, so that a resumed training gives the same result.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from restoration.colour.colour_operations import apply_toning, luma
from restoration.colour.srgb_adapters import convert_to_srgb
from restoration.degradation import (
    DEFECTS,
    Ageing,
    Defect,
    age_picture,
    sample_ageing,
    sample_damage_repair,
    sample_repair,
)
from restoration.degradation.image_defects import sharpen
from restoration.degradation.real_grain import find_grain_patches
from restoration.errors import ImageError, TrainingError
from restoration.grain_profile import GRAIN_NAMES, encode_grain, measure_array_grain
from restoration.image import Picture
from restoration.networks import Generator
from restoration.training.inscriptions import draw_inscriptions
from restoration.training.thin_structure_drawing import draw_thin_structures

Array = NDArray[np.float32]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
_MAX_PX = 2048  # a side; larger photographs are cropped to the centre
_PART_PX = 448  # a side of the part that is aged as a whole
_MARGIN_PX = 16  # px at the edges of an aged part, excluded from patches
_INSCRIBED_SHARE = 0.08  # of the photographs get inscriptions
_DOWNSAMPLED_SHARE = 0.35  # of the photographs are downsampled, which reduces their own noise
_STRONG_TEXTURE_SHARE = 0.25  # of the photographs are sharpened, so that clean pictures have strong fine texture
_BLUR_PX = 33  # width of the box filter that leaves the lightness of a photograph and none of its detail
_WITHOUT_FLAT_PLACES_SHARE = 0.25  # of the grain profiles include the photograph's own texture
_STRUCTURE_SHARE = 0.3  # of the photographs get thin structures, if damage is to be repaired
_UNDAMAGED_STRUCTURE_SHARE = 0.6  # of those in which there is no damage

PATCHES_PER_PHOTOGRAPH = 8
CONDITIONS = (*DEFECTS, *GRAIN_NAMES)
"""The conditioning inputs of restoration networks: what to repair, then the picture's grain profile."""


@dataclass(frozen=True, kw_only=True)
class TrainingPictures:
    """Paths of the training data: clean photographs for training and validation, masks of real damage, and scanned
    prints whose flat places contain real grain.
    """

    training: tuple[Path, ...]
    validation: tuple[Path, ...]
    damage: tuple[Path, ...]
    prints: tuple[Path, ...] = ()


def find_pictures(folder: Path, *, validation_share: float = 0.05) -> TrainingPictures:
    """Finds the pictures in ``folder``, or in its subfolders ``photographs``, ``damage`` and ``prints*``.

    Every n-th picture by name is held out for validation, at least one.

    Raises:
        TrainingError: there are fewer than two pictures.
    """
    photographs = folder / "photographs" if (folder / "photographs").is_dir() else folder
    pictures = images_in(photographs)
    if len(pictures) < 2:
        raise TrainingError(f"{photographs} holds {len(pictures)} pictures. Training needs at least two")
    every = max(2, round(1 / validation_share))
    validation = tuple(pictures[every - 1 :: every]) or (pictures[-1],)
    return TrainingPictures(
        training=tuple(path for path in pictures if path not in validation),
        validation=validation,
        damage=tuple(images_in(folder / "damage")),
        prints=tuple(path for prints in sorted(folder.glob("prints*")) for path in images_in(prints)),
    )


def images_in(folder: Path) -> list[Path]:
    """Lists the JPEG, PNG and TIFF files in a folder, sorted by name; subfolders are ignored."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)


@dataclass(frozen=True, kw_only=True)
class AgedPatches:
    """A batch of pairs of patches, float32.

    Attributes:
        aged: (N, 3, size, size), RGB, encoded values; unclipped noise can exceed [0, 1].
        target: the same shape.
        damage: (N, 1, size, size), 1 where damage is to be repaired.
        conditions: (N, len(CONDITIONS)): 1 for each of :data:`restoration.degradation.DEFECTS` to repair, then the
            encoded grain profile of the whole aged photograph.
    """

    aged: Tensor
    target: Tensor
    damage: Tensor
    conditions: Tensor

    def to(self, device: torch.device) -> AgedPatches:
        """Returns the batch on ``device``, pictures in channels-last memory format."""
        moved = (value.to(device, memory_format=torch.channels_last) for value in (self.aged, self.target, self.damage))
        aged, target, damage = moved
        return AgedPatches(aged=aged, target=target, damage=damage, conditions=self.conditions.to(device))

    def conditions_of(self, network: Generator) -> Tensor | None:
        """The conditioning inputs of ``network``: the first ones of :data:`CONDITIONS`, or None."""
        count = len(network.conditions)
        return self.conditions[:, :count] if count else None


def batches_of(photographs: Sequence[AgedPatches]) -> list[AgedPatches]:
    """Regroups patches into batches with one patch of each photograph."""
    columns = {
        field.name: torch.stack([getattr(one, field.name) for one in photographs], dim=1)
        for field in fields(AgedPatches)
    }
    return [
        AgedPatches(**{name: column[index].contiguous() for name, column in columns.items()})
        for index in range(PATCHES_PER_PHOTOGRAPH)
    ]


@dataclass(frozen=True, kw_only=True)
class RealDefects:
    """Real damage and grain: masks (H, W), 255 = damaged, and patches of grain (48, 48) with mean 0 and deviation 1."""

    damage_masks: tuple[NDArray[np.uint8], ...]
    grain_patches: tuple[Array, ...]

    @classmethod
    def read(cls, pictures: TrainingPictures) -> RealDefects:
        """Reads the damage masks, and finds the patches of grain in the prints.

        Raises:
            TrainingError: a picture can't be read.
        """
        return cls(
            damage_masks=tuple(_read_mask(path) for path in pictures.damage),
            grain_patches=tuple(patch for path in pictures.prints for patch in _read_grain(path)),
        )


class AgedPairs(Dataset[AgedPatches]):
    """A dataset of aged photographs, each as :data:`PATCHES_PER_PHOTOGRAPH` pairs of patches.

    A photograph, or a large part of it, is aged as a whole and its grain profile is measured, because grain and texture
    cannot be distinguished in a patch. Then patches are cropped.

    Large scans have flat places, where the profile measures grain alone. The training photographs are small and many
    have none, so most profiles are measured in a blurred copy of the photograph, aged in the same way.
    """

    def __init__(
        self, photographs: Sequence[Path], defects: RealDefects, *, patch_px: int, seed: int, damage_share: float = 0.0
    ) -> None:
        """Reads ``photographs`` into memory; see :class:`restoration.training.training_settings.TrainingSettings`."""
        self.patch_px = patch_px
        self.seed = seed
        self.damage_share = damage_share
        self._photographs = [read_photograph(path) for path in photographs]
        self._defects = defects

    def __getitem__(self, index: int) -> AgedPatches:
        rng = np.random.default_rng([self.seed, index])
        clean, monochrome = self._sample_clean(rng)
        if self.damage_share and rng.random() < self.damage_share:
            ageing, repair = sample_damage_repair(rng, monochrome=monochrome)
        else:
            ageing = sample_ageing(rng, monochrome=monochrome)
            repair = sample_repair(rng, ageing)
        ageing = self._with_real_defects(ageing, rng)
        if rng.random() < _structure_share(ageing, repair):
            clean = draw_thin_structures(clean, rng)
        has_flat_places = rng.random() >= _WITHOUT_FLAT_PLACES_SHARE
        same_grain = copy.deepcopy(rng)
        pair = age_picture(clean, ageing, rng, repair=repair)
        flat = age_picture(_blur(clean), replace(ageing, damage=None), same_grain) if has_flat_places else pair
        profile = encode_grain(measure_array_grain(np.clip(flat.aged, 0, 1).transpose(2, 0, 1)))
        damage = pair.damage if "damage" in repair else np.zeros_like(pair.damage)
        positions = self._sample_positions(clean, damage, rng)
        conditions = np.concatenate([np.asarray([defect in repair for defect in DEFECTS], np.float32), profile])
        return AgedPatches(
            aged=self._crop(pair.aged, positions),
            target=self._crop(pair.target, positions),
            damage=self._crop(damage[..., None], positions),
            conditions=torch.from_numpy(conditions).expand(PATCHES_PER_PHOTOGRAPH, -1),
        )

    def _sample_clean(self, rng: np.random.Generator) -> tuple[Array, bool]:
        """Samples a clean photograph or part of one, rotated and mirrored, in colour or as a neutral or toned print."""
        photograph = self._photographs[rng.integers(len(self._photographs))]
        min_side = self.patch_px + 2 * _MARGIN_PX
        factor = rng.uniform(1.1, 1.8) if rng.random() < _DOWNSAMPLED_SHARE else 1.0
        sides = [min(round(_PART_PX * factor), side) for side in photograph.shape[:2]]
        top, left = (rng.integers(whole - side + 1) for whole, side in zip(photograph.shape, sides, strict=False))
        cut = photograph[top : top + sides[0], left : left + sides[1]]
        if factor > 1:
            size = tuple(max(round(side / factor), 8) for side in reversed(sides))
            cut = np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.LANCZOS))
        padding = [(0, max(0, min_side - side)) for side in cut.shape[:2]]
        part = np.pad(cut, (*padding, (0, 0)), mode="symmetric").astype(np.float32) / np.float32(255)
        if rng.random() < _STRONG_TEXTURE_SHARE:
            part = np.clip(
                sharpen(part, amount=float(rng.uniform(0.3, 2)), radius_px=float(rng.uniform(0.6, 1.5))), 0, 1
            )
        part = np.rot90(part, int(rng.integers(4)))
        if rng.random() < 0.5:
            part = part[:, ::-1]
        monochrome = bool(rng.random() < 0.55)
        clean = _as_print(part, rng) if monochrome else np.ascontiguousarray(part)
        return (draw_inscriptions(clean, rng) if rng.random() < _INSCRIBED_SHARE else clean), monochrome

    def _with_real_defects(self, ageing: Ageing, rng: np.random.Generator) -> Ageing:
        """Replaces simulated defects by real ones in half of the damaged and half of the grainy photographs."""
        masks, patches = self._defects.damage_masks, self._defects.grain_patches
        if ageing.damage is not None and masks and rng.random() < 0.5:
            mask = masks[int(rng.integers(len(masks)))]
            offset = (int(rng.integers(mask.shape[0])), int(rng.integers(mask.shape[1])))
            real = mask.astype(np.float32) / np.float32(255)
            ageing = replace(ageing, damage=replace(ageing.damage, mask=real, mask_offset=offset))
        if ageing.grain > 0 and patches and rng.random() < 0.5:
            patch = patches[int(rng.integers(len(patches)))]
            zoomed = ndimage.zoom(patch, rng.uniform(0.6, 1.6), order=3).astype(np.float32)
            ageing = replace(ageing, grain_patch=zoomed)
        return ageing

    def _sample_positions(self, clean: Array, damage: Array, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Samples patch positions: of two candidates the one with more damage to repair; if they have the same amount,
        the more detailed one, because flat patches teach little.
        """
        plane = luma(clean)
        rows, columns = (side - self.patch_px - 2 * _MARGIN_PX + 1 for side in plane.shape)
        positions = []
        for _ in range(PATCHES_PER_PHOTOGRAPH):
            candidates = [
                (_MARGIN_PX + int(rng.integers(rows)), _MARGIN_PX + int(rng.integers(columns))) for _ in range(2)
            ]
            positions.append(
                max(
                    candidates,
                    key=lambda position: (float(self._cut(damage, position).mean()), self._detail(plane, position)),
                )
            )
        return positions

    def _detail(self, plane: Array, position: tuple[int, int]) -> float:
        return float(np.abs(np.diff(self._cut(plane, position), axis=0)).mean())

    def _cut(self, plane: Array, position: tuple[int, int]) -> Array:
        return plane[position[0] : position[0] + self.patch_px, position[1] : position[1] + self.patch_px]

    def _crop(self, picture: Array, positions: Sequence[tuple[int, int]]) -> Tensor:
        size = self.patch_px
        patches = np.stack([picture[top : top + size, left : left + size] for top, left in positions])
        return torch.from_numpy(np.ascontiguousarray(patches.transpose(0, 3, 1, 2)))


def _structure_share(ageing: Ageing, repair: Collection[Defect]) -> float:
    """The share of photographs with this ageing that get thin structures."""
    if "damage" not in repair:
        return _STRUCTURE_SHARE / 4
    return _STRUCTURE_SHARE if ageing.damage is not None else _UNDAMAGED_STRUCTURE_SHARE


def _blur(picture: Array) -> Array:
    size = (_BLUR_PX, _BLUR_PX, 1)
    blurred: Array = ndimage.uniform_filter(ndimage.uniform_filter(picture, size), size)
    return blurred


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
    """Reads a picture, or the centre of a large one, as 8-bit sRGB, (H, W, 3), at most 2048 px a side.

    Raises:
        TrainingError: the picture can't be read.
    """
    try:
        with Picture.open(path) as picture:
            info = picture.info
            width, height = min(info.width, _MAX_PX), min(info.height, _MAX_PX)
            values = convert_to_srgb(picture).read(
                (info.width - width) // 2, (info.height - height) // 2, width, height
            )[0]
    except (ImageError, OSError) as error:
        raise TrainingError(f"{path} can't be read for training: {error}. Remove or repair the file") from error
    as_bytes = np.rint(values * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(as_bytes, (height, width, 3)))


def _read_mask(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except OSError as error:
        raise TrainingError(f"the damage mask {path} can't be read: {error}. Remove or repair the file") from error


def _read_grain(path: Path) -> list[Array]:
    return find_grain_patches(luma(read_photograph(path).astype(np.float32) / np.float32(255)))


class ResumeSampler(Sampler[int]):
    """Yields the sample numbers from ``first`` on, so that a resumed training continues there."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return count(self.first)
