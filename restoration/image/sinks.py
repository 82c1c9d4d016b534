"""Sinks for restored pictures: an array, or a TIFF that is written band by band."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from restoration.errors import ImageError
from restoration.image.deflate_strip_writer import DeflateStrips, rows_per_strip
from restoration.image.image_info import ImageInfo
from restoration.image.picture import Source
from restoration.image.provenance_metadata import Provenance, derived_xmp
from restoration.image.stored_pixels import Samples
from restoration.image.tiff_header_writer import write_header

_DIGEST_BAND_ROWS = 256
_QUANTISED_PIXELS = 1 << 15  # at a time; their values fit into a processor's cache


class Sink(Protocol):
    """Receives a picture in bands of whole rows, from top to bottom."""

    def write(self, y: int, band: NDArray[np.float32], extra: Samples) -> None:
        """Writes a band of rows.

        Args:
            y: the first row; each band must begin where the previous one ended.
            band: encoded values, (1, colour channels, rows, picture's width), float32; clipped to [0, 1] and rounded.
            extra: other samples as stored, (rows, picture's width, count).
        """
        ...

    def restart(self) -> None:
        """Discards all rows; the next band must begin at row 0 again."""
        ...

    @property
    def pixel_sha256(self) -> str:
        """SHA-256, in hex, of the quantised samples: row by row, chunky, little endian. Call it after the last row."""
        ...


class _Quantiser:
    """Rounds bands to the sample type of ``info``, digests them, and checks that every row comes once and in order."""

    def __init__(self, info: ImageInfo) -> None:
        self.info = info
        self._digest = hashlib.sha256()
        self._next_row = 0

    def quantised(self, y: int, band: NDArray[np.float32], extra: Samples) -> Iterator[Samples]:
        """Yields the band's samples a few rows at a time, (rows, width, samples per pixel), little endian."""
        info, rows = self.info, band.shape[2]
        if y != self._next_row or y + rows > info.height:
            raise ImageError(f"rows {y} to {y + rows} came where row {self._next_row} of {info.height} was to come")
        expected = (1, info.colour_channels, rows, info.width), (rows, info.width, len(info.extra_samples))
        if (band.shape, extra.shape) != expected:
            raise ImageError(f"a band of {band.shape} and {extra.shape} came where {expected} was to come")
        step = max(1, _QUANTISED_PIXELS // info.width)
        for first in range(0, rows, step):
            samples = self._rounded(band[0, :, first : first + step], extra[first : first + step])
            self._digest.update(samples.data)
            self._next_row += len(samples)
            yield samples

    def _rounded(self, values: NDArray[np.float32], extra: Samples) -> Samples:
        info = self.info
        dtype = np.dtype("u1" if info.bits_per_sample == 8 else "<u2")
        samples: Samples = np.empty((*values.shape[1:], info.samples_per_pixel), dtype)
        scaled = np.clip(values, 0, 1)
        scaled *= np.float32(info.largest_sample)
        planes = np.rint(scaled, out=scaled).astype(dtype)
        for channel, plane in enumerate(planes):  # faster than all channels at once
            samples[..., channel] = plane
        samples[..., info.colour_channels :] = extra
        return samples

    @property
    def complete(self) -> bool:
        return self._next_row == self.info.height

    @property
    def pixel_sha256(self) -> str:
        if not self.complete:
            raise ImageError(f"the picture isn't whole: {self._next_row} of {self.info.height} rows came")
        return self._digest.hexdigest()


class ArraySink:
    """Stores the picture in :attr:`array`: (H, W) or (H, W, samples), uint8 or uint16 as in ``info``."""

    def __init__(self, info: ImageInfo) -> None:
        self._quantiser = _Quantiser(info)
        dtype = np.uint8 if info.bits_per_sample == 8 else np.uint16
        self._samples: Samples = np.zeros((info.height, info.width, info.samples_per_pixel), dtype)

    def write(self, y: int, band: NDArray[np.float32], extra: Samples) -> None:
        for samples in self._quantiser.quantised(y, band, extra):
            self._samples[y : y + len(samples)] = samples
            y += len(samples)

    def restart(self) -> None:
        self._quantiser = _Quantiser(self._quantiser.info)

    @property
    def array(self) -> Samples:
        return self._samples[..., 0] if self._samples.shape[2] == 1 else self._samples

    @property
    def pixel_sha256(self) -> str:
        return self._quantiser.pixel_sha256


class TiffSink:
    """Writes a TIFF that preserves the properties in ``info``: depth, samples, resolution, profile and metadata.

    ICC profile, IPTC and EXIF values are copied byte for byte, except entries that describe only the master's file. XMP
    is copied property by property and merged with ``provenance``. docs/reference/metadata.md lists what is copied and
    how. The pixels are uncompressed, or losslessly compressed if ``provenance`` says so.

    Use it in a ``with`` statement: the file is completed at its end, or removed after an error. The caller must flush
    the file to the disk (fsync) before giving it its final name.
    """

    def __init__(
        self,
        path: str | Path,
        info: ImageInfo,
        *,
        provenance: Provenance | None = None,
        description: str | None = None,
        software: str = "",
    ) -> None:
        """Creates the file, which must not exist, and writes everything except its pixels.

        Args:
            path: the new file.
            info: the properties of the picture, as from its source.
            provenance: how the picture was made, for the XMP packet.
            description: the ImageDescription, if EXIF, IPTC and XMP contain no description.
            software: the Software tag; by default the master's.

        Raises:
            ImageError: the file exists.
            OSError: the file can't be created.
        """
        self._path = Path(path)
        self._quantiser = _Quantiser(info)
        xmp, left_out = derived_xmp(info.metadata.xmp, info, provenance)
        self._write_header = partial(
            write_header, info, xmp=xmp, description=None if info.description else description, software=software
        )
        self._is_compressed = provenance is not None and provenance.compression == "deflate"
        self._start_pixels()
        unknown = [0] * -(-info.height // rows_per_strip(info)) if self._is_compressed else None
        head, too = self._write_header(deflated=unknown)
        self.notes = (*left_out, *too)
        """Descriptions of the metadata that wasn't copied, in addition to the ``problems`` of ``info``."""
        try:
            self._file: BinaryIO = self._path.open("x+b")
        except FileExistsError as error:
            raise ImageError(f"{path} exists already: name another file, or move that one away") from error
        self._first_pixel = len(head)
        try:
            self._file.write(head)
        except BaseException:
            self.abort()
            raise

    def write(self, y: int, band: NDArray[np.float32], extra: Samples) -> None:
        for samples in self._quantiser.quantised(y, band, extra):
            if not self._is_compressed:
                self._file.write(samples.data)
                continue
            for strip in self._strips.add(samples):
                self._file.write(strip)
                self._strip_sizes.append(len(strip))

    def restart(self) -> None:
        self._quantiser = _Quantiser(self._quantiser.info)
        self._start_pixels()
        self._file.seek(self._first_pixel)
        self._file.truncate()

    def _start_pixels(self) -> None:
        self._strips, self._strip_sizes = DeflateStrips(self._quantiser.info), list[int]()

    @property
    def pixel_sha256(self) -> str:
        return self._quantiser.pixel_sha256

    def close(self) -> None:
        """Completes the file.

        Raises:
            ImageError: rows are missing; the file is removed.
            OSError: the last bytes can't be written; the file is removed.
        """
        if not self._quantiser.complete:
            self.abort()
            raise ImageError(f"{self._path} was not written: not all rows came")
        try:
            if self._is_compressed:
                self._file.seek(0)
                self._file.write(self._write_header(deflated=self._strip_sizes)[0])
            self._file.close()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Closes the file and removes it."""
        try:
            with suppress(OSError):  # flushing the buffer may fail, and its content isn't needed
                self._file.close()
        finally:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def pixel_sha256(source: Source) -> str:
    """SHA-256, in hex, of a source's samples, computed as in a sink, to compare the pixels of two pictures."""
    info = source.info
    quantiser = _Quantiser(info)
    for y in range(0, info.height, _DIGEST_BAND_ROWS):
        window = (0, y, info.width, min(_DIGEST_BAND_ROWS, info.height - y))
        for _ in quantiser.quantised(y, source.read(*window), source.read_extra(*window)):
            pass
    return quantiser.pixel_sha256
