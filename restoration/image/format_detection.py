"""Format detection: selects the reader by the file's first bytes, never by its name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from restoration.errors import ImageError, UnreadableImageError, UnsupportedImageError
from restoration.image.image_info import ImageInfo, Limits
from restoration.image.jp2 import open_jp2
from restoration.image.jpeg import open_jpeg
from restoration.image.png import open_png
from restoration.image.stored_pixels import StoredImage
from restoration.image.tiff_reader import open_tiff

_HEAD_BYTES = 32
_READERS = {
    b"\xff\xd8\xff": open_jpeg,
    b"\x89PNG\r\n\x1a\n": open_png,
    b"\0\0\0\x0cjP  \r\n\x87\n": open_jp2,
    b"II*\0": open_tiff,
    b"MM\0*": open_tiff,
    b"II+\0": open_tiff,
    b"MM\0+": open_tiff,
}
_FORMATS = {open_jpeg: "JPEG", open_png: "PNG", open_jp2: "JP2", open_tiff: "TIFF"}
_AS_TIFF = "save a copy as TIFF"
_AS_PNG = "save a copy as PNG, which keeps every pixel"
_WITH_PROFILE = "save a copy as TIFF or PNG with its colour profile, with 16 bits if it has more than 8"
_DEVELOP = "develop it to a 16-bit TIFF"
_GIF, _JPEG_XL, _RAW = ("a GIF file", _AS_PNG), ("a JPEG XL file", _WITH_PROFILE), ("a camera raw file", _DEVELOP)
_OTHER_IMAGES = {
    b"GIF8": _GIF,
    b"8BPS": ("a Photoshop file", "flatten a copy and save it as TIFF"),
    b"\xff\x4f\xff\x51": ("a bare JPEG 2000 codestream, which doesn't state its colours", "save a copy as JP2"),
    b"\0\0\0\x0cJXL ": _JPEG_XL,
    b"\xff\x0a": _JPEG_XL,
    b"SDPX": ("a DPX file", _AS_TIFF),
    b"XPDS": ("a DPX file", _AS_TIFF),
    b"v/1\x01": ("an OpenEXR file", _AS_TIFF),
    b"II\xbc": ("a JPEG XR file", _AS_TIFF),
    b"AT&TFORM": ("a DjVu file", _AS_TIFF),
    b"FUJIFILMCCD-RAW": _RAW,
    b"II*\0\x10\0\0\0CR": _RAW,
    b"IIU\0": _RAW,
    b"IIRO": _RAW,
    b"IIRS": _RAW,
}
"""Unsupported formats by their first bytes: what the file is, and what to do."""
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
_EXTENSIONS = re.compile(
    r"\.(avif|bmp|cr2|cr3|dng|dpx|exr|gif|hei[cf]|j2k|jfif|jp2|jpe?g?|jp[fx]|jxl|jxr|nef|orf|png|ps[bd]|raf|tiff?|webp)"
)


def open_stored(file: BinaryIO, *, name: str, limits: Limits) -> tuple[StoredImage, ...]:
    """Reads the headers of all pictures in an open image file, at least one; ``name`` is used in messages.

    Raises:
        UnreadableImageError: it is not an image, or is corrupt.
        UnsupportedImageError: the format isn't supported.
        ImageTooLargeError: a picture in it is larger than ``limits``.
    """
    head = _head(file)
    try:
        if other := _other_kind(head):
            kind, remedy = other
            raise UnsupportedImageError(f"{kind}: {remedy}")
        for magic, reader in _READERS.items():
            if head.startswith(magic):
                return reader(file, limits=limits)
        raise UnreadableImageError("it is empty" if not head else "its first bytes aren't those of an image")
    except ImageError as error:
        raise type(error)(f"{name}: {error}") from error


def open_page(file: BinaryIO, *, name: str, page: int, limits: Limits) -> StoredImage:
    """Opens picture number ``page`` (from 1) of an open image file.

    Raises:
        UnreadableImageError: it is not an image, is corrupt, or has no such page.
        UnsupportedImageError: the format or kind of image can't be preserved faithfully.
        ImageTooLargeError: a picture in it is larger than ``limits``.
    """
    pictures = open_stored(file, name=name, limits=limits)
    if not 1 <= page <= len(pictures):
        raise UnreadableImageError(f"{name}: it has no picture {page}, only {len(pictures)}")
    opened = pictures[page - 1]
    if opened.info.refusal is not None:
        raise UnsupportedImageError(f"{name}: {opened.info.refusal}")
    return opened


def inspect(path: str | Path, *, page: int = 1, limits: Limits = Limits()) -> ImageInfo:  # noqa: B008  (frozen)
    """Returns the facts about picture number ``page`` of the image file ``path``, without decoding pixels.

    Raises:
        UnreadableImageError: it is not an image, is corrupt, or has no such page.
        UnsupportedImageError: the format or kind of image can't be preserved faithfully.
        ImageTooLargeError: a picture in it is larger than ``limits``.
        OSError: the file can't be opened.
    """
    with Path(path).open("rb") as file:
        return open_page(file, name=str(path), page=page, limits=limits).info


def inspect_all(path: str | Path, *, limits: Limits = Limits()) -> tuple[ImageInfo, ...]:  # noqa: B008  (frozen)
    """Returns the facts about each picture of the image file ``path``; an unsupported picture has a ``refusal``.

    Raises:
        UnreadableImageError: it is not an image, or is corrupt.
        UnsupportedImageError: the format isn't supported.
        ImageTooLargeError: a picture in it is larger than ``limits``.
        OSError: the file can't be opened.
    """
    with Path(path).open("rb") as file:
        return tuple(opened.info for opened in open_stored(file, name=str(path), limits=limits))


def looks_like_image(path: str | Path) -> bool:
    """Whether ``path`` is, or is meant to be, an image: by its first bytes, or else by its extension.

    Raises:
        OSError: the file can't be opened.
    """
    path = Path(path)
    if path.name.startswith("._"):
        return False  # metadata files that macOS writes on other file systems
    with path.open("rb") as file:
        head = _head(file)
    known = any(head.startswith(magic) for magic in _READERS) or _other_kind(head) is not None
    return known or _EXTENSIONS.fullmatch(path.suffix.lower()) is not None


def find_format(file: BinaryIO) -> str | None:
    """The supported format of an open image file, such as ``TIFF``, or None."""
    head = _head(file)
    if _other_kind(head) is not None:
        return None
    return next((_FORMATS[reader] for magic, reader in _READERS.items() if head.startswith(magic)), None)


def _head(file: BinaryIO) -> bytes:
    file.seek(0, os.SEEK_SET)
    return file.read(_HEAD_BYTES)


def _other_kind(head: bytes) -> tuple[str, str] | None:
    """An unsupported image format: what the file is, and what to do. Short signatures need further checks, because a
    text may begin with them.
    """
    for magic, kind in _OTHER_IMAGES.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP file", _WITH_PROFILE
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        if head[8:12] == b"crx ":
            return _RAW
        return "an AVIF file" if b"avi" in head[8:] else "a HEIC file", _WITH_PROFILE
    if head[:2] == b"BM" and head[6:10] == bytes(4) and len(head) >= 26:
        return "a BMP file", _AS_PNG
    return None
