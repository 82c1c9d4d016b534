"""Every benchmark starts, and the documented one of the scores runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
WITHOUT_COMMAND = ("large_catalogue", "postgresql_server", "scans")
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in WITHOUT_COMMAND)


def run_benchmark(name: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_explains_its_options(name: str) -> None:
    assert "usage: " in run_benchmark(name, "--help")


def test_the_scores_are_measured_in_parts(tmp_path: Path) -> None:
    printed = run_benchmark("scores", "--megapixels", "0.1", "--threads", "1", "--reference", "--folder", str(tmp_path))
    for part in ("smoothed_share", "filled_share, filled_places", "noise_sigma", "psnr, ssim", "reading"):
        assert part in printed
