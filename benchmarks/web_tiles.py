"""Measures how quickly ``archive serve`` shows a large scan: its view pyramid, the first view, and tiles while zooming.

    python -m benchmarks.web_tiles
    python -m benchmarks.web_tiles --megapixels 100 --connections 1

Creates a 16-bit RGB TIFF with an aspect ratio of 3:2, ingests it and sends requests to a real server over HTTP, with as
many connections as a browser uses. Goals on two cores: the first view within 1 s, a median of 100 ms for tiles.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.scans import write_picture
from benchmarks.web_review import memory_mib, running_server

TILE_PX = 512
WINDOW_PX = 1040
"""The width of the viewer on a screen of 1366 px."""
PICTURE = "/iiif/3/master-1"


def main() -> None:
    """Creates the scan, starts the server and prints the measurements."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="tiles-", dir=options.folder) as folder:
        home, scans = Path(folder) / "home", Path(folder) / "scans"
        scans.mkdir()
        write_picture(scans / "scan.tif", options.megapixels, "striped")
        for command in (["init", str(home)], ["--home", str(home), "ingest", str(scans)]):
            subprocess.run([sys.executable, "-m", "archive", *command], check=True, capture_output=True)  # noqa: S603
        with running_server(home) as (address, process):
            base = address.partition("/?")[0]
            limits = httpx.Limits(max_connections=options.connections)
            with httpx.Client(base_url=base, timeout=600, limits=limits) as client:
                client.get(address)
                print(f"pyramid of {options.megapixels} megapixels: {_build(client):.1f} s")
                with ThreadPoolExecutor(options.connections) as pool:
                    _measure(client, pool, options.tiles)
            print(f"memory of the server: {memory_mib(process):.0f} MiB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, default=400)
    parser.add_argument("--tiles", type=int, default=600)
    parser.add_argument("--connections", type=int, default=6)
    parser.add_argument("--folder", type=Path, help="where the scan is made; else the system's temporary folder")
    return parser.parse_args()


def _build(client: httpx.Client) -> float:
    """Seconds until the view pyramid exists."""
    start = time.monotonic()
    while not client.get("/views/master-1").raise_for_status().json()["ready"]:
        time.sleep(0.1)
    return time.monotonic() - start


def _measure(client: httpx.Client, pool: ThreadPoolExecutor, count: int) -> None:
    start = time.monotonic()
    info = client.get(f"{PICTURE}/info.json").raise_for_status().json()
    width, height = info["width"], info["height"]
    factors = info["tiles"][0]["scaleFactors"]
    fitting = max(factor for factor in factors if width / factor >= WINDOW_PX or factor == 1)
    first = list(pool.map(lambda path: _seconds(client, path), _tiles(width, height, fitting)))
    print(f"first view: {time.monotonic() - start:.2f} s for {len(first)} tiles of scale factor {fitting}")
    levels = [_tiles(width, height, factor) for factor in factors]
    chosen = [random.choice(random.choice(levels)) for _ in range(count)]  # noqa: S311
    seconds = sorted(pool.map(lambda path: _seconds(client, path), chosen))
    percentiles = statistics.quantiles(seconds, n=100)
    print(
        f"{count} tiles: median {percentiles[49] * 1000:.0f} ms, 95 % {percentiles[94] * 1000:.0f} ms, "
        f"99 % {percentiles[98] * 1000:.0f} ms"
    )


def _tiles(width: int, height: int, factor: int) -> list[str]:
    """The addresses of all tiles of a scale factor, as viewers request them."""
    side = TILE_PX * factor
    paths = []
    for y in range(0, height, side):
        for x in range(0, width, side):
            w, h = min(side, width - x), min(side, height - y)
            paths.append(f"{PICTURE}/{x},{y},{w},{h}/{-(-w // factor)},{-(-h // factor)}/0/default.jpg")
    return paths


def _seconds(client: httpx.Client, path: str) -> float:
    start = time.monotonic()
    client.get(path).raise_for_status()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
