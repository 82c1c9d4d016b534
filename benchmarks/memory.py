"""Measures memory and time of restoring and scoring pictures of up to a gigapixel.

    python -m benchmarks.memory
    python -m benchmarks.memory --megapixels 24 100 --layout deflate --no-scores
    python -m benchmarks.memory --megapixels 100 --style simulated-toned-print
    python -m benchmarks.memory --megapixels 1000 --layout tiled --folder /scratch

Creates 16-bit RGB TIFFs with an aspect ratio of 3:2, a few rows at a time, and processes each in a separate process,
with the shipped model up to 400 megapixels and a tiny network above that. Memory is the sum of RssAnon over that
process and its children, sampled every 20 ms: their own memory without the system's file cache. Processor time is
printed too, because other work on the machine affects it less than elapsed time.

Each picture and its derivative take 6 bytes per pixel on the disk, twice 6 GB for 1,000 megapixels. Goal: at most 3
GiB, and the same time per megapixel for all sizes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from benchmarks.scans import BYTES_PER_PIXEL, LAYOUTS, write_picture

LARGEST_FOR_THE_SHIPPED_MODEL = 400


def main() -> None:
    """Processes all sizes and prints a line for each."""
    options = _options()
    print("| megapixels | layout | network | step | s / Mpx | processors' s / Mpx | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for megapixels in options.megapixels:
        with tempfile.TemporaryDirectory(prefix="memory-", dir=options.folder) as folder:
            _measure(Path(folder), megapixels, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[24, 100, 400, 1000])
    parser.add_argument("--layout", choices=LAYOUTS, default="striped")
    parser.add_argument("--style", metavar="NAME", help="apply this style after the restoration")
    parser.add_argument("--no-scores", action="store_true", help="restore only")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--tile-size", type=int, help="other tiles than those that are used by themselves")
    parser.add_argument("--folder", type=Path, help="where pictures are made; else the system's temporary folder")
    return parser.parse_args()


def _measure(folder: Path, megapixels: int, options: argparse.Namespace) -> None:
    free, needed = shutil.disk_usage(folder).free, 2.2 * BYTES_PER_PIXEL * megapixels * 1e6
    if free < needed:
        sys.exit(
            f"{folder} has {free / 1e9:.0f} GB free, and {megapixels} megapixels need {needed / 1e9:.0f}: --folder"
        )
    write_picture(folder / "scan.tif", megapixels, options.layout)
    tiny = megapixels > LARGEST_FOR_THE_SHIPPED_MODEL
    if tiny:
        from tests.small_archive import write_model

        write_model(folder / "model")
    # Spawned, not forked, so that it shares no memory with this process.
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_work, args=(theirs, folder, options, tiny))
    process.start()
    theirs.close()
    for step, seconds, processor_seconds, peak in _steps(process.pid or 0, ours):
        row = (
            f"{megapixels:,}",
            options.layout,
            "tiny" if tiny else "shipped",
            step,
            f"{seconds / megapixels:.2f}",
            f"{processor_seconds / megapixels:.2f}",
            f"{peak / 2**20:,.0f}",
        )
        print(f"| {' | '.join(row)} |", flush=True)
    process.join()
    if process.exitcode:
        sys.exit(f"the work on {megapixels} megapixels ended with {process.exitcode}")


def _steps(pid: int, ours: Connection) -> Iterator[tuple[str, float, float, int]]:
    """Name, seconds, processor seconds and peak memory in bytes of each step that the process reports."""
    process, peak = psutil.Process(pid), 0
    while True:
        try:
            if ours.poll(0.02):
                yield (*ours.recv(), peak)
                peak = 0
            peak = max(peak, sum(_anonymous_bytes(each) for each in (process, *process.children(recursive=True))))
        except (EOFError, psutil.NoSuchProcess):
            return


def _anonymous_bytes(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _work(theirs: Connection, folder: Path, options: argparse.Namespace, tiny: bool) -> None:
    """The measured process: restores the picture, then scores the derivative."""
    from restoration import (
        Execution,
        LoadedModels,
        ModelFolder,
        Picture,
        Recipe,
        TiffSink,
        restore,
        score,
        shipped_versions,
    )

    versions = {each.card.name: each for each in shipped_versions()}
    if tiny:
        versions["denoise-deblur"] = ModelFolder.open(folder / "model")
    names = ("denoise-deblur", *([options.style] if options.style else []))
    chosen = {} if options.tile_size is None else {"tile_size": options.tile_size}
    models = LoadedModels(lambda stage: versions[stage.model], Execution(precision=options.precision, **chosen))
    recipe = Recipe(stages=tuple(versions[name].card.stage({}) for name in names))
    began, processors_began = time.perf_counter(), time.process_time()

    def tell(step: str) -> None:
        nonlocal began, processors_began
        now, processors_now = time.perf_counter(), time.process_time()
        theirs.send((step, now - began, processors_now - processors_began))
        began, processors_began = time.perf_counter(), time.process_time()

    with Picture.open(folder / "scan.tif") as scan:
        with TiffSink(folder / "restored.tif", scan.info) as sink:
            environment = restore(scan, recipe, sink, models=models).environment
        tell(f"restore, {environment.precision}, tiles of {environment.tile_size} px")
        if not options.no_scores:
            with Picture.open(folder / "restored.tif") as restored:
                score(derivative=restored, source=scan)
            tell("score")


if __name__ == "__main__":
    main()
