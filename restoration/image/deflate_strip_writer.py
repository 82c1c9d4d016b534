"""Deflate strips: the rows of a picture in strips of a TIFF, compressed without loss."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from restoration.image.image_info import ImageInfo
from restoration.image.stored_pixels import Samples

_LEVEL = 6
_STRIP_BYTES = 1 << 20


def rows_per_strip(info: ImageInfo) -> int:
    """How many rows a strip of a derivative has: as many as fit into 1 MiB before compression, at least one."""
    row_bytes = info.width * info.samples_per_pixel * info.bits_per_sample // 8
    return max(1, min(info.height, _STRIP_BYTES // row_bytes))


class DeflateStrips:
    """Compresses rows strip by strip, with horizontal differencing (TIFF predictor 2)."""

    def __init__(self, info: ImageInfo) -> None:
        dtype = "u1" if info.bits_per_sample == 8 else "<u2"
        self._strip: Samples = np.empty((rows_per_strip(info), info.width, info.samples_per_pixel), dtype)
        self._filled = 0  # rows of the strip
        self._missing = info.height  # rows of the picture

    def add(self, samples: Samples) -> Iterator[bytes]:
        """Takes the next rows, (rows, width, samples per pixel); yields the strips that they complete."""
        while len(samples):
            taken = samples[: len(self._strip) - self._filled]
            self._strip[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            self._missing -= len(taken)
            samples = samples[len(taken) :]
            if self._filled == len(self._strip) or not self._missing:
                yield _compressed(self._strip[: self._filled])
                self._filled = 0


def _compressed(strip: Samples) -> bytes:
    differences = strip.copy()
    differences[:, 1:] -= strip[:, :-1]  # wraps around, as the predictor wants it
    return zlib.compress(differences.data, _LEVEL)
