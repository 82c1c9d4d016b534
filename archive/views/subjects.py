"""The pictures that the image server shows: masters, derivatives and their differences, by their identifiers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative, Item, Master
from archive.catalogue.schema.vocabularies import Access
from archive.errors import NotFoundError
from archive.image_limits import image_limits
from archive.settings import Settings
from restoration.errors import ImageError
from restoration.image import Picture, Source, open_for_display
from restoration.image.stored_pixels import Samples

DIFFERENCE_GAIN = 4.0
"""How much a difference is amplified, around middle grey."""
_IDENTIFIER = re.compile(r"(master|derivative|difference)-([1-9][0-9]{0,17})")


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A file of the catalogue with a picture, and the recorded digest of its bytes."""

    path: Path
    sha256: str
    page: int = 1


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A picture that can be shown. Its key depends on the bytes of its files only, so equal keys mean equal views."""

    identifier: str
    accession_number: str
    width: int
    height: int
    files: tuple[PictureFile, ...]
    """One file; for a difference two, the master's and the derivative's."""

    @property
    def key(self) -> str:
        parts = "/".join(f"{file.sha256}.{file.page}" for file in self.files)
        return hashlib.sha256(parts.encode()).hexdigest() if len(self.files) > 1 else parts


def find_subject(catalogue: Catalogue, identifier: str, access: Collection[Access]) -> Subject:
    """The picture of ``master-<id>``, ``derivative-<id>`` or ``difference-<id of a derivative>``.

    Raises:
        NotFoundError: there is no such picture, or its item's access is not in ``access``.
    """
    match = _IDENTIFIER.fullmatch(identifier)
    with catalogue.reading() as session:
        found = None if match is None else _find(catalogue, session, match[1], int(match[2]), access)
    if found is None:
        raise NotFoundError(f"No picture {identifier!r}.")
    return found


def _find(catalogue: Catalogue, session: Session, kind: str, row_id: int, access: Collection[Access]) -> Subject | None:
    derivative = None if kind == "master" else session.get(Derivative, row_id)
    master = session.get(Master, row_id if derivative is None else derivative.master_id)
    if master is None or (derivative is None and kind != "master"):
        return None
    item = session.scalars(select(Item).where(Item.id == master.item_id)).one()
    if item.access not in access or (derivative is not None and derivative.withdrawn_at is not None):
        return None
    files = []
    if kind != "derivative":
        files.append(PictureFile(path=catalogue.path_of(master.path), sha256=master.sha256, page=master.page))
    if derivative is not None:
        files.append(PictureFile(path=catalogue.path_of(derivative.path), sha256=derivative.sha256))
    return Subject(
        identifier=f"{kind}-{row_id}",
        accession_number=item.accession_number,
        width=master.width,
        height=master.height,
        files=tuple(files),
    )


@contextmanager
def open_source(settings: Settings, subject: Subject) -> Iterator[Source]:
    """The pixels of a subject; the bytes of its files are compared with their recorded digests first.

    Raises:
        ImageError: a file is not a supported picture, or its bytes are not those recorded.
        OSError: a file can't be read.
    """
    if len(subject.files) == 1:
        with open_picture(settings, subject.files[0]) as picture:
            yield picture
    else:
        before, after = subject.files
        with open_picture(settings, before) as scan, open_picture(settings, after) as made:
            yield Difference(scan, made)


def open_picture(settings: Settings, file: PictureFile) -> Picture:
    """The picture of one file for display, its bytes compared with the digest; raises as :func:`open_source` does."""
    return open_for_display(file.path, page=file.page, limits=image_limits(settings), expected_sha256=file.sha256)


class Difference:
    """The difference of two pictures as a source: middle grey plus the amplified difference of the encoded values."""

    def __init__(self, before: Source, after: Source) -> None:
        """Takes the two pictures.

        Raises:
            ImageError: they differ in size.
        """
        if (before.info.width, before.info.height) != (after.info.width, after.info.height):
            raise ImageError("a difference needs two pictures of one size")
        self._before, self._after = before, after
        channels = max(before.info.colour_channels, after.info.colour_channels)
        self.info = replace(
            after.info,
            colour_channels=channels,
            samples_per_pixel=channels,
            extra_samples=(),
            icc_profile=None,
        )

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        before, after = (each.read(x, y, width, height) for each in (self._before, self._after))
        apart: NDArray[np.float32] = np.clip(0.5 + DIFFERENCE_GAIN * (after - before), 0, 1).astype(np.float32)
        return apart

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:  # noqa: ARG002
        return np.empty((height, width, 0), np.uint8)
