"""An export to a folder, which appears complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.errors import StorageError
from archive.storage import require_parent


def prepare_folder(folder: Path, contents: tuple[str, ...]) -> None:
    """Brings back a folder whose replacement was interrupted, and refuses one that :func:`new_folder` would refuse.

    The caller holds the folder (:func:`archive.export.output_file.hold_output`).

    Raises:
        StorageError: ``folder`` is a file, or holds something else than ``contents``, or its parent is missing.
        OSError: the folder can't be brought back.
    """
    require_parent(folder)
    _finish_or_undo(folder.absolute(), contents)
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file. Name a folder to write into")
    if folder.is_dir() and (other := sorted({path.name for path in folder.iterdir()} - set(contents))):
        raise StorageError(f"{folder} holds {other[0]}, which is not part of an export. Name another folder")


@contextmanager
def new_folder(folder: Path, contents: tuple[str, ...], *, kept: str | None = None) -> Iterator[Path]:
    """An empty folder that replaces ``folder`` when the block ends without an error; the caller holds ``folder``.

    Args:
        folder: absent, empty, or an earlier export, which is replaced as a whole.
        contents: what an export holds at its top; a folder with anything else is not replaced.
        kept: the one of them that is taken over from ``folder`` as it is.

    Raises:
        StorageError: ``folder`` is a file, or holds something else.
        OSError: the folder can't be replaced; the earlier export is still there.
    """
    prepare_folder(folder, contents)
    folder = folder.absolute()
    made, replaced = _neighbours(folder)
    made.mkdir()
    try:
        yield made
        if folder.exists():
            folder.rename(replaced)
            if kept is not None:
                (replaced / kept).rename(made / kept)
        made.rename(folder)
    finally:
        _finish_or_undo(folder, contents)


def _neighbours(folder: Path) -> tuple[Path, Path]:
    """The hidden names of the new folder while it is made, and of the old one while it is replaced."""
    return folder.with_name(f".{folder.name}.export"), folder.with_name(f".{folder.name}.replaced")


def _finish_or_undo(folder: Path, contents: tuple[str, ...]) -> None:
    """Ends a replacement that finished, failed or was killed: the old folder is removed, or gets its name back.

    Before the old folder gets its name back, it gets back what the new one took over from it.
    """
    made, replaced = _neighbours(folder)
    if replaced.exists() and not folder.exists():
        for name in contents:
            if (made / name).exists() and not (replaced / name).exists():
                (made / name).rename(replaced / name)
        replaced.rename(folder)
    for rest in (made, replaced):
        shutil.rmtree(rest, ignore_errors=True)
