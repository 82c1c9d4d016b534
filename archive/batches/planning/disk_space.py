"""Disk space: the space that a batch needs on each volume, and the check that it is free."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import ColumnElement, func, select

from archive.batches.recipe_rows import styled_recipes
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Master, Task
from archive.catalogue.throughput import PIXELS
from archive.display_labels import format_bytes
from archive.errors import BatchError
from archive.settings import Settings
from archive.storage import DERIVATIVES

_FILE_OVERHEAD_BYTES = 64 << 10  # header, profile and the rest of the last block
_CATALOGUE_BYTES_PER_DERIVATIVE = 16 << 10  # rows with scores and indexes
_RGB_SAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume that a batch writes to."""

    folder: Path  # the folder on it that the batch writes to
    needed_bytes: int
    free_bytes: int

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.free_bytes

    def __str__(self) -> str:
        needed, free = format_bytes(self.needed_bytes), format_bytes(self.free_bytes)
        return f"{needed} on {self.folder} ({free} free)"


def derivative_bytes(pixels: int, samples_per_pixel: int, bits_per_sample: int, *, as_rgb: bool) -> float:
    """The size of an uncompressed derivative; with ``as_rgb`` a grey master, with or without alpha, becomes RGB."""
    samples = samples_per_pixel + 2 if as_rgb and samples_per_pixel < _RGB_SAMPLES else samples_per_pixel
    return pixels * samples * (bits_per_sample / 8) + _FILE_OVERHEAD_BYTES


@dataclass(kw_only=True)
class SpaceNeeded:
    """The disk space for a batch: its derivatives, and the largest temporary file beside one of them."""

    derivatives: int = 0
    size_bytes: float = 0
    temporary_bytes: float = 0

    def add(self, count: int, size_bytes: float, *, largest_bytes: float, keeps_style_input: bool) -> None:
        """Adds ``count`` derivatives.

        Args:
            count: their number.
            size_bytes: their mean size.
            largest_bytes: the size of the largest one.
            keeps_style_input: whether the restored input of a style is kept in a temporary file until it is scored.
        """
        self.derivatives += count
        self.size_bytes += count * size_bytes
        if keeps_style_input:
            self.temporary_bytes = max(self.temporary_bytes, largest_bytes)


def find_volumes(settings: Settings, space_needed: SpaceNeeded) -> tuple[Volume, ...]:
    """The volumes for derivatives and, with SQLite, for the catalogue."""
    temporary_bytes = min(space_needed.derivatives, MAX_IN_FLIGHT_TASKS) * space_needed.temporary_bytes
    needs = {settings.home / DERIVATIVES: int(space_needed.size_bytes + temporary_bytes)}
    if settings.sqlite_path is not None:
        needs[settings.sqlite_path.parent] = space_needed.derivatives * _CATALOGUE_BYTES_PER_DERIVATIVE
    found: dict[int, Volume] = {}
    for folder, needed in needs.items():
        existing = _existing(folder)
        device = existing.stat().st_dev
        known = found.get(device)
        if known is None:
            free = shutil.disk_usage(existing).free
            found[device] = Volume(folder=folder, needed_bytes=needed, free_bytes=free)
        else:
            found[device] = replace(known, needed_bytes=known.needed_bytes + needed)
    return tuple(found.values())


def require_disk_space(catalogue: Catalogue, batch_id: int, conditions: tuple[ColumnElement[bool], ...]) -> None:
    """Checks that the derivatives of the tasks that fulfil ``conditions`` fit on the disk.

    Raises:
        BatchError: they do not fit.
    """
    key = Task.recipe_id, Master.samples_per_pixel, Master.bits_per_sample
    space_needed = SpaceNeeded()
    with catalogue.reading() as session:
        styled = styled_recipes(session, select(Task.recipe_id).where(*conditions))
        # One group per kind of master, with its mean size.
        counted = func.count(Task.id), func.sum(PIXELS), func.max(PIXELS)
        statement = select(*key, *counted).join(Master, Task.master_id == Master.id).where(*conditions).group_by(*key)
        for recipe_id, samples, bits, count, pixels, most_pixels in session.execute(statement):
            style = styled.get(recipe_id)
            mean, largest = (
                derivative_bytes(size, samples, bits, as_rgb=style is not None and style.makes_rgb)
                for size in (int(pixels) // count, int(most_pixels))
            )
            keeps_style_input = style is not None and style.keeps_style_input
            space_needed.add(count, mean, largest_bytes=largest, keeps_style_input=keeps_style_input)
    remedy = f"Free some disk space, then run `archive batch resume {batch_id}`"
    check_disk_space(find_volumes(catalogue.settings, space_needed), remedy)


def check_disk_space(found: tuple[Volume, ...], remedy: str) -> None:
    """Checks that each volume has enough free space.

    Raises:
        BatchError: a volume has not; the message contains the numbers.
    """
    if too_small := [volume for volume in found if not volume.fits]:
        raise BatchError(f"Not enough disk space: the derivatives need {' and '.join(map(str, too_small))}. {remedy}")


def _existing(folder: Path) -> Path:
    """``folder``, or its nearest existing parent."""
    # os.path.isdir, because it never raises.
    return next(each for each in (folder, *folder.parents) if os.path.isdir(each))  # noqa: PTH112
