"""Digests of a picture's metadata, one per property, so that a later change can be attributed to a property."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from PIL import ExifTags

from restoration.image.exif import Entry
from restoration.image.image_info import ImageInfo
from restoration.image.iptc import read_iptc
from restoration.image.xmp import Packet

_DIRECTORIES: tuple[tuple[str, str, Mapping[int, str]], ...] = (
    ("image", "TIFF", ExifTags.TAGS),
    ("capture", "EXIF", ExifTags.TAGS),
    ("gps", "GPS", ExifTags.GPSTAGS),
    ("interoperability", "EXIF interoperability", {}),
)


def metadata_digests(info: ImageInfo) -> dict[str, str]:
    """Returns the SHA-256, in hex, of each TIFF and EXIF tag, XMP property, IPTC dataset, the ICC profile and the
    resolution.

    The keys are common names, such as ``EXIF DateTimeOriginal``, ``XMP dc:title`` and ``IPTC 2:120``. The digests cover
    values, not whole blocks, so a program that only rewrites a block doesn't change them.
    """
    return {name: hashlib.sha256(value).hexdigest() for name, value in sorted(_values(info))}


def _values(info: ImageInfo) -> Iterator[tuple[str, bytes]]:
    for attribute, prefix, names in _DIRECTORIES:
        entries: tuple[Entry, ...] = getattr(info.metadata.exif, attribute)
        for entry in entries:
            name = names.get(entry.tag, f"0x{entry.tag:04X}")
            yield f"{prefix} {name}", f"{entry.kind} {entry.count} ".encode() + entry.data
    if info.metadata.xmp is not None:
        for name, value in Packet.parse(info.metadata.xmp).properties().items():
            yield f"XMP {name}", json.dumps(value, sort_keys=True).encode()
    yield from _iptc_values(info)
    if info.icc_profile is not None:
        yield "ICC profile", info.icc_profile
    if info.resolution is not None:
        yield "resolution", f"{info.resolution.x:.6g} {info.resolution.y:.6g} {info.resolution.unit}".encode()


def _iptc_values(info: ImageInfo) -> Iterator[tuple[str, bytes]]:
    """All values of a repeated dataset share one digest."""
    values: dict[str, list[str]] = {}
    if info.metadata.iptc is not None:
        for record, dataset, value in read_iptc(info.metadata.iptc)[1]:
            values.setdefault(f"IPTC {record}:{dataset}", []).append(value.hex())
    for name, found in values.items():
        yield name, json.dumps(found).encode()
