"""The state of an unfinished package: its request, and the process that works on it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from archive.errors import StorageError
from archive.storage import make_folder, require_parent

STATE_NAME = "unfinished-package.json"
"""A folder that holds this file is not a complete package."""
_BEGINNING = f".{STATE_NAME}.partial"


@dataclass(frozen=True, kw_only=True)
class PackageRequest:
    """The request of a package. Only the same request continues an unfinished package."""

    query: str | None
    layout: str
    contents: tuple[str, ...]
    include_restricted: bool
    signed: bool = False


@contextmanager
def unfinished_package(folder: Path, request: PackageRequest) -> Iterator[None]:
    """Begins a package in ``folder``, or continues the unfinished one there; it is finished when the block ends.

    Raises:
        StorageError: ``folder`` exists and is not an unfinished package of the same request, or another process works
            on it.
    """
    require_parent(folder)
    state = folder / STATE_NAME
    wanted = json.loads(json.dumps(asdict(request)))
    if _is_free(folder):
        _begin(folder, state, json.dumps(wanted, ensure_ascii=False))
    with _locked(folder, state) as text:
        if json.loads(text) != wanted:
            raise StorageError(
                f"{folder} is an unfinished package of another request: {text}. "
                "Repeat that request to finish it, or remove the folder, or name another one"
            )
        yield
        state.unlink()


def _is_free(folder: Path) -> bool:
    """Whether a folder is absent or empty, or contains only what an interruption at the very start leaves."""
    return not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= {_BEGINNING})


def _begin(folder: Path, state: Path, text: str) -> None:
    make_folder(folder)
    beginning = folder / _BEGINNING
    beginning.write_text(text, encoding="utf-8")
    beginning.rename(state)  # the state appears whole


@contextmanager
def _locked(folder: Path, state: Path) -> Iterator[str]:
    try:
        file = state.open(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise StorageError(
            f"{folder} exists and is not an unfinished package. Name a folder that isn't there"
        ) from None
    with file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"another process is making the package {folder}. Wait until it ends") from None
        yield file.read()
