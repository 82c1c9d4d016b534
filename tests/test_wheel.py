"""The wheel by itself: built, installed into an empty environment, and run from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that holds the wheel.

    Its dependencies are those of the running environment, whose packages come last on the path; what is installed there
    in editable form is not seen, since that goes by ``.pth`` files, which are only followed in an environment's own
    folder.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    programs = folder / "bin"
    subprocess.run(
        [programs / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel],
        check=True,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    own = Path(_run(programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return programs


def _run(*words: str | Path, folder: Path | None = None) -> str:
    cleared = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ARCHIVE_HOME")}
    ended = subprocess.run(words, cwd=folder, env=cleared, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_migrations_weights_and_sample_archive_are_inside(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "archive/_migrations/env.py" in names
    assert any(name.startswith("archive/_migrations/versions/") for name in names)
    assert "archive/_sample_archive/items.csv" in names
    assert "archive/templates/report.html" in names
    assert {"archive/py.typed", "restoration/py.typed"} <= set(names)
    assert any(name.startswith("restoration/weights/") and name.endswith("weights.safetensors") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name or name.startswith("tests/") for name in names)


def test_the_installed_software_is_the_wheels(environment: Path, tmp_path: Path) -> None:
    where = _run(
        environment / "python",
        "-c",
        "import archive, restoration; print(archive.__file__, restoration.__file__)",
        folder=tmp_path,
    )

    assert all(Path(path).is_relative_to(environment.parent) for path in where.split())
    assert _run(environment / "archive", "--version", folder=tmp_path).split()[-1] == "0.1.0"


def test_init_ingest_db_check_and_demo_run_from_another_folder(environment: Path, tmp_path: Path) -> None:
    archive = environment / "archive"
    _run(archive, "init", "home", folder=tmp_path)
    _run(archive, "--home", "home", "ingest", "--copy", ROOT / "sample_archive", folder=tmp_path)
    _run(archive, "--home", "home", "db", "check", folder=tmp_path)
    assert len(json.loads(_run(archive, "--home", "home", "list", "--format", "json", folder=tmp_path))) == 10

    said = _run(archive, "demo", folder=tmp_path)
    report = Path(said.splitlines()[-2].removeprefix("report: "))
    assert report == tmp_path / "demo-archive" / "report.html"
    assert "Digitally restored by denoise-deblur" in report.read_text(encoding="utf-8")
    assert "mean gain of 11: +" in said

    assert "Nothing to do" in _run(archive, "demo", folder=tmp_path)
