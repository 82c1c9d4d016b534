"""Finds damage in the coded data of a JPEG, for which other decoders fill in pixels without an error."""

from __future__ import annotations

import simplejpeg

from restoration.errors import UnreadableImageError

# libjpeg's warnings about coded data. Others concern metadata, or kinds of JPEG that simplejpeg doesn't decode.
_WARNINGS = ("Corrupt JPEG data", "Premature end of JPEG file")
_SURPLUS = "extraneous bytes before marker 0xd9"
_END = b"\xff\xd9"


def check_jpeg_data(data: bytes, what: str) -> None:
    """Decodes a JPEG at an eighth of its size, for which all coded data is read, and treats warnings as errors.

    Zeros between the last pixel and the end marker, which some cameras write, are no damage. Kinds that simplejpeg
    doesn't decode, such as lossless or 12-bit JPEGs, pass.

    Args:
        data: a JPEG, without metadata, because only the first warning is known.
        what: its name in the error.

    Raises:
        UnreadableImageError: the coded data is damaged.
    """
    warning = _find_warning(data)
    if warning is not None and _SURPLUS in warning:
        warning = _find_warning(data[: data.rfind(_END)].rstrip(b"\0") + _END)
    if warning is not None:
        raise UnreadableImageError(f"{what} is damaged: {warning}")


def _find_warning(data: bytes) -> str | None:
    """libjpeg's first warning about the coded data, if any."""
    try:
        simplejpeg.decode_jpeg(data, colorspace="GRAY", fastdct=True, fastupsample=True, min_factor=8)
    except ValueError as error:
        return str(error) if str(error).startswith(_WARNINGS) else None
    return None


def join_tables(tables: bytes | None, data: bytes) -> bytes:
    """Joins a TIFF's common JPEG tables with the data of one of its strips or tiles."""
    return data if not tables else tables[:-2] + data[2:]  # without the tables' end marker and the data's start marker
