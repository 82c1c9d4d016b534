"""Checks the chain of directories in a TIFF before it is parsed: loops, truncation and absurd counts."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from restoration.errors import UnreadableImageError

_MOST_DIRECTORIES = 4096
_MOST_TAGS = 4096


def read_directories(file: BinaryIO) -> tuple[list[frozenset[int]], list[str]]:
    """Returns the tag numbers in each directory of the chain, and descriptions of the chain's problems.

    Raises:
        UnreadableImageError: the file ends before its directories do, or they are corrupt.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    of_count, of_offset, of_tag = ("Q", "Q", 20) if is_big else ("H", "I", 12)
    count_bytes, offset_bytes = struct.calcsize(of_count), struct.calcsize(of_offset)
    try:
        (offset,) = struct.unpack_from(order + of_offset, head, 8 if is_big else 4)
        directories: dict[int, frozenset[int]] = {}
        while offset:
            if offset in directories:
                return list(directories.values()), ["the TIFF's directories lead round in a circle: each was read once"]
            if len(directories) >= _MOST_DIRECTORIES:
                raise UnreadableImageError(f"the TIFF has more than {_MOST_DIRECTORIES} directories: split it")
            file.seek(min(offset, size))
            (count,) = struct.unpack(order + of_count, file.read(count_bytes))
            if count > _MOST_TAGS:
                raise UnreadableImageError(f"a directory of the TIFF has {count} entries: it is corrupt")
            entries = file.read(count * of_tag)
            numbers = (struct.unpack_from(order + "H", entries, index * of_tag)[0] for index in range(count))
            directories[offset] = frozenset(numbers)
            (offset,) = struct.unpack(order + of_offset, file.read(offset_bytes))
    except struct.error as error:
        raise UnreadableImageError("the TIFF ends before its directories do: it is truncated, or corrupt") from error
    return list(directories.values()), []
