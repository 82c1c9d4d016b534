"""Locates the files that are distributed with the software: in an installed wheel, or at the top of a source tree."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def migrations_folder() -> Path:
    """The folder of the Alembic migrations (``env.py`` and ``versions/``)."""
    return _resource("migrations")


def sample_archive_folder() -> Path:
    """The folder of small scans with known originals that ``archive demo`` uses."""
    return _resource("sample_archive")


def _resource(name: str) -> Path:
    installed = _PACKAGE / f"_{name}"
    return installed if installed.is_dir() else _PACKAGE.parent / name
