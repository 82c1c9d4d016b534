"""All that must be known of one file before it can be recorded, gathered outside of any writing transaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Item, Master
from archive.errors import IngestError
from archive.ingest.checksum_verification import Checksum
from archive.ingest.file_discovery import DAMAGED, Check, Scan, examine_file, inspect_image
from archive.ingest.recorder import RecordedFile, Recorder
from archive.ingest.row_matching import FileMetadata
from archive.ingest.table_problems import ProblemKind, TableProblem
from archive.storage import check_file
from restoration.errors import ImageError
from restoration.image import Limits, find_damage, looks_like_image


class NotAnImageError(Exception):
    """The file is not an image and has no image extension."""


@dataclass(frozen=True, kw_only=True)
class InspectedFile:
    """One scan, what is stated of it, and how it is with the recorded file where that is another one."""

    scan: Scan
    entry: FileMetadata
    holder: RecordedFile | None
    problems: tuple[TableProblem, ...] = ()
    """Cells of its row that were left out."""


def inspect_file(
    catalogue: Catalogue,
    recorder: Recorder,
    path: Path,
    root: Path,
    entry: FileMetadata,
    sums: Sequence[Checksum],
    check: Check,
) -> InspectedFile:
    """Read one file, compare it with the ``sums`` that it came with, and inspect it.

    Raises:
        NotAnImageError: neither its bytes nor its name are an image's.
        SumDiffersError: its bytes don't have one of its sums.
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
    scan = examine_file(
        path,
        root,
        sums=sums,
        known=lambda sha256: _is_settled(catalogue, sha256),
        limits=_limits(catalogue),
        check=check,
    )
    problems = () if problem is None else (problem,)
    return InspectedFile(scan=scan, entry=entry, holder=_holder(catalogue, recorder, scan), problems=problems)


def _check_reference(catalogue: Catalogue, entry: FileMetadata) -> TableProblem | None:
    """What is wrong with the reference image that a row names, if anything."""
    if entry.row is None or entry.reference is None:
        return None
    try:
        refusal = inspect_image(entry.reference, limits=_limits(catalogue))[0].refusal
        problem = None if refusal is None else f"can't be used: {refusal}"
    except FileNotFoundError:
        problem = "is not there"
    except (ImageError, OSError) as error:
        problem = f"can't be used: {error}"
    if problem is None:
        return None
    return TableProblem(
        kind=ProblemKind.REFERENCE,
        table=str(entry.row.sheet),
        line=entry.row.line,
        column="reference",
        value=os.path.relpath(entry.reference, entry.row.sheet.parent),
        advice=problem,
    )


def find_pixel_damage(catalogue: Catalogue, path: Path) -> str | None:
    """What is broken in an image file, all of whose pixels are decoded; None where nothing is, or it can't be read."""
    try:
        return find_damage(path, depth="pixels", limits=_limits(catalogue))
    except OSError as error:
        return f"it can't be read: {error.strerror}"


def _limits(catalogue: Catalogue) -> Limits:
    settings = catalogue.settings
    return Limits(max_pixels=settings.max_pixels, max_decoding_bytes=settings.max_decoding_bytes)


def _recorded(catalogue: Catalogue, sha256: str) -> tuple[str, str] | None:
    """The stored path and accession number of the masters of these bytes, which have both in common."""
    with catalogue.reading() as session:
        wanted = select(Master.path, Item.accession_number).join(Item).where(Master.sha256 == sha256).limit(1)
        found = session.execute(wanted).one_or_none()
    return None if found is None else (found.path, found.accession_number)


def _is_settled(catalogue: Catalogue, sha256: str) -> bool:
    """Whether nothing more is to be learned from the bytes: newer software may carry a kind that older couldn't."""
    with catalogue.reading() as session:
        refusals = session.scalars(select(Master.unsupported).where(Master.sha256 == sha256)).all()
    return bool(refusals) and not any(refusal and not refusal.startswith(DAMAGED) for refusal in refusals)


def _holder(catalogue: Catalogue, recorder: Recorder, scan: Scan) -> RecordedFile | None:
    recorded = _recorded(catalogue, scan.sha256)
    if recorded is None or recorded[0] == str(scan.path):
        return None
    stored, number = recorded
    problem = None if recorder.is_confirmed(scan.sha256) else check_file(catalogue.path_of(stored), scan.sha256)
    return RecordedFile(stored=stored, accession_number=number, problem=None if problem is None else problem.detail)
