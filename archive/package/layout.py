"""The common parts of package layouts: the included files, their paths, and the metadata beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from archive.catalogue import Catalogue
from archive.export.file_copy import FileCopy
from archive.export.item_records import ItemRecord, is_current
from archive.export.premis import ScanFile


@dataclass(kw_only=True)
class PackageCounts:
    """The numbers of packaged and omitted objects."""

    items: int = 0
    files: int = 0
    payload_bytes: int = 0
    restricted: int = 0
    """Items left out, because their access is not open."""
    without_derivative: int = 0
    """Items without a current derivative."""
    withdrawn: int = 0
    """Of these, the ones with a withdrawn derivative, which no batch makes again."""
    unplaced: int = 0
    """Current derivatives for which the layout has no place."""


@dataclass(frozen=True, kw_only=True)
class PackageMetadata:
    """The data from which a layout writes its metadata."""

    catalogue: Catalogue
    records: Callable[[], Iterator[ItemRecord]]
    """Streams the items of the package, as often as it is called."""
    query: str | None
    at: datetime
    counts: PackageCounts
    signed: Mapping[int, FileCopy]
    """The copies that the package holds in the place of derivatives, by derivative id; empty if it isn't signed."""


class Layout(Protocol):
    """The folder structure that a receiving system expects."""

    payload: str
    """The folder of the payload, relative to the package."""

    def begin(self, folder: Path) -> None:
        """Marks the package as incomplete again, if an earlier run was killed just before its end."""

    def locate(self, file: ScanFile) -> str | None:
        """The path of a file in the package; None omits it."""

    def manifest(self, folder: Path) -> Path:
        """The list of the payload's digests, as ``sha256sum`` writes it."""

    def manifest_line(self, path: str, sha256: str) -> str:
        """One line of the manifest, with its line end."""

    def finish(self, folder: Path, metadata: PackageMetadata) -> None:
        """Writes the metadata, and last the file that marks the package as complete."""


def files_of(record: ItemRecord) -> Iterator[ScanFile]:
    """The masters of an item and their current derivatives, each master before its derivatives."""
    for master in record.masters:
        yield master
        yield from (derivative for derivative in master.derivatives if is_current(derivative))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a text file in UTF-8, its line ends as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
