"""Decodes pictures of unsupported kinds for display only: CMYK, CIELab, floating point, 32 bits, bilevel and others.

Viewers show the result, and nothing else is made from it: colours are converted to 8 bits, values outside of sRGB are
clipped, and values without a defined white are scaled to the range that occurs in the picture, without the outliers.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tifffile import TiffFile, TiffPage

from restoration.errors import ImageError, UnreadableImageError, UnsupportedImageError
from restoration.image.format_detection import open_stored
from restoration.image.image_info import Limits
from restoration.image.picture import Picture
from restoration.image.srgb_conversion import srgb_profile
from restoration.image.stored_pixels import StoredImage
from restoration.image.supported_tiff_kinds import PALETTE, RGB, SEPARATED, WHITE_IS_ZERO, YCBCR

_OLD_JPEG = 6
_GREY = (WHITE_IS_ZERO, 1)
_CIELAB, _ICCLAB = 8, 9
_CONVERSION_BYTES = 32  # per pixel, in addition to the decoded samples
_MAX_SAMPLES = 8  # per pixel
_BAND_VALUES = 1 << 17
_OUTLIERS = 0.001  # share of floating point values that are clipped at each end
Pixels = NDArray[np.uint8]


def open_for_display(path: str | Path, *, page: int = 1, limits: Limits, expected_sha256: str | None = None) -> Picture:
    """Opens a picture as :meth:`Picture.open` does; one of an unsupported kind is decoded whole, as sRGB of 8 bits.

    Raises:
        UnreadableImageError: the bytes can't be decoded, or the page doesn't exist.
        UnsupportedImageError: this kind of image can't be shown either.
        ImageTooLargeError: it is larger than ``limits``.
        ChangedImageError: the file doesn't match ``expected_sha256``.
        OSError: the file can't be opened.
    """
    try:
        return Picture.open(path, page=page, limits=limits, expected_sha256=expected_sha256)
    except UnsupportedImageError:
        with Path(path).open("rb") as file:
            opened = open_stored(file, name=str(path), limits=limits)[page - 1]
            info = opened.info
            try:
                pixels = _decode(file, opened, limits)
            except (ImageError, MemoryError):
                raise
            # The decoders raise many kinds of errors.
            except Exception as failure:
                raise UnreadableImageError(
                    f"{path}: it can't be decoded for display: {failure}. If another program opens it, convert it to "
                    "RGB of 8 or 16 bits; else bring the file back from a backup"
                ) from failure
        if pixels is None or pixels.shape[:2] != opened.orientation.size(info.width, info.height)[::-1]:
            raise
        return Picture.from_array(np.ascontiguousarray(opened.orientation.upright(pixels)))


def _decode(file: BinaryIO, opened: StoredImage, limits: Limits) -> Pixels | None:
    """The stored picture as sRGB, (h, w, 1 or 3); None if its kind can't be shown.

    Raises:
        ImageTooLargeError: it takes more memory than ``limits`` allow.
    """
    file.seek(0)
    if opened.directory is not None:
        with TiffFile(file, name="scan") as tiff:
            page = tiff.pages[opened.directory]
            return _decode_tiff(file, page, limits) if isinstance(page, TiffPage) else None
    info = opened.info
    _check_memory(limits, info.width, info.height, info.width * info.height * info.samples_per_pixel * 2)
    with Image.open(file) as image:
        if image.mode == "CMYK":
            return _cmyk_to_srgb(np.asarray(image), image.info.get("icc_profile"))
        if image.mode.startswith(("I", "F")):
            return _scaled(np.asarray(image)[..., np.newaxis])
        return np.asarray(image.convert("RGB"))


def _check_memory(limits: Limits, width: int, height: int, decoded_bytes: int) -> None:
    limits.check_decoding(
        f"a picture of {width}x{height} px of this kind",
        decoded_bytes + width * height * _CONVERSION_BYTES,
        remedy="convert it to RGB of 8 or 16 bits",
    )


def _decode_tiff(file: BinaryIO, page: TiffPage, limits: Limits) -> Pixels | None:
    photometric = int(page.photometric)
    if page.dtype is None or page.dtype.kind == "c" or page.samplesperpixel > _MAX_SAMPLES or page.imagedepth != 1:
        return None
    if photometric in (SEPARATED, _CIELAB, _ICCLAB) and (page.bitspersample not in (8, 16) or page.sampleformat != 1):
        return None
    is_ycbcr = photometric == YCBCR or page.compression == _OLD_JPEG
    size = page.imagewidth * page.imagelength
    strip = page.imagewidth * min(page.rowsperstrip, page.imagelength)
    segment = page.tilewidth * page.tilelength if page.is_tiled else strip
    pixel_bytes = page.samplesperpixel * page.dtype.itemsize
    of_decoder = 0 if page.is_final else segment * pixel_bytes + max(page.databytecounts)
    of_file = os.fstat(file.fileno()).st_size if is_ycbcr else 0
    _check_memory(limits, page.imagewidth, page.imagelength, size * pixel_bytes + of_decoder + of_file)
    if is_ycbcr:
        file.seek(0)
        shown: Pixels = np.asarray(imagecodecs.tiff_decode(file.read(), index=page.index, asrgb=True), np.uint8)
        return shown[..., :3]
    if photometric not in (*_GREY, RGB, PALETTE, SEPARATED, _CIELAB, _ICCLAB):
        return None
    stored = page.asarray(maxworkers=1, buffersize=1)  # one strip or tile at a time
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        stored = np.moveaxis(stored, 0, -1)
    samples = stored.reshape(page.imagelength, page.imagewidth, -1)
    if photometric == PALETTE:
        colours = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
        coloured: Pixels = colours[samples[..., 0]]
        return coloured
    if photometric == SEPARATED:
        tag = page.tags.get(34675)
        return _cmyk_to_srgb(_in_eight_bits(samples[..., :4]), None if tag is None else tag.value)
    if photometric in (_CIELAB, _ICCLAB):
        return _lab_to_srgb(samples[..., :3], is_icclab=photometric == _ICCLAB)
    scaled = _scaled(samples[..., : 3 if photometric == RGB else 1])
    return 255 - scaled if photometric == WHITE_IS_ZERO else scaled


def _in_eight_bits(samples: NDArray[Any]) -> Pixels:
    return (samples >> (8 * samples.dtype.itemsize - 8)).astype(np.uint8)


def _scaled(samples: NDArray[Any]) -> Pixels:
    """Values of any range in 8 bits, (h, w, c), in bands of rows; NaN and infinity are taken as 0."""
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * 255
    low, high = _shown_range(samples)
    scaled = np.empty(samples.shape, np.uint8)
    rows = max(1, _BAND_VALUES // samples[0].size)
    for top in range(0, len(samples), rows):
        band = samples[top : top + rows].astype(np.float64)
        np.nan_to_num(band, copy=False, nan=0, posinf=0, neginf=0)
        band -= low
        band /= high - low
        band *= 255
        scaled[top : top + rows] = np.rint(np.clip(band, 0, 255, out=band), out=band)
    return scaled


def _shown_range(samples: NDArray[Any]) -> tuple[float, float]:
    """The values shown as black and white, different from each other.

    Integers: the least and the greatest value; of a constant picture, the type's. Floats: [0, 1] if nearly all values
    are within, or all are equal; else the range of nearly all values, from a regular selection of the pixels.
    """
    if samples.dtype.kind != "f":
        low, high = int(samples.min()), int(samples.max())
        whole = np.iinfo(samples.dtype)
        return (low, high) if low < high else (int(whole.min), int(whole.max))
    step = math.ceil(math.sqrt(samples.size / _BAND_VALUES))
    selected = samples[::step, ::step].astype(np.float64)
    finite = selected[np.isfinite(selected)]
    low, high = np.quantile(finite, [_OUTLIERS, 1 - _OUTLIERS]).tolist() if finite.size else (0, 1)
    return (low, high) if low < high and (low < 0 or high > 1) else (0, 1)


def _cmyk_to_srgb(cmyk: Pixels, profile: bytes | None) -> Pixels:
    """Inks, (h, w, 4), 255 being full ink, by their ICC profile, or else as ideal inks."""
    image = Image.fromarray(np.ascontiguousarray(cmyk), "CMYK")
    if profile is None or profile[16:20] != b"CMYK":  # the colour space in its header
        return np.asarray(image.convert("RGB"))
    return _transformed(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))


def _lab_to_srgb(lab: NDArray[Any], *, is_icclab: bool) -> Pixels:
    """CIE L*a*b* of D50 as TIFF 6.0 (section 23) or, as ICC does, with a* and b* from -128, in 8 or 16 bits."""
    if lab.dtype.itemsize == 2:
        white = 0xFF00 if is_icclab else 0xFFFF
        lightness = np.minimum(255, np.rint(lab[..., :1] * (255 / white)))
        lab = np.concatenate([lightness.astype(np.uint8), (lab[..., 1:].view(np.uint16) >> 8).astype(np.uint8)], axis=2)
    eight = lab.view(np.uint8)  # Pillow takes a* and b* as signed, as TIFF has them
    pixels = eight ^ np.array([0, 128, 128], np.uint8) if is_icclab else eight
    return _transformed(Image.fromarray(np.ascontiguousarray(pixels), "LAB"), ImageCms.createProfile("LAB"))


def _transformed(image: Image.Image, profile: Any) -> Pixels:
    srgb = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    shown = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    return np.asarray(shown)
