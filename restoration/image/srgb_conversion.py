"""Colour space conversion by ICC profiles: from a picture's encoded values to sRGB and back.

Restoration works on values as stored. Style models are trained in sRGB, so styling converts the values to sRGB, and its
result back to the picture's own space.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from restoration.image.image_info import ImageInfo

Array = NDArray[np.float32]

_MADE_AT = slice(24, 36)  # creation date in an ICC profile's header
_LONG_AGO = b"\x07\xce\x00\x02\x00\x09\x00\x06\x00\x31\x00\x00"  # the date in the sRGB profile of 1998
_SPACE = slice(16, 20)  # colour space of the data, in the header
_RELATIVE_COLORIMETRIC, _BLACK_POINT_COMPENSATION = 1, 0x2000
_ALIKE = 1 / 255


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_MADE_AT] = _LONG_AGO
    return bytes(profile)


class SrgbConversion:
    """Conversion between a profile's colour space and sRGB, relative colorimetric with black point compensation.

    Little CMS converts in float32, each pixel independently.
    """

    def __init__(self, profile: bytes) -> None:
        """Loads an ICC profile for grey or RGB; ``is_grey`` says which.

        Raises:
            ValueError: the profile can't be used.
        """
        self._profile = profile
        self._space = {b"GRAY": "gray", b"RGB ": "rgb"}.get(profile[_SPACE], "")
        self.is_grey = self._space == "gray"
        if not self._space:
            raise ValueError(f"a profile of {profile[_SPACE]!r}")

    @classmethod
    def of(cls, info: ImageInfo) -> SrgbConversion | None:
        """The conversion for a picture, or None if its values are already sRGB, or it has no usable profile (sRGB is
        assumed).
        """
        found = _usable(info)
        return None if found is None or found.does_nothing else found

    @cached_property
    def does_nothing(self) -> bool:
        """Whether the profile is equivalent to sRGB, within one 8-bit step."""
        grid = _grid()
        wanted = np.repeat(grid[:, :1], 3, axis=1) if self.is_grey else grid
        return float(np.abs(self.to_srgb(grid) - wanted).max()) < _ALIKE

    def to_srgb(self, values: Array) -> Array:
        """Converts values (1, C, h, w) in [0, 1], C 1 or 3, to sRGB, (1, 3, h, w); out-of-gamut colours are clipped."""
        pixels = values[0].transpose(1, 2, 0)
        made = self._transformed(
            np.ascontiguousarray(pixels[..., 0] if self.is_grey else np.broadcast_to(pixels, (*pixels.shape[:2], 3))),
            self._profile,
            srgb_profile(),
            self._space,
            "rgb",
        )
        return np.ascontiguousarray(np.clip(made, 0, 1, out=made).transpose(2, 0, 1))[None]

    def from_srgb(self, values: Array, channels: int) -> Array:
        """Converts sRGB values (1, 3, h, w) to the profile's space, (1, ``channels``, h, w), not clipped; grey gives 1
        channel.
        """
        pixels = np.ascontiguousarray(values[0].clip(0, 1).transpose(1, 2, 0))
        made = self._transformed(pixels, srgb_profile(), self._profile, "rgb", self._space)
        planes = made.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
        return np.ascontiguousarray(planes if channels == 3 else planes.mean(axis=0, keepdims=True))[None]

    @staticmethod
    def _transformed(pixels: Array, given: bytes, wanted: bytes, given_space: str, wanted_space: str) -> Array:
        return np.asarray(
            imagecodecs.cms_transform(
                pixels,
                given,
                wanted,
                colorspace=given_space,
                outcolorspace=wanted_space,
                outdtype="float32",
                intent=_RELATIVE_COLORIMETRIC,
                flags=_BLACK_POINT_COMPENSATION,
            ),
            dtype=np.float32,
        )


def has_unusable_profile(info: ImageInfo) -> bool:
    """Whether the picture has a profile that can't be used, because it is corrupt or for another colour space."""
    return info.icc_profile is not None and _usable(info) is None


def working_space(info: ImageInfo, task: str) -> str:
    """A description of the colour space in which a stage of ``task`` works on the picture."""
    if task == "style" and has_unusable_profile(info):
        return f"{info.colour_space}, taken for sRGB"
    converted = task == "style" and SrgbConversion.of(info) is not None
    return "encoded RGB, sRGB" if converted else info.colour_space


def _usable(info: ImageInfo) -> SrgbConversion | None:
    found = None if info.icc_profile is None else _of_profile(info.icc_profile)
    return None if found is None or (found.is_grey and info.colour_channels != 1) else found


@lru_cache(maxsize=16)
def _of_profile(profile: bytes) -> SrgbConversion | None:
    try:
        conversion = SrgbConversion(profile)
        there = conversion.to_srgb(_grid())
        back = conversion.from_srgb(there, 3)
    except (ValueError, RuntimeError):
        return None
    return conversion if np.isfinite(there).all() and np.isfinite(back).all() else None


def _grid() -> Array:
    """Sample values of the whole colour space, (1, 3, 17, 289)."""
    steps = np.linspace(0, 1, 17, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij")).reshape(1, 3, 17, -1)
