"""Copies a file of the archive into an export or package: as a reflink if the file system has them.

A reflink needs no room until one of the two files is written, and then only that one changes. Never as a hard link: who
edits it edits the scan. A file has its final name only with all its bytes; it is read again there and compared with the
catalogue's digest. An existing file, from an interrupted run, is compared and kept.
"""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archive.catalogue.schema.tables import Derivative
from archive.errors import FixityError
from archive.storage import check_file, copy_checked, make_folder, temporary_path

DerivativeCopier = Callable[[Derivative, Path], str]
"""Puts a derivative, such as a signed copy of it, at a path of an export or package; returns the SHA-256 of that file.

The path may hold what an interrupted run left there.
"""

_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file, copied when either is written
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
_TOKEN = "package"  # noqa: S105
_PROBLEMS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class FileCopy:
    """A file that was put into an export or package."""

    sha256: str
    size: int  # bytes


def copy_file(source: Path, target: Path, sha256: str) -> str:
    """Creates ``target`` with the bytes of ``source``; the caller holds the export or package.

    Args:
        source: the file.
        target: its place in an export or package; the folder is made if need be.
        sha256: the bytes that it must hold.

    Returns:
        ``sha256``.

    Raises:
        FixityError: ``source`` is missing or doesn't hold the bytes of ``sha256``; nothing is left at ``target``.
        OSError: the volume of ``target`` is full or can't be written.
    """
    if target.exists():
        if check_file(target, sha256) is None:
            return sha256
        target.unlink()
    make_folder(target.parent)
    if not source.is_file():
        raise FixityError(f"{source} is missing")
    if _reflink(source, target):
        problem = check_file(target, sha256)
        if problem is not None:
            target.unlink(missing_ok=True)
            raise FixityError(f"{source} is not what the catalogue holds: {problem.detail}")
        return sha256
    problem = check_file(source, sha256)
    if problem is not None:
        raise FixityError(f"{source} is not what the catalogue holds: {problem.detail}")
    temporary_path(target, _TOKEN).unlink(missing_ok=True)  # of a killed run
    copy_checked(source, target, _TOKEN, sha256=sha256)
    return sha256


def describe_problems(what: str, problems: Sequence[str]) -> str:
    """A message with the first problems of files that can't be handed over, and what to do.

    Args:
        what: the consequence, such as ``"nothing is exported"``.
        problems: one text per file.
    """
    shown = "".join(f"\n  {problem}" for problem in problems[:_PROBLEMS_SHOWN])
    more = f"\n  and {len(problems) - _PROBLEMS_SHOWN:,} more" if len(problems) > _PROBLEMS_SHOWN else ""
    return (
        f"{what}, because files are broken:{shown}{more}\n"
        "Bring them back from a backup (`archive verify` checks them), then run the same command again"
    )


def _reflink(source: Path, target: Path) -> bool:
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in _FATAL:
            raise
        return False
    return True
