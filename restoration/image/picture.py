"""Pictures that are read by window, as float32, from a file or an array, without loading more than the window."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from restoration.errors import ChangedImageError, ImageError
from restoration.image.format_detection import open_page
from restoration.image.image_info import Area, ImageInfo, Limits, Resolution
from restoration.image.stored_pixels import Samples, StoredImage, WholePixels

_READ_PIXELS = 1 << 16  # at a time; their samples fit into a processor's cache


class Source(Protocol):
    """A picture that is read by window."""

    @property
    def info(self) -> ImageInfo:
        """The picture's properties; ``width``, ``height`` and ``colour_channels`` apply to every read."""
        ...

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """Returns the window's encoded values, (1, colour channels, height, width), float32 in [0, 1], in RGB order."""
        ...

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        """Returns the window's other samples (alpha, infrared) as stored, (height, width, count); count is mostly 0."""
        ...


class Picture:
    """A picture from a file or an array. Use it in a ``with`` statement, or call :meth:`close`.

    The file is opened read-only, and all bytes are read through the same file descriptor.
    """

    def __init__(
        self, opened: StoredImage, *, file: BinaryIO | None = None, state: tuple[int, ...] = (), name: str = "array"
    ) -> None:
        self.info = opened.info
        self._pixels = opened.pixels
        self._orientation = opened.orientation
        self._file = file
        self._name = name
        self._state = state

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        page: int = 1,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        expected_sha256: str | None = None,
    ) -> Self:
        """Opens the image file ``path``, upright.

        Args:
            path: a TIFF, JP2, JPEG or PNG.
            page: the picture's number in the file, from 1.
            limits: larger pictures are refused before any pixel is decoded.
            expected_sha256: the expected digest of the file, in hex; the file is read once to check it.

        Raises:
            UnreadableImageError: the bytes can't be decoded, or the page doesn't exist.
            UnsupportedImageError: this kind of image can't be preserved faithfully.
            ImageTooLargeError: it is larger than ``limits``.
            ChangedImageError: the file doesn't match ``expected_sha256``.
            OSError: the file can't be opened.
        """
        file = Path(path).open("rb")  # noqa: SIM115  (the picture closes it)
        try:
            # Before the digest, so that a change during its computation is detected too.
            state = _file_state(file)
            if expected_sha256 is not None:
                _check_digest(file, expected_sha256, name=str(path))
            opened = open_page(file, name=str(path), page=page, limits=limits)
        except BaseException:
            file.close()
            raise
        return cls(opened, file=file, state=state, name=str(path))

    @classmethod
    def from_array(
        cls, array: NDArray[Any], *, resolution: Resolution | None = None, icc_profile: bytes | None = None
    ) -> Self:
        """Creates a picture from (H, W) or (H, W, 3): uint8, uint16, or float in [0, 1] (written as 16-bit).

        Any byte order is accepted.

        Raises:
            ImageError: the array's shape or type isn't supported, or values are outside [0, 1].
        """
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        samples = array[..., np.newaxis] if array.ndim == 2 else array
        if samples.ndim != 3 or samples.shape[2] not in (1, 3) or 0 in samples.shape:
            raise ImageError(f"an array of shape {array.shape} isn't a picture: give (H, W) or (H, W, 3)")
        if not (array.dtype in (np.uint8, np.uint16) or np.issubdtype(array.dtype, np.floating)):
            raise ImageError(f"an array of {array.dtype} isn't a picture: give uint8, uint16 or floats in [0, 1]")
        is_float = bool(np.issubdtype(array.dtype, np.floating))
        if is_float and not (samples.min() >= 0 and samples.max() <= 1):
            raise ImageError("the array holds values outside [0, 1]: divide by the largest value that stands for white")
        channels: Literal[1, 3] = 3 if samples.shape[2] == 3 else 1
        info = ImageInfo(
            format="array",
            width=samples.shape[1],
            height=samples.shape[0],
            bits_per_sample=8 if array.dtype == np.uint8 else 16,
            samples_per_pixel=channels,
            colour_channels=channels,
            resolution=resolution,
            icc_profile=icc_profile,
        )
        return cls(StoredImage(info=info, pixels=WholePixels(lambda: samples, shape=samples.shape)))

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """Returns the window's encoded values, (1, colour channels, height, width), float32 in [0, 1], in RGB order.

        Raises:
            ImageError: the window isn't within the picture, or its bytes can't be decoded.
        """
        Area(x=x, y=y, width=width, height=height).check_within(self.info)
        values = np.empty((1, self.info.colour_channels, height, width), np.float32)
        if self._orientation.transpose:  # upright columns are rows of the file
            step = max(1, _READ_PIXELS // height)
            for first in range(0, width, step):
                last = min(first + step, width)
                self._read_values(x + first, y, values[0, :, :, first:last])
        else:
            step = max(1, _READ_PIXELS // width)
            for first in range(0, height, step):
                last = min(first + step, height)
                self._read_values(x, y + first, values[0, :, first:last])
        return values

    def _read_values(self, x: int, y: int, values: NDArray[np.float32]) -> None:
        """Fills ``values``, (colour channels, height, width), from the window at ``x`` and ``y``."""
        colours = self._read_samples(x, y, values.shape[2], values.shape[1])[..., : values.shape[0]].transpose(2, 0, 1)
        if np.issubdtype(colours.dtype, np.integer):
            # Contiguous first, because it is divided several times faster.
            np.divide(np.ascontiguousarray(colours), np.float32(self.info.largest_sample), out=values)
        else:
            values[...] = colours

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        """Returns the window's other samples as stored, (height, width, count)."""
        if not self.info.extra_samples:
            return np.empty((height, width, 0), np.uint8 if self.info.bits_per_sample == 8 else np.uint16)
        return self._read_samples(x, y, width, height)[..., self.info.colour_channels :]

    def _read_samples(self, x: int, y: int, width: int, height: int) -> Samples:
        Area(x=x, y=y, width=width, height=height).check_within(self.info)
        stored_width, stored_height = self._orientation.size(self.info.width, self.info.height)
        window = self._orientation.stored_window(
            x, y, width, height, stored_width=stored_width, stored_height=stored_height
        )
        try:
            return self._orientation.upright(self._pixels.read(*window))
        except ImageError as error:
            raise type(error)(f"{self._name}: {error}") from error

    def verify_unchanged(self) -> None:
        """Checks that the file wasn't modified since it was opened.

        Raises:
            ChangedImageError: it was modified.
        """
        if self._file is not None and _file_state(self._file) != self._state:
            raise ChangedImageError(f"{self._name} was changed while it was read: leave masters alone during a batch")

    def close(self) -> None:
        """Closes the file. May be called repeatedly."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Crop:
    """The rectangle ``area`` of another source, as a source."""

    def __init__(self, source: Source, area: Area) -> None:
        """Checks the rectangle; pixels are read on demand.

        Raises:
            ImageError: it isn't within the source.
        """
        area.check_within(source.info)
        self.info = replace(source.info, width=area.width, height=area.height)
        self._source = source
        self._area = area

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        return self._source.read(x + self._area.x, y + self._area.y, width, height)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x + self._area.x, y + self._area.y, width, height)


def _check_digest(file: BufferedReader, expected_sha256: str, *, name: str) -> None:
    found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected_sha256:
        raise ChangedImageError(f"{name} isn't the file asked for: its SHA-256 is {found}, not {expected_sha256}")


def _file_state(file: BinaryIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
