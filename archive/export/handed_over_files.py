"""Copies of derivatives that are handed over together with an export, signed or as they are.

::

    items.csv                                            the export
    items-files/SHA256SUMS                               the digests of the copies
    items-files/<accession number>/<derivative>.tif      the copies

In an IIIF export, the folder is ``files`` within the export's folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative
from archive.errors import FixityError, StorageError
from archive.export.file_copy import DerivativeCopier, describe_problems, link_or_copy
from archive.export.item_records import ItemRecord, stream_items
from archive.progress_reporting import Progress
from archive.storage import flush_file, make_folder, publish, temporary_path

MANIFEST = "SHA256SUMS"
"""The list of the copies, as ``sha256sum`` writes it. It marks the folder as one that an export wrote."""
DerivativeChoice = Callable[[ItemRecord], Iterable[Derivative]]
"""The derivatives of an item whose files are handed over; each is current."""


@dataclass(frozen=True, kw_only=True)
class FileHandover:
    """That copies are handed over, and how."""

    copy_derivative: DerivativeCopier | None
    """Makes a signed copy; None links or copies the derivative as it is."""
    progress: Progress
    """Receives each item."""


@dataclass(frozen=True, kw_only=True)
class HandedOverFiles:
    """The copies that belong to an export."""

    folder: Path
    """Where they are."""
    digests: Mapping[int, str]
    """SHA-256 of each copy by derivative id."""
    signed: bool

    def describe(self, derivative: Derivative | None) -> tuple[str | None, str | None]:
        """The path of a derivative's copy relative to the export, with ``/``, and its SHA-256; None if it has none."""
        if derivative is None or derivative.id not in self.digests:
            return None, None
        return f"{self.folder.name}/{_path_below(derivative)}", self.digests[derivative.id]


NO_FILES = HandedOverFiles(folder=Path(), digests={}, signed=False)
"""Of an export without copies."""


def hand_over_files(
    catalogue: Catalogue,
    query: str | None,
    folder: Path,
    choose: DerivativeChoice,
    handover: FileHandover,
    *,
    include_restricted: bool,
) -> HandedOverFiles:
    """Puts copies of derivatives into ``folder``. Copies that an earlier export left there are compared and kept.

    Other TIFFs in the folder are removed: it holds the copies of the newest export only.

    Args:
        catalogue: holds the derivatives.
        query: which masters; None for all.
        folder: is made if need be.
        choose: which derivatives of each item.
        handover: how they are copied.
        include_restricted: also items whose access is not open.

    Raises:
        QueryError: the query has a mistake.
        StorageError: the folder holds files that no export wrote.
        FixityError: derivatives are missing or changed; all of them are named.
        CredentialsError: a derivative can't be signed.
        OSError: the volume is full or can't be written.
    """
    folder = folder.absolute()
    _begin(folder)
    digests: dict[int, str] = {}
    paths: set[str] = set()
    problems: list[str] = []
    temporary = temporary_path(folder / MANIFEST, "export")
    try:
        with catalogue.reading() as session, temporary.open("w", encoding="utf-8") as manifest:
            for record in stream_items(session, query, include_restricted=include_restricted):
                for derivative in choose(record):
                    path = _path_below(derivative)
                    try:
                        sha256 = _copy(catalogue, derivative, folder / path, handover.copy_derivative)
                    except FixityError as error:
                        problems.append(str(error))
                        continue
                    manifest.write(f"{sha256}  {path}\n")
                    digests[derivative.id] = sha256
                    paths.add(str(path))
                handover.progress.advance(1, record.item.accession_number)
        if problems:
            raise FixityError(describe_problems("nothing is exported", problems))
        _remove_others(folder, paths)
        flush_file(temporary)
        publish(temporary, folder / MANIFEST, replace=True)
    finally:
        temporary.unlink(missing_ok=True)
    return HandedOverFiles(folder=folder, digests=digests, signed=handover.copy_derivative is not None)


def _begin(folder: Path) -> None:
    """Makes the folder with an empty manifest, by which a later export recognises it as its own."""
    make_folder(folder)
    if (folder / MANIFEST).exists():
        return
    if any(folder.iterdir()):
        raise StorageError(
            f"{folder} is needed for the copies, but holds files that no export wrote. "
            "Move it away, or give --output another name"
        )
    (folder / MANIFEST).touch()


def _remove_others(folder: Path, paths: set[str]) -> None:
    """Removes the TIFFs of earlier exports, and folders that are empty then."""
    for parent, folders, names in os.walk(folder, topdown=False):
        for path in (Path(parent, name) for name in names):
            if path.suffix == ".tif" and str(path.relative_to(folder)) not in paths:
                path.unlink()
        for path in (Path(parent, name) for name in folders):
            if not any(path.iterdir()):
                path.rmdir()


def _copy(catalogue: Catalogue, derivative: Derivative, target: Path, copy_derivative: DerivativeCopier | None) -> str:
    if copy_derivative is not None:
        return copy_derivative(derivative, target)
    return link_or_copy(catalogue.path_of(derivative.path), target, derivative.sha256)


def _path_below(derivative: Derivative) -> PurePosixPath:
    """The path within the folder: that of the derivative in the home, without its first folder."""
    return PurePosixPath(*PurePosixPath(derivative.path).parts[1:])
