"""Checks that an image file is complete: by parsing its structure, or by decoding all its pixels."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from imagecodecs import deflate_crc32  # several times as fast as zlib's
from PIL import JpegImagePlugin
from tifffile import TIFF, TiffFile, TiffPage

from restoration.errors import ImageError, UnreadableImageError
from restoration.image.format_detection import find_format
from restoration.image.image_info import Limits
from restoration.image.jp2 import decode_whole
from restoration.image.jpeg import read_without_metadata
from restoration.image.jpeg_data_check import check_jpeg_data, join_tables
from restoration.image.png import decode_png, open_png
from restoration.image.tiff_pixels import JPEG_COMPRESSIONS, check_pixel_data

Depth = Literal["structure", "pixels"]

_BLOCK_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 17  # fits a processor's cache, and holds many of the 8 KiB chunks that libpng writes
# In JPEG entropy-coded data, FF begins a marker unless a stuffed 00, a restart or a fill byte follows.
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_SOT, _SOD, _EOC = b"\xff\x90", b"\xff\x93", b"\xff\xd9"


def find_damage(path: Path, *, depth: Depth, limits: Limits) -> str | None:
    """Describes the damage in an image file, or returns None if ``depth`` finds none.

    Args:
        path: a TIFF, JPEG, PNG or JP2; other files aren't checked.
        depth: ``structure`` decodes nothing and checks that the strips and tiles lie inside a TIFF, that a JPEG's scans
            continue to its end, that a PNG's checksums match, and that a JP2's boxes and tile parts are complete.
            ``pixels`` also decodes everything. That finds no changed bytes in an uncompressed TIFF, and only some in a
            JP2, whose decoder doesn't report them.
        limits: the largest pictures to decode.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        form = find_format(file)
        if form is None:
            return None
        try:
            _STRUCTURE[form](file)
            if depth == "pixels":
                _PIXELS[form](file, limits)
        except ImageError as error:
            return str(error)
        except MemoryError:
            raise
        # Decoders raise many kinds of errors on corrupt files.
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            return f"it can't be decoded: {type(error).__name__}: {error}"
    return None


def _check_jpeg(file: BinaryIO) -> None:
    position = 2
    size = os.fstat(file.fileno()).st_size
    while True:
        file.seek(position)
        head = file.read(4)
        if len(head) < 2 or head[0] != 0xFF:
            raise UnreadableImageError("the JPEG ends, or is corrupt, before its end marker: it is truncated")
        if head[1] == 0xFF:
            position += 1
            continue
        if head[1] == _EOI:
            return
        if len(head) < 4 or (length := int.from_bytes(head[2:], "big")) < 2 or position + 2 + length > size:
            raise UnreadableImageError("the JPEG ends inside a block: it is truncated")
        position += 2 + length
        if head[1] == _SOS:
            if not _has_end(file, position, size):
                raise UnreadableImageError("the JPEG ends before its last scan does: it is truncated")
            return


def _has_end(file: BinaryIO, start: int, size: int) -> bool:
    """Whether an end marker follows on coded data, which holds none itself: looked for from the end of the file."""
    stop = size
    while stop > start:
        begin = max(start, stop - _BLOCK_BYTES)
        file.seek(begin)
        if file.read(stop - begin).rfind(bytes((0xFF, _EOI))) >= 0:
            return True
        stop = begin + 1 if begin > start else start  # the marker may lie across two blocks
    return False


def _check_png(file: BinaryIO) -> None:
    file.seek(8)
    data = 0
    while True:
        head = file.read(4)
        length, name = int.from_bytes(head, "big"), b""
        left, checksum = length + 4, 0  # the sum is that of the name and the body
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            name = name or block[:4]
            checksum, left = deflate_crc32(block, checksum), left - len(block)
        stored = file.read(4)
        if len(head) < 4 or len(name) < 4:
            raise UnreadableImageError("the PNG ends before its end chunk: it is truncated")
        if left or len(stored) < 4:
            raise UnreadableImageError(f"the PNG ends inside its chunk {name!r}: it is truncated")
        # A corrupt metadata chunk doesn't affect the pixels; the reader reports it.
        if name[:1].isupper() and int.from_bytes(stored, "big") != checksum:
            raise UnreadableImageError(f"the PNG's chunk {name.decode('latin-1')} is damaged: its checksum is wrong")
        data += length if name == b"IDAT" else 0
        if name == b"IEND":
            if not data:
                raise UnreadableImageError("the PNG holds no pixels")
            return


def _check_jp2(file: BinaryIO) -> None:
    size = os.fstat(file.fileno()).st_size
    start = 0
    has_codestream = False
    while start < size:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            raise UnreadableImageError("the JP2 ends inside a box: it is truncated")
        length, name = struct.unpack_from(">I4s", head)
        body = start + 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
            body += 8
        stop = size if length == 0 else start + length
        if stop > size or stop < body:
            raise UnreadableImageError(f"the JP2 ends before its box {name!r} does: it is truncated")
        if name == b"jp2c":
            _check_codestream(file, body, stop)
            has_codestream = True
        start = stop
    if not has_codestream:
        raise UnreadableImageError("the JP2 has no picture: it is truncated, or corrupt")


def _check_codestream(file: BinaryIO, position: int, stop: int) -> None:
    """Parses the main header and the tile parts of a JPEG 2000 codestream to its end."""
    position += 2
    while position + 2 <= stop:
        file.seek(position)
        head = file.read(12)
        if head[:2] == _EOC:
            return
        if head[:2] == _SOT and len(head) >= 10:
            (length,) = struct.unpack_from(">I", head, 6)
            if length == 0:  # the last tile part extends to the end
                file.seek(stop - 2)
                if file.read(2) == _EOC:
                    return
                break
            position += length
        elif head[0] == 0xFF and len(head) >= 4:
            position += 2 + int.from_bytes(head[2:4], "big")
        else:
            break
    raise UnreadableImageError("the JP2's picture ends before its end marker: it is truncated, or corrupt")


def _check_tiff(file: BinaryIO) -> None:
    size = os.fstat(file.fileno()).st_size
    for number, page in enumerate(_pages(file), 1):
        check_pixel_data(page, number, size)


def _pages(file: BinaryIO) -> Iterator[TiffPage]:
    file.seek(0)
    tiff = TiffFile(file, name="scan")
    for page in tiff.pages:
        yield page if isinstance(page, TiffPage) else page.aspage()
    if not len(tiff.pages):
        raise UnreadableImageError("the TIFF has no picture: it is truncated, or corrupt")


def _decode_jpeg(file: BinaryIO, limits: Limits) -> None:
    file.seek(0)
    with JpegImagePlugin.JpegImageFile(file) as image:
        limits.check_size(*image.size)
        image.load()
    check_jpeg_data(read_without_metadata(file), "the JPEG's pixel data")


def _decode_png(file: BinaryIO, limits: Limits) -> None:
    open_png(file, limits=limits)  # checks the size
    decode_png(file)


def _decode_jp2(file: BinaryIO, limits: Limits) -> None:  # noqa: ARG001 - its header was checked when it was opened
    decode_whole(file)


def _decode_tiff(file: BinaryIO, limits: Limits) -> None:
    for number, page in enumerate(_pages(file), 1):
        limits.check_size(page.imagewidth, page.imagelength)
        if page.compression not in TIFF.DECOMPRESSORS:
            continue
        decode = page.decode  # reads from the file's header
        is_jpeg = page.compression in JPEG_COMPRESSIONS
        tables: dict[str, Any] = {"jpegtables": page.jpegtables} if is_jpeg else {}
        part = "tile" if page.is_tiled else "strip"
        for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
            if count == 0:
                continue  # a sparse TIFF, in which this part isn't stored
            file.seek(offset)
            data = file.read(count)
            try:
                decode(data, index, **tables)
            except MemoryError:
                raise
            except Exception as error:  # each codec of imagecodecs has its own exception class
                raise UnreadableImageError(
                    f"{part} {index + 1} of picture {number} can't be decoded: {error}"
                ) from error
            if is_jpeg:
                check_jpeg_data(join_tables(page.jpegtables, data), f"{part} {index + 1} of picture {number}")


_STRUCTURE: dict[str, Callable[[BinaryIO], None]] = {
    "JPEG": _check_jpeg,
    "PNG": _check_png,
    "JP2": _check_jp2,
    "TIFF": _check_tiff,
}
_PIXELS: dict[str, Callable[[BinaryIO, Limits], None]] = {
    "JPEG": _decode_jpeg,
    "PNG": _decode_png,
    "JP2": _decode_jp2,
    "TIFF": _decode_tiff,
}
