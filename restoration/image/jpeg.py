"""JPEG: the marker segments are walked here, so that broken metadata can't cost the pixels; Pillow decodes those."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

import numpy as np
from PIL import JpegImagePlugin

from restoration.errors import UnreadableImageError, UnsupportedImageError
from restoration.image.embedded import Blocks, iptc_of_photoshop, make_resolution, read_exif, read_resolution
from restoration.image.header import upright_info
from restoration.image.info import Resolution, Unit, check_size
from restoration.image.stored import Opened, Samples, WholePixels

_SOS, _APP0, _APP1, _APP2, _APP13, _APP14 = 0xDA, 0xE0, 0xE1, 0xE2, 0xED, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_JFIF_UNITS: dict[int, Unit] = {1: "inch", 2: "centimetre"}


@dataclass(kw_only=True)
class _Segments:
    """What the segments before the first scan hold."""

    frame: bytes | None = None
    density: tuple[int, int, int] | None = None
    profile_parts: list[bytes] = field(default_factory=list)
    photoshop: bytes = b""
    more_pictures: bool = False
    adobe_transform: int | None = None
    blocks: Blocks = field(default_factory=Blocks)

    def take(self, marker: int, body: bytes) -> None:
        if marker in _FRAMES:
            self.frame = body
        elif marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            self.density = struct.unpack_from(">BHH", body, 7)
        elif marker == _APP1 and body.startswith(_EXIF):
            self.blocks.exif = body[len(_EXIF) :]
        elif marker == _APP1 and body.startswith(_XMP):
            self.blocks.xmp = body[len(_XMP) :]
        elif marker == _APP2 and body.startswith(_ICC):
            self.profile_parts.append(body[len(_ICC) :])
        elif marker == _APP2 and body.startswith(b"MPF\0"):
            self.more_pictures = True
        elif marker == _APP13 and body.startswith(b"Photoshop 3.0\0"):
            self.photoshop += body[14:]


def open_jpeg(file: BinaryIO, *, max_pixels: int) -> Opened:
    """Reads a JPEG's segments; its pixels are decoded at the first read.

    Raises:
        UnreadableImageError: it is no whole JPEG.
        UnsupportedImageError: it isn't an 8-bit grey or colour picture.
        ImageTooLargeError: it declares more than ``max_pixels``.
    """
    segments = _Segments()
    for marker, body in _walk(file):
        segments.take(marker, body)
    width, height, channels = _frame(segments)
    check_size(width, height, max_pixels)
    blocks, problems = segments.blocks, segments.blocks.problems
    blocks.iptc = iptc_of_photoshop(segments.photoshop)
    tags = read_exif(blocks)
    if segments.more_pictures:
        problems.append("the file holds further pictures (MPF): only the first is carried")
    info, orientation = upright_info(
        format="JPEG",
        width=width,
        height=height,
        bits_per_sample=8,
        colour_channels=channels,
        extra_samples=(),
        resolution=_resolution(segments, problems) or read_resolution(tags, problems),
        profile=_profile(segments),
        blocks=blocks,
        tags=tags,
    )
    pixels = WholePixels(lambda: _decode(file), shape=(height, width, channels))
    return Opened(info=info, pixels=pixels, orientation=orientation)


def _walk(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and body of every segment up to the first scan, which is left for the caller to find at ``file``."""
    file.seek(2)
    while True:
        lead = file.read(1)
        if lead != b"\xff":
            raise UnreadableImageError("the JPEG ends, or is corrupt, before its pixels")
        while (marker := file.read(1)) == b"\xff":
            pass
        if marker == bytes([_SOS]):
            file.seek(-2, io.SEEK_CUR)
            return
        length = file.read(2)
        body = file.read(int.from_bytes(length, "big") - 2) if length > b"\0\2" else b""
        if not marker or len(length) < 2 or len(body) + 2 != int.from_bytes(length, "big"):
            raise UnreadableImageError("the JPEG ends, or is corrupt, before its pixels")
        yield marker[0], body


def _frame(segments: _Segments) -> tuple[int, int, Literal[1, 3]]:
    if segments.frame is None or len(segments.frame) < 6:
        raise UnreadableImageError("the JPEG has no frame header")
    bits, height, width, channels = struct.unpack_from(">BHHB", segments.frame)
    if width == 0 or height == 0:
        raise UnreadableImageError("the JPEG doesn't say its size")
    if bits != 8:
        raise UnsupportedImageError(f"a JPEG of {bits} bits: save it as a 16-bit TIFF")
    if channels == 1:
        return width, height, 1
    if channels == 3:
        return width, height, 3
    raise UnsupportedImageError("a CMYK JPEG: convert it to RGB with its profile, and save it as TIFF")


def _profile(segments: _Segments) -> bytes | None:
    """The ICC profile joined from its numbered parts, in any order."""
    parts = {part[0]: part[2:] for part in segments.profile_parts if len(part) > 2}
    if not segments.profile_parts:
        return None
    if sorted(parts) != list(range(1, segments.profile_parts[0][1] + 1 if parts else 1)) or not parts:
        return b""
    return b"".join(parts[number] for number in sorted(parts))


def _resolution(segments: _Segments, problems: list[str]) -> Resolution | None:
    if segments.density is None:
        return None
    unit, x, y = segments.density
    return make_resolution(x, y, _JFIF_UNITS.get(unit), problems)


def _decode(file: BinaryIO) -> Samples:
    """The pixels, decoded from a copy of the file without the metadata that could stand in the way."""
    kept = [b"\xff\xd8"]
    for marker, body in _walk(file):
        if marker in (_APP0, _APP14) or not 0xE0 <= marker <= 0xEF:
            kept.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
    kept.append(file.read())
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(b"".join(kept))) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImageError(f"the JPEG's pixels can't be decoded: {error}") from error
