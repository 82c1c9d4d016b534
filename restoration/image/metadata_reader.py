"""Reads embedded metadata leniently: a corrupt block never prevents reading the pixels, and is always reported.

Readers return what they could read, and append a description of everything else to ``problems``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ImageCms

from restoration.image.exif import Exif, read_exif_block
from restoration.image.image_info import Embedded, Metadata, Resolution, Unit
from restoration.image.iptc import iptc_of_photoshop, left_in_photoshop, read_iptc
from restoration.image.xmp import DC, XMP_NOTE, Packet, join_extended

_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_DATE_TIME, _ARTIST, _DATE_ORIGINAL, _DATE_DIGITISED = 306, 315, 36867, 36868
_UNITS: dict[int, Unit] = {2: "inch", 3: "centimetre"}
_EXTENDED = XMP_NOTE + "HasExtendedXMP"


@dataclass(kw_only=True)
class MetadataBlocks:
    """The raw metadata blocks of one file."""

    exif: bytes | None = None
    tags: Exif = field(default_factory=Exif)  # of a TIFF, which has no separate EXIF block
    xmp: bytes | None = None
    extended_xmp: list[bytes] = field(default_factory=list)  # GUID, length, offset and bytes of each, as in JPEG
    iptc: bytes | None = None
    photoshop: bytes | None = None
    problems: list[str] = field(default_factory=list)


def read_embedded(blocks: MetadataBlocks, tags: Mapping[int, Any]) -> tuple[Embedded, Metadata]:
    """Returns the values for the catalogue, from XMP, IPTC and the EXIF ``tags`` of the capture, and the metadata to
    copy.

    If the file has an EXIF block, call :func:`read_exif` first.
    """
    packet, (iptc, texts) = _read_xmp(blocks), _read_iptc(blocks)
    dates = (_as_date(tags.get(number)) for number in (_DATE_ORIGINAL, _DATE_DIGITISED, _DATE_TIME))
    embedded = Embedded(
        captured_at=next((date for date in dates if date), None),
        captured_by=_as_text(tags.get(_ARTIST)) or packet.text(DC + "creator") or texts.get(80),
        title=packet.text(DC + "title") or texts.get(5),
        description=packet.text(DC + "description") or texts.get(120),
    )
    return embedded, Metadata(exif=blocks.tags, iptc=iptc, xmp=blocks.xmp)


def read_exif(blocks: MetadataBlocks) -> dict[int, Any]:
    """Returns the first value of each tag in the EXIF block, and stores the entries to copy in ``blocks.tags``."""
    if blocks.exif is None:
        return {}
    try:
        blocks.tags, tags = read_exif_block(blocks.exif, blocks.problems)
    except ValueError as error:
        blocks.problems.append(f"the EXIF block is corrupt and was left out ({error})")
        return {}
    return tags


def read_resolution(tags: Mapping[int, Any], problems: list[str]) -> Resolution | None:
    """The resolution in EXIF or TIFF ``tags``, or None if there is no unit of length."""
    unit = _UNITS.get(tags.get(_UNIT, 2) if isinstance(tags.get(_UNIT, 2), int) else 0)
    x, y = _as_number(tags.get(_X_RESOLUTION)), _as_number(tags.get(_Y_RESOLUTION))
    return make_resolution(x, y, unit, problems)


def make_resolution(x: float | None, y: float | None, unit: Unit | None, problems: list[str]) -> Resolution | None:
    """A resolution of ``x`` and ``y`` pixels per ``unit``, or None if a value is missing or unusable."""
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
    """Converts EXIF's ``2010:09:22 10:12:24`` to ISO 8601; None for the blanks and zeros that scanners write."""
    found = re.fullmatch(r"([12]\d{3})[:-](\d\d)[:-](\d\d)[ T](\d\d:\d\d:\d\d)", _as_text(value) or "")
    return "{}-{}-{}T{}".format(*found.groups()) if found else None


def _read_iptc(blocks: MetadataBlocks) -> tuple[bytes | None, dict[int, str]]:
    """The valid part of the IPTC block, and the texts of its record 2 by dataset; the first value of a repeated
    dataset.
    """
    if blocks.photoshop is not None:
        if left := left_in_photoshop(blocks.photoshop):
            blocks.problems.append(f"of the Photoshop block, {', '.join(left)} aren't carried")
        blocks.iptc = blocks.iptc or iptc_of_photoshop(blocks.photoshop)
    if blocks.iptc is None:
        return None, {}
    sound, datasets, problem = read_iptc(blocks.iptc)
    if problem is not None:
        blocks.problems.append(problem)
    texts: dict[int, str] = {}
    for record, dataset, value in datasets:
        if record == 2 and (text := _as_text(value)):
            texts.setdefault(dataset, text)
    return sound or None, texts


def _read_xmp(blocks: MetadataBlocks) -> Packet:
    """The complete XMP packet; corrupt parts are removed from ``blocks``."""
    if blocks.xmp is None or not blocks.xmp.strip(b"\0 \r\n\t"):
        blocks.xmp = None
        return Packet.empty()
    try:
        packet = Packet.parse(blocks.xmp)
    except ValueError as error:
        blocks.problems.append(f"the XMP block is corrupt and was left out ({error})")
        blocks.xmp = None
        return Packet.empty()
    guid = packet.text(_EXTENDED)
    if guid is not None or blocks.extended_xmp:
        packet.take(_EXTENDED)
        try:
            packet.absorb(Packet.parse(join_extended(blocks.extended_xmp, guid)))
        except ValueError as error:
            blocks.problems.append(f"the second part of the XMP block is corrupt and was left out ({error})")
        blocks.xmp = packet.to_bytes()
    return packet


def read_profile(data: bytes | None, colour_channels: int, problems: list[str]) -> tuple[bytes | None, str | None]:
    """The ICC profile byte for byte, and its description; None and a reported problem if it is corrupt."""
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
