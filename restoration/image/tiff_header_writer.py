"""TIFF header writer: all bytes of a derivative before its pixels.

This project writes it itself, because the same record must give the same bytes with every later release of a library.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

from restoration.image.deflate_strip_writer import rows_per_strip
from restoration.image.exif import Entry, Exif, write_directories
from restoration.image.image_info import ImageInfo

NOT_COMPRESSED, DEFLATE = 1, 8
"""Values of the tag Compression."""

_BIGTIFF_FROM_BYTES = 4_000_000_000  # leaves room for metadata and directories below 2**32
_LARGEST_LONG = (1 << 32) - 1
_ALIGNMENT = 16
_EXTRA_SAMPLES = {"unspecified": 0, "associated alpha": 1, "unassociated alpha": 2}
_DESCRIPTION, _SOFTWARE, _TRANSFER_FUNCTION = 270, 305, 301
_XMP, _IPTC, _PROFILE = 700, 33723, 34675


def write_header(
    info: ImageInfo,
    *,
    xmp: bytes | None,
    description: str | None,
    software: str,
    deflated: Sequence[int] | None = None,
) -> tuple[bytes, list[str]]:
    """Writes all bytes before the pixels, whose strips follow without a gap.

    The length of a picture's header doesn't depend on the sizes of its compressed strips.

    Args:
        info: the picture's properties, with the metadata to copy.
        xmp: the XMP packet.
        description: the ImageDescription, for a picture that has none.
        software: replaces the master's Software tag unless empty.
        deflated: the sizes of the compressed strips, bytes; None for an uncompressed file.

    Returns:
        The header, and descriptions of the metadata that wasn't copied.
    """
    pixel_bytes = info.width * info.height * info.samples_per_pixel * info.bits_per_sample // 8
    bigtiff = pixel_bytes > _BIGTIFF_FROM_BYTES
    exif, notes = _fitted(info, bigtiff=bigtiff)
    written = {entry.tag: entry for entry in exif.image}
    if description and _DESCRIPTION not in written:
        written[_DESCRIPTION] = _text(_DESCRIPTION, description)
    if software:
        written[_SOFTWARE] = _text(_SOFTWARE, software)
    for tag, kind, block in ((_XMP, 1, xmp), (_PROFILE, 7, info.icc_profile)):
        if block:
            written[tag] = Entry(tag=tag, kind=kind, count=len(block), data=block)
    if iptc := info.metadata.iptc:
        # As Adobe's programs write it and exiftool expects it: 4-byte numbers, padded with zeros.
        iptc += bytes(-len(iptc) % 4)
        written[_IPTC] = Entry(tag=_IPTC, kind=4, count=len(iptc) // 4, data=iptc)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if bigtiff else struct.pack("<2sHI", b"II", 42, 8)

    def whole(first_pixel: int) -> bytes:
        entries = written | {entry.tag: entry for entry in _picture(info, first_pixel, deflated, bigtiff=bigtiff)}
        return head + write_directories(list(entries.values()), exif, at=len(head), bigtiff=bigtiff)

    first_pixel = -(-len(whole(0)) // _ALIGNMENT) * _ALIGNMENT
    return whole(first_pixel).ljust(first_pixel, b"\0"), notes


def as_fraction(value: float) -> tuple[int, int]:
    """The nearest fraction to ``value`` whose numerator and denominator fit into 32 bits."""
    largest = max(1, min(_LARGEST_LONG, int(_LARGEST_LONG / max(value, 1))))
    fraction = Fraction(value).limit_denominator(largest)
    return min(fraction.numerator, _LARGEST_LONG), fraction.denominator


def _picture(info: ImageInfo, first_pixel: int, deflated: Sequence[int] | None, *, bigtiff: bool) -> list[Entry]:
    samples, row_bytes = info.samples_per_pixel, info.width * info.samples_per_pixel * info.bits_per_sample // 8
    strip_rows = rows_per_strip(info)
    sizes = deflated
    if sizes is None:
        sizes = [min(strip_rows, info.height - row) * row_bytes for row in range(0, info.height, strip_rows)]
    resolution = info.resolution
    x, y, unit = (resolution.x, resolution.y, resolution.unit) if resolution else (1.0, 1.0, None)
    place = _long8 if bigtiff else _long
    entries = [
        _long(254, 0),  # full-resolution image
        _long(256, info.width),
        _long(257, info.height),
        _short(258, *[info.bits_per_sample] * samples),
        _short(259, NOT_COMPRESSED if deflated is None else DEFLATE),
        _short(262, 2 if info.colour_channels == 3 else 1),
        place(273, *accumulate(sizes[:-1], initial=first_pixel)),
        _short(274, 1),  # upright
        _short(277, samples),
        _long(278, strip_rows),
        place(279, *sizes),
        _ratio(282, x),
        _ratio(283, y),
        _short(284, 1),  # chunky
        _short(296, {None: 1, "inch": 2, "centimetre": 3}[unit]),
    ]
    if deflated is not None:
        entries.append(_short(317, 2))  # horizontal differencing
    if info.extra_samples:
        entries.append(_short(338, *(_EXTRA_SAMPLES[kind] for kind in info.extra_samples)))
    return entries


def _fitted(info: ImageInfo, *, bigtiff: bool) -> tuple[Exif, list[str]]:
    """The entries that this file can hold, and descriptions of those that it can't."""
    notes: list[str] = []
    exif = info.metadata.exif
    steps = 1 << info.bits_per_sample
    curves = [entry for entry in exif.image if entry.tag == _TRANSFER_FUNCTION]
    if curves and (info.colour_channels != 3 or curves[0].count not in (steps, 3 * steps)):
        notes.append("the TIFF's transfer function isn't carried: it doesn't fit the picture")
        exif = replace(exif, image=tuple(entry for entry in exif.image if entry.tag != _TRANSFER_FUNCTION))
    if bigtiff:
        return exif, notes

    def small(entries: Sequence[Entry]) -> tuple[Entry, ...]:
        wide = [entry.tag for entry in entries if entry.kind in (16, 17)]
        notes.extend(f"the tag {tag} with 64-bit numbers isn't carried: the file is not a BigTIFF" for tag in wide)
        return tuple(entry for entry in entries if entry.tag not in wide)

    return (
        Exif(
            image=small(exif.image),
            capture=small(exif.capture),
            gps=small(exif.gps),
            interoperability=small(exif.interoperability),
        ),
        notes,
    )


def _short(tag: int, *values: int) -> Entry:
    return Entry(tag=tag, kind=3, count=len(values), data=struct.pack(f"<{len(values)}H", *values))


def _long(tag: int, *values: int) -> Entry:
    return Entry(tag=tag, kind=4, count=len(values), data=struct.pack(f"<{len(values)}I", *values))


def _long8(tag: int, *values: int) -> Entry:
    return Entry(tag=tag, kind=16, count=len(values), data=struct.pack(f"<{len(values)}Q", *values))


def _ratio(tag: int, value: float) -> Entry:
    return Entry(tag=tag, kind=5, count=1, data=struct.pack("<II", *as_fraction(value)))


def _text(tag: int, text: str) -> Entry:
    data = text.encode("utf-8", "backslashreplace").replace(b"\0", b"") + b"\0"
    return Entry(tag=tag, kind=2, count=len(data), data=data)
