"""Measures the duration of exports and packages, and whether their memory grows with the catalogue.

    python -m benchmarks.exports [--items N,N,...] [--keep FOLDER]

Builds a catalogue of each size (by default 1,000 and 10,000 items) with about twice as many derivatives, all of them
files of a few bytes, and exports and packages all of it in every format, each in a separate process. Prints time,
processor time, size and peak memory (maximum resident set).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema import migration
from archive.catalogue.schema.tables import Derivative, Master
from archive.settings import MACHINE_SETTINGS_VARIABLE, create_home, load_settings
from benchmarks.large_catalogue import SCANS, build

_EXPORT, _PACKAGE = ("export", "--include-restricted"), ("package", "--include-restricted")
FORMS = (
    ("csv", "items.csv", (*_EXPORT, "--format", "csv")),
    ("csv of derivatives", "derivatives.csv", (*_EXPORT, "--format", "csv", "--rows", "derivatives")),
    ("xlsx", "items.xlsx", (*_EXPORT, "--format", "xlsx")),
    ("jsonl of derivatives", "derivatives.jsonl", (*_EXPORT, "--format", "jsonl", "--rows", "derivatives")),
    ("premis", "premis.xml", (*_EXPORT, "--format", "premis")),
    ("prov (JSON)", "prov.json", (*_EXPORT, "--format", "prov")),
    ("prov (PROV-N)", "prov.provn", (*_EXPORT, "--format", "prov")),
    ("iiif", "iiif", (*_EXPORT, "--format", "iiif")),
    ("csv with files", "items.csv", (*_EXPORT, "--files", "--format", "csv")),
    ("bagit", "bag", (*_PACKAGE, "--layout", "bagit")),
    ("archivematica", "transfer", (*_PACKAGE, "--layout", "archivematica")),
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
                if target.is_dir():
                    shutil.rmtree(target)
                seconds, usage = _measure(home, (*options, "--output", str(target)))
                processor, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
                numbers = f"{seconds:.1f} | {processor:.1f} | {_size(target) / 1e6:.1f} | {peak / 1e6:.0f}"
                print(f"| {items:,} | {name} | {numbers} |", flush=True)


def _home(folder: Path, items: int) -> Path:
    """The home of a catalogue with this number of items, built if it doesn't exist."""
    home = folder / "home"
    if not home.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: the maximum resident set of a child process is at least its parent's when it starts.
        process = get_context("spawn").Process(target=_build, args=(home, items))
        process.start()
        process.join()
        assert process.exitcode == 0
    return home


def _build(home: Path, items: int) -> None:
    migration.upgrade(create_home(home, database=None))
    catalogue = Catalogue.open(load_settings(home))
    build(catalogue, items)
    _write_files(catalogue)


def _write_files(catalogue: Catalogue) -> None:
    """Writes the files of masters and derivatives: the texts whose digests the catalogue has."""
    with catalogue.reading() as session:
        texts = {
            path: str(number) for number, path in session.execute(select(Master.id, Master.path).order_by(Master.id))
        }
        texts |= {path: path for path in session.scalars(select(Derivative.path))}
    for path, text in texts.items():
        file = _scans(catalogue.settings.home) / path.removeprefix(f"{SCANS}/")
        if not path.startswith(SCANS):
            file = catalogue.settings.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def _scans(home: Path) -> Path:
    """Where the folder of scans is on this machine, which its settings say."""
    return home.parent / "scans"


def _measure(home: Path, arguments: tuple[str, ...]) -> tuple[float, resource.struct_rusage]:
    """Runs a command in a separate process; returns its seconds and resource usage."""
    started = time.perf_counter()
    settings = home.parent / "machine.toml"
    settings.write_text(f'[roots]\n"{SCANS}" = "{_scans(home)}"\n')
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "archive", "--home", str(home), *arguments],
        stdout=subprocess.DEVNULL,
        env=os.environ | {MACHINE_SETTINGS_VARIABLE: str(settings)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return time.perf_counter() - started, usage


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())


if __name__ == "__main__":
    main()
