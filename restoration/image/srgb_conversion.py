"""Colour spaces by their ICC profiles: a picture's encoded values as sRGB's, and back.

Restoration works on values as they are stored. A look has colours of its own, which are learnt in sRGB: it works on
values in sRGB, and what it makes goes back into the picture's own space.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from restoration.image.image_info import ImageInfo

Array = NDArray[np.float32]

_MADE_AT = slice(24, 36)  # in an ICC profile's header: when it was made
_LONG_AGO = b"\x07\xce\x00\x02\x00\x09\x00\x06\x00\x31\x00\x00"  # as in the sRGB profile of 1998
_SPACE = slice(16, 20)  # in the header: what values the profile is of
_RELATIVE_COLORIMETRIC, _BLACK_POINT_COMPENSATION = 1, 0x2000
_ALIKE = 1 / 255


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_MADE_AT] = _LONG_AGO
    return bytes(profile)


class SrgbConversion:
    """Encoded values of a profile's space as sRGB's and back, relative colorimetric with black point compensation.

    Little CMS does it, in float32, each pixel by itself.
    """

    def __init__(self, profile: bytes) -> None:
        """Takes an ICC profile of grey or RGB values; ``is_grey`` says which.

        Raises:
            ValueError: it can't be used.
        """
        self._profile = profile
        self._space = {b"GRAY": "gray", b"RGB ": "rgb"}.get(profile[_SPACE], "")
        self.is_grey = self._space == "gray"
        if not self._space:
            raise ValueError(f"a profile of {profile[_SPACE]!r}")

    @classmethod
    def of(cls, info: ImageInfo) -> SrgbConversion | None:
        """That of a picture; None where its values are sRGB's, or are taken for it, since no profile says otherwise."""
        found = _usable(info)
        return None if found is None or found.does_nothing else found

    @cached_property
    def does_nothing(self) -> bool:
        """Whether the profile's values are sRGB's, to a step of 8 bits."""
        grid = _grid()
        wanted = np.repeat(grid[:, :1], 3, axis=1) if self.is_grey else grid
        return float(np.abs(self.to_srgb(grid) - wanted).max()) < _ALIKE

    def to_srgb(self, values: Array) -> Array:
        """Values (1, C, h, w) in [0, 1], C 1 or 3, in sRGB: (1, 3, h, w); colours that it doesn't have are clipped."""
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
        """sRGB values (1, 3, h, w) in the profile's space, (1, ``channels``, h, w), not clipped; of grey always one."""
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
    """Whether a picture has a profile that says nothing of its values, because it is broken or of another space."""
    return info.icc_profile is not None and _usable(info) is None


def working_space(info: ImageInfo, task: str) -> str:
    """The space of the values that a stage of ``task`` works on in a picture, in words."""
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
    """Values all over the space, (1, 3, 17, 289)."""
    steps = np.linspace(0, 1, 17, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij")).reshape(1, 3, 17, -1)
