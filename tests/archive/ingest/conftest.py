"""Small real scans, and a way to ingest them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import tifffile
from PIL import Image

from archive.catalogue import Catalogue
from archive.ingest import IngestReport, ingest


class MakeScan(Protocol):
    """Writes a small image; another ``seed`` gives other bytes."""

    def __call__(self, name: str, seed: int = 0, *, size: tuple[int, int] = (40, 30)) -> Path: ...


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """The folder that is ingested."""
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


@pytest.fixture
def make_scan(scans: Path) -> MakeScan:
    def make(name: str, seed: int = 0, *, size: tuple[int, int] = (40, 30)) -> Path:
        width, height = size
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
        path = scans / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tif":
            tifffile.imwrite(path, pixels, photometric="minisblack", resolution=(300, 300), resolutionunit="INCH")
        else:
            Image.fromarray(pixels).save(path)
        return path

    return make


@pytest.fixture
def write_rows(scans: Path) -> Callable[[str], Path]:
    """Writes ``scans/items.csv``."""

    def write(text: str) -> Path:
        path = scans / "items.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def take(catalogue: Catalogue, scans: Path) -> Callable[..., IngestReport]:
    """Ingests ``scans``, or the paths given."""

    def run(*paths: Path, **options: Any) -> IngestReport:
        return ingest(catalogue, paths or (scans,), **options)

    return run
