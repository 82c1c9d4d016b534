"""The pixels of one TIFF page, read by window."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from restoration.errors import UnreadableImageError
from restoration.image.image_info import Limits
from restoration.image.stored_pixels import Samples, StoredPixels

JPEG_COMPRESSIONS = (6, 7)
_CACHE_BYTES = 512 * 1024 * 1024


class TiffPixels:
    """Reads windows of one page: directly from the file if it is uncompressed, else by decoding its strips or tiles.

    Decoded strips and tiles are cached up to 512 MiB, or two rows of them if that is more, so that a row of windows
    doesn't decode them repeatedly. For a 16-bit RGB picture 70,000 px wide, the cache holds 1,200 rows.
    """

    def __init__(self, file: BinaryIO, tiff: TiffFile, page: TiffPage, limits: Limits) -> None:
        """Prepares reading, without allocating memory for pixels.

        Raises:
            UnreadableImageError: the strips or tiles have no size.
            ImageTooLargeError: decoding them would take more memory than ``limits`` allow.
        """
        self._file = file
        self._page = page
        self._stored_dtype = np.dtype(f"{tiff.byteorder}u{page.bitspersample // 8}")
        self._dtype = self._stored_dtype.newbyteorder("=")
        self._planar = page.planarconfig == 2 and page.samplesperpixel > 1
        self._segment_rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        self._segment_columns = page.tilewidth if page.is_tiled else page.imagewidth
        if self._segment_rows < 1 or self._segment_columns < 1:
            raise UnreadableImageError("the TIFF's strips or tiles have no size")
        self._across = -(-page.imagewidth // self._segment_columns)
        self._down = -(-page.imagelength // self._segment_rows)
        self._segments: OrderedDict[int, Samples] = OrderedDict()
        self._kept_bytes = 0
        self._cache_bytes = _CACHE_BYTES
        if not page.is_final:
            self._check_segments(limits)

    def _check_segments(self, limits: Limits) -> None:
        page = self._page
        segment = self._segment_rows * self._segment_columns * page.samplesperpixel * self._dtype.itemsize
        rows = segment * self._across * min(2, self._down)  # of all planes; a window may overlap two rows of segments
        of_decoder = segment // (page.samplesperpixel if self._planar else 1) + max(page.databytecounts)
        what = f"a row of the TIFF's {'tiles' if page.is_tiled else 'strips'}, {self._segment_rows} px high,"
        limits.check_decoding(what, rows + of_decoder)
        self._cache_bytes = max(_CACHE_BYTES, rows)

    @property
    def costly_across(self) -> bool:
        """Whether reading column by column would decode the strips repeatedly."""
        page = self._page
        decoded = page.imagelength * page.imagewidth * page.samplesperpixel * self._dtype.itemsize
        return not page.is_final and self._across == 1 and decoded > self._cache_bytes

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
        direct = out.flags.c_contiguous and out.dtype == self._stored_dtype
        stored = out if direct else np.empty(out.shape, self._stored_dtype)
        if width == page.imagewidth:
            self._read_into(stored, first)
        else:
            for row in range(height):
                self._read_into(stored[row], first + (row * page.imagewidth + x) * size)
        if not direct:
            out[...] = stored

    def _read_segments(self, out: Samples, plane: int, x: int, y: int) -> None:
        height, width, _ = out.shape
        rows, columns = self._segment_rows, self._segment_columns
        for row in range(y // rows, -(-(y + height) // rows)):
            for column in range(x // columns, -(-(x + width) // columns)):
                segment = self._segment((plane * self._down + row) * self._across + column)
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
        arguments = {"jpegtables": page.jpegtables} if page.compression in JPEG_COMPRESSIONS else {}
        try:
            decoded = page.decode(data, index, **arguments)[0]
        except MemoryError:
            raise
        # Each codec of imagecodecs has its own exception class.
        except Exception as error:
            raise UnreadableImageError(f"strip or tile {index} of the TIFF can't be decoded: {error}") from error
        if decoded is None or decoded.dtype != self._dtype:
            raise UnreadableImageError(f"strip or tile {index} of the TIFF decodes to something else")
        segment = cast(Samples, decoded[0])
        self._segments[index] = segment
        self._kept_bytes += segment.nbytes
        while self._kept_bytes > self._cache_bytes and len(self._segments) > 1:
            self._kept_bytes -= self._segments.popitem(last=False)[1].nbytes
        return segment

    def _read_bytes(self, offset: int, count: int) -> bytes:
        data = np.empty(count, np.uint8)
        self._read_into(data, offset)
        return data.tobytes()

    def _read_into(self, values: Samples, offset: int) -> None:
        """Fills a contiguous array with the file's bytes from ``offset`` on."""
        left = values.reshape(-1).view(np.uint8).data
        # One read returns at most 2 GiB.
        while left and (count := os.preadv(self._file.fileno(), [left[: 1 << 30]], offset)):
            left, offset = left[count:], offset + count
        if left:
            raise UnreadableImageError("the TIFF ends before its pixels do: it is truncated")


def check_pixel_data(page: TiffPage, number: int, size: int) -> None:
    """Checks that the strips or tiles of a page lie within the file, and are large enough if they aren't compressed.

    Args:
        page: the page.
        number: its number in the error, from 1.
        size: the file's size, bytes.

    Raises:
        UnreadableImageError: pixels are missing.
    """
    which, counts = f"picture {number} of the TIFF", page.databytecounts
    if not page.dataoffsets or len(page.dataoffsets) != len(counts):
        raise UnreadableImageError(f"{which} doesn't say where its pixels lie: it is corrupt")
    for index, (offset, count) in enumerate(zip(page.dataoffsets, counts, strict=True), 1):
        if offset + count > size:
            part = f"{index} of its {len(counts)} {'tiles' if page.is_tiled else 'strips'}"
            raise UnreadableImageError(f"the TIFF ends before its pixels do ({which}, {part}): it is truncated")
    # tifffile reads one strip as it reads a whole picture, whatever its size is.
    if page.compression == 1 and sum(counts) < page.nbytes and page.bitspersample >= 8:
        raise UnreadableImageError(f"{which} holds {sum(counts)} bytes of pixels and needs {page.nbytes}")


class PaletteColours:
    """A picture stored as numbers of colours, read as 8-bit RGB."""

    def __init__(self, pixels: StoredPixels, colours: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self._colours = colours

    def read(self, x: int, y: int, width: int, height: int) -> Samples:
        colours: Samples = self._colours[self._pixels.read(x, y, width, height)[..., 0]]
        return colours


def palette_colours(page: TiffPage) -> NDArray[np.uint8] | None:
    """The colours of a page's palette as 8-bit RGB, (colours, 3); None where 8 bits don't hold them exactly.

    TIFF has 16 bits per value; programs write 8-bit ones times 257, times 256, or as they are.
    """
    if page.colormap is None or page.bitspersample != 8 or page.samplesperpixel != 1:
        return None
    stored = np.asarray(page.colormap).T
    for factor in (257, 256):
        if not (stored % factor).any():
            return (stored // factor).astype(np.uint8)
    return stored.astype(np.uint8) if stored.max() <= 255 else None


class Inverted:
    """A grey picture stored with white as 0, read with black as 0; extra samples aren't changed."""

    def __init__(self, pixels: StoredPixels) -> None:
        self._pixels = pixels

    def read(self, x: int, y: int, width: int, height: int) -> Samples:
        samples = self._pixels.read(x, y, width, height)
        samples[..., 0] = np.iinfo(samples.dtype).max - samples[..., 0]
        return samples
