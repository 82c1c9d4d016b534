"""The size limits of pictures, from the settings of an archive."""

from __future__ import annotations

from archive.settings import Settings
from restoration.image import Limits


def image_limits(settings: Settings) -> Limits:
    """The limits within which this archive opens pictures."""
    return Limits(max_pixels=settings.max_pixels, max_decoding_bytes=settings.max_decoding_bytes)
