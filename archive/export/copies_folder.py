"""The folder of the copies that belong to an export. Only files that this export wrote are replaced or removed.

The file :data:`MARK` in it names the export on its first line, and on each further line a file that the export wrote,
relative to the folder. A path is added before its file is written, so an interrupted export leaves no unknown file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from archive.errors import StorageError
from archive.storage import final_name, make_folder
from archive.whole_files import whole_file

MARK = ".archive-export"
"""Marks a folder as one that an export wrote."""
MANIFEST = "SHA256SUMS"
"""The list of the copies, as ``sha256sum`` writes it."""
_ADVICE = "Move it away, or give --output another name"


class CopiesFolder:
    """The folder of the copies of one export."""

    def __init__(self, path: Path, owner: str) -> None:
        """Makes the folder, or opens that of an earlier export and removes temporary files of killed ones.

        The caller holds the export (:func:`archive.export.output_file.hold_output`).

        Args:
            path: the folder.
            owner: the name of the export beside it, such as ``items.csv``.

        Raises:
            StorageError: the folder holds files but no mark, or belongs to another export.
            OSError: the folder can't be read or written.
        """
        self.path = path.absolute()
        self._owner = owner
        make_folder(self.path)
        marked = _read_mark(self.path)
        if marked is None:
            if not all(_is_temporary(file, set()) for file in _files(self.path)):
                raise StorageError(f"{path} is needed for the copies, but holds files that no export wrote. {_ADVICE}")
            self._write(MARK, owner)
            marked = owner, set()
        if marked[0] != owner:
            raise StorageError(f"{path} holds the copies of {marked[0]}. Give --output another name")
        self._written = marked[1]
        for file in _files(self.path):
            if _is_temporary(file, self._written):
                (self.path / file).unlink()

    def claim(self, path: str) -> Path:
        """Records that the export is about to write ``path``; returns the path to write, which may hold an old copy.

        Raises:
            StorageError: a file that no export wrote is there, or one of its folders is a link.
        """
        target = self.path / path
        if path not in self._written:
            if os.path.lexists(target) or not _lies_within(self.path, PurePosixPath(path)):
                raise StorageError(f"{target} is needed for a copy, but is a file that no export wrote. {_ADVICE}")
            with (self.path / MARK).open("a", encoding="utf-8", errors="surrogateescape") as mark:
                mark.write(f"\n{path}")
            self._written.add(path)
        return target

    def publish(self, digests: Mapping[str, str]) -> None:
        """Lists the copies in the manifest, then removes those of earlier exports and folders that are empty then.

        Args:
            digests: SHA-256 of each copy by path.
        """
        self._write(MANIFEST, "".join(f"{sha256}  {path}\n" for path, sha256 in digests.items()))
        for path in self._written - digests.keys():
            (self.path / path).unlink(missing_ok=True)
            for parent in PurePosixPath(path).parents[:-1]:
                with suppress(OSError):  # it isn't empty
                    (self.path / parent).rmdir()
        self._write(MARK, "\n".join((self._owner, *digests)))

    def _write(self, name: str, text: str) -> None:
        with whole_file(self.path / name) as file:
            file.write(text.encode("utf-8", "surrogateescape"))


def check_removable(folder: Path) -> None:
    """Refuses a folder of copies that holds other files, before the export that it belongs to is replaced.

    Raises:
        StorageError: a file there was not written by an export.
    """
    _, written = _read_mark(folder) or ("", set())
    known = {MARK, MANIFEST, *written}
    for path in _files(folder):
        if str(path) not in known and not _is_temporary(path, written):
            raise StorageError(f"{folder / path} is in the way, and no export wrote it. {_ADVICE}")


def _files(folder: Path) -> Iterator[PurePosixPath]:
    """The paths of all files below a folder, relative to it."""
    for parent, _, names in os.walk(folder):
        for name in names:
            yield PurePosixPath(Path(parent, name).relative_to(folder))


def _is_temporary(path: PurePosixPath, written: set[str]) -> bool:
    """Whether a file is what a killed export left of a copy that it was writing."""
    name = final_name(path.name)
    return name is not None and str(path.with_name(name)) in {MARK, MANIFEST, *written}


def _read_mark(folder: Path) -> tuple[str, set[str]] | None:
    """The export that a folder belongs to, and the files that it wrote; None if the folder has no mark.

    Raises:
        StorageError: the mark names a file outside the folder, or one behind a link, so that it was changed by hand.
    """
    try:
        text = (folder / MARK).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    owner, *paths = text.split("\n")
    for path in (MARK, *paths):
        if not _lies_within(folder, PurePosixPath(path)):
            raise StorageError(
                f"{folder / MARK} names {path!r}, which is not a file of this folder. Nothing was replaced. {_ADVICE}"
            )
    return owner, set(paths)


def _lies_within(folder: Path, path: PurePosixPath) -> bool:
    """Whether a path leads to a place in ``folder``, and through no link."""
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return False
    return not any((folder / part).is_symlink() for part in (path, *path.parents[:-1]))
