"""Inspects a file before it is recorded, outside of any writing transaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Item, Master
from archive.errors import IngestError
from archive.image_limits import image_limits
from archive.ingest.checksum_verification import Checksum
from archive.ingest.file_discovery import DAMAGED, Check, Scan, examine_file, inspect_image
from archive.ingest.recorder import RecordedFile, Recorder
from archive.ingest.row_matching import FileMetadata
from archive.ingest.table_problems import ProblemKind, TableProblem
from archive.storage import check_file
from restoration.errors import ImageError
from restoration.image import find_damage, looks_like_image


class NotAnImageError(Exception):
    """The file is not an image and has no image extension."""


@dataclass(frozen=True, kw_only=True)
class InspectedFile:
    """One scan, its metadata, and the state of the recorded file if that is another file."""

    scan: Scan
    entry: FileMetadata
    holder: RecordedFile | None
    problems: tuple[TableProblem, ...] = ()
    """Cells of its row that were ignored."""


class _RecordedMaster(NamedTuple):
    path: str
    accession_number: str
    unsupported: str | None


def inspect_file(
    catalogue: Catalogue,
    recorder: Recorder,
    path: Path,
    root: Path,
    entry: FileMetadata,
    sums: Sequence[Checksum],
    check: Check,
) -> InspectedFile:
    """Reads one file, compares it with its delivered checksums ``sums``, and inspects it.

    Raises:
        NotAnImageError: neither its bytes nor its name are an image's.
        ChecksumMismatchError: its bytes don't have one of its sums.
        IngestError: its row names a file that is not an image, or the file changed meanwhile.
        StorageError: it changed while it was digested.
        ImageError: it can't be read as an image, or is too large.
        OSError: it can't be read.
    """
    if not looks_like_image(path):
        if entry.row is not None and entry.row.line:
            raise IngestError(f"{entry.row.where} names it, but it is not an image")
        raise NotAnImageError
    problem = _check_reference(catalogue, entry)
    if problem is not None:
        entry = replace(entry, reference=None)
    recorded: list[_RecordedMaster] = []

    def is_settled(sha256: str) -> bool:
        recorded.extend(_recorded_masters(catalogue, sha256))
        return _is_settled(recorded)

    scan = examine_file(path, root, sums=sums, known=is_settled, limits=image_limits(catalogue.settings), check=check)
    problems = () if problem is None else (problem,)
    holder = _holder(catalogue, recorder, scan, recorded)
    return InspectedFile(scan=scan, entry=entry, holder=holder, problems=problems)


def _check_reference(catalogue: Catalogue, entry: FileMetadata) -> TableProblem | None:
    """The problem of the reference image that a row names, if there is one."""
    if entry.row is None or entry.reference is None:
        return None
    try:
        refusal = inspect_image(entry.reference, limits=image_limits(catalogue.settings))[0].refusal
        problem = None if refusal is None else f"can't be used: {refusal}"
    except FileNotFoundError:
        problem = "is not there"
    except (ImageError, OSError) as error:
        problem = f"can't be used: {error}"
    if problem is None:
        return None
    value = os.path.relpath(entry.reference, entry.row.sheet.parent)
    return entry.row.problem(ProblemKind.REFERENCE, "reference", value, problem)


def find_pixel_damage(catalogue: Catalogue, path: Path) -> str | None:
    """Decodes all pixels of an image file and describes the damage; None if there is none, or it can't be read."""
    try:
        return find_damage(path, depth="pixels", limits=image_limits(catalogue.settings))
    except OSError as error:
        return f"it can't be read: {error.strerror}"


def _recorded_masters(catalogue: Catalogue, sha256: str) -> list[_RecordedMaster]:
    """The recorded masters with these bytes; they share path and accession number."""
    wanted = select(Master.path, Item.accession_number, Master.unsupported).join(Item).where(Master.sha256 == sha256)
    with catalogue.reading() as session:
        return [_RecordedMaster(*row) for row in session.execute(wanted)]


def _is_settled(recorded: Sequence[_RecordedMaster]) -> bool:
    """Whether the bytes need no new inspection; newer software may support a kind that older software couldn't."""
    reasons = [master.unsupported for master in recorded if master.unsupported is not None]
    return bool(recorded) and all(reason.startswith(DAMAGED) for reason in reasons)


def _holder(
    catalogue: Catalogue, recorder: Recorder, scan: Scan, recorded: Sequence[_RecordedMaster]
) -> RecordedFile | None:
    if not recorded or recorded[0].path == catalogue.stored_path(scan.path):
        return None
    stored, number, _ = recorded[0]
    problem = None if recorder.is_confirmed(scan.sha256) else check_file(catalogue.path_of(stored), scan.sha256)
    return RecordedFile(stored=stored, accession_number=number, problem=None if problem is None else problem.detail)
