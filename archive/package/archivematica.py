"""A transfer for Archivematica (https://www.archivematica.org), standard type.

::

    objects/<accession number>/<sequence>/<master>
    objects/manualNormalization/access/<accession number>/<sequence>/<name of the master>.tif
    metadata/metadata.csv  rights.csv  checksum.sha256  premis.xml

Archivematica takes the restored derivative as the access copy of the master that has the same path and name, but for
the ending. Each master has a folder of its own, so that this leads to one master only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TextIO

from archive.catalogue.schema.tables import Derivative, Item, Master
from archive.export.item_records import ItemRecord
from archive.export.premis import ScanFile, Scope, write_premis
from archive.export.rights import license_of, restriction
from archive.failpoints import failpoint
from archive.package.layout import PackageMetadata, files_of
from archive.storage import slug

_UNFINISHED_OBJECTS = "objects.unfinished"
_OBJECTS = "objects"
_DUBLIN_CORE = {
    "dc.title": "title",
    "dc.creator": "creator",
    "dc.date": "date",
    "dc.description": "description",
    "dc.coverage": "place",
    "dc.format": "process",
    "dc.identifier": "accession_number",
    "dc.isPartOf": "collection",
    "dc.rights": "rights",
}
_RIGHTS = ("file", "basis", "terms", "note", "grant_act", "grant_restriction")


class ArchivematicaLayout:
    """A transfer. It is complete once its objects have their folder's final name, which they get last."""

    payload = _UNFINISHED_OBJECTS

    def __init__(self, contents: frozenset[str]) -> None:
        self._contents = contents

    def begin(self, folder: Path) -> None:
        if (folder / _OBJECTS).is_dir():
            (folder / _OBJECTS).rename(folder / _UNFINISHED_OBJECTS)

    def locate(self, file: ScanFile) -> str | None:
        if isinstance(file, Master):
            return self._master_path(file) if "masters" in self._contents else None
        if "derivatives" not in self._contents or file.id != file.master.current_restored_id:
            return None  # a styled derivative is not an access copy of the photograph
        if "masters" not in self._contents:
            return f"{_OBJECTS}/{_folder(file.master)}/{PurePosixPath(file.path).name}"
        if _first_of_file(file.master) is not file.master:
            return None  # a master file has one access copy, and this is another picture of the file
        return str(
            PurePosixPath(f"{_OBJECTS}/manualNormalization/access/{_folder(file.master)}")
            / PurePosixPath(file.master.path).with_suffix(".tif").name
        )

    def manifest(self, folder: Path) -> Path:
        return folder / "metadata" / "checksum.sha256"

    def manifest_line(self, path: str, sha256: str) -> str:
        if "\n" in path or "\\" in path:  # as sha256sum escapes it
            return f"\\{sha256}  {path.replace(chr(92), chr(92) * 2).replace(chr(10), chr(92) + 'n')}\n"
        return f"{sha256}  {path}\n"

    def finish(self, folder: Path, metadata: PackageMetadata) -> None:
        with (folder / "metadata" / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            _write_rows(file, ("filename", "dc.type", *_DUBLIN_CORE), self._dublin_core(metadata))
        with (folder / "metadata" / "rights.csv").open("w", encoding="utf-8", newline="") as file:
            _write_rows(file, _RIGHTS, self._rights(metadata))
        with (folder / "metadata" / "premis.xml").open("w", encoding="utf-8", newline="") as file:
            write_premis(metadata.records(), file, Scope(locate=self.locate, signed=metadata.signed, entities=False))
        failpoint("package_end")
        (folder / _UNFINISHED_OBJECTS).rename(folder / _OBJECTS)

    def _master_path(self, master: Master) -> str:
        return f"{_OBJECTS}/{_folder(_first_of_file(master))}/{PurePosixPath(master.path).name}"

    def _files(self, record: ItemRecord) -> Iterator[tuple[ScanFile, str]]:
        """Each file of the transfer once."""
        seen = set()
        for file in files_of(record):
            path = self.locate(file)
            if path is not None and path not in seen:
                seen.add(path)
                yield file, path

    def _dublin_core(self, metadata: PackageMetadata) -> Iterator[dict[str, str]]:
        """One row per original; Archivematica describes access copies by their originals."""
        for record in metadata.records():
            for file, path in self._files(record):
                if isinstance(file, Derivative) and "masters" in self._contents:
                    continue
                values = {term: getattr(record.item, name) or "" for term, name in _DUBLIN_CORE.items()}
                yield {"filename": path, "dc.type": "Image", **values}

    def _rights(self, metadata: PackageMetadata) -> Iterator[dict[str, str]]:
        for record in metadata.records():
            for _, path in self._files(record):
                yield {"file": path, **_rights_of(record.item)}


def _rights_of(item: Item) -> dict[str, str]:
    terms = license_of(item.rights)
    return {
        "basis": "other" if terms is None else "license",
        "terms": terms or "",
        "note": "; ".join([*([item.rights] if item.rights else []), f"access: {item.access}"]),
        "grant_act": "disseminate",
        "grant_restriction": restriction(item.access, item.rights),
    }


def _folder(master: Master) -> str:
    return f"{slug(master.item.accession_number)}/{master.sequence:03d}"


def _first_of_file(master: Master) -> Master:
    """The first of an item's masters from the same file."""
    return next(each for each in master.item.masters if each.path == master.path)


def _write_rows(file: TextIO, fields: tuple[str, ...], rows: Iterator[dict[str, str]]) -> None:
    # Read by a program and kept as metadata: text that looks like a formula is not escaped.
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
