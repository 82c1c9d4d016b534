"""Provenance in a derivative's XMP: the master, the models, the time and the digital source type.

It is merged into the master's XMP packet. Everything comes from the derivative's record, so the file can be reproduced
byte for byte.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self
from xml.etree.ElementTree import Element

import rfc8785

from restoration.image.image_info import Area, ImageInfo
from restoration.image.srgb_conversion import working_space
from restoration.image.tiff_header_writer import DEFLATE, NOT_COMPRESSED, as_fraction
from restoration.image.xmp import (
    DC,
    EXIF,
    IPTC_EXT,
    ITEM,
    PHOTOSHOP,
    RDF,
    ST_EVT,
    ST_REF,
    TIFF,
    XMP,
    XMP_MM,
    Packet,
    escape_illegal,
    in_default_language,
    sequence,
    simple,
    structure,
)
from restoration.recipe import Recipe, RecipeStage

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ENHANCED = SOURCE_TYPES + "algorithmicallyEnhanced"
COMPOSITE = SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"

# The UUID namespace of derivative ids; it must never change.
_NAMESPACE = uuid.UUID("6b2b6e0e-6f0a-4f2c-9d5b-0c4f1f7f5a31")
_STALE = (  # of the master's encoding, or digests of blocks that have changed
    TIFF + "YCbCrSubSampling",
    TIFF + "YCbCrPositioning",
    TIFF + "YCbCrCoefficients",
    TIFF + "ReferenceBlackWhite",
    TIFF + "NativeDigest",
    EXIF + "NativeDigest",
    EXIF + "ComponentsConfiguration",
    EXIF + "CompressedBitsPerPixel",
)
_THUMBNAILS = XMP + "Thumbnails"
_SOURCE_TYPE = IPTC_EXT + "DigitalSourceType"
_SOFTWARE = 305  # in EXIF and TIFF
_HISTORY = XMP_MM + "History"
_ORIGINAL = XMP_MM + "OriginalDocumentID"


Compression = Literal["none", "deflate"]
"""The lossless compression of a derivative's pixels."""


@dataclass(frozen=True, kw_only=True)
class ItemDescription:
    """The museum's own description of the photograph, for the derivative's XMP."""

    identifier: str
    title: str | None = None
    rights: str | None = None
    credit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a derivative was made: all of its metadata that doesn't come from the master.

    ``master_name`` is the file's name without its folder, to keep paths private. ``made_at`` has a time zone and is
    written to the second. ``software`` is the name and version of the program. ``picture_area`` is set if only that
    area was restored. ``values`` is the colour space in which each stage worked, see
    :func:`restoration.image.working_space`; by default the derivative's own. ``description`` replaces the master's
    description. Store :meth:`as_record` with the derivative, so that the file can be reproduced byte for byte.
    """

    master_name: str
    master_sha256: str
    master_page: int = 1
    recipe: Recipe
    made_at: datetime
    software: str
    picture_area: Area | None = None
    values: tuple[str, ...] = ()
    description: ItemDescription | None = None
    compression: Compression = "none"

    @property
    def when(self) -> str:
        """``made_at`` in UTC, to the second, in XMP's format."""
        return self.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def document_id(self) -> str:
        """The id shared by all files made from this master with this recipe."""
        return f"xmp.did:{_id('document', self.master_sha256, str(self.master_page), self.recipe.sha256)}"

    @property
    def instance_id(self) -> str:
        """The id of the file made at ``made_at``."""
        parts = self.master_sha256, str(self.master_page), self.recipe.sha256, self.when
        return f"xmp.iid:{_id('instance', *parts)}"

    def as_record(self) -> dict[str, Any]:
        """The fields beyond the master's digest and the recipe, as JSON values."""
        return {
            "master_name": self.master_name,
            "master_page": self.master_page,
            "made_at": self.when,
            "software": self.software,
            "picture_area": None if self.picture_area is None else asdict(self.picture_area),
            "values": list(self.values),
            "description": None if self.description is None else asdict(self.description),
            "compression": self.compression,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, master_sha256: str, recipe: Recipe) -> Self:
        """Restores the provenance that :meth:`as_record` returned."""
        area, description = record["picture_area"], record.get("description")
        return cls(
            master_name=record["master_name"],
            master_sha256=master_sha256,
            master_page=record["master_page"],
            recipe=recipe,
            made_at=datetime.fromisoformat(record["made_at"]),
            software=record["software"],
            picture_area=None if area is None else Area(**area),
            values=tuple(record.get("values", ())),
            description=None if description is None else ItemDescription(**description),
            compression=record.get("compression", "none"),
        )


def digital_source_type(recipe: Recipe) -> str:
    """The full URI of IPTC's digital source type for a recipe's result.

    If a style was applied, texture invented or damage filled in, the result is a composite with content from the
    model's training data; otherwise it is an enhanced picture. A stage without the parameter counts as doing it.
    """
    return COMPOSITE if any(map(_invents, recipe.stages)) else ENHANCED


def stage_source_type(stage: RecipeStage) -> str:
    """The full URI of the digital source type for one stage; see :func:`digital_source_type`."""
    return COMPOSITE if _invents(stage) else ENHANCED


def derived_xmp(master: bytes | None, info: ImageInfo, provenance: Provenance | None) -> tuple[bytes | None, list[str]]:
    """Builds the XMP packet of the derivative ``info``: the master's, adapted, with ``provenance`` merged in.

    Returns:
        The packet, and a description of each part of the master's packet that wasn't copied.
    """
    if master is None and provenance is None:
        return None, []
    packet = Packet.empty() if master is None else Packet.parse(master)
    notes = _fit(packet, info, "none" if provenance is None else provenance.compression)
    if provenance is not None:
        _tell(packet, info, provenance)
    return packet.to_bytes(), notes


def _invents(stage: RecipeStage) -> bool:
    texture, repair = stage.parameters.get("texture"), stage.parameters.get("repair")
    # Without the parameter nothing is known, so the model may do either.
    textured = not isinstance(texture, int | float) or texture > 0
    fills = not isinstance(repair, tuple) or "damage" in repair
    return stage.task == "style" or textured or fills


def _fit(packet: Packet, info: ImageInfo, compression: Compression) -> list[str]:
    """Updates the properties that describe the file's layout to match the derivative; adds none."""
    facts = {
        TIFF + "Orientation": "1",
        TIFF + "ImageWidth": str(info.width),
        TIFF + "ImageLength": str(info.height),
        TIFF + "Compression": str(DEFLATE if compression == "deflate" else NOT_COMPRESSED),
        TIFF + "PlanarConfiguration": "1",
        TIFF + "PhotometricInterpretation": "2" if info.colour_channels == 3 else "1",
        TIFF + "SamplesPerPixel": str(info.samples_per_pixel),
        EXIF + "PixelXDimension": str(info.width),
        EXIF + "PixelYDimension": str(info.height),
        DC + "format": "image/tiff",
    }
    if info.resolution is not None:
        facts |= {
            TIFF + "XResolution": _fraction(info.resolution.x),
            TIFF + "YResolution": _fraction(info.resolution.y),
            TIFF + "ResolutionUnit": "2" if info.resolution.unit == "inch" else "3",
        }
    fitted = [simple(name, text) for name, text in facts.items() if packet.take(name) is not None]
    if packet.take(TIFF + "BitsPerSample") is not None:
        bits = [simple(ITEM, str(info.bits_per_sample)) for _ in range(info.samples_per_pixel)]
        fitted.append(sequence(TIFF + "BitsPerSample", bits))
    for name in _STALE:
        packet.take(name)
    if fitted:
        packet.add(fitted)
    return [] if packet.take(_THUMBNAILS) is None else ["the XMP block's thumbnail isn't carried: it shows the master"]


def _tell(packet: Packet, info: ImageInfo, provenance: Provenance) -> None:
    recipe = provenance.recipe
    original = packet.text(_ORIGINAL) or packet.text(XMP_MM + "DocumentID")
    derived_from = _derived_from(packet, provenance)
    told = [
        simple(XMP + "ModifyDate", provenance.when),
        simple(XMP + "MetadataDate", provenance.when),
        simple(XMP_MM + "DocumentID", provenance.document_id),
        simple(XMP_MM + "InstanceID", provenance.instance_id),
        derived_from,
        simple(_SOURCE_TYPE, digital_source_type(recipe)),
        simple(IPTC_EXT + "AISystemUsed", "; ".join(stage.model for stage in recipe.stages)),
        simple(IPTC_EXT + "AISystemVersionUsed", "; ".join(stage.version for stage in recipe.stages)),
        *([] if provenance.description is None else _described(provenance.description)),
    ]
    replaced: dict[str, Any] = {}
    if (software := next((entry for entry in info.metadata.exif.image if entry.tag == _SOFTWARE), None)) is not None:
        replaced["tiff:Software"] = escape_illegal(software.data.split(b"\0")[0].decode("utf-8", "replace"))
    for element in told:
        if (value := packet.take(element.tag)) is not None:
            replaced[packet.name(element.tag)] = value
    if packet.text(_ORIGINAL) is None:
        packet.take(_ORIGINAL)
        told.append(
            simple(
                _ORIGINAL,
                original or f"xmp.did:{_id('original', provenance.master_sha256, str(provenance.master_page))}",
            )
        )
    master = {
        "file": escape_illegal(provenance.master_name),
        "page": provenance.master_page,
        "sha256": provenance.master_sha256,
        "replaced": replaced,
    }
    values = provenance.values or [working_space(info, stage.task) for stage in recipe.stages]
    entries = [
        _event(stage, provenance, {"stage": index, "values": space} | ({} if index else {"master": master}))
        for index, (stage, space) in enumerate(zip(recipe.stages, values, strict=True))
    ]
    history = packet.find(_HISTORY)
    kept = None if history is None else history.find(RDF + "Seq")
    if kept is None:
        packet.take(_HISTORY)
        told.append(sequence(_HISTORY, entries))
    else:
        kept.extend(entries)
    packet.add(told)


def _described(item: ItemDescription) -> list[Element]:
    """The properties from the museum's own description; those without a value keep the master's."""
    found = [simple(DC + "identifier", item.identifier)]
    if item.title:
        found.append(in_default_language(DC + "title", item.title))
    if item.rights:
        found.append(in_default_language(DC + "rights", item.rights))
    if item.credit:
        found.append(simple(PHOTOSHOP + "Credit", item.credit))
    return found


def _derived_from(packet: Packet, provenance: Provenance) -> Element:
    """The reference to the master: its own ids if it has any, its name without a folder, and its digest."""
    fields = [simple(ST_REF + "filePath", provenance.master_name)]
    for name, field in (("DocumentID", "documentID"), ("InstanceID", "instanceID")):
        if value := packet.text(XMP_MM + name):
            fields.append(simple(ST_REF + field, value))
    if value := packet.text(_ORIGINAL):
        fields.append(simple(ST_REF + "originalDocumentID", value))
    fields.append(simple(DC + "identifier", f"sha256:{provenance.master_sha256}"))
    return structure(XMP_MM + "DerivedFrom", fields)


def _event(stage: RecipeStage, provenance: Provenance, more: dict[str, Any]) -> Element:
    area, recipe = provenance.picture_area, provenance.recipe
    parameters = {
        "parameters": stage.as_dict()["parameters"],
        "weights_sha256": stage.weights_sha256,
        "recipe_sha256": recipe.sha256,
        "pipeline_version": recipe.pipeline_version,
    } | more
    if stage.task == "style":
        parameters["task"] = "style"
        if recipe.mask_sha256 is not None:
            parameters["mask_sha256"] = recipe.mask_sha256
    if area is not None:
        parameters["picture_area"] = [area.x, area.y, area.width, area.height]
    fields = [
        simple(ST_EVT + "action", "filtered"),
        simple(ST_EVT + "instanceID", provenance.instance_id),
        simple(ST_EVT + "when", provenance.when),
        simple(ST_EVT + "softwareAgent", f"{provenance.software}, {stage.model}@{stage.version}"),
        simple(ST_EVT + "parameters", rfc8785.dumps(parameters).decode()),
        simple(ST_EVT + "changed", "/content"),
    ]
    return structure(ITEM, fields)


def _id(*parts: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, " ".join(parts))


def _fraction(value: float) -> str:
    numerator, denominator = as_fraction(value)
    return f"{numerator}/{denominator}"
