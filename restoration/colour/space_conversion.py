"""Sources in other colour spaces than they are stored in: sRGB for styles, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from restoration.colour.greyscale import RgbSource
from restoration.image import ImageInfo, Samples, Source, SrgbConversion, srgb_profile

_PIXELS_AT_ONCE = 1 << 20  # so that the conversion's own copies stay small


def rgb_in_srgb(info: ImageInfo) -> ImageInfo:
    """``info`` as that of an RGB picture in sRGB."""
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
        """Takes a source and what converts its values."""
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
    """A picture that was made in sRGB, in the space of the one that it was made of.

    Every value is given + strength x (made - given), in [0, 1]; at strength 0 it is exactly the given one. Where all of
    a window is neutral it stays so.
    """

    def __init__(self, given: Source, made: Source, conversion: SrgbConversion, *, strength: float) -> None:
        """Takes what was given, what was made of it in sRGB, and what converts the given one's values."""
        self.info = given.info
        self._given, self._made, self._conversion, self._strength = given, made, conversion, np.float32(strength)

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        if self._strength == 0:
            return self._given.read(x, y, width, height)
        made = self._made.read(x, y, width, height)
        channels = self.info.colour_channels
        # Equal channels would come back equal but for rounding.
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
    """``source`` in sRGB, if its profile says that it is in another space."""
    conversion = SrgbConversion.of(source.info)
    return source if conversion is None else SrgbSource(source, conversion)


def grey_to_srgb(source: Source) -> Source:
    """A grey source as RGB in sRGB."""
    conversion = SrgbConversion.of(source.info)
    return RgbSource(source) if conversion is None else SrgbSource(source, conversion)


def match_channels(source: Source, info: ImageInfo) -> Source:
    """``source``, in colour if it is grey and ``info`` is of RGB: so a grey picture is compared with one in colour."""
    return grey_to_srgb(source) if (source.info.colour_channels, info.colour_channels) == (1, 3) else source
