"""Pictures for the tests of scores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from restoration.image import Picture
from restoration.image.stored_pixels import Samples
from restoration.quality import block_reading

Pixels = NDArray[np.float32]


def scene(*, height: int = 70, width: int = 53, channels: int = 3, seed: int = 1, grain: float = 0.05) -> Pixels:
    """A picture with edges, gradients and grain, (H, W, C)."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    base = 0.5 + 0.3 * np.sin(rows / 9)[..., None] * np.cos(columns / 7)[..., None]
    shifted = base + np.linspace(-0.1, 0.1, channels) + random.normal(0, grain, (height, width, channels))
    pixels: Pixels = np.clip(shifted, 0, 1).astype(np.float32)
    return pixels


@contextmanager
def small_windows(rows: int, columns: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_reading, "_WINDOW_ROWS", rows)
        patch.setattr(block_reading, "_WINDOW_COLUMNS", columns)
        yield


def picture(pixels: Pixels) -> Picture:
    return Picture.from_array(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


@st.composite
def triples(draw: st.DrawFn) -> tuple[Pixels, Pixels, Pixels]:
    """Three pictures of one size: grey or RGB, 8 or 16 bits, grainy or smooth, large parts clipped or none."""
    height, width = draw(st.integers(1, 300)), draw(st.one_of(st.integers(1, 90), st.integers(480, 1100)))
    channels, seed = draw(st.sampled_from([1, 3])), draw(st.integers(0, 1000))
    levels, gain = draw(st.sampled_from([255, 65535])), draw(st.sampled_from([0.3, 1.0, 4.0]))
    pictures = []
    for offset, grain in enumerate(draw(st.tuples(*[st.sampled_from([0.0, 0.01, 0.1])] * 3))):
        smooth = scene(height=height, width=width, channels=channels, seed=seed + offset, grain=grain)
        clipped = np.clip((smooth - 0.5) * gain + 0.5, 0, 1)
        pictures.append((np.round(clipped * levels) / levels).astype(np.float32))
    return pictures[0], pictures[1], pictures[2]


class WatchedPicture:
    """A picture that records which windows are read, and by which thread."""

    def __init__(self, pixels: Pixels) -> None:
        self._picture = picture(pixels)
        self.info = self._picture.info
        self.read_px: list[int] = []
        self.threads: set[int] = set()

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        self.read_px.append(width * height)
        self.threads.add(threading.get_ident())
        return self._picture.read(x, y, width, height)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._picture.read_extra(x, y, width, height)
