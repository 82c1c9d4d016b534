"""Several reviewers decide one queue of a real server at the same time: the short form of benchmarks/web_review.py."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_decision_is_lost_double_or_mixed(database: str) -> None:
    command = [sys.executable, "-m", "benchmarks.web_review", "--derivatives", "24", "--pause", "0"]
    options = ["--postgresql"] if database == "postgresql" else []
    answer = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "24 in the catalogue, 0 twice, mixed: False" in answer.stdout
