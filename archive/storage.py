"""Files that are written once: their paths in the home, their publication, and their digests.

A finished file never appears under its final name half written, and never replaces another file. It is written under a
temporary name in the same folder, flushed to the disk, and then published by a hard link (or a rename that refuses to
replace); then the folder is flushed too.

The slug of an accession number is not necessarily unique: ``LC/1`` has the slug ``LC-1-2a9f53``, which another item may
have as its literal accession number; six hexadecimal digits can collide; and a file system that ignores case treats
``A1`` as ``a1``. No file is ever overwritten because of that: publishing refuses an existing name, the catalogue's
paths are unique, and the names of masters' copies contain their digest.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from archive.errors import StorageError
from archive.failpoints import failpoint

DERIVATIVES = "derivatives"
MASTERS = "masters"
MODELS = "models"
SAMPLES = "samples"
VIEWS = "views"
MASKS = "masks"

Algorithm = Literal["sha256", "md5"]

_PLAIN_SLUG = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
_SLUG_LENGTH = 80
_BLOCK_BYTES = 1 << 20
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_TEMPORARY_NAME = re.compile(r"\.(.+)\.[0-9A-Za-z]+\.partial", re.DOTALL)
# Errors of file systems without hard links (FAT, some network shares).
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


class Numbered(Protocol):
    """An object with an accession number: an item."""

    @property
    def accession_number(self) -> str: ...


class Identity(NamedTuple):
    """Identifies an unchanged file: its stat values."""

    device: int
    inode: int
    size: int  # bytes
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """The identity from a result of ``stat`` or ``fstat``."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class FileProblem(NamedTuple):
    """A problem of a file that should have a certain digest."""

    problem: Literal["missing", "changed", "unreadable", "damaged"]
    detail: str  # in words


def slug(accession_number: str) -> str:
    """The form of an accession number that is a safe file name on any system, at most 87 characters.

    An accession number of ``A-Z a-z 0-9 . _ -``, at most 80 characters long and not starting with a dot, is its own
    slug. Otherwise other characters become ``-``, the result is cut to 80 characters, and ``-`` with 6 hex digits of
    the SHA-256 of its UTF-8 bytes is added.
    """
    if _PLAIN_SLUG.fullmatch(accession_number):
        return accession_number
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", accession_number)[:_SLUG_LENGTH]
    return f"{kept}-{hashlib.sha256(accession_number.encode()).hexdigest()[:6]}"


def derivative_path(
    item: Numbered, sequence: int, kind: str, recipe_sha256: str, *, master_sha256: str | None = None
) -> str:
    """The path of a derivative, relative to the home.

    With ``master_sha256``: the alternative path if that one is taken by the derivative of a renumbered master.
    """
    name = slug(item.accession_number)
    of_master = f"-{master_sha256[:8]}" if master_sha256 else ""
    return f"{DERIVATIVES}/{name}/{name}_{sequence:03d}_{kind}_{recipe_sha256[:8]}{of_master}.tif"


def master_copy_path(accession_number: str, sha256: str, suffix: str) -> str:
    """The path of a copied master, relative to the home.

    The name contains the digest and not the sequence, which a later spreadsheet may change. ``suffix`` (``.tif``) is
    the original's, omitted if it contains unusual characters.
    """
    name = slug(accession_number)
    return f"{MASTERS}/{name}/{name}_{sha256[:16]}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


def weights_path(model: str, version: str) -> str:
    """The path of a model version's weights, relative to the home."""
    return f"{MODELS}/{model}/{version}/weights.safetensors"


def mask_name(accession_number: str, sequence: int) -> str:
    """The file name of a master's mask in the user's folder of masks."""
    return f"{slug(accession_number)}_{sequence:03d}.png"


def mask_path(sha256: str) -> str:
    """The path of a copied mask, relative to the home; named by its digest, as in recipes."""
    return f"{MASKS}/{sha256}.png"


def sheet_path(batch_id: int, recipe_sha256: str) -> str:
    """The path of the contact sheet of a sample and a recipe, relative to the home."""
    return f"{SAMPLES}/batch-{batch_id}_{recipe_sha256[:8]}.html"


def temporary_path(final: Path, token: str) -> Path:
    """The hidden temporary path beside ``final`` for the holder of ``token``; creates the folder if necessary."""
    make_folder(final.parent)
    return final.with_name(temporary_name(final, token))


def temporary_style_input(final: Path, token: str) -> Path:
    """The temporary file for the input of a style, removed in the same way as :func:`temporary_path`."""
    return temporary_path(final, f"content.{token}")


def temporary_name(final: Path, token: str) -> str:
    """The name of the temporary file of ``token`` for ``final``."""
    return f".{final.name}.{token}.partial"


def final_name(temporary: str) -> str | None:
    """The name that a file with the name of a temporary one was going to get; None for another file."""
    found = _TEMPORARY_NAME.fullmatch(temporary)
    return None if found is None else found[1]


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents, each flushed into its parent so that it survives a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise StorageError(f"{folder} is needed as a folder, but a file has that name: move it away") from None
    _flush_folder(folder.parent)


def require_parent(folder: Path) -> None:
    """Refuses an output folder of which more than the last part would have to be created: it may be mistyped.

    Raises:
        StorageError: neither ``folder`` nor its parent exists; the message names the first folder that is missing.
    """
    folder = folder.absolute()
    missing = folder.parent
    if folder.is_dir() or missing.is_dir():
        return
    while not missing.parent.is_dir():
        missing = missing.parent
    raise StorageError(f"the folder {missing} does not exist. Create it, or correct the path {folder}")


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk accepts no more data; all later files would fail too."""
    return error.errno in _DISK_IS_FULL


def flush_file(path: Path) -> None:
    """Flushes a finished file to the disk."""
    with path.open("rb") as file:
        _flush(file.fileno())


def publish(temporary: Path, final: Path, *, replace: bool = False) -> None:
    """Gives ``temporary`` its final name in the same folder and flushes the folder.

    Args:
        temporary: a finished file, flushed to the disk (:func:`flush_file`); it is gone afterwards.
        final: the name it gets.
        replace: take the place of a file that has the name; only for the holder of the lease, who knows that no row
            of the catalogue names that file.

    Raises:
        StorageError: the name is taken (and ``replace`` is false), or the file system can't publish without replacing.
    """
    failpoint("rename")
    if replace:
        temporary.replace(final)
    else:
        _publish_new(temporary, final)
    _flush_folder(final.parent)


def digest_file(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a file, in one pass through one descriptor.

    Raises:
        StorageError: the file changed while it was read.
        OSError: it isn't there or can't be read.
    """
    digests, size = digests_of_file(path, {"sha256"})
    return digests["sha256"], size


def digests_of_file(path: Path, algorithms: Collection[Algorithm]) -> tuple[dict[Algorithm, str], int]:
    """Digests (hex) and size in bytes of a file, all in one pass; raises as :func:`digest_file` does."""
    # MD5 detects accidental changes here; it is not used for security.
    digests = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    size = 0
    with path.open("rb", buffering=0) as file:
        before = Identity.of(os.fstat(file.fileno()))
        while block := file.read(_BLOCK_BYTES):
            for digest in digests.values():
                digest.update(block)
            size += len(block)
        if Identity.of(os.fstat(file.fileno())) != before or size != before.size:
            raise StorageError(f"{path} changed while it was read: wait until nothing writes to it, then try again")
    return {algorithm: digest.hexdigest() for algorithm, digest in digests.items()}, size


def check_file(path: Path, sha256: str) -> FileProblem | None:
    """Compares a file with ``sha256``; returns the problem, or None if it matches."""
    try:
        found, _ = digest_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return FileProblem("missing", "it is not there")
    except OSError as error:
        return FileProblem("unreadable", f"it can't be read: {error.strerror or error}")
    except StorageError as error:
        return FileProblem("changed", str(error))
    return None if found == sha256 else FileProblem("changed", f"it has SHA-256 {found}, not {sha256}")


def check_root(folder: Path, wanted: Iterable[Path]) -> str | None:
    """Checks whether a whole folder is missing, such as an unmounted share; returns the reason as text, or None.

    A folder is missing if it doesn't exist, or if more than one file is wanted from it and none of them exists,
    whatever else a mount point contains. A single missing file is reported for that file.

    Args:
        folder: the root that files were ingested from.
        wanted: the files that should lie in or below it, each once; looked at until one is found.
    """
    # os.path, because an unreachable share raises errors that Path's methods pass on.
    if not os.path.isdir(folder):  # noqa: PTH112
        return "is absent"
    missing = 0
    for path in wanted:
        if os.path.exists(path):  # noqa: PTH110
            return None
        missing += 1
    return "holds none of them, like an unmounted share" if missing > 1 else None


def copy_to_temporary(source: Path, final: Path, token: str, *, sha256: str | None = None) -> tuple[Path, str]:
    """Copies ``source`` to a temporary file beside ``final``, flushes it and verifies it by reading it.

    Args:
        source: the file to copy.
        final: the name that the copy is going to get.
        token: whose temporary file it is.
        sha256: the bytes that ``source`` must hold (hex); None takes what it holds.

    Returns:
        The temporary file, to be handed to :func:`publish_once` or removed; and its SHA-256.

    Raises:
        StorageError: ``source`` holds other bytes, or the copy reads back with others; nothing is left behind.
        OSError: reading or writing failed; nothing is left behind.
    """
    copy = temporary_path(final, token)
    try:
        found = _copy(source, copy)
        _check_copy(source, copy, found, sha256 or found)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy, found


def publish_once(temporary: Path, final: Path, *, sha256: str) -> None:
    """Publishes a file with digest ``sha256``; an existing final file with the same bytes is kept.

    An interrupted run leaves such a file without a row: it is complete, since it was published.

    Raises:
        StorageError: ``final`` exists and holds other bytes.
    """
    try:
        publish(temporary, final)
    except StorageError:
        temporary.unlink(missing_ok=True)
        if not final.is_file() or digest_file(final)[0] != sha256:
            raise


def copy_checked(source: Path, target: Path, token: str, *, sha256: str | None = None) -> None:
    """Copies ``source`` to ``target`` without replacing other bytes; with ``sha256``, only a file with this digest.

    Raises:
        StorageError: ``source`` or an existing ``target`` holds other bytes.
        OSError: reading or writing failed.
    """
    copy, found = copy_to_temporary(source, target, token, sha256=sha256)
    publish_once(copy, target, sha256=found)


def _copy(source: Path, copy: Path) -> str:
    """Copies and flushes; returns the SHA-256 of the bytes read."""
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as reader, copy.open("xb") as writer:
        while block := reader.read(_BLOCK_BYTES):
            digest.update(block)
            writer.write(block)
        writer.flush()
        _flush(writer.fileno())
    return digest.hexdigest()


def _check_copy(source: Path, copy: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise StorageError(f"{source} doesn't hold the bytes of SHA-256 {wanted} (any more): nothing was copied")
    if digest_file(copy)[0] != wanted:
        raise StorageError(f"the copy of {source} reads back with other bytes: check the disk of {copy.parent}")


def _publish_new(temporary: Path, final: Path) -> None:
    taken = StorageError(f"{final} is already there and is not written over: move it away, or find out what made it")
    try:
        final.hardlink_to(temporary)
        failpoint("rename")
    except FileExistsError:
        raise taken from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            _rename_without_replacing(temporary, final)
        except FileExistsError:
            raise taken from None
    else:
        temporary.unlink()


def _rename_without_replacing(temporary: Path, final: Path) -> None:
    """``renameat2`` with RENAME_NOREPLACE, which Python doesn't offer itself."""
    library = ctypes.CDLL(None, use_errno=True)
    rename = getattr(library, "renameat2", None)
    number = errno.ENOSYS
    if rename is not None:
        result = rename(_AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(final), _RENAME_NOREPLACE)
        if result == 0:
            return
        number = ctypes.get_errno()
    if number == errno.EEXIST:
        raise FileExistsError(number, os.strerror(number), str(final))
    raise StorageError(
        f"the file system that holds {final.parent} can neither link nor rename without replacing "
        f"({os.strerror(number)}): put the home on another one"
    )


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    failpoint("fsync")
    os.fsync(descriptor)
