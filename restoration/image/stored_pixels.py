"""The interface between file formats and pictures: samples as stored, by window."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from restoration.errors import UnreadableImageError, UnsupportedImageError
from restoration.image.image_info import ImageInfo
from restoration.image.orientation import UPRIGHT, Orientation

_SPOOLED_ROWS = 64

PALETTE_NOTE = "the colours of its palette were read as 8-bit RGB"
"""What is said of a picture whose stored samples are numbers of colours."""

Samples = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16, as stored."""


class StoredPixels(Protocol):
    """The samples of one stored picture."""

    def read(self, x: int, y: int, width: int, height: int) -> Samples:
        """Returns the window's samples, (height, width, samples per pixel), native byte order; 0 is black.

        Raises:
            UnreadableImageError: the bytes of the window can't be decoded.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One picture in a file, after reading its header: its properties, its pixels and its stored orientation."""

    info: ImageInfo
    pixels: StoredPixels
    orientation: Orientation = UPRIGHT
    directory: int | None = None
    """Of a TIFF, the index of the picture's directory."""


class RefusedPixels:
    """The pixels of an unsupported picture; reading them raises the reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def read(self, x: int, y: int, width: int, height: int) -> Samples:  # noqa: ARG002
        raise UnsupportedImageError(self._reason)


class WholePixels:
    """Pixels of a format that can only be decoded as a whole: decoded at the first read, then kept in memory."""

    def __init__(self, decode: Callable[[], Samples], *, shape: tuple[int, int, int]) -> None:
        self._decode = decode
        self._shape = shape
        self._samples: Samples | None = None

    def read(self, x: int, y: int, width: int, height: int) -> Samples:
        if self._samples is None:
            samples = self._decode()
            if samples.size != np.prod(self._shape):
                raise UnreadableImageError(f"the decoded pixels {samples.shape} don't fit the header's {self._shape}")
            self._samples = samples.reshape(self._shape)
        return self._samples[y : y + height, x : x + width]


class SpooledPixels:
    """Pixels that are decoded once, from top to bottom, at the first read, into an unnamed temporary file.

    For reading columns of a picture that is decoded in rows, such as one that was stored rotated by 90 degrees.
    """

    def __init__(self, pixels: StoredPixels, *, width: int, height: int) -> None:
        self._pixels = pixels
        self._width = width
        self._height = height
        self._spooled: tuple[int, Samples] | None = None

    def read(self, x: int, y: int, width: int, height: int) -> Samples:
        if self._spooled is None:
            self._spooled = self._spool()
        descriptor, pixel = self._spooled
        out = np.empty((height, width, pixel.size), pixel.dtype)
        for row in range(height):
            data = os.pread(descriptor, width * pixel.nbytes, ((y + row) * self._width + x) * pixel.nbytes)
            out[row] = np.frombuffer(data, pixel.dtype).reshape(width, pixel.size)
        return out

    def _spool(self) -> tuple[int, Samples]:
        """The descriptor of the temporary file, closed together with this object, and one pixel as an example of the
        type.
        """
        try:
            with tempfile.TemporaryFile() as file:
                for y in range(0, self._height, _SPOOLED_ROWS):
                    rows = self._pixels.read(0, y, self._width, min(_SPOOLED_ROWS, self._height - y))
                    file.write(rows.data)
                file.flush()
                descriptor = os.dup(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error
        weakref.finalize(self, os.close, descriptor)
        return descriptor, rows[0, 0].copy()
