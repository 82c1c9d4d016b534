"""Reads PNG: parses the chunks; imagecodecs decodes the pixels, because Pillow reads 16-bit RGB as 8-bit."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from restoration.errors import UnreadableImageError
from restoration.image.image_info import Limits, Resolution
from restoration.image.image_info_builder import upright_info
from restoration.image.metadata_reader import MetadataBlocks, make_resolution, read_exif
from restoration.image.stored_pixels import PALETTE_NOTE, RefusedPixels, Samples, StoredImage, StoredPixels, WholePixels

_MAX_METADATA_BYTES = 64 * 1024 * 1024
_COLOUR_CHUNKS = frozenset({b"cHRM", b"gAMA", b"sRGB", b"cICP"})
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_READ_CHUNKS = _COLOUR_CHUNKS | _TEXT_CHUNKS | {b"IHDR", b"iCCP", b"pHYs", b"eXIf", b"tRNS", b"acTL"}
_XMP = b"XML:com.adobe.xmp\0"
_EXIF_TEXTS = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PALETTE = 3
_SAMPLES = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}  # by colour type
_CENTIMETRES_PER_METRE = 100


def open_png(file: BinaryIO, *, limits: Limits) -> tuple[StoredImage]:
    """Reads a PNG's chunks; its pixels are decoded at the first read.

    Raises:
        UnreadableImageError: it is not a complete PNG.
        ImageTooLargeError: it is larger than ``limits``.
    """
    problems: list[str] = []
    chunks = dict(_walk(file, problems, limits))
    width, height, bits, colour_type = _header(chunks)
    limits.check_size(width, height)
    samples, refusal = _SAMPLES[colour_type], _refusal(chunks, bits, colour_type)
    if colour_type == _PALETTE and refusal is None:
        samples, bits = 3, 8
        problems.append(PALETTE_NOTE)
    blocks = MetadataBlocks(
        exif=_exif(chunks, problems), xmp=_xmp(chunks.get(b"iTXt", b""), problems), problems=problems
    )
    tags = read_exif(blocks)
    profile = _profile(chunks.get(b"iCCP"))
    if profile is None and (colour := sorted(name.decode() for name in _COLOUR_CHUNKS & set(chunks))):
        problems.append(f"the colour that the PNG states in {', '.join(colour)}, without a profile, isn't carried")
    info, orientation = upright_info(
        format="PNG",
        width=width,
        height=height,
        bits_per_sample=bits,
        colour_channels=3 if samples >= 3 else 1,
        extra_samples=("unassociated alpha",) if samples in (2, 4) else (),
        resolution=_resolution(chunks.get(b"pHYs"), problems),
        profile=profile,
        blocks=blocks,
        tags=tags,
        refusal=refusal,
    )
    pixels: StoredPixels
    if refusal is not None:
        pixels = RefusedPixels(refusal)
    else:
        decoded_bytes = width * height * samples * bits // 8
        needed = decoded_bytes + 2 * os.fstat(file.fileno()).st_size  # the file is copied without metadata
        limits.check_decoding(f"a PNG of {width}x{height} px", needed)
        pixels = WholePixels(lambda: decode_png(file), shape=(height, width, samples))
    return (StoredImage(info=info, pixels=pixels, orientation=orientation),)


def _walk(file: BinaryIO, problems: list[str], limits: Limits) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and body of every chunk that this module reads; corrupt metadata chunks are skipped and reported."""
    file.seek(8)
    while True:
        head = file.read(8)
        if len(head) < 8:
            if limits.describes_damaged:
                return
            raise UnreadableImageError("the PNG ends before its end chunk: it is truncated")
        length, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            return
        if name not in _READ_CHUNKS or length > _MAX_METADATA_BYTES:
            file.seek(length + 4, 1)
            continue
        body, checksum = file.read(length), file.read(4)
        if checksum != struct.pack(">I", zlib.crc32(name + body)):
            if name == b"IHDR":
                raise UnreadableImageError("the PNG's header is corrupt")
            problems.append(f"the {name.decode()} block is corrupt and was left out (its checksum is wrong)")
        elif name in _TEXT_CHUNKS and not body.startswith(_XMP if name == b"iTXt" else _EXIF_TEXTS):
            problems.append(f"the PNG's text {body.split(bytes(1))[0][:79].decode('latin-1')!r} isn't carried")
        else:
            yield name, body


def _header(chunks: dict[bytes, bytes]) -> tuple[int, int, int, int]:
    """Width, height, bits and colour type."""
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13:
        raise UnreadableImageError("the PNG has no header")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", header)
    if width == 0 or height == 0:
        raise UnreadableImageError("the PNG doesn't say its size")
    if colour_type not in _SAMPLES:
        raise UnreadableImageError(f"the PNG says that its colours are of type {colour_type}, which there isn't")
    return width, height, bits, colour_type


def _refusal(chunks: dict[bytes, bytes], bits: int, colour_type: int) -> str | None:
    if b"tRNS" in chunks:
        return "a PNG with a transparent colour: save it with an alpha channel, or without"
    if b"acTL" in chunks:
        return "an animated PNG: save its picture by itself"
    return (
        None if bits in (8, 16) or colour_type == _PALETTE else f"a PNG of {bits} bits a sample: save it with 8 or 16"
    )


def _exif(chunks: dict[bytes, bytes], problems: list[str]) -> bytes | None:
    """The EXIF block; older programs stored it as hexadecimal text after its kind and length."""
    text = chunks.get(b"tEXt") or chunks.get(b"zTXt")
    if b"eXIf" in chunks or text is None:
        return chunks.get(b"eXIf")
    try:
        text = text.split(b"\0", 1)[1]
        if b"tEXt" not in chunks:
            text = zlib.decompressobj().decompress(text[1:], _MAX_METADATA_BYTES)
        _, _, *digits = text.decode("ascii").split()
        block = bytes.fromhex("".join(digits))
    except (ValueError, zlib.error) as error:
        problems.append(f"the EXIF block is corrupt and was left out ({error})")
        return None
    if block.startswith((b"Exif\0\0", b"II", b"MM")):
        return block.removeprefix(b"Exif\0\0")
    problems.append("a block that the PNG holds as text is not valid EXIF and was left out")
    return None


def _profile(chunk: bytes | None) -> bytes | None:
    """The decompressed ICC profile; empty if it can't be decompressed."""
    if chunk is None:
        return None
    try:
        return zlib.decompressobj().decompress(chunk[chunk.index(b"\0") + 2 :], _MAX_METADATA_BYTES)
    except (ValueError, zlib.error):
        return b""


def _resolution(chunk: bytes | None, problems: list[str]) -> Resolution | None:
    if chunk is None or len(chunk) != 9:
        return None
    x, y, unit = struct.unpack(">IIB", chunk)
    per_centimetre = x / _CENTIMETRES_PER_METRE, y / _CENTIMETRES_PER_METRE
    return make_resolution(*per_centimetre, "centimetre" if unit == 1 else None, problems)


def _xmp(chunk: bytes, problems: list[str]) -> bytes | None:
    """The XMP packet in an ``iTXt`` chunk: keyword, two flags, language, translated keyword, then the text."""
    if not chunk:
        return None
    try:
        _, rest = chunk.split(b"\0", 1)
        compressed, text = rest[0], rest[2:].split(b"\0", 2)[2]
        return zlib.decompressobj().decompress(text, _MAX_METADATA_BYTES) if compressed else text
    except (ValueError, IndexError, zlib.error) as error:
        problems.append(f"the XMP block is corrupt and was left out ({error})")
        return None


def decode_png(file: BinaryIO) -> Samples:
    """Decodes the pixels from a copy of the file without metadata, because libpng prints warnings about metadata.

    Raises:
        UnreadableImageError: they are damaged.
    """
    file.seek(0)
    kept = [file.read(8)]
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in _PIXEL_CHUNKS:
            body, checksum = file.read(length), file.read(4)
            if checksum != struct.pack(">I", zlib.crc32(body, zlib.crc32(name))):
                raise UnreadableImageError("the PNG's pixels are damaged: their checksum is wrong")
            kept += [head, body, checksum]
        else:
            file.seek(length + 4, 1)
    try:
        decoded: Any = imagecodecs.png_decode(b"".join(kept))
    except (RuntimeError, ValueError) as error:
        raise UnreadableImageError(f"the PNG's pixels can't be decoded: {error}") from error
    samples: Samples = np.asarray(decoded)
    return samples
