"""Preview images: 8-bit sRGB, as a browser displays them correctly, embedded in the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from archive.display_labels import Record
from archive.image_limits import image_limits
from archive.settings import Settings
from restoration.image import Area, Picture

PREVIEW_WIDTH_PX = 1200
_THUMBNAIL_PX = 160  # the longer side
_JPEG_QUALITY = 85
_BAND_PX = 64  # rows of the reduced picture that are read at once


@contextmanager
def open_before_and_after(settings: Settings, master: Record, derivative: Record) -> Iterator[tuple[Picture, Picture]]:
    """Opens a master and its derivative, given as in ``archive show``.

    Raises:
        ImageError: one isn't a picture that is read here.
        OSError: one can't be read.
    """
    limits = image_limits(settings)
    with (
        Picture.open(Path(master["path"]), page=master["page"], limits=limits) as before,
        Picture.open(Path(derivative["path"]), limits=limits) as after,
    ):
        yield before, after


def preview(picture: Picture) -> Image.Image:
    """The picture, at most :data:`PREVIEW_WIDTH_PX` wide, in sRGB.

    Raises:
        ImageError: it can't be decoded.
        OSError: it can't be read.
    """
    small = _in_srgb(_reduced(picture), picture.info.icc_profile)
    width = min(PREVIEW_WIDTH_PX, small.width)
    return small.resize((width, max(1, round(small.height * width / small.width))), Image.Resampling.LANCZOS)


def thumbnail_data_url(image: Image.Image) -> str:
    """A preview reduced for a list, as :func:`jpeg_data_url`."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    return jpeg_data_url(small)


def jpeg_data_url(image: Image.Image) -> str:
    """An image as a JPEG, in a ``data:`` URL."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return _data_url("jpeg", buffer)


def crop_data_url(picture: Picture, area: Area) -> str:
    """The ``area`` of a picture, pixel for pixel and without loss in 8 bits, as a PNG in sRGB, as a ``data:`` URL.

    Raises:
        ImageError: it isn't inside the picture, or can't be decoded.
        OSError: it can't be read.
    """
    values = picture.read(area.x, area.y, area.width, area.height)[0]
    return png_data_url(_in_srgb(_image(_in_eight_bits(values)), picture.info.icc_profile))


def png_data_url(image: Image.Image) -> str:
    """An unchanged image as a PNG, in a ``data:`` URL."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _data_url("png", buffer)


def _reduced(picture: Picture) -> Image.Image:
    """The picture, averaged by the whole-number factor that leaves it just wider than a preview; read in bands."""
    factor = max(1, picture.info.width // PREVIEW_WIDTH_PX)
    factor = min(factor, picture.info.height)
    width, height = picture.info.width // factor, picture.info.height // factor
    bands = []
    for top in range(0, height, _BAND_PX):
        rows = min(_BAND_PX, height - top)
        band = picture.read(0, top * factor, width * factor, rows * factor)[0]
        blocks = band.reshape(band.shape[0], rows, factor, width, factor)
        bands.append(_in_eight_bits(blocks.mean(axis=(2, 4))))
    return _image(np.concatenate(bands, axis=1))


def _in_eight_bits(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Encoded values in [0, 1] as 8-bit integers."""
    return np.rint(values * 255).astype(np.uint8)


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    """Pixels, (1 or 3 channels, height, width), as an image."""
    upright = pixels.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(upright[..., 0] if upright.shape[2] == 1 else upright))


def _in_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """The image converted to sRGB; unchanged if it has no usable profile."""
    if icc_profile is None:
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted or image


def _data_url(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
