"""Finds the files below the ingested paths, and examines single files without using the catalogue."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from archive.errors import IngestError
from archive.ingest.checksum_verification import Checksum, digest_and_compare
from archive.ingest.discovered_files import DiscoveredFiles
from archive.ingest.temporary_storage import StoredSet
from archive.settings import SETTINGS_NAME
from archive.storage import DERIVATIVES, MASTERS, MODELS, Identity
from restoration.errors import ImageError, UnreadableImageError
from restoration.image import Depth, ImageInfo, Limits, find_damage, inspect_all
from restoration.image.image_info import Metadata

SHEET_NAME = "items.csv"
DAMAGED = "damaged: "
"""What the reason begins with for which a scan that was accepted damaged is not restored."""

_OF_A_HOME = (DERIVATIVES, MASTERS, MODELS)
_KIND, _FILE, _FOLDER, _LINKED_FOLDER = b"\0", b"f", b"d", b"l"
_LONGEST_PATH_BYTES = 2000  # what a database's index holds


@dataclass(frozen=True, kw_only=True)
class Check:
    """How thoroughly a scan is checked, and whether a damaged one is accepted."""

    depth: Depth = "structure"
    accept_damaged: bool = False


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The state of one file, all from the same unchanged bytes."""

    path: Path
    root: Path
    sha256: str
    size: int  # bytes
    pictures: tuple[ImageInfo, ...] | None
    """The pictures in the file, without profiles and metadata blocks; None if the catalogue has these bytes already."""
    checked: Depth = "structure"
    """How thoroughly the pictures were checked for damage."""
    sums: Sequence[Checksum] = ()
    """The checksums delivered with the file; its bytes match them."""


def discover_files(paths: Sequence[Path], home: Path) -> DiscoveredFiles:
    """All files below ``paths``, except hidden ones and the files that belong to a home.

    A link to a folder is followed, unless the folder lies below ``paths`` anyway (as every loop does).

    Raises:
        IngestError: a path doesn't exist, can't be read, or is one of the home's own folders.
    """
    roots = [absolute_path(path) for path in paths]
    for given, path in zip(paths, roots, strict=True):
        _require(path, given)
        if any(path.resolve().is_relative_to((home / name).resolve()) for name in _OF_A_HOME):
            raise IngestError(f"{given} is the archive's own: give the folder that the scans came from")
    found = DiscoveredFiles()
    covered = [root.resolve() for root in roots if root.is_dir()]
    seen = StoredSet()
    for root in roots:
        if root.is_dir():
            for path in _walk(root, home, covered, seen, found):
                _take(path, root, found)
        else:
            _take(root, root.parent, found)
            neighbour = root.parent / SHEET_NAME
            if neighbour.is_file() and neighbour not in found.neighbours:
                found.neighbours.append(neighbour)
    return found


def examine_file(
    path: Path,
    root: Path,
    *,
    sums: Sequence[Checksum] = (),
    known: Callable[[str], bool],
    limits: Limits,
    check: Check,
) -> Scan:
    """Digests a file, compares it with its ``sums`` and, unless its digest is ``known``, checks the pictures in it.

    Raises:
        IngestError: it is damaged, and not accepted so.
        ChecksumMismatchError: its bytes don't have one of its sums.
        IngestError: it changed meanwhile, or its name can't be kept.
        StorageError: it changed while it was digested.
        ImageError: it can't be read as an image, or is too large.
        OSError: it can't be read.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH_BYTES:
        raise IngestError(f"its path is longer than {_LONGEST_PATH_BYTES} bytes: shorten it")
    status = path.stat()
    if status.st_size == 0 and not sums:
        raise UnreadableImageError("it is empty")
    before = Identity.of(status)
    sha256, size = digest_and_compare(path, sums)
    pictures = None
    if not known(sha256):
        damage = find_damage(path, depth="structure", limits=limits)
        describes_damaged = damage is not None or check.accept_damaged
        described = inspect_image(path, limits=replace(limits, describes_damaged=describes_damaged))
        if damage is None and check.depth == "pixels":
            damage = find_damage(path, depth="pixels", limits=limits)
        if damage is not None and not check.accept_damaged:
            raise IngestError(f"{damage}. Fetch the file again from where it came, or take it in with --accept-damaged")
        pictures = tuple(
            replace(
                info,
                icc_profile=None,
                metadata=Metadata(),
                refusal=info.refusal if damage is None else f"{DAMAGED}{damage}",
            )
            for info in described
        )
    if Identity.of(path.stat()) != before:
        raise IngestError("it changed while it was read: wait until nothing writes to it, then ingest again")
    return Scan(path=path, root=root, sha256=sha256, size=size, pictures=pictures, checked=check.depth, sums=sums)


def inspect_image(path: Path, *, limits: Limits) -> tuple[ImageInfo, ...]:
    """The metadata of each picture in the file; any error of a decoder becomes an error of this file.

    Raises:
        ImageError: it can't be read as an image, or is too large.
        OSError: it can't be read.
    """
    try:
        return inspect_all(path, limits=limits)
    except (ImageError, OSError):
        raise
    except Exception as error:
        raise ImageError(f"it can't be read as an image: {type(error).__name__}: {error}") from error


def absolute_path(path: Path) -> Path:
    """The absolute path as the user knows it: links are kept, since shares are mounted behind them."""
    return path.resolve() if ".." in path.parts else path.absolute()


def _require(path: Path, given: Path) -> None:
    """Refuses a path that was ``given`` on the command line and is not there.

    Raises:
        IngestError: it doesn't exist, or can't be read.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise IngestError(f"{given} does not exist: nothing was ingested") from None
    except OSError as error:
        raise IngestError(f"{given} can't be read: {error.strerror}. Nothing was ingested") from error


def _take(path: Path, root: Path, found: DiscoveredFiles) -> None:
    shown = printable_path(path)
    if shown != str(path):
        found.failures.append((shown, "its name is not UTF-8: rename it"))
        return
    try:
        mode = path.stat().st_mode
    except OSError as error:
        found.failures.append((shown, _describe_unreadable(error)))
        return
    if stat.S_ISREG(mode) and found.add(path, root) and path.name == SHEET_NAME:
        found.sheets.append(path)


def _describe_unreadable(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a link to itself. Replace or remove it"
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "it is a link to a file that isn't there"
    return f"it can't be read: {error.strerror}"


def printable_path(path: Path) -> str:
    """The path as text, with bytes that are not valid UTF-8 written as ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _walk(folder: Path, home: Path, covered: list[Path], seen: StoredSet, found: DiscoveredFiles) -> Iterator[Path]:
    """The files of a folder and its subfolders, each folder once."""
    if not seen.add(str(folder.resolve())):
        return
    try:
        entries = _list_folder(folder)
    except OSError as error:
        found.failures.append((printable_path(folder), f"the folder can't be read: {error.strerror}"))
        return
    own = _kept_by_a_home(folder, home, entries)
    for entry in entries:
        encoded, _, kind = entry.partition(_KIND)
        path = folder / (name := os.fsdecode(encoded))
        if name.startswith("."):
            found.hidden.append(path)
        elif name in own:
            continue
        elif kind == _FILE:
            yield path
        elif not (kind == _LINKED_FOLDER and _lies_below(path, covered)):
            yield from _walk(path, home, covered, seen, found)


def _list_folder(folder: Path) -> list[bytes]:
    """The entries of a folder, sorted, each ``name NUL kind``: directory entries take much more memory.

    Raises:
        OSError: it can't be read, or its files can't be opened.
    """
    with os.scandir(folder) as listing:
        if not os.access(folder, os.X_OK, effective_ids=True):  # one problem, instead of one for each file in it
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return sorted(os.fsencode(entry.name) + _KIND + _kind(entry) for entry in listing)


def _kind(entry: os.DirEntry[str]) -> bytes:
    try:
        if not entry.is_dir():
            return _FILE
    except OSError:  # a link to itself
        return _FILE
    return _LINKED_FOLDER if entry.is_symlink() else _FOLDER


def _kept_by_a_home(folder: Path, home: Path, entries: Sequence[bytes]) -> frozenset[str]:
    """The names in a folder that belong to a home, of this catalogue or another; its own files are not masters."""
    settings, database = os.fsencode(SETTINGS_NAME) + _KIND, b"catalogue.db"
    if folder != home and not any(entry.startswith(settings) for entry in entries):
        return frozenset()
    names = (os.fsdecode(entry.partition(_KIND)[0]) for entry in entries if entry.startswith(database))
    return frozenset((*_OF_A_HOME, SETTINGS_NAME, *names))


def _lies_below(path: Path, covered: list[Path]) -> bool:
    real = path.resolve()
    return any(real.is_relative_to(root) for root in covered)
