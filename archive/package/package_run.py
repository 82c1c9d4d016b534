"""Writes a package: files first, then metadata, last the mark of completeness, so that it can be interrupted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative, Event
from archive.catalogue.schema.vocabularies import RESTORABLE_VIEWS, EventType
from archive.errors import FixityError, UsageError
from archive.export.file_copy import DerivativeCopier, FileCopy, copy_file, describe_problems
from archive.export.item_records import ItemRecord, count_items, count_restricted, has_withdrawn, stream_items
from archive.export.premis import ScanFile
from archive.failpoints import failpoint
from archive.package.archivematica import ArchivematicaLayout
from archive.package.bagit_bag import BagLayout
from archive.package.layout import Layout, PackageCounts, PackageMetadata, files_of
from archive.package.package_state import PackageRequest, unfinished_package
from archive.progress_reporting import NoProgress, Progress

LayoutName = Literal["bagit", "archivematica"]
CONTENTS = ("derivatives", "masters")


def make_package(
    catalogue: Catalogue,
    query: str | None,
    folder: Path,
    layout: LayoutName,
    *,
    contents: Collection[str] = CONTENTS,
    include_restricted: bool = False,
    copy_derivative: DerivativeCopier | None = None,
    progress: Progress | None = None,
) -> PackageCounts:
    """Packages whole items: all masters of each item that has a matching one, and their current derivatives.

    Args:
        catalogue: what is packaged.
        query: which masters, whose items are packaged; None for all.
        folder: must be absent, or an unfinished package of the same request, which is gone on with.
        layout: the structure that the receiving system expects.
        contents: of :data:`CONTENTS`.
        include_restricted: also items whose access is restricted or sensitive.
        copy_derivative: puts a derivative into the package, such as signed; None links or copies it as it is.
        progress: receives each item.

    Raises:
        QueryError: the query has a mistake.
        UsageError: there is nothing to package.
        StorageError: ``folder`` is something else, or can't be written.
        FixityError: files are missing or not what the catalogue holds; the package stays unfinished.
    """
    folder = folder.absolute()
    request = PackageRequest(
        query=query,
        layout=layout,
        contents=tuple(sorted(contents)),
        include_restricted=include_restricted,
        signed=copy_derivative is not None,
    )
    with catalogue.publishing() as session:
        structure = _layout(session, layout, frozenset(contents))
        records = partial(stream_items, session, query, include_restricted=include_restricted)
        if not any(structure.locate(file) for record in records() for file in files_of(record)):
            can_restore = not _all_withdrawn(records())
            raise UsageError(_nothing(session, query, include_restricted=include_restricted, can_restore=can_restore))
        counts = PackageCounts(restricted=0 if include_restricted else count_restricted(session, query))
        filler = _Filler(catalogue, folder, structure, copy_derivative, counts)
        with unfinished_package(folder, request):
            structure.begin(folder)
            items = count_items(session, query, include_restricted=include_restricted)
            filler.fill(records(), items, progress or NoProgress())
            metadata = PackageMetadata(
                catalogue=catalogue,
                records=lambda: _with_signatures(catalogue, records(), filler.signed),
                query=query,
                at=catalogue.now(session),
                counts=counts,
                signed=filler.signed,
            )
            structure.finish(folder, metadata)
    return counts


def _with_signatures(
    catalogue: Catalogue, records: Iterator[ItemRecord], signed: Mapping[int, FileCopy]
) -> Iterator[ItemRecord]:
    """The records with the events of the signatures that were made since the catalogue was read for the package."""
    for record in records:
        known = {event.id for event in record.events}
        copied = [derivative.id for derivative in record.derivatives if derivative.id in signed]
        if not copied:
            yield record
            continue
        with catalogue.publishing() as session:
            found = session.scalars(
                select(Event)
                .where(Event.derivative_id.in_(copied), Event.type == EventType.SIGNATURE)
                .order_by(Event.id)
                .options(joinedload(Event.agent), joinedload(Event.operator))
            ).all()
        yield replace(record, events=[*record.events, *(event for event in found if event.id not in known)])


class _Filler:
    """Copies the files of a package to their places."""

    def __init__(
        self,
        catalogue: Catalogue,
        folder: Path,
        layout: Layout,
        copy_derivative: DerivativeCopier | None,
        counts: PackageCounts,
    ) -> None:
        self._catalogue = catalogue
        self._folder = folder
        self._layout = layout
        self._copy_derivative = copy_derivative
        self._counts = counts
        self.signed: dict[int, FileCopy] = {}
        """The signed copies by derivative id."""
        self._placed: set[str] = set()
        self._problems: list[str] = []

    def fill(self, records: Iterator[ItemRecord], items: int, progress: Progress) -> None:
        """Copies all files of so many items and writes the manifest; reports all broken files together."""
        (self._folder / self._layout.payload).mkdir(exist_ok=True)
        manifest_path = self._layout.manifest(self._folder)
        manifest_path.parent.mkdir(exist_ok=True)
        progress.start(items, "items")
        try:
            with manifest_path.open("w", encoding="utf-8", newline="") as manifest:
                for record in records:
                    self._place_item(record, manifest)
                    progress.advance(1, record.item.accession_number)
        finally:
            progress.finish()
        if self._problems:
            raise FixityError(describe_problems(f"the package {self._folder} is not finished", self._problems))
        self._remove_others()

    def _place_item(self, record: ItemRecord, manifest: TextIO) -> None:
        files = list(files_of(record))
        for file in files:
            self._place(file, manifest)
        self._counts.items += 1
        if not any(isinstance(file, Derivative) for file in files):
            self._counts.without_derivative += 1
            self._counts.withdrawn += has_withdrawn(record.masters)

    def _place(self, file: ScanFile, manifest: TextIO) -> None:
        path = self._layout.locate(file)
        if path is None:
            self._counts.unplaced += isinstance(file, Derivative)
            return
        if path in self._placed:  # another picture of the same file
            return
        target = self._target(path)
        try:
            if isinstance(file, Derivative) and self._copy_derivative is not None:
                sha256 = self._copy_derivative(file, target)
                self.signed[file.id] = FileCopy(sha256=sha256, size=target.stat().st_size)
            else:
                sha256 = copy_file(self._catalogue.path_of(file.path), target, file.sha256)
        except FixityError as error:
            self._problems.append(str(error))
            return
        failpoint("package_file")
        self._placed.add(path)
        self._counts.files += 1
        self._counts.payload_bytes += target.stat().st_size
        manifest.write(self._layout.manifest_line(path, sha256))

    def _target(self, path: str) -> Path:
        """The path of a file during the packaging: the payload folder may have another name until it is complete."""
        _, _, below = path.partition("/")
        return self._folder / self._layout.payload / below

    def _remove_others(self) -> None:
        """Removes the files of an interrupted run: half copies, and files that the catalogue has replaced since."""
        payload = self._folder / self._layout.payload
        wanted = {str(self._target(path)) for path in self._placed}
        for parent, folders, names in os.walk(payload, topdown=False):
            for name in names:
                path = Path(parent, name)
                if str(path) not in wanted:
                    path.unlink()
            for name in folders:
                path = Path(parent, name)
                if not any(path.iterdir()):
                    path.rmdir()


def _layout(session: Session, name: LayoutName, contents: frozenset[str]) -> Layout:
    return BagLayout(session, contents) if name == "bagit" else ArchivematicaLayout(contents)


def _all_withdrawn(records: Iterator[ItemRecord]) -> bool:
    """Whether each master that restoration takes has a withdrawn derivative."""
    restorable = (master for record in records for master in record.masters if master.view in RESTORABLE_VIEWS)
    withdrawn = (has_withdrawn([master]) for master in restorable)
    return next(withdrawn, False) and all(withdrawn)


def _nothing(session: Session, query: str | None, *, include_restricted: bool, can_restore: bool) -> str:
    found = count_items(session, query, include_restricted=include_restricted)
    restricted = 0 if include_restricted else count_restricted(session, query)
    if restricted and not found:
        return f"nothing to package: the access of all {restricted:,} items found is not open. Add --include-restricted"
    of_query = "" if query is None else f" {shlex.quote(query)}"
    if not found:
        return f"nothing to package: no item is found. See `archive list{of_query}`"
    nothing = f"nothing to package: no item found has a current derivative for this layout ({found:,} without)"
    if not can_restore:
        return f"{nothing}, because it was withdrawn. To package the scans, use `--contents masters`"
    return f"{nothing}. Restore them with `archive restore{of_query}`, or package the scans with `--contents masters`"
