"""Measures the duration of exports, and whether their memory grows with the catalogue.

    python -m benchmarks.exports [--items N,N,...] [--keep FOLDER]

Builds a catalogue of each size (by default 1,000 and 10,000 items) with about twice as many derivatives, and exports
all of it in every format, each in a separate process. Prints time, processor time, size and peak memory (maximum
resident set).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from archive.catalogue import Catalogue
from archive.catalogue.schema import migration
from archive.settings import create_home, load_settings
from benchmarks.large_catalogue import build

FORMS = (
    ("csv", "items.csv", ("--format", "csv")),
    ("csv of derivatives", "derivatives.csv", ("--format", "csv", "--rows", "derivatives")),
    ("xlsx", "items.xlsx", ("--format", "xlsx")),
    ("jsonl of derivatives", "derivatives.jsonl", ("--format", "jsonl", "--rows", "derivatives")),
    ("premis", "premis.xml", ("--format", "premis")),
    ("prov (JSON)", "prov.json", ("--format", "prov")),
    ("prov (PROV-N)", "prov.provn", ("--format", "prov")),
    ("iiif", "iiif", ("--format", "iiif")),
)


def main() -> None:
    """Builds or opens the catalogues, exports them, and prints a table."""
    parser = argparse.ArgumentParser(description="Times the exports of large catalogues.")
    parser.add_argument("--items", default="1000,10000", help="sizes of the catalogues")
    parser.add_argument("--keep", type=Path, help="where the catalogues are built, or were")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exports-")))
        print("| items | form | seconds | of processor | size, MB | peak memory, MB |\n|" + " --- |" * 6)
        for items in map(int, arguments.items.split(",")):
            home = _home(folder / str(items), items)
            for name, output, options in FORMS:
                target = folder / str(items) / output
                seconds, usage = _measure(home, ("export", "--include-restricted", *options, "--output", str(target)))
                processor, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
                numbers = f"{seconds:.1f} | {processor:.1f} | {_size(target) / 1e6:.1f} | {peak / 1e6:.0f}"
                print(f"| {items:,} | {name} | {numbers} |", flush=True)


def _home(folder: Path, items: int) -> Path:
    """The home of a catalogue with this number of items, built if it doesn't exist."""
    home = folder / "home"
    if not home.exists():
        folder.mkdir(parents=True, exist_ok=True)
        migration.upgrade(create_home(home, database=None))
        build(Catalogue.open(load_settings(home)), items)
    return home


def _measure(home: Path, arguments: tuple[str, ...]) -> tuple[float, resource.struct_rusage]:
    """Runs a command in a separate process; returns its seconds and resource usage."""
    started = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "archive", "--home", str(home), *arguments], stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return time.perf_counter() - started, usage


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())


if __name__ == "__main__":
    main()
