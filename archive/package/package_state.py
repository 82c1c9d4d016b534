"""The state of an unfinished package: its request. One process at a time works on a package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from archive.errors import StorageError
from archive.file_locks import hold_path
from archive.storage import make_folder, require_parent

STATE_NAME = "unfinished-package.json"
"""A folder that holds this file is not a complete package."""
_BEGINNING = f".{STATE_NAME}.partial"
_LOCK = f".{STATE_NAME}.lock"


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
    wanted = json.loads(json.dumps(asdict(request)))
    with hold_path(_check(folder)):  # in the folder, because its parent may be somebody else's
        state = _check(folder)
        if _is_free(folder):
            _begin(state, json.dumps(wanted, ensure_ascii=False))
        text = state.read_text(encoding="utf-8")
        if json.loads(text) != wanted:
            raise StorageError(
                f"{folder} is an unfinished package of another request: {text}. "
                "Repeat that request to finish it, or remove the folder, or name another one"
            )
        yield
        state.unlink()


def _check(folder: Path) -> Path:
    """Checks that a package can be begun or continued in a folder; returns the path of its state."""
    state = folder / STATE_NAME
    if not _is_free(folder) and not state.is_file():
        raise StorageError(f"{folder} exists and is not an unfinished package. Name a folder that isn't there")
    return state


def _is_free(folder: Path) -> bool:
    """Whether a folder is absent or empty, but for the lock and what an interruption at the very start leaves."""
    return not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= {_BEGINNING, _LOCK})


def _begin(state: Path, text: str) -> None:
    make_folder(state.parent)
    beginning = state.with_name(_BEGINNING)
    beginning.write_text(text, encoding="utf-8")
    beginning.rename(state)  # the state appears whole
