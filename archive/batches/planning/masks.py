"""Masks: which part of each master a style is for, in files that are named after the masters."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from archive.errors import StorageError, UsageError
from archive.settings import Settings
from archive.storage import copy_checked, digest_file, mask_name, mask_path

if TYPE_CHECKING:
    from archive.batches.planning.candidates import Candidate


class UnusableMask(NamedTuple):
    """Why a master has no mask that can be used."""

    reason: str
    detail: str = ""  # of this master


@dataclass(frozen=True)
class MaskFolder:
    """A folder of masks, ``<slug>_<sequence, 3 digits>.png``: 8-bit grey, of the master's upright size, white = styled.

    Each is looked at once.

    Raises:
        UsageError: there is no such folder.
    """

    folder: Path
    _looked_at: dict[int, str | UnusableMask] = field(default_factory=dict)  # by the master's id
    _found: dict[str, Path] = field(default_factory=dict)  # by digest
    _kept: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder. Name the folder that holds the masks.")

    def of(self, master: Candidate) -> str | UnusableMask:
        """The SHA-256 of the master's mask, or why it has none."""
        if master.id not in self._looked_at:
            self._looked_at[master.id] = self._look(master)
        return self._looked_at[master.id]

    def _look(self, master: Candidate) -> str | UnusableMask:
        path = self.folder / mask_name(master.accession_number, master.sequence)
        if not path.is_file():
            return UnusableMask(f"no mask in {self.folder}")
        try:
            sha256, _ = digest_file(path)
            objection = _objection(path, master)
        except (OSError, StorageError) as error:
            return UnusableMask("the mask can't be read", str(error))
        self._found[sha256] = path
        return objection or sha256

    def keep(self, settings: Settings, sha256: str) -> None:
        """Copies a mask below the home, so that its derivatives can be reproduced without the folder.

        Raises:
            StorageError: it changed since it was looked at, or can't be copied.
        """
        if sha256 in self._kept:
            return
        path, copy = self._found[sha256], settings.home / mask_path(sha256)
        try:
            copy_checked(path, copy, uuid4().hex, sha256=sha256)
        except OSError as error:
            raise StorageError(f"the mask {path} can't be copied to {copy}: {error.strerror or error}") from error
        self._kept.add(sha256)


def _objection(path: Path, master: Candidate) -> UnusableMask | None:
    from restoration.errors import ImageError
    from restoration.image import inspect

    try:
        info = inspect(path)
    except ImageError as error:
        return UnusableMask("the mask can't be read", str(error))
    if (info.format, info.bits_per_sample, info.samples_per_pixel, info.colour_channels) != ("PNG", 8, 1, 1):
        colours = "grey" if info.colour_channels == 1 else "RGB"
        alpha = " with alpha" if info.extra_samples else ""
        kind = f"{info.format} of {info.bits_per_sample}-bit {colours}{alpha}"
        return UnusableMask("the mask is not an 8-bit greyscale PNG", kind)
    if (info.width, info.height) != (master.width, master.height):
        sizes = f"{info.width}x{info.height} px for {master.width}x{master.height} px"
        return UnusableMask("the mask is not of the upright master's size", sizes)
    return None
