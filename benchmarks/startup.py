"""Measures how long ``archive --help`` and ``archive list`` take from the shell, and checks that neither imports torch.

    python benchmarks/startup.py [RUNS]

Goal: under 0.6 s each.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(arguments: list[str]) -> float:
    """Seconds for one run of the command."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "archive", *arguments], check=True, capture_output=True)  # noqa: S603
    return time.perf_counter() - started


def imports_torch(arguments: list[str]) -> bool:
    """Whether the command loads torch."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-X", "importtime", "-m", "archive", *arguments], check=True, capture_output=True, text=True
    )
    return any(line.split("|")[-1].strip() == "torch" for line in done.stderr.splitlines())


def main() -> None:
    """Prints one line per command: median, slowest, whether torch was imported."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", type=int, nargs="?", default=9, help="of each command")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        home = str(Path(folder) / "home")
        subprocess.run([sys.executable, "-m", "archive", "init", home], check=True, capture_output=True)  # noqa: S603
        for arguments in (["--help"], ["--home", home, "list"], ["--home", home, "list", "status:restored"]):
            seconds(arguments)
            times = [seconds(arguments) for _ in range(runs)]
            shown = " ".join(argument for argument in arguments if argument not in ("--home", home))
            print(
                f"archive {shown:24} median {statistics.median(times):.2f} s  slowest {max(times):.2f} s  "
                f"torch {'imported' if imports_torch(arguments) else 'not imported'}"
            )


if __name__ == "__main__":
    main()
