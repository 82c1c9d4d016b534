"""Compares the time of all quality scores with scikit-image computing the same metrics one after the other.

    python benchmarks/scores.py
    python benchmarks/scores.py --reference --threads 4
    python benchmarks/scores.py --megapixels 400 --alone

Creates two 16-bit RGB TIFFs (three with ``--reference``) and scores them: with this package from the files, with as
many processors as threads; with scikit-image from float64 arrays that are already in memory, which is an advantage for
it. Processor time is printed too, because other work on the machine hardly affects it. Memory is the peak of anonymous
memory of a process that does nothing else. Linux only.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tifffile
from numpy.typing import NDArray

from restoration.image import Picture
from restoration.quality import block_metrics as blocks
from restoration.quality import block_reading, processor_measurement, score

Key = tuple[str, str, str | None]
BANDS_ROWS = 250


@dataclass(frozen=True, kw_only=True)
class Result:
    """Resources and values of one scoring run. ``parts`` are processor seconds by name."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    values: dict[Key, float]
    parts: dict[str, float]


def main() -> None:
    """Prints the comparison; the exit code is 1 if a value differs by more than its tolerance."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="scores-", dir=options.folder) as folder:
        paths = _pictures(Path(folder), options.megapixels, with_reference=options.reference)
        ours = min((_apart(_ours, paths, options.threads, False) for _ in range(options.repeat)), key=_clock)
        parts = _apart(_ours, paths, options.threads, True).parts
        theirs = None if options.alone else _apart(_theirs, paths)
    pixels = f"{options.megapixels:g} megapixels, 16-bit RGB, {'with' if options.reference else 'without'} a reference"
    print(f"{pixels}, {options.threads} threads")
    print(f"ours          {ours.seconds:7.2f} s, {ours.cpu_seconds:7.2f} s of processors, {ours.peak_mb:6.0f} MB")
    _print_parts(parts)
    if theirs is None:
        return
    print(f"scikit-image  {theirs.seconds:7.2f} s, {theirs.cpu_seconds:7.2f} s of processors, {theirs.peak_mb:6.0f} MB")
    _print_parts(theirs.parts)
    print(
        f"ratio         {theirs.seconds / ours.seconds:7.1f}   (processors {theirs.cpu_seconds / ours.cpu_seconds:.1f})"
    )
    raise SystemExit(_print_differences(ours.values, theirs.values))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", action="store_true", help="compare both with a clean picture, too")
    parser.add_argument("--repeat", type=int, default=1, help="the quickest of so many runs of ours counts")
    parser.add_argument("--alone", action="store_true", help="leave scikit-image out")
    parser.add_argument("--folder", type=Path, help="where the pictures are made; else the system's temporary folder")
    return parser.parse_args()


def _clock(result: Result) -> float:
    return result.seconds


def _pictures(folder: Path, megapixels: float, *, with_reference: bool) -> dict[str, Path]:
    """Pictures with gradients, edges, grain and areas clipped to white."""
    height = round(math.sqrt(megapixels * 1e6 / 1.5))
    width = round(megapixels * 1e6 / height)
    columns = np.arange(width, dtype=np.float32)
    grains = {"source": 0.03, "derivative": 0.008} | ({"reference": 0.003} if with_reference else {})
    for seed, (name, grain) in enumerate(grains.items()):
        random = np.random.default_rng(seed)
        pixels: NDArray[Any] = tifffile.memmap(
            folder / f"{name}.tif", shape=(height, width, 3), dtype=np.uint16, photometric="rgb"
        )
        for top in range(0, height, BANDS_ROWS):
            rows = np.arange(top, min(top + BANDS_ROWS, height), dtype=np.float32)[:, np.newaxis]
            base = (
                0.55
                + 0.35 * np.sin(rows / 90) * np.cos(columns / 70)
                + 0.15 * np.sign(np.sin(columns / 331 + rows / 517))
            )
            band = base[..., np.newaxis] + np.array([0, 0.02, -0.03], np.float32)
            band += grain * random.standard_normal(band.shape, np.float32)
            pixels[top : top + BANDS_ROWS] = np.round(np.clip(band, 0, 1) * 65535)
        pixels.flush()  # type: ignore[attr-defined]
    return {name: folder / f"{name}.tif" for name in grains}


def _apart(work: Callable[..., Result], *arguments: Any) -> Result:
    """Runs ``work`` in a separate process and returns its result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _ours(paths: Mapping[str, Path], threads: int, timed: bool) -> Result:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    with ExitStack() as stack:
        pictures = {name: stack.enter_context(Picture.open(path)) for name, path in paths.items()}
        parts = stack.enter_context(_timed_parts()) if timed else {}
        peak = stack.enter_context(_peak_memory())
        started, cpu_started = time.perf_counter(), time.process_time()
        found = score(**pictures, threads=threads)  # type: ignore[arg-type]
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    values = {(each.metric, each.image, each.compared_with): each.value for each in found if each.value is not None}
    if timed:
        parts["sums, cutting blocks"] = cpu_seconds - sum(parts.values())
    return Result(seconds=seconds, cpu_seconds=cpu_seconds, peak_mb=peak(), values=values, parts=dict(parts))  # type: ignore[arg-type]


@contextmanager
def _timed_parts() -> Iterator[dict[str, float]]:
    """Processor seconds of the parts of scoring, summed over all threads."""
    parts: dict[str, float] = defaultdict(float)
    lock = threading.Lock()

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.thread_time()
            result = function(*arguments, **options)
            result = list(result) if isinstance(result, Iterator) else result
            with lock:
                parts[name] += time.thread_time() - started
            return result

        return call

    with ExitStack() as stack:
        for place, function, name in (
            (blocks.BlockComparer, "compare", "psnr, ssim"),
            (blocks, "count_changed", "changed_share"),
            (blocks, "moments_about", "contrast, colourfulness"),
            (blocks, "opponent_colours", "contrast, colourfulness"),
            (blocks, "luma_of", "luma"),
            (processor_measurement, "measure_cells", "smoothed_share"),
            (processor_measurement, "count_filled", "filled_share, filled_places"),
            (blocks, "edge_sums", "blur_effect"),
            (processor_measurement, "count_details", "noise_sigma"),
            (block_reading.Window, "__init__", "reading"),
        ):
            stack.enter_context(mock.patch.object(place, function, timed(getattr(place, function), name)))
        yield parts


@contextmanager
def _peak_memory() -> Iterator[Callable[[], float]]:
    """Watches this process's anonymous memory; yields a function that returns its peak in MB."""
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            peak = max(peak, int(status.partition("RssAnon:")[2].split()[0]) * 1024 / 1e6)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield lambda: peak
    finally:
        done.set()
        watching.join()


def _theirs(paths: Mapping[str, Path]) -> Result:
    arrays = {}
    for name, path in paths.items():
        with Picture.open(path) as picture:
            read = picture.read(0, 0, picture.info.width, picture.info.height)[0]
            arrays[name] = np.ascontiguousarray(read.transpose(1, 2, 0), np.float64)
    parts: dict[str, float] = defaultdict(float)
    values: dict[Key, float] = {}
    with _peak_memory() as peak:
        started, cpu_started = time.perf_counter(), time.process_time()
        for key, metric in _metrics(arrays):
            metric_started = time.process_time()
            values[key] = float(metric())
            parts[key[0]] += time.process_time() - metric_started
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Result(seconds=seconds, cpu_seconds=cpu_seconds, peak_mb=peak(), values=values, parts=dict(parts))


def _metrics(arrays: Mapping[str, NDArray[np.float64]]) -> Iterator[tuple[Key, Callable[[], Any]]]:
    from skimage.color import rgb2gray
    from skimage.measure import blur_effect
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity
    from skimage.restoration import estimate_sigma

    gaussian: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    lumas: dict[str, NDArray[np.float64]] = {}

    def luma(name: str) -> NDArray[np.float64]:
        if name not in lumas:
            lumas[name] = rgb2gray(arrays[name])
        return lumas[name]

    pairs = [("derivative", "source"), ("source", "reference"), ("derivative", "reference")]
    for one, other in pairs if "reference" in arrays else pairs[:1]:
        both = (arrays[other], arrays[one])
        yield ("psnr", one, other), partial(peak_signal_noise_ratio, *both, data_range=1.0)
        yield ("ssim", one, other), partial(structural_similarity, *both, data_range=1.0, channel_axis=-1, **gaussian)
    yield (
        ("changed_share", "derivative", "source"),
        lambda: (np.abs(luma("derivative") - luma("source")) > 8 / 255 + 1e-6).mean(),
    )
    for name in ("source", "derivative"):
        yield ("noise_sigma", name, None), partial(estimate_sigma, arrays[name], average_sigmas=True, channel_axis=-1)
        yield ("blur_effect", name, None), lambda of=name: blur_effect(luma(of))  # type: ignore[misc]
        yield ("contrast", name, None), lambda of=name: luma(of).std()  # type: ignore[misc]
        yield ("colourfulness", name, None), partial(_colourfulness, arrays[name])


def _colourfulness(array: NDArray[np.float64]) -> float:
    red, green, blue = np.moveaxis(array, -1, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = math.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * math.hypot(red_green.mean(), yellow_blue.mean()))


def _print_parts(parts: Mapping[str, float]) -> None:
    total = sum(parts.values())
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        print(f"    {name:24} {seconds:6.2f} s of processors, {seconds / total:4.0%}")


def _print_differences(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> int:
    largest: dict[str, float] = {}
    for key, value in theirs.items():
        largest[key[0]] = max(largest.get(key[0], 0.0), abs(value - ours[key]))
    for metric, difference in largest.items():
        print(f"    {metric:24} differs by at most {difference:.1e}")
    return int(any(difference > (1e-4 if metric == "noise_sigma" else 1e-6) for metric, difference in largest.items()))


if __name__ == "__main__":
    main()
