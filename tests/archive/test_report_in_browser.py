"""The report in a real browser: its script runs, and its picture pair follows the slider."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from archive.catalogue import Catalogue
from archive.report import write_report
from archive.settings import load_settings
from tests.small_archive import MODEL, SmallArchive, command, write_model, write_scan

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report on one restored item."""
    small = SmallArchive(home=tmp_path / "home", scans=tmp_path / "scans")
    assert command("init", small.home).code == 0
    small.done("model", "add", write_model(tmp_path / "model"))
    small.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
    write_scan(small.scans / "a.tif", seed=1)
    small.done("ingest", small.scans)
    small.done("restore")
    path = tmp_path / "report.html"
    write_report(Catalogue.open(load_settings(small.home)), None, path)
    return path


def _chromium(tmp_path: Path, *arguments: str) -> str:
    assert CHROMIUM is not None
    command_line = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run([*command_line, *arguments], capture_output=True, check=True, timeout=120)
    return done.stdout.decode()


def test_the_script_runs_and_positions_the_slider(report: Path, tmp_path: Path) -> None:
    page = _chromium(tmp_path, "--dump-dom", report.as_uri())

    assert '<html lang="en" class="live">' in page
    assert 'style="--cut: 50%;"' in page


def test_the_page_shows_pictures(report: Path, tmp_path: Path) -> None:
    screenshot = tmp_path / "page.png"
    _chromium(tmp_path, "--window-size=1000,1200", f"--screenshot={screenshot}", report.as_uri())

    with Image.open(screenshot) as image:
        assert image.size == (1000, 1200)
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 1000
