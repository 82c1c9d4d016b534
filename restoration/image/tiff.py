"""TIFF, through tifffile and imagecodecs (Pillow reads 16-bit RGB as 8-bit without a word), read by window."""

from __future__ import annotations

import logging
import math
import os
from collections import OrderedDict
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from tifffile import TiffFile, TiffPage

from restoration.errors import ImageError, UnreadableImageError, UnsupportedImageError
from restoration.image.embedded import Blocks, iptc_of_photoshop, read_resolution
from restoration.image.header import upright_info
from restoration.image.info import ExtraSample, check_size
from restoration.image.stored import Opened, Samples, StoredPixels

# tifffile reports what it finds odd to this logger; what matters of it is checked and said here.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_CACHE_BYTES = 256 * 1024 * 1024
_JPEG_COMPRESSIONS = (6, 7)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_EXTRA_SAMPLES: dict[int, ExtraSample] = {0: "unspecified", 1: "associated alpha", 2: "unassociated alpha"}
_COLOUR_TAGS = {301: "TransferFunction", 318: "WhitePoint", 319: "PrimaryChromaticities"}
_REFUSED_PHOTOMETRICS = {
    _PALETTE: "a palette picture: convert it to RGB or grey",
    4: "a transparency mask: name the picture that it belongs to",
    _SEPARATED: "a CMYK picture: convert it to RGB with its profile",
    _YCBCR: "a YCbCr picture that isn't JPEG-compressed: convert it to RGB",
    8: "a CIELab picture: convert it to RGB with a profile",
    32803: "a camera raw picture: develop it to a 16-bit TIFF",
    34892: "a camera raw picture: develop it to a 16-bit TIFF",
}


def open_tiff(file: BinaryIO, *, max_pixels: int) -> Opened:
    """Reads a TIFF's directories; its pixels are decoded as they are asked for.

    Raises:
        UnreadableImageError: it is no whole TIFF.
        UnsupportedImageError: it isn't one 8- or 16-bit grey or RGB picture.
        ImageTooLargeError: it declares more than ``max_pixels``.
    """
    try:
        file.seek(0)
        tiff = TiffFile(file, name="scan")
        pages = [page for page in tiff.pages if isinstance(page, TiffPage)]
        return _open_pages(file, tiff, pages, max_pixels)
    except ImageError:
        raise
    # A corrupt TIFF makes tifffile fail in ways that no list of exceptions covers.
    except Exception as error:
        raise UnreadableImageError(f"the TIFF can't be read: {error}") from error


def _open_pages(file: BinaryIO, tiff: TiffFile, pages: list[TiffPage], max_pixels: int) -> Opened:
    if not pages or any(page.imagewidth < 1 or page.imagelength < 1 for page in pages):
        raise UnreadableImageError("the TIFF has no picture, or its directory is corrupt")
    problems: list[str] = []
    page = _main_page(pages, problems)
    check_size(page.imagewidth, page.imagelength, max_pixels)
    channels = _colour_channels(page)
    _check_data_within(page, os.fstat(file.fileno()).st_size)
    tags = {tag.code: tag.value for tag in page.tags}
    exif = tags.get(34665)
    if exif is not None and not isinstance(exif, dict):
        problems.append("the EXIF block is corrupt and was left out")
    blocks = Blocks(xmp=_as_bytes(tags.get(700)), iptc=_iptc(tags), problems=problems)
    profile = _as_bytes(tags.get(34675))
    if profile is None and (colour := [name for tag, name in _COLOUR_TAGS.items() if tag in tags]):
        problems.append(f"the colour that the TIFF states in {', '.join(colour)}, without a profile, isn't carried")
    info, orientation = upright_info(
        format="TIFF",
        width=page.imagewidth,
        height=page.imagelength,
        bits_per_sample=8 if page.bitspersample == 8 else 16,
        colour_channels=channels,
        extra_samples=_extra_samples(page, channels),
        resolution=read_resolution(tags, problems),
        profile=profile,
        blocks=blocks,
        tags=tags | _exif_dates(exif),
    )
    pixels: StoredPixels = _TiffPixels(file, tiff, page)
    if page.photometric == _WHITE_IS_ZERO:
        pixels = _Inverted(pixels)
    return Opened(info=info, pixels=pixels, orientation=orientation)


def _main_page(pages: list[TiffPage], problems: list[str]) -> TiffPage:
    """The one picture in the file: the largest page, where all others are previews of it."""
    main = max(pages, key=lambda page: page.imagewidth * page.imagelength)
    for page in pages:
        if page is main:
            continue
        if not (page.is_reduced or _looks_like_preview(page, main)):
            raise UnsupportedImageError(f"a TIFF of {len(pages)} pictures: save each as a file of its own")
        problems.append(f"a preview of {page.imagewidth}x{page.imagelength} px in the file isn't carried")
    if 50706 in main.tags:
        raise UnsupportedImageError("a camera raw picture (DNG): develop it to a 16-bit TIFF")
    if 330 in main.tags:
        problems.append("further pictures in the TIFF (SubIFDs: smaller copies, as a rule) aren't carried")
    return main


def _looks_like_preview(page: TiffPage, main: TiffPage) -> bool:
    """Whether a page is the main one made small: a quarter of its size at most, of the same shape."""
    smaller = max(page.imagewidth, page.imagelength) * 4 <= max(main.imagewidth, main.imagelength)
    shape = (page.imagewidth * main.imagelength) / (page.imagelength * main.imagewidth)
    return smaller and abs(math.log(shape)) < 0.1


def _colour_channels(page: TiffPage) -> Literal[1, 3]:
    if page.bitspersample not in (8, 16) or page.sampleformat != 1 or page.dtype is None:
        kinds = {1: "integer", 2: "signed integer", 3: "floating point"}
        kind = "bilevel" if page.bitspersample == 1 else kinds.get(int(page.sampleformat), "unusual")
        raise UnsupportedImageError(f"a {kind} picture of {page.bitspersample} bits a sample: save it with 8 or 16")
    if page.imagedepth != 1:
        raise UnsupportedImageError("a volume of pictures: save each as a file of its own")
    if page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and page.samplesperpixel >= 1:
        return 1
    if page.photometric == _RGB or (page.photometric == _YCBCR and page.compression in _JPEG_COMPRESSIONS):
        if page.samplesperpixel >= 3:
            return 3
        raise UnreadableImageError(f"the TIFF says RGB but has {page.samplesperpixel} samples a pixel")
    reason = _REFUSED_PHOTOMETRICS.get(int(page.photometric), f"a picture of the photometric {page.photometric!r}")
    raise UnsupportedImageError(f"{reason}, and save it as an 8- or 16-bit TIFF")


def _extra_samples(page: TiffPage, channels: int) -> tuple[ExtraSample, ...]:
    kinds = [_EXTRA_SAMPLES.get(int(kind), "unspecified") for kind in page.extrasamples]
    count = page.samplesperpixel - channels
    return tuple((kinds + ["unspecified"] * count)[:count])


def _check_data_within(page: TiffPage, size: int) -> None:
    if not page.dataoffsets or any(
        offset + count > size for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    ):
        raise UnreadableImageError("the TIFF ends before its pixels do: it is truncated")


def _exif_dates(exif: Any) -> dict[int, Any]:
    if not isinstance(exif, dict):
        return {}
    return {36867: exif.get("DateTimeOriginal"), 36868: exif.get("DateTimeDigitized")}


def _iptc(tags: dict[int, Any]) -> bytes | None:
    if iptc := _as_bytes(tags.get(33723)):
        return iptc
    photoshop = _as_bytes(tags.get(34377))
    return iptc_of_photoshop(photoshop) if photoshop else None


def _as_bytes(value: Any) -> bytes | None:
    return value if isinstance(value, bytes) else None


class _TiffPixels:
    """Windows of one page: straight from the file where nothing is encoded, else from its strips or tiles.

    Decoded strips and tiles are kept up to 256 MiB, so that a row of windows doesn't decode them again.
    """

    def __init__(self, file: BinaryIO, tiff: TiffFile, page: TiffPage) -> None:
        self._file = file
        self._page = page
        self._stored_dtype = np.dtype(f"{tiff.byteorder}u{page.bitspersample // 8}")
        self._dtype = self._stored_dtype.newbyteorder("=")
        self._planar = page.planarconfig == 2 and page.samplesperpixel > 1
        self._segment_rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        self._segment_columns = page.tilewidth if page.is_tiled else page.imagewidth
        if self._segment_rows < 1 or self._segment_columns < 1:
            raise UnreadableImageError("the TIFF's strips or tiles have no size")
        self._segments: OrderedDict[int, Samples] = OrderedDict()
        self._kept_bytes = 0

    def read(self, x: int, y: int, width: int, height: int) -> Samples:
        out = np.empty((height, width, self._page.samplesperpixel), self._dtype)
        fill = self._read_plain if self._page.is_final else self._read_segments
        if self._planar:
            for plane in range(self._page.samplesperpixel):
                fill(out[..., plane : plane + 1], plane, x, y)
        else:
            fill(out, 0, x, y)
        return out

    def _read_plain(self, out: Samples, plane: int, x: int, y: int) -> None:
        height, width, samples = out.shape
        page, size = self._page, self._stored_dtype.itemsize * samples
        first = page.dataoffsets[0] + (plane * page.imagelength + y) * page.imagewidth * size
        if width == page.imagewidth:
            rows = self._read_bytes(first, height * width * size)
            out[...] = np.frombuffer(rows, self._stored_dtype).reshape(out.shape)
            return
        for row in range(height):
            data = self._read_bytes(first + (row * page.imagewidth + x) * size, width * size)
            out[row] = np.frombuffer(data, self._stored_dtype).reshape(width, samples)

    def _read_segments(self, out: Samples, plane: int, x: int, y: int) -> None:
        height, width, _ = out.shape
        page, rows, columns = self._page, self._segment_rows, self._segment_columns
        across, down = -(-page.imagewidth // columns), -(-page.imagelength // rows)
        for row in range(y // rows, -(-(y + height) // rows)):
            for column in range(x // columns, -(-(x + width) // columns)):
                segment = self._segment((plane * down + row) * across + column)
                top, left = row * rows, column * columns
                y0, y1 = max(y, top), min(y + height, top + rows)
                x0, x1 = max(x, left), min(x + width, left + columns)
                out[y0 - y : y1 - y, x0 - x : x1 - x] = segment[y0 - top : y1 - top, x0 - left : x1 - left]

    def _segment(self, index: int) -> Samples:
        if index in self._segments:
            self._segments.move_to_end(index)
            return self._segments[index]
        page = self._page
        if index >= len(page.dataoffsets) or page.databytecounts[index] == 0:
            raise UnreadableImageError(f"strip or tile {index} of the TIFF is empty")
        data = self._read_bytes(page.dataoffsets[index], page.databytecounts[index])
        arguments = {"jpegtables": page.jpegtables} if page.compression in _JPEG_COMPRESSIONS else {}
        try:
            decoded = page.decode(data, index, **arguments)[0]
        # The codecs of imagecodecs have an exception class each.
        except Exception as error:
            raise UnreadableImageError(f"strip or tile {index} of the TIFF can't be decoded: {error}") from error
        if decoded is None or decoded.dtype != self._dtype:
            raise UnreadableImageError(f"strip or tile {index} of the TIFF decodes to something else")
        segment = cast(Samples, decoded[0])
        self._segments[index] = segment
        self._kept_bytes += segment.nbytes
        while self._kept_bytes > _CACHE_BYTES and len(self._segments) > 1:
            self._kept_bytes -= self._segments.popitem(last=False)[1].nbytes
        return segment

    def _read_bytes(self, offset: int, count: int) -> bytes:
        # A single read gives at most 2 GiB.
        parts = []
        while count > 0 and (part := os.pread(self._file.fileno(), min(count, 1 << 30), offset)):
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        if count > 0:
            raise UnreadableImageError("the TIFF ends before its pixels do: it is truncated")
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Inverted:
    """A grey picture stored with white as 0, read with black as 0; extra samples stay as they are."""

    def __init__(self, pixels: StoredPixels) -> None:
        self._pixels = pixels

    def read(self, x: int, y: int, width: int, height: int) -> Samples:
        samples = self._pixels.read(x, y, width, height)
        samples[..., 0] = np.iinfo(samples.dtype).max - samples[..., 0]
        return samples
