"""The share of the ingest time that ``--check structure`` takes.

    python -m benchmarks.structure_check [--files N] [--rounds N] [--keep FOLDER]

Writes masters of each format as scanners make them, from a noisy picture of 24 megapixels, and ingests each format's
folder into a new home, in this process. The files are dropped from the file cache first, so that they are read from the
disk as new scans are. Prints, for each format, the seconds that the whole ingest and the check took (the median of the
rounds), and the share of the check in them and in the processor time. The requirement is at most 5 % of the time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from archive.catalogue import Catalogue
from archive.catalogue.schema import migration
from archive.ingest import file_discovery, ingest
from archive.settings import create_home
from restoration.image import find_damage

_WIDTH, _HEIGHT = 6000, 4000
_Picture = NDArray[np.uint16]
Clocks = NDArray[np.float64]
"""Seconds by the wall clock and of processor time."""


def _tiff(**options: Any) -> Callable[[Path, _Picture], None]:
    def write(path: Path, picture: _Picture) -> None:
        tifffile.imwrite(path, picture, photometric="rgb", resolution=(600, 600), metadata=None, **options)

    return write


def _jpeg(path: Path, picture: _Picture) -> None:
    Image.fromarray((picture >> 8).astype(np.uint8)).save(path, quality=95, dpi=(600, 600))


def _png(path: Path, picture: _Picture) -> None:
    path.write_bytes(imagecodecs.png_encode(picture, level=1))


def _jp2(path: Path, picture: _Picture) -> None:
    path.write_bytes(imagecodecs.jpeg2k_encode((picture >> 8).astype(np.uint8)[:2000], codecformat="jp2", level=0))


FORMATS: dict[str, tuple[str, Callable[[Path, _Picture], None]]] = {
    "TIFF, 16 bits": ("tif", _tiff()),
    "TIFF, 16 bits, LZW, strips of 1 row": ("tif", _tiff(compression="lzw", rowsperstrip=1)),
    "TIFF, 16 bits, tiles": ("tif", _tiff(tile=(256, 256))),
    "JPEG": ("jpg", _jpeg),
    "PNG, 16 bits": ("png", _png),
    "JP2": ("jp2", _jp2),
}


def main() -> None:
    """Write the masters, ingest them and print the table."""
    parser = argparse.ArgumentParser(description="The share of the ingest time that --check structure takes.")
    parser.add_argument("--files", type=int, default=4, help="masters per format")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where the masters are written, or were")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="structure-")))
        print("| masters | MB | ingest, s | check, s | share | of processor time |\n|" + " --- |" * 6)
        for name in FORMATS:
            scans = _build(folder / name, name, arguments.files)
            rounds = [_measure(scans) for _ in range(arguments.rounds)]
            whole, check = (np.median([each[part] for each in rounds], axis=0) for part in (0, 1))
            size = sum(path.stat().st_size for path in scans.iterdir())
            shares = " | ".join(f"{share:.1%}" for share in check / whole)
            print(f"| {name} | {size / 1e6:.0f} | {whole[0]:.3f} | {check[0]:.4f} | {shares} |", flush=True)


def _build(folder: Path, name: str, files: int) -> Path:
    suffix, write = FORMATS[name]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        path = folder / f"scan_{number}.{suffix}"
        if not path.exists():
            rng = np.random.default_rng(number)
            ramp = np.linspace(8000, 56000, _WIDTH, dtype=np.float32)[None, :, None]
            noisy = ramp + rng.normal(0, 600, (_HEIGHT, _WIDTH, 3)).astype(np.float32)
            write(path, noisy.clip(0, 65535).astype(np.uint16))
    return folder


def _measure(scans: Path) -> tuple[Clocks, Clocks]:
    """The time of the whole ingest, and of the check within it."""
    spent = np.zeros(2)

    def timed(*arguments: Any, **options: Any) -> str | None:
        nonlocal spent
        started = _clocks()
        try:
            return find_damage(*arguments, **options)
        finally:
            spent = spent + _clocks() - started

    for path in scans.iterdir():
        _drop_from_cache(path)
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        settings = create_home(Path(home) / "home", database=None)
        migration.upgrade(settings)
        catalogue = Catalogue.open(settings)
        with patch.object(file_discovery, "find_damage", timed):
            started = _clocks()
            report = ingest(catalogue, [scans])
            whole = _clocks() - started
    assert not report.failures, report.failures
    return whole, spent


def _clocks() -> Clocks:
    return np.array([time.perf_counter(), time.process_time()])


def _drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
