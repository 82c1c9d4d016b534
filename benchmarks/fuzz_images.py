"""Reads damaged files of every format and reports any outcome other than success or an ImageError.

    python -m benchmarks.fuzz_images [--files N] [--seed N] [--timeout SECONDS] [--folder SCANS] [--only NUMBER]

Each file is one of the small ones in tests/sample_images.py (or of a folder of real scans) with flipped bits, or with
pieces overwritten, removed, duplicated or combined with another file's. It is inspected, opened, read and written as a
derivative, in a separate process, so that hangs and crashes are detected too and reported with the file's number. The
same seed and number reproduce the file. Goal: no such outcome in 2,000 files or more.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import resource
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np

from restoration.errors import ImageError
from restoration.image import Limits, Picture, TiffSink, inspect_all
from tests.sample_images import CARRIED, REFUSED

LIMITS = Limits(max_pixels=4_000_000, max_decoding_bytes=128 * 1024 * 1024)
MEMORY_BYTES = 4 * 1024**3  # limits runaway allocations
LARGEST_REAL_FILE_BYTES = 1_500_000
BAND_ROWS = 16
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def corpus(folder: Path | None = None) -> dict[str, bytes]:
    """The undamaged files by name."""
    files = {name: make() for name, make in (CARRIED | REFUSED).items()}
    if folder is not None:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size <= LARGEST_REAL_FILE_BYTES:
                files[str(path.relative_to(folder))] = path.read_bytes()
    return files


def damaged(files: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Damaged file ``number``: the name of its original, and its bytes. The first damage is in the header."""
    random = np.random.default_rng((seed, number))
    names = sorted(files)
    name = names[number % len(names)]
    data = bytearray(files[name])
    for turn in range(int(random.choice([1, 1, 1, 2, 4]))):
        # Changes in headers have the most effect, so half of all changes affect the first bytes.
        end = min(len(data), 600) if turn == 0 or random.random() < 0.5 else len(data)
        start = int(random.integers(0, max(1, end)))
        length = int(random.integers(1, 64))
        match int(random.integers(0, 7)):
            case 0:
                data[start : start + 1] = bytes([data[start] ^ (1 << int(random.integers(0, 8)))]) if data else b""
            case 1:
                value, order = int(random.choice(EXTREMES)), str(random.choice(["little", "big"]))
                size = int(random.choice([1, 2, 4]))
                data[start : start + size] = (value % 256**size).to_bytes(
                    size, "little" if order == "little" else "big"
                )
            case 2:
                data[start : start + length] = random.bytes(length)
            case 3:
                del data[start : start + length]
            case 4:
                data[start:start] = data[start : start + length]
            case 5:
                other = files[names[int(random.integers(0, len(names)))]]
                data[start:] = other[start:] if random.random() < 0.3 else data[start:]
            case _:
                del data[int(random.integers(0, len(data) + 1)) :]
    return name, bytes(data)


def outcome(path: Path, derivative: Path) -> str:
    """The outcome for a file: ``derivative``, ``kind refused``, or the name of the ImageError."""
    try:
        pictures = inspect_all(path, limits=LIMITS)
        for info in pictures:
            if info.refusal is not None:
                return "kind refused"
            with Picture.open(path, page=info.page, limits=LIMITS) as picture, TiffSink(derivative, info) as sink:
                for y in range(0, info.height, BAND_ROWS):
                    window = (0, y, info.width, min(BAND_ROWS, info.height - y))
                    sink.write(y, picture.read(*window), picture.read_extra(*window))
            if inspect_all(derivative, limits=LIMITS)[0].refusal is not None:
                raise AssertionError("the derivative is of a kind that isn't read")
            derivative.unlink()
    except ImageError as error:
        return type(error).__name__
    return "derivative"


def work(seed: int, numbers: range, timeout_seconds: float, folder: Path | None) -> None:
    """The separate process: prints a line before and after each file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("error")
    files = corpus(folder)
    with tempfile.TemporaryDirectory() as scratch:
        path, derivative = Path(scratch, "scan"), Path(scratch, "derivative.tif")
        for number in numbers:
            _, data = damaged(files, seed, number)
            path.write_bytes(data)
            print(json.dumps(["begin", number]), flush=True)
            faulthandler.dump_traceback_later(timeout_seconds, exit=True)
            try:
                result = outcome(path, derivative)
            except Exception:
                result = traceback.format_exc()
                derivative.unlink(missing_ok=True)
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps(["end", number, result]), flush=True)


def run(seed: int, count: int, timeout_seconds: float, folder: Path | None = None) -> tuple[dict[str, int], list[str]]:
    """The number of files for each outcome, and a description of every unexpected one."""
    outcomes: collections.Counter[str] = collections.Counter()
    troubles: list[str] = []
    names = sorted(corpus(folder))
    following = 0
    while following < count:
        command = [sys.executable, "-m", "benchmarks.fuzz_images", "--work", f"{seed} {following} {count}"]
        command += ["--timeout", str(timeout_seconds)] + (["--folder", str(folder)] if folder else [])
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        begun = following
        for line in done.stdout.splitlines():
            kind, number, *result = json.loads(line)
            if kind == "begin":
                begun = number
            elif "\n" in result[0]:
                troubles.append(f"file {number} ({names[number % len(names)]}):\n{result[0]}")
            else:
                outcomes[result[0]] += 1
        if done.returncode:
            troubles.append(f"file {begun} ({names[begun % len(names)]}) hung or crashed:\n{done.stderr[-3000:]}")
        elif said := [line for line in done.stderr.splitlines() if line and not line.startswith("PNG warning")]:
            troubles.append("something was written to the terminal:\n" + "\n".join(said[-20:]))
        following = begun + 1 if done.returncode else count
    return dict(outcomes), troubles


def main() -> int:
    """The command line; the exit code is 1 if there was an unexpected outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=20)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", type=int, help="work on this one file here, without a net")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        seed, first, end = (int(part) for part in options.work.split())
        work(seed, range(first, end), options.timeout, options.folder)
        return 0
    if options.only is not None:
        work(options.seed, range(options.only, options.only + 1), options.timeout, options.folder)
        return 0
    outcomes, troubles = run(options.seed, options.files, options.timeout, options.folder)
    for trouble in troubles:
        print(trouble)
    print(f"{options.files} files: " + ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items())))
    print(f"{len(troubles)} hangs, crashes or other exceptions")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
