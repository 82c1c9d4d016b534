"""Writes a file whole: other programs, also after a crash, find all of it or none of it, never half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from archive.storage import flush_file, publish, temporary_path


@contextmanager
def whole_file(path: Path, *, mode: int = 0o666, replace: bool = True) -> Iterator[BinaryIO]:
    """A binary file that gets the name ``path``, flushed to the disk, when the block ends without an error.

    Args:
        path: the file; its folder is created if necessary.
        mode: its permissions from the first byte, less the umask.
        replace: take the place of an existing file.

    Raises:
        StorageError: ``path`` exists and is not to be replaced.
        OSError: it can't be written; nothing is left behind.
    """
    path = path.absolute()
    temporary = temporary_path(path, uuid4().hex)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            yield file
        flush_file(temporary)
        publish(temporary, path, replace=replace)
    finally:
        temporary.unlink(missing_ok=True)
