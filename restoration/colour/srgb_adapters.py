"""Colour space conversion of sources: to sRGB for styles, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from restoration.colour.greyscale import RgbSource
from restoration.image import ImageInfo, Samples, Source, SrgbConversion, srgb_profile

_PIXELS_AT_ONCE = 1 << 20  # so that the conversion's own copies stay small


def rgb_in_srgb(info: ImageInfo) -> ImageInfo:
    """``info`` changed to describe an RGB picture in sRGB."""
    return replace(
        info,
        colour_channels=3,
        samples_per_pixel=3 + len(info.extra_samples),
        icc_profile=srgb_profile(),
        icc_description="sRGB",
    )


class SrgbSource:
    """A source's values in sRGB, as RGB."""

    def __init__(self, source: Source, conversion: SrgbConversion) -> None:
        """Takes a source and the conversion of its values."""
        self.info = rgb_in_srgb(source.info)
        self._source, self._conversion = source, conversion

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        values = self._source.read(x, y, width, height)
        out = np.empty((1, 3, height, width), np.float32)
        rows = max(1, _PIXELS_AT_ONCE // width)
        for top in range(0, height, rows):
            out[:, :, top : top + rows] = self._conversion.to_srgb(values[:, :, top : top + rows])
        return out

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)


class FromSrgbSource:
    """Converts an sRGB result back to the colour space of its input.

    Every value is given + strength x (made - given), in [0, 1]; at strength 0 it equals the input exactly. A window
    that is entirely neutral stays neutral.
    """

    def __init__(self, given: Source, made: Source, conversion: SrgbConversion, *, strength: float) -> None:
        """Takes the input, the sRGB result made from it, and the conversion of the input's values."""
        self.info = given.info
        self._given, self._made, self._conversion, self._strength = given, made, conversion, np.float32(strength)

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        if self._strength == 0:
            return self._given.read(x, y, width, height)
        made = self._made.read(x, y, width, height)
        channels = self.info.colour_channels
        # Convert neutral windows as grey: rounding could make equal channels differ.
        is_neutral = np.array_equal(made[:, 0], made[:, 1]) and np.array_equal(made[:, 0], made[:, 2])
        out = np.empty((1, channels, height, width), np.float32)
        rows = max(1, _PIXELS_AT_ONCE // width)
        for top in range(0, height, rows):
            part = made[:, :, top : top + rows]
            out[:, :, top : top + rows] = self._conversion.from_srgb(part, 1 if is_neutral else channels)
        np.clip(out, 0, 1, out=out)
        if self._strength == 1:
            return out
        given = self._given.read(x, y, width, height)
        return np.asarray(given + self._strength * (out - given), dtype=np.float32)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._given.read_extra(x, y, width, height)


def convert_to_srgb(source: Source) -> Source:
    """Converts ``source`` to sRGB if its profile names another space."""
    conversion = SrgbConversion.of(source.info)
    return source if conversion is None else SrgbSource(source, conversion)


def grey_to_srgb(source: Source) -> Source:
    """Converts a grey source to RGB in sRGB."""
    conversion = SrgbConversion.of(source.info)
    return RgbSource(source) if conversion is None else SrgbSource(source, conversion)


def match_channels(source: Source, info: ImageInfo) -> Source:
    """Converts a grey ``source`` to RGB if ``info`` is RGB, so that the two can be compared."""
    return grey_to_srgb(source) if (source.info.colour_channels, info.colour_channels) == (1, 3) else source
