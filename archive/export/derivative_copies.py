"""Copies of derivatives that are handed over together with an export, signed or as they are.

::

    items.csv                                            the export
    items-files/.archive-export                          the name of the export and of the copies
    items-files/SHA256SUMS                               the digests of the copies
    items-files/<accession number>/<derivative>.tif      the copies

In an IIIF export, the folder is ``files`` within the export's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative
from archive.errors import FixityError
from archive.export.copies_folder import CopiesFolder
from archive.export.file_copy import DerivativeCopier, copy_file, describe_problems
from archive.export.item_records import ItemRecord, stream_items
from archive.progress_reporting import Progress

DerivativeChoice = Callable[[ItemRecord], Iterable[Derivative]]
"""The derivatives of an item whose files are handed over; each is current."""


@dataclass(frozen=True, kw_only=True)
class FileHandover:
    """That copies are handed over, and how."""

    copy_derivative: DerivativeCopier | None
    """Makes a signed copy; None copies the derivative as it is."""
    progress: Progress
    """Receives each item."""


@dataclass(frozen=True, kw_only=True)
class HandedOverFiles:
    """The copies that belong to an export."""

    folder: CopiesFolder | None
    """Where they are; None of an export without copies."""
    digests: Mapping[str, str]
    """SHA-256 of each copy by its path in the folder, with ``/``."""
    signed: bool

    def describe(self, derivative: Derivative | None) -> tuple[str | None, str | None]:
        """The path of a derivative's copy relative to the export, with ``/``, and its SHA-256; None if it has none."""
        if self.folder is None or derivative is None or (path := _path_below(derivative)) not in self.digests:
            return None, None
        return f"{self.folder.path.name}/{path}", self.digests[path]

    def publish(self) -> None:
        """Lists the copies and removes those of earlier exports; only after the export itself has its final name."""
        if self.folder is not None:
            self.folder.publish(self.digests)


NO_FILES = HandedOverFiles(folder=None, digests={}, signed=False)
"""Of an export without copies."""


def hand_over_files(
    catalogue: Catalogue,
    query: str | None,
    folder: CopiesFolder,
    choose: DerivativeChoice,
    handover: FileHandover,
    *,
    include_restricted: bool,
) -> HandedOverFiles:
    """Puts copies of derivatives into ``folder``. Copies that an earlier export left there are compared and kept.

    Args:
        catalogue: holds the derivatives.
        query: which masters; None for all.
        folder: that of the export.
        choose: which derivatives of each item.
        handover: how they are copied.
        include_restricted: also items whose access is not open.

    Raises:
        QueryError: the query has a mistake.
        StorageError: a file that no export wrote is where a copy belongs.
        FixityError: derivatives are missing or changed; all of them are named.
        CredentialsError: a derivative can't be signed.
        OSError: the volume is full or can't be written.
    """
    digests: dict[str, str] = {}
    problems: list[str] = []
    with catalogue.reading() as session:
        for record in stream_items(session, query, include_restricted=include_restricted):
            for derivative in choose(record):
                path = _path_below(derivative)
                target = folder.claim(path)
                try:
                    digests[path] = _copy(catalogue, derivative, target, handover.copy_derivative)
                except FixityError as error:
                    problems.append(str(error))
            handover.progress.advance(1, record.item.accession_number)
    if problems:
        raise FixityError(describe_problems("nothing is exported", problems))
    return HandedOverFiles(folder=folder, digests=digests, signed=handover.copy_derivative is not None)


def _copy(catalogue: Catalogue, derivative: Derivative, target: Path, copy_derivative: DerivativeCopier | None) -> str:
    if copy_derivative is not None:
        return copy_derivative(derivative, target)
    return copy_file(catalogue.path_of(derivative.path), target, derivative.sha256)


def _path_below(derivative: Derivative) -> str:
    """The path within the folder: that of the derivative in the home, without its first folder."""
    return str(PurePosixPath(*PurePosixPath(derivative.path).parts[1:]))
