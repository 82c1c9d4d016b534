"""An export to a folder, which appears complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.errors import StorageError
from archive.storage import make_folder


def check_folder(folder: Path, contents: tuple[str, ...]) -> None:
    """Refuses a folder that :func:`new_folder` would refuse.

    Raises:
        StorageError: ``folder`` is a file, or holds something else than ``contents``.
    """
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file. Name a folder to write into")
    if folder.is_dir() and (other := sorted({path.name for path in folder.iterdir()} - set(contents))):
        raise StorageError(f"{folder} holds {other[0]}, which is not part of an export. Name another folder")


@contextmanager
def new_folder(folder: Path, contents: tuple[str, ...], *, kept: str | None = None) -> Iterator[Path]:
    """An empty folder that replaces ``folder`` when the block ends without an error.

    Args:
        folder: absent, empty, or an earlier export, which is replaced as a whole.
        contents: what an export holds at its top; a folder with anything else is not replaced.
        kept: the one of them that is taken over from ``folder`` as it is.

    Raises:
        StorageError: ``folder`` is a file, or holds something else.
    """
    check_folder(folder, contents)
    folder = folder.absolute()
    make_folder(folder.parent)
    made, replaced = (folder.with_name(f".{folder.name}.{state}") for state in ("export", "replaced"))
    for left_over in (made, replaced):
        shutil.rmtree(left_over, ignore_errors=True)
    made.mkdir()
    try:
        yield made
        if folder.exists():
            if kept is not None:
                (folder / kept).rename(made / kept)
            folder.rename(replaced)
        made.rename(folder)
    finally:
        for rest in (made, replaced):
            shutil.rmtree(rest, ignore_errors=True)
