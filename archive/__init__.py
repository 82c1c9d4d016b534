"""Catalogue, batches and command line of the archive restoration system."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

SOFTWARE_NAME = "archive-restoration"

try:
    __version__ = version(SOFTWARE_NAME)
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+unknown"
