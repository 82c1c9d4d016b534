"""View pyramids: a picture in sRGB and 8 bits, halved again and again, as JPEG tiles in one TIFF.

The file is a tiled, pyramidal TIFF, as many viewers open it. It is written in one pass over the picture, in memory that
grows with its width only. Halving takes the mean of 2 x 2 pixels; a level's size is rounded up, its last row or column
repeated, which is what IIIF viewers expect of scale factors.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage, TiffWriter

from restoration.image import Source, SrgbConversion

TILE_PX = 512
_QUALITY = 95
_BAND_BYTES = 48 * 1024 * 1024  # of float32 values that are read at once
Pixels = NDArray[np.uint8]
Advance = Callable[[float], None]


def write_pyramid(source: Source, path: Path, advance: Advance) -> None:
    """Writes the pyramid of a picture.

    Args:
        source: the picture.
        path: the new file.
        advance: is called with the completed share of the work, in [0, 1].

    Raises:
        ImageError: the picture can't be decoded.
        OSError: it can't be read, or the pyramid can't be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        first = _Level(Path(folder), source.info.width, source.info.height)
        info, conversion = source.info, SrgbConversion.of(source.info)
        rows = max(1, min(TILE_PX, _BAND_BYTES // (info.width * 3 * 4)))
        for y in range(0, info.height, rows):
            band = source.read(0, y, info.width, min(rows, info.height - y))
            first.write(_in_eight_bits(band if conversion is None else conversion.to_srgb(band)))
            advance(min(1.0, (y + rows) / info.height))
        first.finish()
        with TiffWriter(path, bigtiff=True) as tiff:
            for level in first.and_below():
                level.copy_into(tiff)


def _in_eight_bits(values: NDArray[np.float32]) -> Pixels:
    """(1, C, h, w) in [0, 1] as (h, w, C)."""
    pixels: Pixels = np.rint(values[0].transpose(1, 2, 0) * np.float32(255)).astype(np.uint8)
    return pixels


class _Level:
    """One level while it is written: tiles go to a file of their own, halved rows to the next level."""

    def __init__(self, folder: Path, width: int, height: int, number: int = 0) -> None:
        self.width, self.height = width, height
        self._number = number
        self._file: BinaryIO = (folder / f"{number}.tiles").open("w+b")
        self._lengths: list[int] = []
        self._channels = 0
        self._rows: list[Pixels] = []
        self._waiting: Pixels | None = None  # a last row without the one it is halved with
        self.next: _Level | None = None
        if max(width, height) > TILE_PX:
            self.next = _Level(folder, -(-width // 2), -(-height // 2), number + 1)

    def write(self, band: Pixels) -> None:
        self._channels = band.shape[2]
        self._rows.append(band)
        if sum(len(each) for each in self._rows) >= TILE_PX:
            together = np.concatenate(self._rows)
            whole = len(together) // TILE_PX * TILE_PX
            for top in range(0, whole, TILE_PX):
                self._write_tiles(together[top : top + TILE_PX])
            self._rows = [together[whole:]] if whole < len(together) else []
        if self.next is not None:
            self._halve(band)

    def finish(self) -> None:
        if self._rows:
            self._write_tiles(np.concatenate(self._rows))
            self._rows = []
        if self.next is not None:
            if self._waiting is not None:
                self.next.write(_halved(np.concatenate([self._waiting, self._waiting])))
            self.next.finish()

    def and_below(self) -> Iterator[_Level]:
        yield self
        if self.next is not None:
            yield from self.next.and_below()

    def copy_into(self, tiff: TiffWriter) -> None:
        is_grey = self._channels == 1
        self._file.seek(0)
        tiff.write(
            (self._file.read(length) for length in self._lengths),
            shape=(self.height, self.width) if is_grey else (self.height, self.width, 3),
            dtype=np.uint8,
            tile=(TILE_PX, TILE_PX),
            photometric="minisblack" if is_grey else "ycbcr",
            compression="jpeg",
            subsampling=None if is_grey else (1, 1),
            subfiletype=1 if self._number else 0,
            metadata=None,
        )
        self._file.close()

    def _halve(self, band: Pixels) -> None:
        if self._waiting is not None:
            band = np.concatenate([self._waiting, band])
        even = len(band) // 2 * 2
        self._waiting = band[even:] if even < len(band) else None
        if even and self.next is not None:
            self.next.write(_halved(band[:even]))

    def _write_tiles(self, rows: Pixels) -> None:
        for left in range(0, self.width, TILE_PX):
            tile = rows[:, left : left + TILE_PX]
            missing = (0, TILE_PX - tile.shape[0]), (0, TILE_PX - tile.shape[1]), (0, 0)
            encoded = encode_jpeg(np.pad(tile, missing, mode="edge"), _QUALITY)
            self._file.write(encoded)
            self._lengths.append(len(encoded))


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """(h, w, 1 or 3) as JPEG, grey or YCbCr without subsampling."""
    if pixels.shape[2] == 1:
        return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels[..., 0]), level=quality))
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=quality, subsampling="444"))


def _halved(pixels: Pixels) -> Pixels:
    """The mean of 2 x 2 pixels; an odd last column is taken twice."""
    if pixels.shape[1] % 2:
        pixels = np.concatenate([pixels, pixels[:, -1:]], axis=1)
    height, width, channels = pixels.shape
    sums = pixels.reshape(height // 2, 2, width // 2, 2, channels).sum(axis=(1, 3), dtype=np.uint16)
    halved: Pixels = ((sums + 2) // 4).astype(np.uint8)
    return halved


class LevelLayout(NamedTuple):
    """Where the tiles of a level lie."""

    width: int
    height: int
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def columns(self) -> int:
        return -(-self.width // TILE_PX)


class Pyramid:
    """A finished pyramid, open for reading from several threads."""

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            OSError: it can't be opened.
            ValueError: it is not a pyramid of this software, or is damaged.
        """
        with TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, TiffPage)]
            self.levels = tuple(
                LevelLayout(page.imagewidth, page.imagelength, tuple(page.dataoffsets), tuple(page.databytecounts))
                for page in pages
            )
        if not self.levels or pages[0].tilewidth != TILE_PX:
            raise ValueError(f"{path} is not a view pyramid")
        self.is_grey = pages[0].samplesperpixel == 1
        self._descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if descriptor := getattr(self, "_descriptor", None):
            os.close(descriptor)

    @property
    def width(self) -> int:
        return self.levels[0].width

    @property
    def height(self) -> int:
        return self.levels[0].height

    def tile(self, level: int, column: int, row: int) -> bytes:
        """A whole tile as stored: a JPEG of :data:`TILE_PX` squared, beyond the picture's edge padded."""
        layout = self.levels[level]
        number = row * layout.columns + column
        return os.pread(self._descriptor, layout.lengths[number], layout.offsets[number])

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """A rectangle of a level, (height, width, 1 or 3)."""
        pixels = np.empty((height, width, 1 if self.is_grey else 3), np.uint8)
        for row in range(y // TILE_PX, -(-(y + height) // TILE_PX)):
            for column in range(x // TILE_PX, -(-(x + width) // TILE_PX)):
                tile = np.asarray(imagecodecs.jpeg8_decode(self.tile(level, column, row)))
                left, top = column * TILE_PX, row * TILE_PX
                x0, x1 = max(x, left), min(x + width, left + TILE_PX)
                y0, y1 = max(y, top), min(y + height, top + TILE_PX)
                part = tile.reshape(TILE_PX, TILE_PX, -1)[y0 - top : y1 - top, x0 - left : x1 - left]
                pixels[y0 - y : y1 - y, x0 - x : x1 - x] = part
        return pixels
