"""Whether there is room on the disks for what a batch is going to make."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import ColumnElement, func, select

from archive.batches.recipes import coloured_recipes
from archive.catalogue import Catalogue
from archive.catalogue.pace import PIXELS
from archive.catalogue.tables import Master, Task
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
        return (
            f"{in_words(self.needed_bytes)} on the volume of {self.folder}, where {in_words(self.free_bytes)} are free"
        )


def derivative_bytes(pixels: int, samples_per_pixel: int, bits_per_sample: int, *, coloured: bool) -> float:
    """How large an uncompressed derivative gets; ``coloured`` if grey, with alpha or without, becomes RGB in it."""
    samples = samples_per_pixel + 2 if coloured and samples_per_pixel < _IN_RGB else samples_per_pixel
    return pixels * samples * (bits_per_sample / 8) + _BESIDE_PIXELS_BYTES


def volumes(settings: Settings, *, derivatives: int, derivatives_bytes: float) -> tuple[Volume, ...]:
    """The disks on which so many derivatives of so many bytes, and their rows on SQLite, are going to be written."""
    needs = {settings.home / DERIVATIVES: int(derivatives_bytes)}
    if settings.sqlite_path is not None:
        needs[settings.sqlite_path.parent] = derivatives * _ROWS_BYTES
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


def require_room(catalogue: Catalogue, batch_id: int, which: tuple[ColumnElement[bool], ...]) -> None:
    """Checks that the derivatives of the tasks in question are going to fit.

    Raises:
        BatchError: they are not.
    """
    kind = Task.recipe_id, Master.samples_per_pixel, Master.bits_per_sample
    tasks, needed = 0, 0.0
    with catalogue.reading() as session:
        coloured = coloured_recipes(session, select(Task.recipe_id).where(*which))
        # Of masters of one kind at once: their mean size counts.
        statement = select(*kind, func.count(Task.id), func.sum(PIXELS)).join(Master, Task.master_id == Master.id)
        for recipe_id, samples, bits, count, pixels in session.execute(statement.where(*which).group_by(*kind)):
            size = derivative_bytes(int(pixels) // count, samples, bits, coloured=recipe_id in coloured)
            tasks += count
            needed += count * size
    refuse_what_does_not_fit(
        volumes(catalogue.settings, derivatives=tasks, derivatives_bytes=needed),
        f"make room, then run `archive batch resume {batch_id}`",
    )


def refuse_what_does_not_fit(found: tuple[Volume, ...], remedy: str) -> None:
    """Checks that each volume has room for what it is going to hold.

    Raises:
        BatchError: one has not; the message names the numbers.
    """
    if too_small := [volume for volume in found if not volume.fits]:
        raise BatchError(f"the derivatives do not fit: they need {' and '.join(map(str, too_small))}: {remedy}")


def in_words(number_of_bytes: float) -> str:
    """``1.5 GB``."""
    power = 0
    while number_of_bytes >= 1000 and power < len(_UNITS) - 1:
        number_of_bytes, power = number_of_bytes / 1000, power + 1
    return f"{number_of_bytes:.1f} {_UNITS[power]}" if power else f"{number_of_bytes:.0f} {_UNITS[0]}"


def _existing(folder: Path) -> Path:
    """``folder``, or the nearest above it that is there."""
    # os.path.isdir, because it never raises.
    return next(each for each in (folder, *folder.parents) if os.path.isdir(each))  # noqa: PTH112
