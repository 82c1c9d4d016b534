"""Adds the cause and the remedy to errors of SQLite that come from the disk or from permissions."""

from __future__ import annotations

import getpass
import os
import sqlite3
import stat
from pathlib import Path

_SHARED_MEMORY_BYTES = 64 * 1024
"""SQLite needs at least 32 KiB for the file ``-shm``, even to read."""

_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_PERMISSION = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR)


def add_hint(error: BaseException, path: Path) -> None:
    """Appends the cause and the remedy to the message of ``error``, if they can be found.

    Args:
        error: an error of the SQLite database; other errors are left as they are.
        path: the file of the database.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(error, sqlite3.Error) or code is None:
        return
    hint = find_hint(code & 0xFF, path)  # the lowest byte is the primary code
    if hint is not None and hint not in str(error):
        error.args = (f"{error}. {hint}",)


def find_hint(code: int, path: Path) -> str | None:
    """What causes an error with SQLite's primary result code ``code``, and what to do; None if it is not known."""
    try:
        volume = os.statvfs(path.parent)
        if code in _PERMISSION and volume.f_flag & os.ST_RDONLY:
            return (
                f"{path.parent} is on a read-only file system, where SQLite can't work. Copy the home to a writable "
                f"folder, or only archive.toml and {path.name}* if you want to read the catalogue, and name it "
                "with --home"
            )
        if code in _DISK and volume.f_bavail * volume.f_frsize < _SHARED_MEMORY_BYTES:
            return f"No space is left on the disk of {path.parent}, which SQLite needs even to read. Free some space"
        if code in _PERMISSION and (refused := _not_writable(path)) is not None:
            return (
                f"{_user()} may not write to {refused}, which belongs to {_describe_permissions(refused)}. Let the "
                "owner make it writable for a common group, or use PostgreSQL for several people"
            )
    except OSError:
        return None
    return None


def _not_writable(path: Path) -> Path | None:
    """The first of the database's files and its folder that this user may not write to."""
    files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"), path.parent)
    return next((each for each in files if each.exists() and not os.access(each, os.W_OK)), None)


def _describe_permissions(path: Path) -> str:
    found = path.stat()
    try:
        owner = path.owner()
    except KeyError:  # it has no name on this machine, only a number
        owner = str(found.st_uid)
    try:
        group = path.group()
    except KeyError:
        group = str(found.st_gid)
    return f"user {owner}, group {group}, mode {stat.filemode(found.st_mode)}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user id {os.getuid()}"
