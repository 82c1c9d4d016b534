"""EXIF, entry by entry and byte for byte, as a TIFF's directories or a block of its own holds it.

Values are copied and never interpreted, so that a tag nobody here knows arrives as it was. What describes the layout
of the one file (sizes, strips, orientation, thumbnail) is left out: a derivative states its own.
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
"""Bytes that change places between the byte orders, by kind of value. Kinds 13 and 18 are offsets, never carried."""

_MAX_VALUE_BYTES = 64 * 1024 * 1024
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_POINTERS = (_EXIF, _GPS, _INTEROPERABILITY)
_OTHER_BLOCKS = {700, 33723, 34377, 34675}  # XMP, IPTC, Photoshop, ICC: carried by themselves
_LAYOUT_RANGES = ((254, 259), (262, 266), (273, 274), (277, 284), (288, 290), (320, 325), (330, 350), (512, 521))
_LAYOUT = _OTHER_BLOCKS | {292, 293, 296, 297, 317, 321, 529, 530, 531, 532, 559, 33421, 33422}
_LAYOUT |= {tag for first, last in _LAYOUT_RANGES for tag in range(first, last + 1)}
# Components, compression and size: EXIF has them in compressed files only, where the file's own header lacks them.
_EXIF_LAYOUT = {0x9101, 0x9102, 0xA002, 0xA003}
_UNCARRIED = {
    291: "the TIFF's grey response curve isn't carried",
    37724: "Photoshop's layers in the TIFF aren't carried",
    52545: "the Content Credentials (C2PA) aren't carried: they hold for the master's bytes only",
}
# Tags by which programs describe the layout of their own file: of a derivative they would be wrong.
_OF_PROGRAMS = {
    **dict.fromkeys((50838, 50839), "ImageJ"),
    **dict.fromkeys((42112, 42113), "GDAL"),
    **dict.fromkeys((33628, 33629, 33630, 33631), "MetaMorph"),
    **dict.fromkeys((34361, 34362, 34386), "Fluoview"),
    **dict.fromkeys((34412,), "Zeiss LSM"),
    **dict.fromkeys((34680, 34682), "FEI"),
    **dict.fromkeys((65000, 65420, 65421, 65422, 65426, 65427, 65428, 65439), "a slide scanner"),
}
_DESCRIPTION = 270
# tifffile's own, ImageJ, OME, MetaMorph, ScanImage, slide scanners: readers look for pages by what these say.
_LAYOUT_DESCRIPTION = re.compile(
    rb'\s*(?:\{"shape"\s*:|shape=\(|ImageJ=|(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:\w+:)?(?:OME|MetaData|PerkinElmer-QPI|scn)\b'
    rb"|SI\.\w+|state\.\w+|scanimage|Aperio |Fluoview|SVS|Hamamatsu)",
    re.DOTALL,
)
_DESCRIPTION_TOLD = 300  # characters
_USER_COMMENT, _MAKER_NOTE = 0x9286, 0x927C
_INNER_ORDER = {0x8828, 0xA20C, 0xA302, 0xA40B}  # UNDEFINED values with numbers inside


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tag: its TIFF kind of value, how many, and their bytes, little endian."""

    tag: int
    kind: int
    count: int
    data: bytes

    @property
    def first(self) -> Any:
        """The first value: an int, a pair of ints for a fraction, or all bytes of a text."""
        if self.kind in (3, 4):
            return int.from_bytes(self.data[: _SIZES[self.kind]], "little")
        return struct.unpack_from("<II", self.data) if self.kind == 5 else self.data


@dataclass(frozen=True, kw_only=True)
class Exif:
    """What EXIF says beside the file's layout: of the image, of its capture, its place, and for interoperability."""

    image: tuple[Entry, ...] = ()
    capture: tuple[Entry, ...] = ()
    gps: tuple[Entry, ...] = ()
    interoperability: tuple[Entry, ...] = ()


@dataclass(kw_only=True)
class _Reader:
    """Directories at offsets of whatever ``read`` reads, with what was found broken in them."""

    read: Callable[[int, int], bytes]  # offset, count; ValueError where there is less
    order: str
    big: bool
    problems: list[str]

    def directory(self, offset: int, carried: Callable[[int], bool]) -> tuple[dict[int, Entry], dict[int, int], int]:
        """The entries to be ``carried`` by tag, the pointers to further directories, and the next directory's offset.

        Raises:
            ValueError: the directory isn't there.
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
        """All that the main directory's pointers lead to, together with its own ``image`` entries."""
        capture, inner = self._sub_directory(pointers.get(_EXIF), "EXIF block", _EXIF_LAYOUT)
        gps, _ = self._sub_directory(pointers.get(_GPS), "EXIF block's GPS part")
        interoperability, _ = self._sub_directory(inner.get(_INTEROPERABILITY), "EXIF interoperability part")
        if _MAKER_NOTE in capture:
            self.problems.append("the EXIF maker note is carried as it stands: places that it names are the master's")
        for tag in _UNCARRIED.keys() & image.keys():
            self.problems.append(_UNCARRIED[tag])
            del image[tag]
        self._leave_layout(image)
        return Exif(
            image=tuple(image.values()),
            capture=tuple(capture.values()),
            gps=tuple(gps.values()),
            interoperability=tuple(interoperability.values()),
        )

    def _leave_layout(self, image: dict[int, Entry]) -> None:
        """Take out what describes the master's file instead of its picture, and tell it."""
        programs = {_OF_PROGRAMS[tag] for tag in _OF_PROGRAMS.keys() & image.keys()}
        for program in sorted(programs):
            tags = sorted(tag for tag in image if _OF_PROGRAMS.get(tag) == program)
            self.problems.append(
                f"the tags of {program} ({', '.join(map(str, tags))}) aren't carried: they describe the file"
            )
            for tag in tags:
                del image[tag]
        description = image.get(_DESCRIPTION)
        if description is not None and _LAYOUT_DESCRIPTION.match(description.data):
            text = description.data.rstrip(b"\0").decode("utf-8", "replace")
            told = text[:_DESCRIPTION_TOLD] + ("..." if len(text) > _DESCRIPTION_TOLD else "")
            self.problems.append(f"the ImageDescription isn't carried, it describes the file's layout: {told!r}")
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
    """What can be carried of an EXIF block, which is a small TIFF, and the first value of each of its tags by number.

    What is broken or isn't carried is added to ``problems``.

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
    """What can be carried of a TIFF page's tags, and the first value of each tag of its capture by number.

    What is broken or isn't carried is added to ``problems``, but for tags that ``page`` has lost already.
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
    """A TIFF's main directory of the entries ``image``, and those of ``exif`` but its ``image``, to lie at ``at``."""
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
