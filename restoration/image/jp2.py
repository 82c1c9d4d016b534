"""Reads JP2, the file format of JPEG 2000: parses the boxes; OpenJPEG (through imagecodecs) decodes the pixels.

The decoder gets only the codestream, so it returns the samples as stored, without palette lookup or colour conversion.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from restoration.errors import UnreadableImageError
from restoration.image.image_info import ExtraSample, Limits, Resolution
from restoration.image.image_info_builder import upright_info
from restoration.image.metadata_reader import MetadataBlocks, make_resolution, read_exif, read_resolution
from restoration.image.stored_pixels import RefusedPixels, Samples, StoredImage, StoredPixels, WholePixels

_MAX_METADATA_BYTES = 64 * 1024 * 1024
_SUPERBOXES = (b"jp2h", b"res ")
_READ_BOXES = (b"ftyp", b"colr", b"pclr", b"cdef", b"resc", b"resd", b"uuid")
_UUIDS = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
    b"JpgTiffExif->JP2": "exif",
}
_SRGB, _GREY = 16, 17
_COLOURS = {12: "CMYK", 14: "CIELab", 18: "YCbCr"}
_COLOURS_OF_PROFILE = {b"GRAY": 1, b"RGB ": 3}
_EXTRA_SAMPLES: dict[int, ExtraSample] = {1: "unassociated alpha", 2: "associated alpha"}
_TILE_BYTES = 16 * 1024  # that OpenJPEG allocates for each tile, whatever its size


@dataclass(kw_only=True)
class _Boxes:
    """The content of the boxes; ``codestream`` is its offset and length."""

    codestream: tuple[int, int] | None = None
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    blocks: MetadataBlocks = field(default_factory=MetadataBlocks)

    def take(self, name: bytes, body: bytes) -> None:
        if name == b"uuid":
            if kind := _UUIDS.get(body[:16]):
                setattr(self.blocks, kind, body[16:])
        else:
            self.bodies.setdefault(name, body)  # the first of several colour boxes is the best


@dataclass(frozen=True, kw_only=True)
class _Size:
    """The fields of the codestream's header."""

    width: int
    height: int
    tiles: int
    bits: tuple[int, ...]  # of each component; negative if signed
    is_subsampled: bool


def open_jp2(file: BinaryIO, *, limits: Limits) -> tuple[StoredImage]:
    """Reads a JP2's boxes; its pixels are decoded at the first read.

    Raises:
        UnreadableImageError: it is not a complete JP2.
        ImageTooLargeError: it is larger than ``limits``.
    """
    boxes = _Boxes()
    _walk(file, boxes, 0, os.fstat(file.fileno()).st_size, limits)
    if boxes.codestream is None:
        raise UnreadableImageError("the JP2 has no picture: it is truncated, or corrupt")
    size = _size(file, *boxes.codestream)
    limits.check_size(size.width, size.height)
    blocks, problems = boxes.blocks, boxes.blocks.problems
    tags = read_exif(blocks)
    channels, profile = _colour(boxes, size, problems)
    refusal = _refusal(boxes, size, channels)
    colours = min(channels, len(size.bits))
    info, orientation = upright_info(
        format="JP2",
        width=size.width,
        height=size.height,
        bits_per_sample=max(abs(bits) for bits in size.bits),
        colour_channels=colours,
        extra_samples=_extra_samples(boxes, colours, len(size.bits)),
        resolution=_resolution(boxes, problems) or read_resolution(tags, problems),
        profile=profile,
        blocks=blocks,
        tags=tags,
        refusal=refusal,
    )
    pixels: StoredPixels
    if refusal is not None:
        pixels = RefusedPixels(refusal)
    else:
        samples, codestream = size.width * size.height * len(size.bits), boxes.codestream
        # OpenJPEG uses 32-bit integers, and imagecodecs combines the planes in another copy.
        needed = samples * (4 + 2 * info.bits_per_sample // 8) + codestream[1] + size.tiles * _TILE_BYTES
        limits.check_decoding(f"a JP2 of {size.width}x{size.height} px", needed)
        shape = (size.height, size.width, len(size.bits))
        pixels = WholePixels(lambda: _decode(file, *codestream), shape=shape)
    return (StoredImage(info=info, pixels=pixels, orientation=orientation),)


def decode_whole(file: BinaryIO) -> Samples:
    """Decodes the samples of a JP2 as stored, also of unsupported kinds.

    Raises:
        UnreadableImageError: they can't be decoded.
    """
    boxes = _Boxes()
    _walk(file, boxes, 0, os.fstat(file.fileno()).st_size, Limits())
    if boxes.codestream is None:
        raise UnreadableImageError("the JP2 has no picture: it is truncated, or corrupt")
    return _decode(file, *boxes.codestream)


def _walk(file: BinaryIO, boxes: _Boxes, start: int, end: int, limits: Limits) -> None:
    """Collects the boxes between two offsets, including nested boxes."""
    while start + 8 <= end:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        body = start + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            body += 8
        stop = end if length == 0 else start + length
        if limits.describes_damaged and body <= end < stop:
            stop = end
        if stop < body or stop > end:
            raise UnreadableImageError(f"the JP2 ends before its box {name!r} does: it is truncated, or corrupt")
        if name in _SUPERBOXES:
            _walk(file, boxes, body, stop, limits)
        elif name == b"jp2c" and boxes.codestream is None:
            boxes.codestream = body, stop - body
        elif name in _READ_BOXES and stop - body <= _MAX_METADATA_BYTES:
            file.seek(body)
            boxes.take(name, file.read(stop - body))
        start = stop


def _size(file: BinaryIO, offset: int, length: int) -> _Size:
    """Reads the codestream's header. The decoder itself checks that the tiles are complete."""
    file.seek(offset)
    head = file.read(min(length, 42 + 3 * 16384))
    if head[:4] != b"\xff\x4f\xff\x51" or len(head) < 45:
        raise UnreadableImageError("the JP2's codestream doesn't begin as one: it is corrupt")
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, count = struct.unpack_from(">8IH", head, 8)
    components = head[42 : 42 + 3 * count]
    if not (left < right and top < bottom and tile_width and tile_height and len(components) == 3 * count > 0):
        raise UnreadableImageError("the JP2's codestream doesn't say its size: it is corrupt")
    if tile_left > left or tile_top > top:
        raise UnreadableImageError("the JP2's tiles don't cover its picture: it is corrupt")
    across, down = -(-(right - tile_left) // tile_width), -(-(bottom - tile_top) // tile_height)
    if across * down > 0xFFFF:
        raise UnreadableImageError(f"the JP2 says that it has {across * down} tiles, more than there can be")
    return _Size(
        width=right - left,
        height=bottom - top,
        tiles=across * down,
        bits=tuple((depth & 0x7F) + 1 if depth < 0x80 else -((depth & 0x7F) + 1) for depth in components[::3]),
        is_subsampled=any(step != 1 for step in components[1::3] + components[2::3]),
    )


def _colour(boxes: _Boxes, size: _Size, problems: list[str]) -> tuple[int, bytes | None]:
    """The number of colour components, and the ICC profile; a colour space without profile is reported as a problem."""
    box = boxes.bodies.get(b"colr", b"")
    method = box[0] if box else 0
    if method in (2, 3):
        profile = box[3:]
        return _COLOURS_OF_PROFILE.get(profile[16:20], len(size.bits)), profile
    number = int.from_bytes(box[3:7], "big") if method == 1 else 0
    if number == _SRGB:
        problems.append("the colour space that the JP2 states (sRGB), without a profile, isn't carried")
    return {_SRGB: 3, _GREY: 1}.get(number, len(size.bits)), None


def _refusal(boxes: _Boxes, size: _Size, channels: int) -> str | None:
    box, bits = boxes.bodies.get(b"colr", b""), size.bits
    if b"jp2 " not in boxes.bodies.get(b"ftyp", b"")[8:]:
        return "a JPEG 2000 file of another kind than JP2: save it as JP2 or TIFF"
    if b"pclr" in boxes.bodies:
        return "a JP2 with a palette: convert it to RGB or grey, and save it as TIFF"
    if box[:1] == b"\x01" and (number := int.from_bytes(box[3:7], "big")) not in (_SRGB, _GREY):
        return f"a {_COLOURS.get(number, 'strangely coloured')} JP2: convert it to RGB with a profile"
    if channels not in (1, 3) or channels > len(bits) or not box:
        return f"a JP2 of {len(bits)} samples that doesn't say it is grey or RGB: convert it to RGB with a profile"
    if size.is_subsampled:
        return "a JP2 whose samples are of different sizes (subsampled colour): convert it to RGB"
    if set(bits) not in ({8}, {16}):
        depths = ", ".join(f"{abs(depth)}{' signed' if depth < 0 else ''}" for depth in sorted(set(bits)))
        return f"a JP2 of {depths} bits a sample: save it with 8 or 16, unsigned"
    definitions = dict(_definitions(boxes))
    if any(definitions.get(index, (0, index + 1)) != (0, index + 1) for index in range(channels)):
        return "a JP2 with its colours in another order than R G B: convert it to RGB"
    return None


def _definitions(boxes: _Boxes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yields the index of each described component, with its type (0 colour, 1 and 2 alpha) and its colour number, from
    1.
    """
    box = boxes.bodies.get(b"cdef", b"")
    for offset in range(2, len(box) - 5, 6):
        index, kind, association = struct.unpack_from(">3H", box, offset)
        yield index, (kind, association)


def _extra_samples(boxes: _Boxes, colours: int, count: int) -> tuple[ExtraSample, ...]:
    definitions = dict(_definitions(boxes))
    kinds = (definitions.get(index, (-1, 0))[0] for index in range(colours, count))
    return tuple(_EXTRA_SAMPLES.get(kind, "unspecified") for kind in kinds)


def _resolution(boxes: _Boxes, problems: list[str]) -> Resolution | None:
    """The capture resolution, else the display resolution: pixels per metre, stored as fractions with powers of ten."""
    box = boxes.bodies.get(b"resc") or boxes.bodies.get(b"resd") or b""
    if len(box) != 10:
        return None
    over_y, under_y, over_x, under_x, power_y, power_x = struct.unpack(">4H2b", box)
    if not under_x or not under_y:
        return None
    per_centimetre = (over_x / under_x * 10.0 ** (power_x - 2), over_y / under_y * 10.0 ** (power_y - 2))
    return make_resolution(*per_centimetre, "centimetre", problems)


def _decode(file: BinaryIO, offset: int, length: int) -> Samples:
    file.seek(offset)
    codestream = file.read(length)
    try:
        decoded: Any = imagecodecs.jpeg2k_decode(codestream)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise UnreadableImageError(f"the JP2's pixels can't be decoded: {error}") from error
    samples: Samples = np.asarray(decoded)
    return samples
