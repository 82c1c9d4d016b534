"""Reads and writes EXIF entries, byte for byte, from a TIFF's directories or a separate EXIF block.

Values are copied without interpretation, so unknown tags are preserved. Entries that describe the layout of the
master's file (sizes, strips, orientation, thumbnail) are left out, because a derivative has its own.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from tifffile import TiffPage

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8, 129: 1}
_SWAPPED = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 16: 8, 17: 8}
"""The size of the byte-swapped unit, by TIFF value type. Types 13 and 18 are offsets, which are never copied."""

_MAX_VALUE_BYTES = 64 * 1024 * 1024
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_POINTERS = (_EXIF, _GPS, _INTEROPERABILITY)
_OTHER_BLOCKS = {700, 33723, 34377, 34675}  # XMP, IPTC, Photoshop, ICC: copied separately
_LAYOUT_RANGES = ((254, 259), (262, 266), (273, 274), (277, 284), (288, 290), (320, 325), (330, 350), (512, 521))
_LAYOUT = _OTHER_BLOCKS | {292, 293, 296, 297, 317, 321, 529, 530, 531, 532, 559, 33421, 33422}
_LAYOUT |= {tag for first, last in _LAYOUT_RANGES for tag in range(first, last + 1)}
# Components, compression and size occur in compressed files only, whose own header lacks them.
_EXIF_LAYOUT = {0x9101, 0x9102, 0xA002, 0xA003}
_NOT_COPIED = {
    291: "the TIFF's grey response curve isn't carried",
    37724: "Photoshop's layers in the TIFF aren't carried",
    52545: "the Content Credentials (C2PA) aren't carried: they hold for the master's bytes only",
}
# Tags in which programs describe the layout of their own file; they would be wrong in a derivative.
_PROGRAM_TAGS = {
    **dict.fromkeys((50838, 50839), "ImageJ"),
    **dict.fromkeys((42112, 42113), "GDAL"),
    **dict.fromkeys((33628, 33629, 33630, 33631), "MetaMorph"),
    **dict.fromkeys((34361, 34362, 34386), "Fluoview"),
    **dict.fromkeys((34412,), "Zeiss LSM"),
    **dict.fromkeys((34680, 34682), "FEI"),
    **dict.fromkeys((65000, 65420, 65421, 65422, 65426, 65427, 65428, 65439), "a slide scanner"),
}
_DESCRIPTION = 270
# tifffile, ImageJ, OME, MetaMorph, ScanImage and slide scanners: readers interpret these descriptions as page layout.
_LAYOUT_DESCRIPTION = re.compile(
    rb'\s*(?:\{"shape"\s*:|shape=\(|ImageJ=|(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:\w+:)?(?:OME|MetaData|PerkinElmer-QPI|scn)\b'
    rb"|SI\.\w+|state\.\w+|scanimage|Aperio |Fluoview|SVS|Hamamatsu)",
    re.DOTALL,
)
_MAX_DESCRIPTION_SHOWN = 300  # characters
_USER_COMMENT, _MAKER_NOTE = 0x9286, 0x927C
_INNER_ORDER = {0x8828, 0xA20C, 0xA302, 0xA40B}  # UNDEFINED values that contain numbers


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tag: its TIFF value type, the number of values, and their bytes, little endian."""

    tag: int
    kind: int
    count: int
    data: bytes

    @property
    def first(self) -> Any:
        """The first value: an int, a pair of ints for a fraction, or the bytes of any other type."""
        if self.kind in (3, 4):
            return int.from_bytes(self.data[: _SIZES[self.kind]], "little")
        return struct.unpack_from("<II", self.data) if self.kind == 5 else self.data


@dataclass(frozen=True, kw_only=True)
class Exif:
    """The EXIF entries that don't describe the file's layout, by directory."""

    image: tuple[Entry, ...] = ()
    capture: tuple[Entry, ...] = ()
    gps: tuple[Entry, ...] = ()
    interoperability: tuple[Entry, ...] = ()


@dataclass(kw_only=True)
class _Reader:
    """Reads TIFF directories by offset through ``read``, and collects the problems that it finds."""

    read: Callable[[int, int], bytes]  # offset, count; raises ValueError beyond the end
    order: str
    big: bool
    problems: list[str]

    def directory(self, offset: int, carried: Callable[[int], bool]) -> tuple[dict[int, Entry], dict[int, int], int]:
        """Reads one directory: the entries for which ``carried`` holds, the pointers, by tag, and the next directory's
        offset.

        Raises:
            ValueError: there is no directory at this offset.
        """
        head, shape, word = (8, "HHQ8s", "Q") if self.big else (2, "HHI4s", "I")
        (count,) = struct.unpack(self.order + ("Q" if self.big else "H"), self.read(offset, head))
        if count > 0xFFFF:
            raise ValueError(f"a directory of {count} entries")
        size, width = struct.calcsize("<" + shape), struct.calcsize("<" + word)
        table = self.read(offset + head, count * size + width)
        entries, pointers, broken = dict[int, Entry](), dict[int, int](), list[str]()
        for tag, kind, length, value in struct.iter_unpack(self.order + shape, table[: count * size]):
            if tag in _POINTERS and kind in (3, 4, 13, 16, 18):
                (pointers[tag],) = struct.unpack_from(self.order + (word if kind != 3 else "H"), value)
            elif carried(tag) and tag not in entries:
                try:
                    entries[tag] = self._entry(tag, kind, length, value)
                except ValueError:
                    broken.append(f"{tag} (0x{tag:04x})")
        if broken:
            self.problems.append(f"EXIF tags that are corrupt were left out: {', '.join(broken[:20])}")
        return entries, pointers, struct.unpack(self.order + word, table[count * size :])[0]

    def _entry(self, tag: int, kind: int, count: int, value: bytes) -> Entry:
        size = _SIZES.get(kind, 0) * count
        if not 0 < size <= _MAX_VALUE_BYTES:
            raise ValueError("no such kind of value, or no value, or too large a one")
        if size > len(value):
            value = self.read(struct.unpack(self.order + ("Q" if self.big else "I"), value)[0], size)
        return Entry(tag=tag, kind=kind, count=count, data=self._little(tag, kind, value[:size]))

    def _little(self, tag: int, kind: int, data: bytes) -> bytes:
        if self.order == "<":
            return data
        if tag == _USER_COMMENT and data.startswith(b"UNICODE\0"):
            return data[:8] + _swapped(data[8:], 2)
        if tag in _INNER_ORDER and kind == 7:
            self.problems.append(f"EXIF tag 0x{tag:04x} is carried as it stands, its inner numbers big endian")
        return _swapped(data, _SWAPPED.get(kind, 1))

    def rest(self, image: dict[int, Entry], pointers: dict[int, int]) -> Exif:
        """Reads the directories that the main directory points to, and combines them with its own ``image`` entries."""
        capture, inner = self._sub_directory(pointers.get(_EXIF), "EXIF block", _EXIF_LAYOUT)
        gps, _ = self._sub_directory(pointers.get(_GPS), "EXIF block's GPS part")
        interoperability, _ = self._sub_directory(inner.get(_INTEROPERABILITY), "EXIF interoperability part")
        if _MAKER_NOTE in capture:
            self.problems.append("the EXIF maker note is carried as it stands: places that it names are the master's")
        for tag in _NOT_COPIED.keys() & image.keys():
            self.problems.append(_NOT_COPIED[tag])
            del image[tag]
        self._remove_layout(image)
        return Exif(
            image=tuple(image.values()),
            capture=tuple(capture.values()),
            gps=tuple(gps.values()),
            interoperability=tuple(interoperability.values()),
        )

    def _remove_layout(self, image: dict[int, Entry]) -> None:
        """Removes entries that describe the layout of the master's file, and reports each."""
        programs = {_PROGRAM_TAGS[tag] for tag in _PROGRAM_TAGS.keys() & image.keys()}
        for program in sorted(programs):
            tags = sorted(tag for tag in image if _PROGRAM_TAGS.get(tag) == program)
            self.problems.append(
                f"the tags of {program} ({', '.join(map(str, tags))}) aren't carried: they describe the file"
            )
            for tag in tags:
                del image[tag]
        description = image.get(_DESCRIPTION)
        if description is not None and _LAYOUT_DESCRIPTION.match(description.data):
            text = description.data.rstrip(b"\0").decode("utf-8", "replace")
            shown = text[:_MAX_DESCRIPTION_SHOWN] + ("..." if len(text) > _MAX_DESCRIPTION_SHOWN else "")
            self.problems.append(f"the ImageDescription isn't carried, it describes the file's layout: {shown!r}")
            del image[_DESCRIPTION]

    def _sub_directory(
        self, offset: int | None, name: str, skipped: Collection[int] = ()
    ) -> tuple[dict[int, Entry], dict[int, int]]:
        if offset is None:
            return {}, {}
        try:
            entries, pointers, _ = self.directory(offset, lambda tag: tag not in skipped)
        except ValueError as error:
            self.problems.append(f"the {name} is corrupt and was left out ({error})")
            return {}, {}
        return entries, pointers


def read_exif_block(data: bytes, problems: list[str]) -> tuple[Exif, dict[int, Any]]:
    """Reads an EXIF block, which has the structure of a TIFF file.

    Corrupt entries and those that can't be copied are reported in ``problems``.

    Returns:
        The entries to copy into a derivative, and the first value of each tag, by number.

    Raises:
        ValueError: it is not a valid EXIF block.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        raise ValueError("it doesn't start as EXIF does")

    def read(offset: int, count: int) -> bytes:
        if offset + count > len(data):
            raise ValueError("it ends too soon")
        return data[offset : offset + count]

    reader = _Reader(read=read, order=order, big=False, problems=problems)
    entries, pointers, thumbnail = reader.directory(struct.unpack(order + "I", data[4:8])[0], lambda _: True)
    if thumbnail:
        problems.append("the EXIF thumbnail isn't carried: it shows the master")
    exif = reader.rest({tag: entry for tag, entry in entries.items() if tag not in _LAYOUT}, pointers)
    return exif, {entry.tag: entry.first for entry in (*exif.capture, *entries.values())}


def read_exif_of_tiff(file: BinaryIO, page: TiffPage, problems: list[str]) -> tuple[Exif, dict[int, Any]]:
    """Reads the tags of a TIFF page.

    Corrupt entries and those that can't be copied are reported in ``problems``, except those that tifffile has already
    dropped from ``page``.

    Returns:
        The entries to copy into a derivative, and the first value of each capture tag, by number.
    """
    known = {tag.code for tag in page.tags} - _LAYOUT

    def read(start: int, count: int) -> bytes:
        data = os.pread(file.fileno(), count, start) if start < 1 << 63 else b""
        if len(data) < count:
            raise ValueError("it ends too soon")
        return data

    reader = _Reader(read=read, order=page.parent.byteorder, big=page.parent.is_bigtiff, problems=problems)
    try:
        image, pointers, _ = reader.directory(page.offset, known.__contains__)
    except ValueError as error:
        problems.append(f"the TIFF's tags are corrupt and were left out ({error})")
        return Exif(), {}
    exif = reader.rest(image, pointers)
    return exif, {entry.tag: entry.first for entry in exif.capture}


def write_directories(image: Sequence[Entry], exif: Exif, *, at: int, bigtiff: bool) -> bytes:
    """Serialises the main directory of a TIFF, with the entries ``image``, and the other directories of ``exif``.

    ``at`` is the offset at which they will be written.
    """
    subs = {_EXIF: list(exif.capture), _GPS: list(exif.gps)}
    if exif.interoperability:
        subs[_EXIF].append(_pointer(_INTEROPERABILITY, 0))
    subs = {tag: entries for tag, entries in subs.items() if entries}
    position = at + _size([*image, *(_pointer(tag, 0) for tag in subs)], bigtiff)
    parts, main = list[bytes](), list(image)
    for tag, entries in subs.items():
        main.append(_pointer(tag, position))
        position += _size(entries, bigtiff)
        if tag == _EXIF and exif.interoperability:
            entries[-1] = _pointer(_INTEROPERABILITY, position)
            parts.append(_directory(entries, position - _size(entries, bigtiff), bigtiff))
            entries = list(exif.interoperability)
            position += _size(entries, bigtiff)
        parts.append(_directory(entries, position - _size(entries, bigtiff), bigtiff))
    return b"".join([_directory(main, at, bigtiff), *parts])


def _pointer(tag: int, offset: int) -> Entry:
    return Entry(tag=tag, kind=4, count=1, data=struct.pack("<I", offset))


def _size(entries: Sequence[Entry], bigtiff: bool) -> int:
    inline, fixed, each = (8, 16, 20) if bigtiff else (4, 6, 12)
    return fixed + each * len(entries) + sum(len(e.data) + len(e.data) % 2 for e in entries if len(e.data) > inline)


def _directory(entries: Sequence[Entry], at: int, bigtiff: bool) -> bytes:
    inline, word, count = (8, "<Q", "<Q") if bigtiff else (4, "<I", "<H")
    position = at + struct.calcsize(count) + (12 + 8 * bigtiff) * len(entries) + inline
    table, values = [struct.pack(count, len(entries))], list[bytes]()
    for entry in sorted(entries, key=lambda entry: entry.tag):
        value = entry.data.ljust(inline, b"\0")
        if len(entry.data) > inline:
            value = struct.pack(word, position)
            values.append(entry.data + b"\0" * (len(entry.data) % 2))
            position += len(values[-1])
        table.append(struct.pack("<HH", entry.tag, entry.kind) + struct.pack(word, entry.count) + value)
    return b"".join([*table, bytes(inline), *values])


def _swapped(data: bytes, unit: int) -> bytes:
    if unit == 1:
        return data
    whole = len(data) // unit * unit
    return b"".join(data[at : at + unit][::-1] for at in range(0, whole, unit)) + data[whole:]
