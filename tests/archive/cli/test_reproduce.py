"""``archive reproduce``: derivatives are recreated by the network itself, from their records alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from sqlalchemy import select, update

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative
from archive.settings import load_settings
from tests.small_archive import MODEL, SmallArchive, change_one_byte, command, write_model, write_scan, write_style


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with derivatives by two versions with other settings, a styled one of both stages, one within a mask.

    Its masters are copies in the home, so that the home can be copied.
    """
    folder = tmp_path_factory.mktemp("template")
    made = SmallArchive(home=folder / "home", scans=folder / "scans")
    assert command("init", made.home).code == 0
    made.done("model", "add", write_model(folder / "model"))
    made.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
    write_scan(made.scans / "a.tif", seed=1, width=120, height=90)
    write_scan(made.scans / "b.tif", seed=2, bits=16, grey=True)
    made.done("ingest", "--copy", made.scans)
    (made.home / "archive.toml").write_text("tile_size = 64\n")
    made.done("restore", "--strength", "0.5", "--precision", "fp32")
    made.done("model", "add", write_model(folder / "newer", version="9.1", seed=5, ends=2))
    (made.home / "archive.toml").write_text("tile_size = 96\n")
    made.done("restore", "--model", f"{MODEL}@9.1", "--texture", "0.2", "--precision", "bf16", "accession_number:a")
    made.done("model", "add", write_style(folder / "style", name="simulated-test"))
    made.done("restore", "--style", "simulated-test", "accession_number:b")
    mask = np.zeros((90, 120), np.uint8)
    mask[20:70, 30:90] = 255
    (folder / "masks").mkdir()
    Image.fromarray(mask).save(folder / "masks" / "a_001.png")
    made.done("restore", "--style", "simulated-test", "--style-mask", folder / "masks", "accession_number:a")
    return made.home


@pytest.fixture
def several(template: Path, tmp_path: Path) -> SmallArchive:
    """A copy of the template."""
    shutil.copytree(template, tmp_path / "home")
    return SmallArchive(home=tmp_path / "home", scans=tmp_path / "home" / "masters")


def catalogue_of(archive: SmallArchive) -> Catalogue:
    return Catalogue.open(load_settings(archive.home))


def outcomes(output: str) -> list[str]:
    return sorted(line.split("  ")[2].split(":")[0] for line in output.splitlines())


def events(archive: SmallArchive, accession_number: str) -> list[Any]:
    return [event for event in archive.show(accession_number)["events"] if event["type"] == "reproduction"]


def test_everything_is_made_again_to_the_byte_whatever_it_was_made_with(several: SmallArchive) -> None:
    before = {path: path.read_bytes() for path in (several.home / "derivatives").rglob("*.tif")}
    assert len(before) == 5
    answer = several.done("reproduce")
    assert outcomes(answer.output) == ["identical"] * 5
    assert "5 derivatives reproduced: 5 identical" in answer.errors
    assert {path: path.read_bytes() for path in (several.home / "derivatives").rglob("*") if path.is_file()} == before
    assert [event["outcome"] for event in events(several, "a") + events(several, "b")] == ["success"] * 5


def test_the_oldest_reproduction_comes_first(several: SmallArchive) -> None:
    seen = [several.done("reproduce", "--limit", "2").output for _ in range(3)]
    ids = [line.split("  ")[1] for output in seen for line in output.splitlines()]
    assert len(set(ids[:5])) == 5
    assert ids[5] == ids[0]
    assert outcomes(several.done("reproduce", "accession_number:b").output) == ["identical"] * 2


def test_changed_weights_are_named_and_the_rest_goes_on(several: SmallArchive) -> None:
    change_one_byte(several.home / "models" / MODEL / "9.1" / "weights.safetensors")
    answer = several.run("reproduce")
    assert answer.code == 3
    assert outcomes(answer.output) == ["cannot be made", *["identical"] * 4]
    reason = next(line for line in answer.output.splitlines() if "cannot be made" in line)
    assert f"{MODEL}@9.1 can't be used" in reason
    assert "are not those registered" in reason
    failed = [event for event in events(several, "a") if event["outcome"] == "failure"]
    assert len(failed) == 1
    assert "are not those registered" in failed[0]["detail"]


def test_weights_masters_and_masks_that_are_gone_or_changed_are_named(several: SmallArchive) -> None:
    master_a, master_b = (next((several.home / "masters" / name).iterdir()) for name in "ab")
    change_one_byte(master_b)
    for mask in (several.home / "masks").iterdir():
        mask.unlink()
    answer = several.run("reproduce")
    assert answer.code == 3
    lines = answer.output.splitlines()
    assert all(str(master_b) in line for line in lines if line.startswith("b "))
    assert outcomes(answer.output) == ["cannot be made"] * 3 + ["identical"] * 2
    assert sum("masks" in line and "is missing" in line for line in lines) == 1
    master_a.unlink()
    assert outcomes(several.run("reproduce", "accession_number:a").output) == ["cannot be made"] * 3


def test_another_pipeline_version_is_said_and_not_tried(several: SmallArchive) -> None:
    with catalogue_of(several).session() as session:
        row = session.scalars(select(Derivative)).first()
        assert row is not None
        recipe = json.loads(row.recipe.canonical_json)
        row.recipe.canonical_json = json.dumps(recipe | {"pipeline_version": 0})
    answer = several.run("reproduce")
    assert answer.code == 3
    assert "pipeline version 0" in answer.output


def test_an_absent_share_is_one_trouble_and_leaves_no_event(restored: SmallArchive) -> None:
    restored.scans.rename(restored.scans.with_name("away"))
    answer = restored.run("reproduce")
    assert answer.code == 3
    assert answer.output == ""
    assert "2 derivatives left out" in answer.errors
    assert events(restored, "1906.1") == []


def test_a_share_that_lies_elsewhere_on_this_machine_is_found(
    restored: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = restored.scans.with_name("mounted here")
    restored.scans.rename(here)
    machine = restored.home / "machine.toml"
    machine.write_text(f'[roots]\n"{restored.scans}" = "{here}"\n')
    monkeypatch.setenv("ARCHIVE_MACHINE_SETTINGS", str(machine))
    assert outcomes(restored.done("reproduce").output) == ["identical"] * 2


def test_other_pixels_are_different_here_and_within_a_tolerance_on_another_device(several: SmallArchive) -> None:
    several.done("reproduce")
    catalogue = catalogue_of(several)
    path = next((several.home / "derivatives" / "b").glob("*_restored_*.tif"))
    pixels = tifffile.imread(path)
    moved = pixels.copy()
    moved[3, 4] = moved[3, 4] + 514 if moved[3, 4] < 60000 else moved[3, 4] - 514  # 2 steps of 8 bits
    _record_other_pixels(catalogue, path, moved)
    wanted = "accession_number:b"
    answer = several.run("reproduce", wanted)
    assert answer.code == 3
    assert outcomes(answer.output) == ["different", "identical"]
    assert "largest difference 2, mean" in answer.output
    assert "made on the same device and software" in answer.output

    _record_another_device(catalogue, path)
    answer = several.done("reproduce", wanted)
    assert outcomes(answer.output) == ["identical", "within 2"]
    assert "made on another device" in answer.output

    _record_other_pixels(catalogue, path, 65535 - pixels)
    assert outcomes(several.run("reproduce", wanted).output) == ["different", "identical"]


def test_changed_metadata_is_distinguished_from_changed_pixels(several: SmallArchive) -> None:
    path = next((several.home / "derivatives" / "b").glob("*_restored_*.tif"))
    with catalogue_of(several).session() as session:
        name = str(path.relative_to(several.home))
        session.execute(update(Derivative).where(Derivative.path == name).values(sha256="0" * 64))
    answer = several.done("reproduce", "accession_number:b")
    assert outcomes(answer.output) == ["identical", "identical pixels"]


def test_a_device_that_is_not_there_stops_the_command(several: SmallArchive) -> None:
    answer = several.run("reproduce", "--device", "cuda:99")
    assert answer.code == 1
    assert "cuda:99" in answer.errors
    assert events(several, "a") == []


def test_a_query_that_finds_nothing_says_so(several: SmallArchive) -> None:
    answer = several.done("reproduce", "accession_number:nobody")
    assert "no derivative matches" in answer.errors


def _record_other_pixels(catalogue: Catalogue, path: Path, pixels: Any) -> None:
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)
    with catalogue.session() as session:
        session.execute(
            update(Derivative)
            .where(Derivative.path == str(path.relative_to(catalogue.settings.home)))
            .values(sha256=hashlib.sha256(path.read_bytes()).hexdigest(), pixel_sha256="1" * 64)
        )


def _record_another_device(catalogue: Catalogue, path: Path) -> None:
    with catalogue.session() as session:
        name = str(path.relative_to(catalogue.settings.home))
        row = session.scalars(select(Derivative).where(Derivative.path == name)).one()
        row.environment = row.environment | {"device": "cuda Some GPU"}
