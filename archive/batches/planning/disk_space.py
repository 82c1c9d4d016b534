"""Whether there is room on the disks for what a batch is going to make."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import ColumnElement, func, select

from archive.batches.limits import MAX_IN_FLIGHT_TASKS
from archive.batches.recipe_rows import styled_recipes
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Master, Task
from archive.catalogue.throughput import PIXELS
from archive.errors import BatchError
from archive.settings import Settings
from archive.storage import DERIVATIVES

_BESIDE_PIXELS_BYTES = 64 << 10  # header, profile, and the rest of the last block
_ROWS_BYTES = 16 << 10  # a derivative's rows, with their scores and indexes
_IN_RGB = 3
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A disk that a batch writes to."""

    folder: Path  # the one on it that is written to
    needed_bytes: int
    free_bytes: int

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.free_bytes

    def __str__(self) -> str:
        needed, free = format_bytes(self.needed_bytes), format_bytes(self.free_bytes)
        return f"{needed} on the volume of {self.folder}, where {free} are free"


def derivative_bytes(pixels: int, samples_per_pixel: int, bits_per_sample: int, *, coloured: bool) -> float:
    """How large an uncompressed derivative gets; ``coloured`` if grey, with alpha or without, becomes RGB in it."""
    samples = samples_per_pixel + 2 if coloured and samples_per_pixel < _IN_RGB else samples_per_pixel
    return pixels * samples * (bits_per_sample / 8) + _BESIDE_PIXELS_BYTES


@dataclass(kw_only=True)
class SpaceNeeded:
    """What a batch takes: derivatives of so many bytes, and beside one while it is made at most so many more."""

    derivatives: int = 0
    size_bytes: float = 0
    beside_bytes: float = 0

    def add(self, count: int, size_bytes: float, *, largest_bytes: float, on_a_restoration: bool) -> None:
        """Adds derivatives of ``size_bytes`` each and at most ``largest_bytes``.

        Under a look that is applied to a restoration, that is kept in a file until both are scored.
        """
        self.derivatives += count
        self.size_bytes += count * size_bytes
        if on_a_restoration:
            self.beside_bytes = max(self.beside_bytes, largest_bytes)


def find_volumes(settings: Settings, need: SpaceNeeded) -> tuple[Volume, ...]:
    """The disks on which derivatives, and their rows on SQLite, are going to be written."""
    beside_bytes = min(need.derivatives, MAX_IN_FLIGHT_TASKS) * need.beside_bytes
    needs = {settings.home / DERIVATIVES: int(need.size_bytes + beside_bytes)}
    if settings.sqlite_path is not None:
        needs[settings.sqlite_path.parent] = need.derivatives * _ROWS_BYTES
    found: dict[int, Volume] = {}
    for folder, needed in needs.items():
        there = _existing(folder)
        device = there.stat().st_dev
        known = found.get(device)
        if known is None:
            free = shutil.disk_usage(there).free
            found[device] = Volume(folder=folder, needed_bytes=needed, free_bytes=free)
        else:
            found[device] = replace(known, needed_bytes=known.needed_bytes + needed)
    return tuple(found.values())


def require_disk_space(catalogue: Catalogue, batch_id: int, which: tuple[ColumnElement[bool], ...]) -> None:
    """Checks that the derivatives of the tasks in question are going to fit.

    Raises:
        BatchError: they are not.
    """
    kind = Task.recipe_id, Master.samples_per_pixel, Master.bits_per_sample
    need = SpaceNeeded()
    with catalogue.reading() as session:
        styled = styled_recipes(session, select(Task.recipe_id).where(*which))
        # Of masters of one kind at once: their mean size counts.
        counted = func.count(Task.id), func.sum(PIXELS), func.max(PIXELS)
        statement = select(*kind, *counted).join(Master, Task.master_id == Master.id).where(*which).group_by(*kind)
        for recipe_id, samples, bits, count, pixels, most_pixels in session.execute(statement):
            look = styled.get(recipe_id)
            mean, largest = (
                derivative_bytes(size, samples, bits, coloured=look is not None and look.coloured)
                for size in (int(pixels) // count, int(most_pixels))
            )
            need.add(count, mean, largest_bytes=largest, on_a_restoration=look is not None and look.on_a_restoration)
    check_disk_space(find_volumes(catalogue.settings, need), f"make room, then run `archive batch resume {batch_id}`")


def check_disk_space(found: tuple[Volume, ...], remedy: str) -> None:
    """Checks that each volume has room for what it is going to hold.

    Raises:
        BatchError: one has not; the message names the numbers.
    """
    if too_small := [volume for volume in found if not volume.fits]:
        raise BatchError(f"the derivatives do not fit: they need {' and '.join(map(str, too_small))}: {remedy}")


def format_bytes(number_of_bytes: float) -> str:
    """``1.5 GB``."""
    power = 0
    while number_of_bytes >= 1000 and power < len(_UNITS) - 1:
        number_of_bytes, power = number_of_bytes / 1000, power + 1
    return f"{number_of_bytes:.1f} {_UNITS[power]}" if power else f"{number_of_bytes:.0f} {_UNITS[0]}"


def _existing(folder: Path) -> Path:
    """``folder``, or the nearest above it that is there."""
    # os.path.isdir, because it never raises.
    return next(each for each in (folder, *folder.parents) if os.path.isdir(each))  # noqa: PTH112
