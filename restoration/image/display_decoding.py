"""Decodes pictures of unsupported kinds for display only: CMYK, CIELab, floating point, 32 bits, bilevel and others.

Viewers show the result, and nothing else is made from it: colours are converted to 8 bits, values outside of sRGB are
clipped, and values without a defined white are scaled to the range that occurs in the picture.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tifffile import TiffFile, TiffPage

from restoration.errors import UnreadableImageError, UnsupportedImageError
from restoration.image.format_detection import open_stored
from restoration.image.image_info import Limits
from restoration.image.picture import Picture
from restoration.image.srgb_conversion import srgb_profile
from restoration.image.supported_tiff_kinds import PALETTE, RGB, SEPARATED, WHITE_IS_ZERO, YCBCR

_GREY = (WHITE_IS_ZERO, 1)
_CIELAB, _ICCLAB = 8, 9
_BYTES_PER_PIXEL = 32  # of all steps, at most
Pixels = NDArray[np.uint8]


def open_for_display(path: str | Path, *, page: int = 1, limits: Limits, expected_sha256: str | None = None) -> Picture:
    """Opens a picture as :meth:`Picture.open` does; one of an unsupported kind is decoded whole, as sRGB of 8 bits.

    Raises:
        UnreadableImageError: the bytes can't be decoded, or there is no such page.
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
            what = f"a picture of {info.width}x{info.height} px of this kind"
            limits.check_decoding(what, info.width * info.height * _BYTES_PER_PIXEL)
            try:
                pixels = _decode(file, opened.directory)
            except MemoryError:
                raise
            # The decoders raise many kinds of errors.
            except Exception as failure:
                raise UnreadableImageError(f"{path}: it can't be decoded for display: {failure}") from failure
        if pixels is None or pixels.shape[:2] != opened.orientation.size(info.width, info.height)[::-1]:
            raise
        return Picture.from_array(np.ascontiguousarray(opened.orientation.upright(pixels)))


def _decode(file: BinaryIO, directory: int | None) -> Pixels | None:
    """The stored picture as sRGB, (h, w, 1 or 3); None if its kind can't be shown."""
    file.seek(0)
    if directory is not None:
        with TiffFile(file, name="scan") as tiff:
            page = tiff.pages[directory]
            return _decode_tiff(file, page) if isinstance(page, TiffPage) else None
    with Image.open(file) as image:
        if image.mode == "CMYK":
            return _cmyk_to_srgb(np.asarray(image), image.info.get("icc_profile"))
        if image.mode.startswith(("I", "F")):
            return _scaled(np.asarray(image)[..., np.newaxis])
        return np.asarray(image.convert("RGB"))


def _decode_tiff(file: BinaryIO, page: TiffPage) -> Pixels | None:
    photometric = int(page.photometric)
    if photometric == YCBCR or page.compression == 6:
        file.seek(0)
        shown: Pixels = np.asarray(imagecodecs.tiff_decode(file.read(), index=page.index, asrgb=True), np.uint8)
        return shown[..., :3]
    if photometric not in (*_GREY, RGB, PALETTE, SEPARATED, _CIELAB, _ICCLAB):
        return None
    stored = page.asarray()
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
    """Values of any range in 8 bits: floats within [0, 1] as they are, others from their least to their greatest.

    NaN and infinity become 0.
    """
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * 255
    values = np.nan_to_num(samples.astype(np.float64), nan=0, posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    if samples.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    values = (values - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.rint(values * 255).astype(np.uint8)


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
