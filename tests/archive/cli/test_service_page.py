"""The systemd units and the nightly script of the page "Run as a service"."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from archive.batches.running import runner
from tests.small_archive import SmallArchive, write_scan

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "run-as-a-service.md").read_text(encoding="utf-8")


def _file(name: str) -> str:
    """The content of a file that the page names."""
    found = re.search(rf"{re.escape(name)}`[^\n]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def nightly(small: SmallArchive, tmp_path: Path) -> Path:
    """The script for the folders of the test."""
    command = f"{shlex.quote(sys.executable)} -m archive"
    text = _file("nightly.sh").replace("/opt/archive/.venv/bin/archive", command)
    text = text.replace("/data/drop", str(small.scans)).replace("/data/export", str(tmp_path))
    text = text.replace("/data/museum", str(small.home))
    text = text.replace("--until 06:00", f"--until {datetime.now() + timedelta(hours=12):%H:%M}")
    path = tmp_path / "nightly.sh"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def _run(script: Path, small: SmallArchive) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([script], env=environment, capture_output=True, text=True, check=False)


def test_the_nightly_script_does_all_steps_although_one_is_done_in_part(
    nightly: Path, small: SmallArchive, tmp_path: Path
) -> None:
    write_scan(small.scans / "a.tif")
    (small.scans / "b.tif").write_bytes(b"II*\0")  # truncated
    ended = _run(nightly, small)
    assert ended.returncode == 3, ended.stderr
    assert '"status": "restored"' in (tmp_path / "items.jsonl").read_text(encoding="utf-8")


def test_the_nightly_script_continues_the_batch_that_the_last_night_left(nightly: Path, small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", str(small.scans), "--copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "next_occurrence", lambda _until, now: now)
        assert small.run("restore", "--until", "06:00").code == 3
    write_scan(small.scans / "b.tif", seed=2)
    ended = _run(nightly, small)
    assert ended.returncode == 0, ended.stderr
    assert [each["status"] for each in small.done("batch", "list", "--format", "json").json()] == ["done", "done"]


def test_the_nightly_script_ends_with_a_step_that_fails(nightly: Path, small: SmallArchive, tmp_path: Path) -> None:
    small.scans.rmdir()
    ended = _run(nightly, small)
    assert ended.returncode in (1, 2)
    assert not (tmp_path / "items.jsonl").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(nightly: Path, tmp_path: Path) -> None:
    units = []
    for name in ("archive-serve.service", "archive-nightly.service", "archive-nightly.timer"):
        text = _file(name).replace("/opt/archive/nightly.sh", str(nightly))
        text = text.replace("/opt/archive/.venv/bin/archive", sys.executable)
        units.append(tmp_path / name)
        units[-1].write_text(text, encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    about_these = [line for line in checked.stderr.splitlines() if "archive-" in line]
    assert (checked.returncode, about_these) == (0, []), checked.stderr
