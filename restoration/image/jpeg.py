"""Reads JPEG: parses the marker segments itself, so that corrupt metadata can't prevent decoding; Pillow decodes
pixels.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from PIL import JpegImagePlugin

from restoration.errors import UnreadableImageError
from restoration.image.image_info import Limits, Resolution, Unit
from restoration.image.image_info_builder import upright_info
from restoration.image.metadata_reader import MetadataBlocks, make_resolution, read_exif, read_resolution
from restoration.image.stored_pixels import RefusedPixels, Samples, StoredImage, StoredPixels, WholePixels

_SOS, _APP0, _APP1, _APP2, _APP13, _APP14 = 0xDA, 0xE0, 0xE1, 0xE2, 0xED, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_FRAMES = (0xC2, 0xCA)
_DECODED_FRAMES = (0xC0, 0xC1, *_PROGRESSIVE_FRAMES, 0xC9)
_COPY_ROWS = 256
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_EXTENDED_XMP, _PHOTOSHOP = b"http://ns.adobe.com/xmp/extension/\0", b"Photoshop 3.0\0"
_COMMENT, _CONTENT_CREDENTIALS = 0xFE, 0xEB
_OF_THE_FILE_ONLY = (b"JFIF\0", b"JFXX\0", b"Adobe", b"Ducky")  # density, thumbnails, coding
_JFIF_UNITS: dict[int, Unit] = {1: "inch", 2: "centimetre"}


@dataclass(kw_only=True)
class _Segments:
    """The segments before the first scan."""

    frame: bytes = b""
    frame_marker: int = 0
    density: tuple[int, int, int] | None = None
    profile_parts: list[bytes] = field(default_factory=list)
    more_pictures: bool = False
    blocks: MetadataBlocks = field(default_factory=MetadataBlocks)

    def take(self, marker: int, body: bytes) -> None:
        if marker in _FRAMES:
            self.frame, self.frame_marker = body, marker
        elif marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            self.density = struct.unpack_from(">BHH", body, 7)
        elif marker == _APP1 and body.startswith(_EXIF):
            self.blocks.exif = body[len(_EXIF) :]
        elif marker == _APP1 and body.startswith(_XMP):
            self.blocks.xmp = body[len(_XMP) :]
        elif marker == _APP1 and body.startswith(_EXTENDED_XMP):
            self.blocks.extended_xmp.append(body[len(_EXTENDED_XMP) :])
        elif marker == _APP2 and body.startswith(_ICC):
            self.profile_parts.append(body[len(_ICC) :])
        elif marker == _APP2 and body.startswith(b"MPF\0"):
            self.more_pictures = True
        elif marker == _APP13 and body.startswith(_PHOTOSHOP):
            self.blocks.photoshop = (self.blocks.photoshop or b"") + body[len(_PHOTOSHOP) :]
        elif marker == _COMMENT or (_APP0 <= marker <= 0xEF and not body.startswith(_OF_THE_FILE_ONLY)):
            self.blocks.problems.append(_left_out(marker, body))


def open_jpeg(file: BinaryIO, *, limits: Limits) -> tuple[StoredImage]:
    """Reads a JPEG's segments; its pixels are decoded at the first read.

    Raises:
        UnreadableImageError: it is not a complete JPEG.
        ImageTooLargeError: it is larger than ``limits``.
    """
    segments = _Segments()
    for marker, body in _walk(file):
        segments.take(marker, body)
    bits, width, height, channels = _frame(segments)
    limits.check_size(width, height)
    refusal = _refusal(segments, bits, channels)
    blocks, problems = segments.blocks, segments.blocks.problems
    tags = read_exif(blocks)
    if segments.more_pictures:
        problems.append("the file holds further pictures (MPF): only the first is carried")
    info, orientation = upright_info(
        format="JPEG",
        width=width,
        height=height,
        bits_per_sample=bits,
        colour_channels=channels,
        extra_samples=(),
        resolution=_resolution(segments, problems) or read_resolution(tags, problems),
        profile=_profile(segments),
        blocks=blocks,
        tags=tags,
        refusal=refusal,
    )
    pixels: StoredPixels
    if refusal is not None:
        pixels = RefusedPixels(refusal)
    else:
        limits.check_decoding(f"a JPEG of {width}x{height} px", _decoding_bytes(file, segments, width * height))
        pixels = WholePixels(lambda: _decode(file), shape=(height, width, channels))
    return (StoredImage(info=info, pixels=pixels, orientation=orientation),)


def _left_out(marker: int, body: bytes) -> str:
    if marker == _COMMENT:
        return f"the JPEG's comment of {len(body)} bytes isn't carried"
    if marker == _CONTENT_CREDENTIALS:
        return "the Content Credentials (JUMBF) aren't carried: they hold for the master's bytes only"
    return f"the JPEG's block APP{marker - _APP0} of {len(body)} bytes isn't carried"


def _walk(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yields marker and body of every segment before the first scan; afterwards ``file`` is positioned at that scan."""
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


def _frame(segments: _Segments) -> tuple[int, int, int, int]:
    """Bits, width, height and channels."""
    if len(segments.frame) < 6:
        raise UnreadableImageError("the JPEG has no frame header")
    bits, height, width, channels = struct.unpack_from(">BHHB", segments.frame)
    if width == 0 or height == 0 or channels == 0:
        raise UnreadableImageError("the JPEG doesn't say its size")
    return bits, width, height, channels


def _refusal(segments: _Segments, bits: int, channels: int) -> str | None:
    if channels == 4:
        return "a CMYK JPEG: convert it to RGB with its profile, and save it as TIFF"
    if channels not in (1, 3):
        return f"a JPEG of {channels} colours: convert it to RGB or grey, and save it as TIFF"
    if bits != 8:
        return f"a JPEG of {bits} bits: save it as a 16-bit TIFF"
    if segments.frame_marker not in _DECODED_FRAMES:
        return "a lossless or hierarchical JPEG, which few programs decode: save it as TIFF"
    return None


def _decoding_bytes(file: BinaryIO, segments: _Segments, pixels: int) -> int:
    """Memory for decoding: two copies of the file, the decoder's picture and ours, and a progressive file's
    coefficients.
    """
    channels = segments.frame[5]
    of_pixel = (4 if channels == 3 else 1) + channels
    if segments.frame_marker in _PROGRESSIVE_FRAMES:
        of_pixel += 2 * channels
    return pixels * of_pixel + 2 * os.fstat(file.fileno()).st_size


def _profile(segments: _Segments) -> bytes | None:
    """The ICC profile, joined from its numbered parts in any order."""
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


def read_without_metadata(file: BinaryIO) -> bytes:
    """Returns a copy of the file without metadata segments, which could make the decoder fail.

    Raises:
        UnreadableImageError: the file ends, or is corrupt, before its pixels.
    """
    kept = [b"\xff\xd8"]
    for marker, body in _walk(file):
        if marker in (_APP0, _APP14) or not 0xE0 <= marker <= 0xEF:
            kept.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
    kept.append(file.read())
    return b"".join(kept)


def _decode(file: BinaryIO) -> Samples:
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(read_without_metadata(file))) as image:
            image.load()
            samples = np.empty((image.height, image.width, len(image.getbands())), np.uint8)
            # In bands, because Pillow makes two more copies of the pixels that it hands over.
            for y in range(0, image.height, _COPY_ROWS):
                rows = samples[y : y + _COPY_ROWS]
                rows[...] = np.asarray(image.crop((0, y, image.width, y + len(rows)))).reshape(rows.shape)
            return samples
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImageError(f"the JPEG's pixels can't be decoded: {error}") from error
