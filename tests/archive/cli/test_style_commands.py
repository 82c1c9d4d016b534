"""Styles on the command line: options, text output and JSON output."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.torch import save_file

from restoration.training.style import StyleTrainingSettings
from tests.restoration.test_style_training import TINY
from tests.small_archive import SmallArchive, command, write_model, write_scan, write_style

TONED = "simulated-sepia-print"


@pytest.fixture
def styled(restored: SmallArchive, tmp_path: Path) -> SmallArchive:
    """The home with two restored items, and a style."""
    restored.done("model", "add", write_style(tmp_path / "style", name=TONED))
    return restored


def test_an_unknown_style_is_answered_with_the_styles_that_contain_the_word(styled: SmallArchive) -> None:
    answer = styled.run("restore", "--style", "Sepia print", "--dry-run")
    assert answer.code == 2
    near, known = answer.errors.split("Did you mean ")[1].split("? Known styles: ")
    assert near == "'simulated-sepia-print'"
    assert {TONED, "simulated-toned-print"} <= set(known.strip().split(", "))
    assert "denoise-deblur" not in answer.errors


def test_a_styled_derivative_is_distinguished_from_the_restoration(styled: SmallArchive, tmp_path: Path) -> None:
    answer = styled.done("restore", "accession_number:1906.1", "--style", TONED, "--style-strength", "0.8")
    assert "a simulated look: simulated-sepia-print 1.0 (brightness 0, strength 0.8" in answer.errors
    restored, derivative = styled.show("1906.1")["derivatives"]
    assert (restored["kind"], derivative["kind"], derivative["current"]) == ("restored", "styled", True)
    assert [stage["task"] for stage in derivative["recipe"]["stages"]] == ["restoration", "style"]
    assert "mask_sha256" not in derivative["recipe"]
    assert {"content_ssim", "style_colour_distance", "style_texture_distance"} <= {
        score["metric"] for score in derivative["quality"]
    }
    (listed,) = styled.done("list", "status:styled", "--format", "json").json()
    assert (listed["status"], listed["path"], listed["derivatives"]) == ("restored", restored["path"], 2)
    text = styled.done("show", "1906.1").output
    assert f"Derivative {derivative['id']}, a look was simulated, current" in text
    assert "psnr of the derivative after stage 2 against the stage's input" in text
    assert "which simulates a look" in text
    report = tmp_path / "report.html"
    assert "1 restored master, 1 simulated look" in styled.done("report", "--output", report).output
    page = report.read_text(encoding="utf-8")
    assert page.index("Digitally restored by") < page.index("Simulated looks") < page.index("A look was simulated by")
    assert page.count("what changed in") == page.count('class="changes"') == 1
    styled.done("review", "1906.1", "--accept", "--derivative", str(derivative["id"]), "--reviewer", "A. Curator")
    assert styled.show("1906.1")["derivatives"][0]["current"]
    styled.done("verify")


def test_strength_nought_leaves_the_picture_as_it_is(styled: SmallArchive) -> None:
    styled.done("restore", "accession_number:1906.1", "--model", "none", "--style", TONED, "--style-strength", "0")
    styled.done("restore", "accession_number:1906.2", "--model", "none", "--style", TONED, "--style-strength", "0")
    for number, scan in (("1906.1", "a.tif"), ("1906.2", "b.tif")):
        derivative = styled.show(number)["derivatives"][-1]
        assert np.array_equal(tifffile.imread(derivative["path"]), tifffile.imread(styled.scans / scan))


def test_a_blend_with_its_own_colours_within_masks(styled: SmallArchive, tmp_path: Path) -> None:
    styled.done("model", "add", write_style(tmp_path / "other", name="simulated-grey-print", palette="neutral", seed=1))
    masks = tmp_path / "masks"
    masks.mkdir()
    values = np.zeros((40, 48), np.uint8)
    values[:, 24:] = 255
    Image.fromarray(values).save(masks / "1906.1_001.png")
    how = (
        f"--style={TONED}:3,simulated-grey-print",
        "--style-colour=temperature=0.5, tint=-0.2",
        f"--style-mask={masks}",
    )
    tried = styled.done("restore", "--model", "none", *how, "--dry-run").output
    assert "To do: 1 master with a simulated look within a mask: simulated-grey-print 1.0" in tried
    assert f"1  no mask in {masks}: 1906.2 (1)" in tried
    styled.done("restore", "--model", "none", *how)
    derivative = styled.show("1906.1")["derivatives"][-1]
    assert [stage["parameters"]["weight"] for stage in derivative["recipe"]["stages"]] == [0.25, 0.75]
    assert {stage["parameters"]["temperature"] for stage in derivative["recipe"]["stages"]} == {0.5}
    assert len(derivative["recipe"]["mask_sha256"]) == 64
    before, after = tifffile.imread(styled.scans / "a.tif"), tifffile.imread(derivative["path"])
    assert np.array_equal(after[:, :24], before[:, :24])
    assert not np.array_equal(after[:, 24:], before[:, 24:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none"], "or a style with --style"),
        (["--style-strength", "0.5"], "Name one with --style"),
        (["--style", f"{TONED}:much"], "has no number after ':'"),
        (["--style", f"{TONED},{TONED}"], "named twice"),
        (["--style", ","], "no value given"),
        (["--style", TONED, "--style-colour", "hue=1"], "known values: temperature, tint, brightness"),
        (["--style", TONED, "--style-colour", "tint"], "has no number after '='"),
        (["--style", TONED, "--style-mask", "nowhere"], "does not exist"),
        (["--style", "denoise-deblur"], "Use it with --model"),
        (["--model", TONED], "Use it with --style"),
    ],
)
def test_mistakes_are_wrong_usage_and_say_what_to_do(styled: SmallArchive, arguments: list[str], message: str) -> None:
    answer = styled.run("restore", *arguments)
    assert answer.code == 2
    assert message in answer.errors


def test_a_style_whose_name_reads_like_a_process_is_refused(restored: SmallArchive, tmp_path: Path) -> None:
    answer = restored.run("model", "add", write_style(tmp_path / "style", name="albumen-print"))
    assert answer.code == 1
    assert "the name of a style begins with 'simulated-'" in answer.errors


def test_the_demo_shows_a_look_once_a_style_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, scans = tmp_path / "shipped", tmp_path / "scans"
    write_model(shipped / "denoise-deblur-9.0")
    monkeypatch.setattr("restoration.model_folders.SHIPPED", shipped)
    monkeypatch.setattr("archive.bundled_files.sample_archive_folder", lambda: scans)
    for seed, name in enumerate(("a", "b")):
        write_scan(scans / f"{name}.tif", seed=seed)
    demo = SmallArchive(home=tmp_path / "demo", scans=scans)
    assert "simulated look" not in demo.done("demo").output
    write_style(shipped / "style-1.0")
    said = demo.done("demo").output
    assert "To do: 1 master with denoise-deblur 9.0 (strength 1), then a simulated look" in said
    assert [each["kind"] for each in demo.show("a")["derivatives"]] == ["restored", "styled"]
    assert "Simulated looks" in (demo.home / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_museum_trains_adds_measures_and_uses_a_look_of_its_own(
    restored: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        StyleTrainingSettings, "named_after", lambda _folder: replace(TINY, names=("simulated-cyanotype",))
    )
    for folder, count in (("cyanotypes", 15), ("photographs", 3)):  # every 5th of a style is held back to measure on
        for number in range(count):
            write_scan(tmp_path / folder / f"{number}.tif", seed=number, height=96, width=80)
    folders = ("--style-images", tmp_path / "cyanotypes")
    output = tmp_path / "simulated-cyanotype-0.1"
    asked = ("model", "train", "--task", "style", *folders, "--output", output)
    said = restored.done(*asked, "--content", tmp_path / "photographs").output
    assert said == f"model: simulated-cyanotype@0.1 in {output}\n"

    restored.done("model", "add", output)
    measured = ("model", "evaluate", "simulated-cyanotype", "--data", tmp_path / "photographs")
    rows = restored.done(*measured, *folders, "--no-peers", "--format", "json").json()
    reached = {row["method"]: row for row in rows if row["case"] == "style reached"}
    assert list(reached) == ["input", "simulated-cyanotype@0.1", "real against real"]
    soft = {row["method"]: row for row in rows if row["case"] == "style reached, soft"}
    assert soft.keys() == reached.keys()
    assert soft["input"]["spectrum_distance"] != reached["input"]["spectrum_distance"]
    assert {"content_ssim", "colour_distance", "gram_share", "spectrum_share", "auc"} <= reached["input"].keys()
    restored.done("restore", "accession_number:1906.1", "--style", "simulated-cyanotype")
    assert restored.show("1906.1")["derivatives"][-1]["kind"] == "styled"

    assert "--style-images DIR" in restored.run(*measured).errors
    assert "is a style" in restored.run(*measured, *folders, "--texture", "0").errors
    assert "is none" in restored.run("model", "evaluate", "denoise-deblur", "--data", tmp_path, *folders).errors
    assert "--task restoration" in restored.run(*asked, "--data", tmp_path).errors
    assert "--task style" in restored.run("model", "train", *folders, "--output", tmp_path / "x").errors


def test_a_training_is_resumed_as_what_it_is(tmp_path: Path) -> None:
    for task, other in (("restoration", "style"), ("style", "restoration")):
        output = tmp_path / f"simulated-{task}-0.1"
        output.mkdir()
        facts: dict[str, object] = {"settings": {}, "step": 1, "folders" if task == "style" else "data": []}
        save_file({}, output / "checkpoint.safetensors", metadata={"facts": json.dumps(facts)})
        answer = command("model", "train", "--output", output, "--resume", "--task", other)
        assert answer.code == 1
        assert f"is a {task} training, not a {other} training" in answer.errors
