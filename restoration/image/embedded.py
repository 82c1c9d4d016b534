"""Embedded metadata, read leniently: a broken block never costs the pixels around it, and is always reported.

Readers return what they could read, and append to ``problems`` in words what they couldn't.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from PIL import ImageCms

from restoration.image.info import Embedded, Resolution, Unit

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 274, 282, 283, 296
_DATE_TIME, _ARTIST, _EXIF_IFD, _DATE_ORIGINAL, _DATE_DIGITISED = 306, 315, 34665, 36867, 36868
_WANTED = {_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT, _DATE_TIME, _ARTIST, _EXIF_IFD}
_WANTED |= {_DATE_ORIGINAL, _DATE_DIGITISED}
_UNITS: dict[int, Unit] = {2: "inch", 3: "centimetre"}

_DC = "{http://purl.org/dc/elements/1.1/}"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


@dataclass(kw_only=True)
class Blocks:
    """The raw metadata blocks of one file, gathered before they are read."""

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    problems: list[str] = field(default_factory=list)


def read_embedded(blocks: Blocks, tags: Mapping[int, Any]) -> Embedded:
    """What XMP and IPTC say of the picture, and EXIF ``tags`` (number to value) of its capture."""
    xmp, iptc = _read_xmp(blocks), _read_iptc(blocks)
    dates = (_as_date(tags.get(number)) for number in (_DATE_ORIGINAL, _DATE_DIGITISED, _DATE_TIME))
    return Embedded(
        captured_at=next((date for date in dates if date), None),
        captured_by=_as_text(tags.get(_ARTIST)) or xmp.get("creator") or iptc.get(80),
        title=xmp.get("title") or iptc.get(5),
        description=xmp.get("description") or iptc.get(120),
    )


def read_exif(blocks: Blocks) -> dict[int, Any]:
    """The few tags that are asked for, from an EXIF block, which is a small TIFF."""
    if blocks.exif is None:
        return {}
    try:
        return _parse_exif(blocks.exif)
    except (struct.error, ValueError, IndexError) as error:
        blocks.problems.append(f"the EXIF block is corrupt and was left out ({error})")
        return {}


def _parse_exif(data: bytes) -> dict[int, Any]:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or struct.unpack(order + "H", data[2:4]) != (42,):
        raise ValueError("it doesn't start as EXIF does")
    (offset,) = struct.unpack(order + "I", data[4:8])
    tags = _parse_directory(data, offset, order)
    if isinstance(pointer := tags.pop(_EXIF_IFD, None), int):
        tags = _parse_directory(data, pointer, order) | tags
    return tags


def _parse_directory(data: bytes, offset: int, order: str) -> dict[int, Any]:
    (count,) = struct.unpack_from(order + "H", data, offset)
    tags: dict[int, Any] = {}
    for index in range(count):
        entry = offset + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", data, entry)
        if tag not in _WANTED:
            continue
        if kind == 3:
            (tags[tag],) = struct.unpack_from(order + "H", data, entry + 8)
        elif kind == 4:
            (tags[tag],) = struct.unpack_from(order + "I", data, entry + 8)
        elif kind in (2, 5):
            (start,) = (entry + 8,) if kind == 2 and length <= 4 else struct.unpack_from(order + "I", data, entry + 8)
            tags[tag] = data[start : start + length] if kind == 2 else struct.unpack_from(order + "II", data, start)
    return tags


def read_resolution(tags: Mapping[int, Any], problems: list[str]) -> Resolution | None:
    """The resolution in EXIF or TIFF ``tags``; None where there is no unit of length."""
    unit = _UNITS.get(int(tags.get(_UNIT, 2)))
    x, y = _as_number(tags.get(_X_RESOLUTION)), _as_number(tags.get(_Y_RESOLUTION))
    return make_resolution(x, y, unit, problems)


def make_resolution(x: float | None, y: float | None, unit: Unit | None, problems: list[str]) -> Resolution | None:
    """A resolution where ``x`` and ``y`` are pixels per ``unit``; what says nothing usable is None."""
    if not x or not y:
        return None
    if unit is not None:
        return Resolution(x=float(x), y=float(y), unit=unit)
    if x != y:
        problems.append(f"the pixels aren't square ({x:g}:{y:g}) and have no unit: that isn't carried")
    return None


def _as_number(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2:
        return value[0] / value[1] if value[0] > 0 and value[1] > 0 else None
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _as_text(value: Any) -> str | None:
    text = _decode(value) if isinstance(value, bytes) else value
    return (text.strip() or None) if isinstance(text, str) else None


def _decode(value: bytes) -> str:
    value = value.split(b"\0")[0]
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _as_date(value: Any) -> str | None:
    """EXIF's ``2010:09:22 10:12:24`` as ISO 8601; None for the blanks and zeros that scanners write."""
    found = re.fullmatch(r"([12]\d{3})[:-](\d\d)[:-](\d\d)[ T](\d\d:\d\d:\d\d)", _as_text(value) or "")
    return "{}-{}-{}T{}".format(*found.groups()) if found else None


def _read_iptc(blocks: Blocks) -> dict[int, str]:
    """Texts of IPTC record 2, by dataset number; a repeated one keeps its first."""
    data, texts, position = blocks.iptc or b"", dict[int, str](), 0
    while position + 5 <= len(data) and data[position] == 0x1C:
        record, dataset, length = struct.unpack_from(">BBH", data, position + 1)
        value = data[position + 5 : position + 5 + length]
        if length & 0x8000 or len(value) < length:
            blocks.problems.append("the IPTC block ends too soon: the rest of it was left out")
            break
        if record == 2 and (text := _as_text(value)):
            texts.setdefault(dataset, text)
        position += 5 + length
    return texts


def iptc_of_photoshop(data: bytes) -> bytes | None:
    """The IPTC block in a chain of Photoshop image resources (``8BIM``), if there is one."""
    position = 0
    while data[position : position + 4] == b"8BIM" and position + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, position + 4)
        position += 6 + (data[position + 6] + 2) // 2 * 2
        if position + 4 > len(data):
            return None
        (length,) = struct.unpack_from(">I", data, position)
        if number == 0x0404:
            return data[position + 4 : position + 4 + length]
        position += 4 + (length + 1) // 2 * 2
    return None


def _read_xmp(blocks: Blocks) -> dict[str, str]:
    """``title``, ``description`` and ``creator`` of an XMP packet, first language or first name each."""
    packet = (blocks.xmp or b"").strip(b"\0 \r\n\t")
    if not packet:
        return {}
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        blocks.problems.append("the XMP block declares entities, which XMP never does: it was left out")
        return {}
    try:
        root = ElementTree.fromstring(packet)  # noqa: S314  (what entities could do was ruled out above)
    except (ElementTree.ParseError, ValueError) as error:
        blocks.problems.append(f"the XMP block is corrupt and was left out ({error})")
        return {}
    texts: dict[str, str] = {}
    for name in ("title", "description", "creator"):
        found = root.find(f".//{_DC}{name}//{_RDF}li")
        if found is not None and (text := (found.text or "").strip()):
            texts[name] = text
    return texts


def read_profile(data: bytes | None, colour_channels: int, problems: list[str]) -> tuple[bytes | None, str | None]:
    """An ICC profile byte for byte, and its description; a broken one is None, and reported."""
    if data is None:
        return None, None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = ImageCms.getProfileDescription(profile).strip() or None
        space = profile.profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError, TypeError, ValueError):
        problems.append(f"the ICC profile of {len(data)} bytes is corrupt and was left out")
        return None, None
    if space != ("GRAY" if colour_channels == 1 else "RGB"):
        problems.append(f"the ICC profile is for {space} but the picture isn't: the profile is carried as it stands")
    return data, name
