"""A BagIt bag (RFC 8493) with the museum's folders as payload.

::

    bagit.txt  bag-info.txt  manifest-sha256.txt  tagmanifest-sha256.txt
    data/masters/<folder that was ingested>/<path below it>
    data/derivatives/<accession number>/<file>
    metadata/items.csv  masters.csv  derivatives.csv  premis.xml  prov.json

It is written here and not by the ``bagit`` library, which moves a folder's files, and reads each of them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import SOFTWARE_NAME, __version__
from archive.catalogue.schema.tables import Derivative, Master, Root
from archive.display_labels import format_bytes
from archive.export.csv_file import write_csv
from archive.export.item_records import ItemRecord, is_current
from archive.export.premis import ScanFile, Scope, recorded_path, write_premis
from archive.export.prov import write_prov_json
from archive.export.table_rows import FIELDS, RowKind, make_rows
from archive.failpoints import failpoint
from archive.package.layout import PackageMetadata, write_lines
from archive.storage import digest_file

_DECLARATION = "bagit.txt"
_MANIFEST = "manifest-sha256.txt"
_TAG_MANIFEST = "tagmanifest-sha256.txt"
_TAG_FILES = ("bag-info.txt", _MANIFEST)
_METADATA = "metadata"
_LINE_LENGTH = 79
SIGNED_FIELD = "signed_sha256"
"""The digest of the signed copy at ``path``, where ``sha256`` is that of the derivative; in bags of signed copies."""


class BagLayout:
    """A bag. It is complete once it has its declaration, ``bagit.txt``, which is written last."""

    payload = "data"

    def __init__(self, session: Session, contents: frozenset[str]) -> None:
        self._root_names = _root_names(session)
        self._contents = contents

    def begin(self, folder: Path) -> None:
        (folder / _DECLARATION).unlink(missing_ok=True)

    def locate(self, file: ScanFile) -> str | None:
        if isinstance(file, Master):
            return f"data/{self._master_path(file)}" if "masters" in self._contents else None
        return f"data/{file.path}" if "derivatives" in self._contents and is_current(file) else None

    def manifest(self, folder: Path) -> Path:
        return folder / _MANIFEST

    def manifest_line(self, path: str, sha256: str) -> str:
        # As the bagit library reads and writes it: line ends are encoded, a percent sign is not.
        return f"{sha256}  {path.replace(chr(13), '%0D').replace(chr(10), '%0A')}\n"

    def finish(self, folder: Path, metadata: PackageMetadata) -> None:
        self._write_metadata(folder / _METADATA, metadata)
        write_lines(folder / "bag-info.txt", _bag_info(metadata))
        tag_files = sorted([*_TAG_FILES, *(f"{_METADATA}/{path.name}" for path in (folder / _METADATA).iterdir())])
        write_lines(folder / _TAG_MANIFEST, (f"{digest_file(folder / name)[0]}  {name}\n" for name in tag_files))
        failpoint("package_end")
        write_lines(folder / _DECLARATION, ["BagIt-Version: 1.0\n", "Tag-File-Character-Encoding: UTF-8\n"])

    def _master_path(self, master: Master) -> str:
        path = PurePosixPath(master.path)
        if not path.is_absolute():  # a copy in the home, which begins with masters/ itself
            return master.path
        root = PurePosixPath(master.root.path)
        below = path.relative_to(root) if path.is_relative_to(root) else PurePosixPath(path.name)
        return f"masters/{self._root_names[master.root_id]}/{below}"

    def _place(self, file: ScanFile) -> str:
        return self.locate(file) or recorded_path(file)

    def _write_metadata(self, folder: Path, metadata: PackageMetadata) -> None:
        folder.mkdir(exist_ok=True)
        for kind in FIELDS:
            fields = [name for name in FIELDS[kind] if (kind, name) != ("items", "path")]
            if kind == "derivatives" and metadata.signed:
                fields.append(SIGNED_FIELD)
            with (folder / f"{kind}.csv").open("w", encoding="utf-8", newline="") as file:
                write_csv(self._rows(metadata, kind), fields, file)
        with (folder / "premis.xml").open("w", encoding="utf-8", newline="") as file:
            write_premis(metadata.records(), file, Scope(locate=self._place, signed=metadata.signed))
        with (folder / "prov.json").open("w", encoding="utf-8", newline="") as file:
            write_prov_json(metadata.records(), file)

    def _rows(self, metadata: PackageMetadata, kind: RowKind) -> Iterator[Mapping[str, object]]:
        """The rows of whole items, with the paths in the bag; files that are not in it have no row."""
        for record in metadata.records():
            whole = replace(record, matching_ids=frozenset(master.id for master in record.masters))
            rows = make_rows(metadata.catalogue, whole, kind)
            if kind == "items":
                yield from rows
            else:
                for file, row in zip(_described(record, kind), rows, strict=True):
                    signed = metadata.signed.get(file.id) if isinstance(file, Derivative) else None
                    yield {**row, "path": self.locate(file), SIGNED_FIELD: signed and signed.sha256}


def _described(record: ItemRecord, kind: RowKind) -> Iterator[ScanFile]:
    """The files of the rows of a kind, in their order."""
    yield from record.masters if kind == "masters" else record.derivatives


def _root_names(session: Session) -> dict[int, str]:
    """A name for each ingested folder: its own, with a number if several have the same."""
    roots = session.execute(select(Root.id, Root.path)).all()
    names = {root_id: PurePosixPath(path).name or "root" for root_id, path in roots}
    uses = Counter(name.casefold() for name in names.values())
    return {root_id: name if uses[name.casefold()] == 1 else f"{name}-{root_id}" for root_id, name in names.items()}


def _bag_info(metadata: PackageMetadata) -> Iterator[str]:
    counts = metadata.counts
    names_persons = metadata.catalogue.settings.publish_names
    about = "all items"
    if metadata.query is not None:  # a query may contain names of persons, or words of items that are left out
        is_shown = names_persons and not counts.restricted
        about = f"the items that {f'the query {metadata.query!r}' if is_shown else 'a query'} finds"
    fields = {
        "Bag-Software-Agent": f"{SOFTWARE_NAME} {__version__}",
        "Bagging-Date": metadata.at.date().isoformat(),
        "Payload-Oxum": f"{counts.payload_bytes}.{counts.files}",
        "Bag-Size": format_bytes(counts.payload_bytes),
        **({"Contact-Name": metadata.catalogue.settings.operator} if names_persons else {}),
        "External-Description": f"Scanned photographs and digitally restored derivatives: {about}, "
        f"{counts.items:,} in number. Who made what from what is in metadata/premis.xml and metadata/prov.json.",
    }
    for name, value in fields.items():
        yield _wrapped(f"{name}: {' '.join(value.split())}")


def _wrapped(line: str) -> str:
    """A line of ``bag-info.txt``, folded into lines that begin with a space."""
    lines = [""]
    for word in line.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _LINE_LENGTH:
            lines.append("  " + word)
        else:
            lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines) + "\n"
