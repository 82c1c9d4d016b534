"""Finds damage in the coded data of a JPEG, for which other decoders fill in pixels without an error."""

from __future__ import annotations

import simplejpeg

from restoration.errors import UnreadableImageError

# libjpeg's warnings about coded data. Others concern metadata, or kinds of JPEG that simplejpeg doesn't decode.
_WARNINGS = ("Corrupt JPEG data", "Premature end of JPEG file")


def check_jpeg_data(data: bytes, what: str) -> None:
    """Decodes a JPEG at an eighth of its size, for which all coded data is read, and treats warnings as errors.

    Padding between the last pixel and the end marker, which some cameras write, is reported too: it can't be told from
    damage. Kinds that simplejpeg doesn't decode, such as lossless or 12-bit JPEGs, pass.

    Args:
        data: a JPEG, without metadata, because only the first warning is known.
        what: its name in the error.

    Raises:
        UnreadableImageError: the coded data is damaged.
    """
    try:
        simplejpeg.decode_jpeg(data, colorspace="GRAY", fastdct=True, fastupsample=True, min_factor=8)
    except ValueError as error:
        if str(error).startswith(_WARNINGS):
            raise UnreadableImageError(f"{what} is damaged: {error}") from error


def join_tables(tables: bytes | None, data: bytes) -> bytes:
    """Joins a TIFF's common JPEG tables with the data of one of its strips or tiles."""
    return data if not tables else tables[:-2] + data[2:]  # without the tables' end marker and the data's start marker
