"""IIIF Presentation 3: a manifest per item and a collection of them (https://iiif.io/api/presentation/3.0/).

A manifest has one canvas per master. A restored master is painted with a choice of the restored derivative and the
scan, so that a viewer can switch between them; styled derivatives are in no manifest.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.vocabularies import DerivativeKind
from archive.display_labels import describe_recipe
from archive.errors import StorageError
from archive.export.derivative_copies import NO_FILES, HandedOverFiles
from archive.export.item_records import ItemRecord, current_derivative, restored_derivatives
from archive.export.output_folder import new_folder
from archive.export.premis import write_premis
from archive.export.prov import write_prov_json
from archive.export.rights import rights_uri
from archive.storage import slug

_CONTEXT = "http://iiif.io/api/presentation/3/context.json"
_THUMBNAIL_PX = 256
_HEAD_CHARACTERS_MAX = 64 * 1024
DEFAULT_BASE_URL = "http://127.0.0.1:8600"
"""Where ``archive serve`` answers by itself."""
COLLECTION = "collection.json"
FILES = "files"
"""The folder of copies of derivatives that are handed over with the manifests."""
IIIF_CONTENTS = (COLLECTION, "manifests", "premis", "prov", FILES)
"""What an export may hold at its top."""


@dataclass(frozen=True, kw_only=True)
class _Image:
    """A picture of an image service."""

    service: str
    width: int  # px
    height: int

    @classmethod
    def of(cls, base_url: str, file: Master | Derivative) -> _Image:
        """The image of a master, or of a derivative, which has its master's size."""
        kind, master = ("master", file) if isinstance(file, Master) else ("derivative", file.master)
        return cls(service=f"{base_url}/iiif/3/{kind}-{file.id}", width=master.width, height=master.height)

    def body(self, label: str) -> dict[str, Any]:
        """The whole picture, as the body of an annotation."""
        return {**self._resource("max", self.width, self.height), "label": _text(label)}

    def thumbnail(self) -> list[dict[str, Any]]:
        """The picture within a square of 256 px."""
        scale = min(1.0, _THUMBNAIL_PX / max(self.width, self.height))
        width, height = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        return [self._resource(f"{width},{height}", width, height)]

    def _resource(self, size: str, width: int, height: int) -> dict[str, Any]:
        return {
            "id": f"{self.service}/full/{size}/0/default.jpg",
            "type": "Image",
            "format": "image/jpeg",
            "width": width,
            "height": height,
            "service": [{"id": self.service, "type": "ImageService3", "profile": "level2"}],
        }


def write_iiif(
    records: Iterable[ItemRecord], folder: Path, base_url: str = DEFAULT_BASE_URL, copies: HandedOverFiles = NO_FILES
) -> None:
    """Writes ``collection.json`` and per item ``manifests/<slug>.json``, ``premis/<slug>.xml``, ``prov/<slug>.json``.

    Args:
        records: the items.
        folder: where; an earlier IIIF export there is replaced as a whole.
        base_url: the address at which ``folder`` will be published; image services are ``<base_url>/iiif/3/…``.
        copies: of derivatives, which are in :data:`FILES` within ``folder`` already; canvases lead to them.

    Raises:
        StorageError: ``folder`` holds something else.
    """
    base_url = base_url.rstrip("/")
    kept = None if copies.folder is None else FILES
    with new_folder(folder, IIIF_CONTENTS, kept=kept) as made:
        for name in ("manifests", "premis", "prov"):
            (made / name).mkdir()
        with (made / COLLECTION).open("x", encoding="utf-8", newline="") as collection:
            collection.write(_collection_head(base_url))
            separator = "\n"
            for record in records:
                collection.write(separator + _json(_write_item(record, made, base_url, copies)))
                separator = ",\n"
            collection.write("\n]}\n")


def check_earlier_iiif(folder: Path) -> None:
    """Refuses a folder whose manifests or collection are not an earlier IIIF export.

    Raises:
        StorageError: it holds more than copies, and no collection that :func:`write_iiif` wrote.
    """
    if not folder.is_dir() or {path.name for path in folder.iterdir()} <= {FILES}:
        return
    start, end = _collection_head("").split('"id": "', 1)[0], '"items": [\n'
    try:
        with (folder / COLLECTION).open(encoding="utf-8", errors="replace") as file:
            first = file.readline(_HEAD_CHARACTERS_MAX)
    except FileNotFoundError:
        first = ""
    if not (first.startswith(start) and first.endswith(end)):
        raise StorageError(f"{folder} exists and is not an earlier IIIF export, so it stays. Name another folder")


def derivatives_in_manifest(record: ItemRecord) -> Iterator[Derivative]:
    """The restored derivatives that the canvases of an item show."""
    return restored_derivatives(record.masters)


def make_manifest(record: ItemRecord, base_url: str, copies: HandedOverFiles = NO_FILES) -> dict[str, Any]:
    """The manifest of one item."""
    item = record.item
    name = slug(item.accession_number)
    manifest = {
        "@context": _CONTEXT,
        "id": f"{base_url}/manifests/{name}.json",
        "type": "Manifest",
        "label": _text(_label(record)),
        "metadata": list(_metadata(record)),
        "seeAlso": [
            _see_also(f"{base_url}/premis/{name}.xml", "application/xml", "PREMIS 3", "http://www.loc.gov/premis/v3"),
            _see_also(f"{base_url}/prov/{name}.json", "application/json", "PROV-JSON", "http://www.w3.org/ns/prov#"),
        ],
        "thumbnail": _shown(record.masters[0], base_url).thumbnail(),
        "items": [_canvas(master, base_url, name, copies) for master in record.masters],
    }
    if item.description:
        manifest["summary"] = _text(item.description)
    if uri := rights_uri(item.rights):
        manifest["rights"] = uri
    if statement := _required_statement(record):
        manifest["requiredStatement"] = {
            "label": _text("Digitally restored", language="en"),
            "value": _text(*statement, language="en"),
        }
    return manifest


def _write_item(record: ItemRecord, folder: Path, base_url: str, copies: HandedOverFiles) -> dict[str, Any]:
    """Writes the files of one item; returns its entry in the collection."""
    name = slug(record.item.accession_number)
    manifest = make_manifest(record, base_url, copies)
    with (folder / "manifests" / f"{name}.json").open("x", encoding="utf-8", newline="") as file:
        file.write(_json(manifest, indent=1) + "\n")
    with (folder / "premis" / f"{name}.xml").open("x", encoding="utf-8", newline="") as file:
        write_premis([record], file)
    with (folder / "prov" / f"{name}.json").open("x", encoding="utf-8", newline="") as file:
        write_prov_json([record], file)
    return {key: manifest[key] for key in ("id", "type", "label", "thumbnail")}


def _collection_head(base_url: str) -> str:
    head = {"@context": _CONTEXT, "id": f"{base_url}/collection.json", "type": "Collection"}
    return _json({**head, "label": _text("Photographs", language="en")})[:-1] + ', "items": ['


def _canvas(master: Master, base_url: str, name: str, copies: HandedOverFiles) -> dict[str, Any]:
    canvas = f"{base_url}/manifests/{name}/canvas/{master.sequence}"
    restored = current_derivative(master, DerivativeKind.RESTORED)
    scan = _Image.of(base_url, master).body("Scan")
    body = scan
    if restored is not None:
        recipe = describe_recipe(json.loads(restored.recipe.canonical_json))
        derivative = _Image.of(base_url, restored).body(f"Digitally restored: {recipe}")
        body = {"type": "Choice", "items": [derivative, scan]}
    painting = {
        "id": f"{canvas}/annotation",
        "type": "Annotation",
        "motivation": "painting",
        "body": body,
        "target": canvas,
    }
    return {
        "id": canvas,
        "type": "Canvas",
        "label": _text(f"{master.view.capitalize()} ({master.sequence})"),
        "width": master.width,
        "height": master.height,
        "thumbnail": _shown(master, base_url).thumbnail(),
        "items": [{"id": f"{canvas}/page", "type": "AnnotationPage", "items": [painting]}],
        **_rendering(restored, base_url, copies),
    }


def _rendering(restored: Derivative | None, base_url: str, copies: HandedOverFiles) -> dict[str, Any]:
    """The copy of a derivative as a file to download, if there is one."""
    path, _ = copies.describe(restored)
    if path is None:
        return {}
    label = "Digitally restored, TIFF with Content Credentials" if copies.signed else "Digitally restored, TIFF"
    file = {"id": f"{base_url}/{urllib.parse.quote(path)}", "type": "Image", "format": "image/tiff"}
    return {"rendering": [{**file, "label": _text(label, language="en")}]}


def _shown(master: Master, base_url: str) -> _Image:
    """The picture that a viewer shows first."""
    return _Image.of(base_url, current_derivative(master, DerivativeKind.RESTORED) or master)


def _required_statement(record: ItemRecord) -> list[str]:
    """That pictures are restored, by which models, who ran it, and what a person decided; in English, one per line."""
    statements = []
    for master in record.masters:
        restored = current_derivative(master, DerivativeKind.RESTORED)
        if restored is None:
            continue
        recipe = describe_recipe(json.loads(restored.recipe.canonical_json))
        operator = restored.operator or restored.batch.operator
        by = "" if operator is None else f", run by {operator.name}"
        decision = record.reviews[master.id]
        reviewed = f", {decision} by {restored.reviews[-1].agent.name}" if decision else ", not reviewed"
        which = f"{master.view.capitalize()} ({master.sequence})" if len(record.masters) > 1 else "This picture"
        statements.append(f"{which} is digitally restored with {recipe}{by}{reviewed}. The scan is unchanged.")
    return statements


def _label(record: ItemRecord) -> str:
    return record.item.title or record.item.accession_number


def _metadata(record: ItemRecord) -> Iterator[dict[str, Any]]:
    item = record.item
    fields = {
        "Accession number": item.accession_number,
        "Creator": item.creator,
        "Date": item.date_text or item.date,
        "Place": item.place,
        "Process": item.process,
        "Collection": item.collection,
        "Rights": item.rights,
    }
    for label, value in fields.items():
        if value:
            yield {"label": _text(label, language="en"), "value": _text(value)}
    for scheme, values in record.identifiers.items():
        yield {"label": _text(scheme), "value": _text(*values)}
    for name, value in sorted(item.extra.items()):
        if value:
            yield {"label": _text(name), "value": _text(str(value))}


def _see_also(uri: str, media_type: str, label: str, profile: str) -> dict[str, Any]:
    return {"id": uri, "type": "Dataset", "format": media_type, "label": _text(label), "profile": profile}


def _text(*values: str, language: str = "none") -> dict[str, list[str]]:
    return {language: list(values)}


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
