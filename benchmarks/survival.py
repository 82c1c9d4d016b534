"""Kills a batch at random times and resumes it until it is done; then compares it with an undisturbed one.

    python -m benchmarks.survival --kills 50
    python -m benchmarks.survival --kills 50 --postgresql
    python -m benchmarks.survival --kills 10 --scans photographs --model denoise-deblur

Without ``--scans``, it creates forty small pictures and a tiny network. The real command processes the batch in a
separate process, which gets ``kill -9``. Both homes must contain the same derivatives, and nothing else. Files are
compared byte for byte, except the time of creation and the id derived from it in their metadata.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.postgresql_server import temporary_postgresql
from tests.small_archive import write_model, write_scan
from tests.worker_kills import digest_derivatives

ROOT = Path(__file__).parents[1]
SMALL_SCANS = 40
_SHARE_AT_THE_START = 0.1  # of the kills; the others come after the batch has begun


def main() -> None:
    """Runs both batches and prints the results; the exit code is 1 if they differ."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="survival-", dir=options.folder) as folder,
        _databases(options.postgresql) as urls,
    ):
        work = Path(folder)
        scans = options.scans or _small_scans(work)
        homes = {
            name: _planned(work / name, url, scans, options) for name, url in zip(("calm", "killed"), urls, strict=True)
        }
        startup, working = _undisturbed(homes["calm"])
        print(f"undisturbed: {startup:.1f} s to start, {working:.1f} s of work")
        kills = _killed(homes["killed"], startup, working, options)
        failed = _compare(homes)
        tasks = _batch(homes["killed"])
        print(f"{kills} kills; {tasks['done']} done, {tasks['failed']} failed, {tasks['pending']} pending")
        sys.exit(1 if failed else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scans", type=Path, help="a folder of pictures; else small ones are made")
    parser.add_argument("--model", default="denoise-deblur", help="which model restores --scans")
    parser.add_argument("--style", metavar="REF", help="apply this style after the restoration")
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL of its own; else SQLite")
    parser.add_argument("--folder", type=Path, help="where the homes are made; else the system's temporary folder")
    return parser.parse_args()


@contextmanager
def _databases(postgresql: bool) -> Iterator[list[str | None]]:
    """The URLs of two databases."""
    if not postgresql:
        yield [None, None]
        return
    with temporary_postgresql() as create:
        yield [create(name) for name in ("calm", "killed")]


def _small_scans(work: Path) -> Path:
    for number in range(SMALL_SCANS):
        write_scan(work / "scans" / f"N{number:02d}.tif", seed=number, width=400, height=300, bits=16)
    write_model(work / "model")
    return work / "scans"


def _planned(home: Path, url: str | None, scans: Path, options: argparse.Namespace) -> Path:
    """A home with one planned batch of all scans."""
    _archive(home, "init", *([] if url is None else ["--database", url]))
    _archive(home, "ingest", str(scans), may_fail=True)
    model = options.model
    if options.scans is None:
        _archive(home, "model", "add", str(home.parent / "model"))
        model = "denoise-deblur@9.0"
    style = [] if options.style is None else ["--style", options.style]
    _archive(home, "restore", "--model", model, *style, "--plan", "--device", "cpu")
    return home


def _undisturbed(home: Path) -> tuple[float, float]:
    """Runs the batch; returns the seconds until it began, and the seconds of work."""
    began = time.monotonic()
    process = _resume(home)
    assert process.stderr is not None
    first = next(process.stderr)
    at_work = time.monotonic()
    process.communicate()
    assert "batch begun" in first, first
    return at_work - began, time.monotonic() - at_work


def _killed(home: Path, startup: float, working: float, options: argparse.Namespace) -> int:
    """Starts and kills the command until there were enough kills, then lets the batch finish; returns the number of
    kills.
    """
    instants = random.Random(options.seed)  # noqa: S311
    kills = 0
    while kills < options.kills and _batch(home)["done"] < _batch(home)["tasks"]:
        process = _resume(home)
        assert process.stderr is not None
        if instants.random() < _SHARE_AT_THE_START:
            seconds = instants.uniform(0, startup)
        else:
            next(process.stderr)  # the batch has begun
            seconds = instants.uniform(0, 1.2 * working / options.kills)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
    _resume(home).communicate()
    return kills


def _compare(homes: dict[str, Path]) -> bool:
    """Whether the homes differ; prints the differences."""
    files = {name: digest_derivatives(home) for name, home in homes.items()}
    differing = sorted(
        path for path in files["calm"] | files["killed"] if len({f.get(path) for f in files.values()}) > 1
    )
    temporary = [path for path in files["killed"] if Path(path).name.startswith(".")]
    broken = _archive(homes["killed"], "verify", may_fail=True).returncode
    print(
        f"{len(files['calm'])} derivatives undisturbed, {len(files['killed'])} after the kills; {len(differing)} differ"
    )
    print(f"{len(temporary)} temporary files; verify ends with {broken}")
    for path in differing:
        print(f"  {path}")
    return bool(differing or temporary or broken)


def _batch(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_archive(home, "batch", "show", "1", "--format", "json").stdout)
    return found


def _command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "archive", "--home", str(home), *arguments]


def _archive(home: Path, *arguments: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(  # noqa: S603
        _command(home, *arguments), cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    if done.returncode and not may_fail:
        sys.exit(f"archive {' '.join(arguments)}: {done.stderr}")
    return done


def _resume(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603
        _command(home, "--log-format", "json", "batch", "resume", "1"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    main()
