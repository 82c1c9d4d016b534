"""The supported kinds of TIFF pictures, and for the others the reason and the remedy."""

from __future__ import annotations

from typing import Any

from tifffile import COMPRESSION, TIFF, TiffPage

from restoration.errors import UnsupportedImageError
from restoration.image.tiff_pixels import JPEG_COMPRESSIONS, palette_colours

WHITE_IS_ZERO, _BLACK_IS_ZERO, RGB, PALETTE, MASK, SEPARATED, YCBCR = range(7)
_DNG_VERSION, _SUB_IFDS = 50706, 330
_RAW = (32803, 34892)  # a colour filter array, and linear raw
_CIELAB_REMEDY = "a CIELab picture: convert it to 16-bit RGB with a wide profile, such as eciRGB v2 or ProPhoto RGB"
_REMEDIES = {
    PALETTE: "a palette picture whose colours 8 bits don't hold exactly: convert it to RGB or grey",
    MASK: "a transparency mask: name the picture that it belongs to",
    SEPARATED: "a CMYK picture: convert it to RGB with its profile",
    YCBCR: "a YCbCr picture that isn't JPEG-compressed: convert it to RGB",
    8: _CIELAB_REMEDY,
    9: _CIELAB_REMEDY,
    10: _CIELAB_REMEDY,
    **dict.fromkeys(_RAW, "a camera raw picture: develop it to a 16-bit TIFF"),
}
_SAMPLE_FORMATS = {1: "an integer", 2: "a signed integer", 3: "a floating point", 6: "a floating point"}
_OLD_JPEG = 6


def bits_per_sample(page: TiffPage) -> int:
    """The bits per sample; the largest, if the samples differ."""
    bits: Any = page.bitspersample
    return int(max(bits) if isinstance(bits, tuple) else bits)


def refuse_camera_raw(page: TiffPage) -> None:
    """Refuses a camera's raw file (DNG, NEF, ARW) by its first page, which is only a preview as a rule.

    Raises:
        UnsupportedImageError: it is one.
    """
    if _DNG_VERSION in page.tags or _has_raw_below(page):
        raise UnsupportedImageError("a camera raw file, such as DNG: develop it to a 16-bit TIFF")


def _has_raw_below(page: TiffPage) -> bool:
    if _SUB_IFDS not in page.tags:
        return False
    try:
        return any(isinstance(each, TiffPage) and int(each.photometric) in _RAW for each in page.pages or ())
    except Exception:  # corrupt further pictures don't matter to this one
        return False


def unsupported_reason(page: TiffPage) -> str | None:
    """Why the page's kind can't be preserved faithfully, and what to do about it; None if it is supported."""
    if page.bitspersample == 1 and page.photometric in (WHITE_IS_ZERO, _BLACK_IS_ZERO):
        return "a bilevel picture of 1 bit a sample, which holds no greys to restore: convert it to 8-bit grey"
    if reason := _refused_photometric(page):
        return f"{reason}, and save it as an 8- or 16-bit TIFF"
    if page.bitspersample not in (8, 16) or page.sampleformat != 1 or page.dtype is None:
        kind = _SAMPLE_FORMATS.get(int(page.sampleformat), "an unusual")
        return f"{kind} picture of {page.bitspersample} bits a sample: save it with 8 or 16"
    if page.imagedepth != 1:
        return "a volume of pictures: save each as a file of its own"
    if page.compression == _OLD_JPEG:
        return "a picture in old-style JPEG, which programs decode differently: save it uncompressed, or with Deflate"
    if page.compression not in TIFF.DECOMPRESSORS:
        name = COMPRESSION(page.compression).name if page.compression in set(COMPRESSION) else page.compression
        return f"a picture compressed by {name}, which isn't read: save it uncompressed, or with LZW or Deflate"
    return None


def _refused_photometric(page: TiffPage) -> str | None:
    photometric = int(page.photometric)
    if photometric in (WHITE_IS_ZERO, _BLACK_IS_ZERO, RGB):
        return None
    if photometric == PALETTE and palette_colours(page) is not None:
        return None
    if photometric == YCBCR and page.compression in JPEG_COMPRESSIONS:
        return None
    other = f"a picture of the photometric interpretation {photometric}: convert it to RGB or grey"
    return _REMEDIES.get(photometric, other)
