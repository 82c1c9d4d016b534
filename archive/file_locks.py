"""Locks by which only one process at a time writes a file or folder."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from archive.errors import StorageError
from archive.storage import final_name, make_folder

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""Errors of file systems without locks."""


@contextmanager
def hold_path(path: Path) -> Iterator[None]:
    """Lets no other process hold ``path`` until the block ends, and removes temporary files of killed processes for it.

    The lock is on a hidden file beside ``path``, which is removed at the end. A killed process leaves the file, but not
    the lock.

    Args:
        path: the file or folder to write, absolute; its parent folder is created if necessary.

    Raises:
        StorageError: another process holds it.
    """
    make_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("ab") as file:
        is_locked = _try_lock(file, lock)
        if is_locked is False:
            raise StorageError(
                f"another process is writing {path}. Wait until it ends, then run the same command again"
            )
        try:
            if is_locked:
                for other in list(path.parent.iterdir()):
                    if final_name(other.name) == path.name:
                        other.unlink(missing_ok=True)
            yield
        finally:
            lock.unlink(missing_ok=True)


def _try_lock(file: BinaryIO, lock: Path) -> bool | None:
    """Locks an open file; False if another process has the lock, or has removed the file since it was opened.

    None if the file system has no locks.
    """
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
