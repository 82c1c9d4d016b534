"""Reads TIFF through tifffile and imagecodecs, by window (Pillow silently reads 16-bit RGB as 8-bit)."""

from __future__ import annotations

import logging
import math
import os
from typing import Any, BinaryIO

from tifffile import TIFF, TiffFile, TiffPage

from restoration.errors import ImageError, UnreadableImageError
from restoration.image.exif import read_exif_of_tiff
from restoration.image.image_info import ExtraSample, Limits
from restoration.image.image_info_builder import upright_info
from restoration.image.metadata_reader import MetadataBlocks, read_resolution
from restoration.image.stored_pixels import PALETTE_NOTE, RefusedPixels, SpooledPixels, StoredImage, StoredPixels
from restoration.image.supported_tiff_kinds import (
    MASK,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    bits_per_sample,
    refuse_camera_raw,
    unsupported_reason,
)
from restoration.image.tiff_directory_check import read_directories
from restoration.image.tiff_pixels import Inverted, PaletteColours, TiffPixels, check_pixel_data, palette_colours

# tifffile logs what it finds unusual; this package checks and reports the relevant problems itself.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MAX_METADATA_BYTES = 64 * 1024 * 1024
_OF_PIXELS = (273, 279, 324, 325)  # offsets and sizes of strips and tiles: one value per strip or tile
_IS_MASK = 4
_EXTRA_SAMPLES: dict[int, ExtraSample] = {0: "unspecified", 1: "associated alpha", 2: "unassociated alpha"}


def open_tiff(file: BinaryIO, *, limits: Limits) -> tuple[StoredImage, ...]:
    """Reads a TIFF's directories; its pixels are decoded on demand.

    Raises:
        UnreadableImageError: it is not a complete TIFF.
        UnsupportedImageError: it is a camera's raw file.
        ImageTooLargeError: a picture in it is larger than ``limits``.
    """
    try:
        directories, problems = read_directories(file)
        file.seek(0)
        tiff = TiffFile(file, name="scan")
        pages = [page for index in range(len(directories)) if isinstance(page := tiff.pages[index], TiffPage)]
        refuse_camera_raw(pages[0])
        for page, numbers in zip(pages, directories, strict=True):
            if lost := sorted(numbers - {tag.code for tag in page.tags}):
                names = ", ".join(TIFF.TAGS.get(number, str(number)) for number in lost)
                problems.append(f"the blocks {names} of the TIFF are corrupt and were left out")
        chosen = _full_size(pages, problems)
        return tuple(
            _open_page(file, tiff, page, number, limits, problems if number == 1 else [])
            for number, page in enumerate(chosen, 1)
        )
    except ImageError:
        raise
    # tifffile raises many kinds of errors on corrupt files.
    except Exception as error:
        raise UnreadableImageError(f"the TIFF can't be read: {error}") from error


def _open_page(
    file: BinaryIO, tiff: TiffFile, page: TiffPage, number: int, limits: Limits, problems: list[str]
) -> StoredImage:
    limits.check_size(page.imagewidth, page.imagelength)
    refusal = unsupported_reason(page)
    channels = max(1, page.samplesperpixel - len(page.extrasamples)) if refusal else _colour_channels(page)
    tags = _tags(page, problems)
    if refusal is None and page.photometric == PALETTE:
        problems.append(PALETTE_NOTE)
    if 330 in tags:
        problems.append("further pictures in the TIFF (SubIFDs: smaller copies, as a rule) aren't carried")
    exif, capture = read_exif_of_tiff(file, page, problems)
    blocks = MetadataBlocks(
        tags=exif,
        xmp=_as_bytes(tags.get(700)),
        iptc=_as_bytes(tags.get(33723)),
        photoshop=_as_bytes(tags.get(34377)),
        problems=problems,
    )
    info, orientation = upright_info(
        format="TIFF",
        width=page.imagewidth,
        height=page.imagelength,
        bits_per_sample=bits_per_sample(page),
        colour_channels=channels,
        extra_samples=_extra_samples(page, channels),
        resolution=read_resolution(tags, problems),
        profile=_as_bytes(tags.get(34675)),
        blocks=blocks,
        tags=tags | capture,
        page=number,
        refusal=refusal,
    )
    pixels: StoredPixels
    if refusal is not None:
        pixels = RefusedPixels(refusal)
    else:
        if not limits.describes_damaged:
            check_pixel_data(page, number, os.fstat(file.fileno()).st_size)
        pixels = stored = TiffPixels(file, tiff, page, limits)
        if orientation.transpose and stored.costly_across:
            pixels = SpooledPixels(stored, width=page.imagewidth, height=page.imagelength)
        colours = palette_colours(page) if page.photometric == PALETTE else None
        if colours is not None:
            pixels = PaletteColours(pixels, colours)
        if page.photometric == WHITE_IS_ZERO:
            pixels = Inverted(pixels)
    return StoredImage(info=info, pixels=pixels, orientation=orientation, directory=page.index)


def _full_size(pages: list[TiffPage], problems: list[str]) -> list[TiffPage]:
    """The full-size pictures in file order; thumbnails, pyramid levels and masks are left out and reported."""
    if not pages or any(page.imagewidth < 1 or page.imagelength < 1 for page in pages):
        raise UnreadableImageError("the TIFF has no picture, or its directory is corrupt")
    masks = [page for page in pages if page.subfiletype & _IS_MASK or page.photometric == MASK]
    if masks and len(masks) < len(pages):
        problems.append("a transparency mask in the file isn't carried")
        pages = [page for page in pages if page not in masks]
    # A page that declares itself a reduced copy is one, unless there is no full-size page.
    largest = max(pages, key=lambda page: (not page.is_reduced, page.imagewidth * page.imagelength))
    full_size = []
    for page in pages:
        if page is largest or not (page.is_reduced or _is_smaller_copy(page, largest)):
            full_size.append(page)
        else:
            problems.append(f"a preview of {page.imagewidth}x{page.imagelength} px in the file isn't carried")
    return full_size


def _is_smaller_copy(page: TiffPage, largest: TiffPage) -> bool:
    """Whether a page is a reduced copy of the largest: a pyramid level, or at most a quarter as large with the same
    shape.
    """
    width, height, full_width, full_height = page.imagewidth, page.imagelength, largest.imagewidth, largest.imagelength
    for halvings in range(1, full_width.bit_length()):
        # Programs round half sizes up or down.
        if abs(width - full_width / 2**halvings) < 1 and abs(height - full_height / 2**halvings) < 1:
            return True
    smaller = max(width, height) * 4 <= max(full_width, full_height)
    return smaller and abs(math.log((width * full_height) / (height * full_width))) < 0.1


def _colour_channels(page: TiffPage) -> int:
    if page.photometric == PALETTE:
        return 3
    channels = 3 if page.photometric in (RGB, YCBCR) else 1
    if page.samplesperpixel < channels:
        raise UnreadableImageError(f"the TIFF says RGB but has {page.samplesperpixel} samples a pixel")
    return channels


def _extra_samples(page: TiffPage, channels: int) -> tuple[ExtraSample, ...]:
    kinds = [_EXTRA_SAMPLES.get(int(kind), "unspecified") for kind in page.extrasamples]
    count = page.samplesperpixel - channels
    return tuple((kinds + ["unspecified"] * count)[:count])


def _tags(page: TiffPage, problems: list[str]) -> dict[int, Any]:
    """The page's tags by number, without those that are too large to be metadata."""
    tags: dict[int, Any] = {}
    for tag in page.tags:
        if tag.valuebytecount <= _MAX_METADATA_BYTES:
            tags[tag.code] = tag.value
        elif tag.code not in _OF_PIXELS:
            problems.append(f"the block {tag.name} of {tag.valuebytecount} bytes is too large and was left out")
    return tags


def _as_bytes(value: Any) -> bytes | None:
    """A block's bytes; some programs store it as text."""
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None
