"""Masks: files named after the masters, which limit a style to a part of the picture."""

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
    """The reason why a master has no usable mask."""

    reason: str
    detail: str = ""  # about this master


@dataclass(frozen=True)
class MaskFolder:
    """A folder of masks, ``<slug>_<sequence, 3 digits>.png``: 8-bit grey, of the master's upright size, white = styled.

    Each mask is inspected once.

    Raises:
        UsageError: there is no such folder.
    """

    folder: Path
    _results: dict[int, str | UnusableMask] = field(default_factory=dict)  # by the master's id
    _paths: dict[str, Path] = field(default_factory=dict)  # by digest
    _copied: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder. Name the folder that holds the masks.")

    def find(self, master: Candidate) -> str | UnusableMask:
        """Returns the SHA-256 of the master's mask, or the reason why there is none."""
        if master.id not in self._results:
            self._results[master.id] = self._inspect(master)
        return self._results[master.id]

    def _inspect(self, master: Candidate) -> str | UnusableMask:
        path = self.folder / mask_name(master.accession_number, master.sequence)
        if not path.is_file():
            return UnusableMask(f"no mask in {self.folder}")
        try:
            sha256, _ = digest_file(path)
            problem = _find_problem(path, master)
        except (OSError, StorageError) as error:
            return UnusableMask("the mask can't be read", str(error))
        self._paths[sha256] = path
        return problem or sha256

    def copy_to_home(self, settings: Settings, sha256: str) -> None:
        """Copies a mask to the home, so that its derivatives can be reproduced without this folder.

        Raises:
            StorageError: it has changed since its inspection, or can't be copied.
        """
        if sha256 in self._copied:
            return
        path, copy = self._paths[sha256], settings.home / mask_path(sha256)
        try:
            copy_checked(path, copy, uuid4().hex, sha256=sha256)
        except OSError as error:
            raise StorageError(f"the mask {path} can't be copied to {copy}: {error.strerror or error}") from error
        self._copied.add(sha256)


def _find_problem(path: Path, master: Candidate) -> UnusableMask | None:
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
        return UnusableMask("the mask does not have the upright master's size", sizes)
    return None
