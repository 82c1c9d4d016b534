"""Reads IPTC (IIM) blocks, and finds them in chains of Photoshop image resources."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MARKER = 0x1C
_IPTC_RESOURCE = 0x0404
_SIGNATURES = (b"8BIM", b"AgHg", b"DCSR", b"MeSa", b"PHUT")
# Duplicated elsewhere in the file, or useful only to the program that wrote them: resolution, caption digest, profile,
# EXIF, XMP, print and view settings, ids.
_REPEATED = {0x03ED, 0x0404, 0x0425, 0x040F, 0x0422, 0x0423, 0x0424, 0x03E9, 0x03EA, 0x03F3, 0x0406, 0x0408, 0x0414}
_REPEATED |= {0x041A, 0x041E, 0x0421, 0x0426, 0x0428, 0x043A, 0x043B, 0x0419, 0x040D, 0x03F5, 0x0411, 0x2710}
_NAMES = {
    0x0409: "thumbnail",
    0x040A: "copyright flag",
    0x040B: "URL",
    0x040C: "thumbnail",
    0x03EE: "names of alpha channels",
    0x0415: "names of alpha channels",
    0x0BB7: "name of clipping path",
}


def read_iptc(data: bytes) -> tuple[bytes, list[tuple[int, int, bytes]], str | None]:
    """Parses an IPTC block.

    Returns:
        The valid part without zero padding, its (record, dataset, value) in order, and a description of what was left
        out.
    """
    found, position = list[tuple[int, int, bytes]](), 0
    while position + 5 <= len(data) and data[position] == _MARKER:
        record, dataset, length = struct.unpack_from(">BBH", data, position + 1)
        start = position + 5
        if length & 0x8000:  # extended length: the length of the length field that follows
            wide = length & 0x7FFF
            start, length = start + wide, int.from_bytes(data[start : start + wide], "big")
        if start + length > len(data):
            break
        found.append((record, dataset, data[start : start + length]))
        position = start + length
    rest = data[position:]
    if not rest.strip(b"\0"):
        return data[:position], found, None
    if not found:
        return b"", [], "the IPTC block is corrupt and was left out"
    if rest[0] == _MARKER:
        return data[:position], found, "the IPTC block ends too soon: its last entry was left out"
    return data[:position], found, f"{len(rest)} bytes after the last IPTC entry are none themselves and were left out"


def iptc_of_photoshop(data: bytes) -> bytes | None:
    """The IPTC block in a chain of Photoshop image resources (``8BIM``), or None."""
    return next((body for number, body in _resources(data) if number == _IPTC_RESOURCE), None)


def left_in_photoshop(data: bytes) -> list[str]:
    """Names of the Photoshop image resources whose content isn't stored elsewhere in the file; unknown ones counted."""
    numbers = sorted({number for number, _ in _resources(data)} - _REPEATED)
    names = [_NAMES.get(number) or ("paths" if 0x07D0 <= number <= 0x0BB6 else None) for number in numbers]
    known = list(dict.fromkeys(name for name in names if name is not None))
    settings = names.count(None)
    return [*known, f"settings of the program ({settings} block{'s' if settings > 1 else ''})"] if settings else known


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while data[position : position + 4] in _SIGNATURES and position + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, position + 4)
        position += 6 + (data[position + 6] + 2) // 2 * 2
        if position + 4 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, position)
        yield number, data[position + 4 : position + 4 + length]
        position += 4 + (length + 1) // 2 * 2
