"""Style training: reproducible steps, losses, resuming with equal results, release of versions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage import data

from restoration import Recipe, restore_array
from restoration.colour.colour_operations import apply_toning, luma
from restoration.errors import TrainingError
from restoration.execution import Execution
from restoration.model_folders import ModelFolder
from restoration.picture_statistics import COLOUR_STATISTIC_NAMES, STATISTIC_NAMES
from restoration.pipeline.loaded_models import LoadedModels
from restoration.training.aged_pairs import read_photograph
from restoration.training.style import StyleTrainingSettings, train_styles
from restoration.training.style.losses import (
    FixedFeatures,
    colour_loss,
    content_loss,
    curve_smoothness,
    energy_distance,
    gram_loss,
    gram_matrices,
    outlier_loss,
    radial_spectra,
)
from restoration.training.style.style_data import StyleSteps, find_styles
from restoration.training.style.style_gan import StyleSetStatistics

pytestmark = pytest.mark.slow

CPU = Execution(device="cpu", precision="fp32")
TINY = StyleTrainingSettings(
    names=("simulated-sepia", "simulated-grey"),
    version="0.1",
    widths=(4, 6),
    blocks=(1, 1),
    code=8,
    colour_steps=4,
    game_steps=4,
    pictures=3,
    patches=2,
    patch_px=32,
    checkpoint_every=3,
    validate_every=4,
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Photographs, sepia prints and neutral ones, five of each."""
    names = ("astronaut", "coffee", "chelsea", "rocket", "cat")
    for folder in ("content", "sepia", "grey"):
        (tmp_path / folder).mkdir()
    for name in names:
        photograph = getattr(data, name)()[:96, :120]
        grey = luma(photograph.astype(np.float32) / 255)
        sepia = apply_toning(grey, shadows=(0.05, 0.02, -0.04), highlights=(1.0, 0.95, 0.85))
        for folder, picture in (("content", photograph), ("sepia", sepia * 255), ("grey", grey * 255)):
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def trained(output: Path, pictures: Path, settings: StyleTrainingSettings = TINY) -> list[ModelFolder]:
    return train_styles(
        output,
        styles={"simulated-sepia": pictures / "sepia", "simulated-grey": pictures / "grey"},
        content=pictures / "content",
        settings=settings,
        execution=CPU,
        workers=0,
    )


def training_steps(pictures: Path) -> StyleSteps:
    found = find_styles({"sepia": pictures / "sepia", "grey": pictures / "grey"})
    return StyleSteps(
        sorted((pictures / "content").glob("*")),
        [one.training for one in found.values()],
        patch_px=32,
        patches=2,
        pictures=3,
        seed=1,
    )


def test_every_5th_picture_of_a_style_is_held_out(pictures: Path) -> None:
    found = find_styles({"sepia": pictures / "sepia"})["sepia"]
    assert [path.stem for path in found.validation] == ["rocket"]
    assert len(found.training) == 4


def test_a_step_depends_only_on_its_index(pictures: Path) -> None:
    late = training_steps(pictures)[7]
    again = training_steps(pictures)
    again[3]
    for field in fields(late):
        one, other = getattr(late, field.name), getattr(again[7], field.name)
        assert one == other if field.name == "style" else torch.equal(one, other)
    assert late.style == 1
    assert late.content.shape == (2, 3, 32, 32)
    assert late.noise.shape == (4, 1, 32, 32)
    assert not torch.equal(late.content, again[9].content)


def test_content_pictures_are_scaled_and_blurred_and_statistics_match_the_patches(pictures: Path) -> None:
    steps = training_steps(pictures)
    detail = steps.all_statistics(-1)[:, STATISTIC_NAMES.index("detail_2_px")].reshape(len(steps.content), -1)
    unscaled = detail[:, :2].mean(dim=1)  # unscaled variants
    assert bool((detail.amin(dim=1) < unscaled - 0.8).all())  # a soft one has less than a sixth of the variance
    assert bool((detail.amax(dim=1) > unscaled + 0.1).any())
    assert detail.shape[1] > steps.all_statistics(0).shape[0] / len(steps.styles[0])

    for patch, statistics in (
        pair
        for step in map(steps.__getitem__, range(6))
        for pair in zip(step.content, step.content_statistics, strict=True)
    ):
        assert 0 <= patch.min() <= patch.max() <= 1
        low, high = (statistics[STATISTIC_NAMES.index(name)] for name in ("luma_01", "luma_99"))
        assert low - 0.15 < luma(patch.permute(1, 2, 0).numpy()).mean() < high + 0.15


def test_the_palette_of_a_style_is_neutral_toned_or_full(pictures: Path) -> None:
    steps = training_steps(pictures)
    assert StyleSetStatistics.of(steps.all_statistics(0)).palette == "toned"
    assert StyleSetStatistics.of(steps.all_statistics(1)).palette == "neutral"
    photographs = StyleSteps(
        content_paths(pictures), [content_paths(pictures)], patch_px=32, patches=1, pictures=1, seed=0
    )
    assert StyleSetStatistics.of(photographs.all_statistics(0)).palette == "full"


def content_paths(pictures: Path) -> list[Path]:
    return sorted((pictures / "content").glob("*"))


def test_the_energy_distance_is_near_0_for_samples_of_one_set_and_grows_with_the_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(400, 3, generator=generator) for _ in range(2))
    near, far = (float(energy_distance(one, other + shift)) for shift in (0.0, 1.0))
    wide = float(energy_distance(one, 3 * other))
    assert abs(near) < 0.02
    assert far > 0.3
    assert wide > 0.3


def test_the_colour_loss_is_smallest_for_the_styles_own_colours(pictures: Path) -> None:
    step = training_steps(pictures)[0]
    style_statistics = StyleSetStatistics.of(training_steps(pictures).all_statistics(0))
    count = 35
    target = style_statistics.mean[:count], style_statistics.spread[:count].clamp(min=0.02)
    own = colour_loss(step.real_pixels, step.real_pixels.flip(0), *target)
    assert own < colour_loss(step.content_pixels, step.real_pixels, *target)


def test_the_gram_loss_distinguishes_textures_independent_of_grain_positions() -> None:
    features = FixedFeatures(seed=1)
    generator = torch.Generator().manual_seed(0)
    fine, again = (torch.randn(2, 3, 64, 64, generator=generator) for _ in range(2))
    coarse = torch.nn.functional.interpolate(again[..., ::4, ::4], scale_factor=4)
    target = gram_matrices(features(fine))
    assert 5 * gram_loss(gram_matrices(features(again)), target) < gram_loss(gram_matrices(features(coarse)), target)
    assert content_loss(features(fine), features(fine)) == 0
    assert content_loss(features(again), features(fine)) > 0.3


def test_spectra_depend_on_the_scale_of_a_texture_and_not_on_its_strength() -> None:
    noise = torch.randn(8, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    soft = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    torch.testing.assert_close(radial_spectra(noise), radial_spectra(0.1 * noise), rtol=0, atol=1e-3)
    assert radial_spectra(noise).std(dim=1).mean() < 0.2  # white: all rings alike
    assert (radial_spectra(soft)[:, 0] - radial_spectra(soft)[:, -1]).min() > 1
    assert energy_distance(radial_spectra(soft), radial_spectra(noise)) > 10 * abs(
        energy_distance(radial_spectra(noise), radial_spectra(-noise))
    )


def test_autocast_does_not_round_spectra_and_gram_matrices_to_bfloat16() -> None:
    torch.manual_seed(0)
    planes, features = torch.rand(2, 1, 32, 32), [torch.rand(2, 8, 16, 16)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spectra, (gram,) = radial_spectra(planes), gram_matrices(features)
    torch.testing.assert_close(spectra, radial_spectra(planes), rtol=0, atol=0)
    torch.testing.assert_close(gram, gram_matrices(features)[0], rtol=0, atol=0)


def test_the_outlier_loss_penalises_only_colours_outside_of_the_styles_range(pictures: Path) -> None:
    steps = training_steps(pictures)
    step, style_statistics = steps[0], StyleSetStatistics.of(steps.all_statistics(0))
    count = len(COLOUR_STATISTIC_NAMES)
    range_ = style_statistics.mean[:count], style_statistics.spread[:count].clamp(min=0.02)
    own, cast = step.real_pixels, step.real_pixels * torch.tensor([0.4, 1.0, 0.6])[:, None]
    assert outlier_loss(own, *range_) < 0.2
    assert outlier_loss(cast, *range_) > 5 * outlier_loss(own, *range_)


def test_the_smoothness_loss_of_a_straight_curve_is_0() -> None:
    assert curve_smoothness(torch.linspace(0, 1, 9)) < 1e-9 < curve_smoothness(torch.linspace(0, 1, 9) ** 3)


def test_the_same_filters_come_from_the_same_seed() -> None:
    picture = torch.rand(1, 3, 16, 16)
    one, again, other = (FixedFeatures(seed=seed)(picture)[2] for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_training_releases_a_usable_version_of_each_style(pictures: Path, tmp_path: Path) -> None:
    versions = trained(tmp_path / "out", pictures)
    assert [version.path.name for version in versions] == ["simulated-sepia-0.1", "simulated-grey-0.1"]
    by_name = {version.card.name: version for version in versions}
    assert by_name["simulated-sepia"].card.palette == "toned"
    assert by_name["simulated-grey"].card.palette == "neutral"
    photograph = data.astronaut()[:50, :60]
    for version in versions:
        models = LoadedModels(lambda stage: by_name[stage.model], CPU)
        styled = restore_array(photograph, Recipe(stages=(version.card.stage({}),)), models=models)
        assert (styled.shape, styled.dtype) == (photograph.shape, photograph.dtype)
        if version.card.palette == "neutral":
            assert np.ptp(styled, axis=2).max() == 0
    training = versions[0].card.content["training"]
    assert (training["data"]["style_pictures"], training["data"]["held_back_style_pictures"]) == (4, 1)
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()
    assert len((tmp_path / "out" / "log.jsonl").read_text().splitlines()) == 2


def test_a_resumed_training_gives_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    undisturbed = trained(tmp_path / "one", pictures)

    class StopError(Exception):
        pass

    def stop(step: int, _steps: int, _losses: dict[str, float]) -> None:
        if step == 7:  # in the adversarial phase, after the checkpoint of step 6
            raise StopError

    output = tmp_path / "other"
    with pytest.raises(StopError):
        train_styles(
            output,
            styles={"simulated-sepia": pictures / "sepia", "simulated-grey": pictures / "grey"},
            content=pictures / "content",
            settings=TINY,
            execution=CPU,
            workers=0,
            progress=stop,
        )
    resumed = train_styles(output, resume=True, execution=CPU, workers=0)
    assert [version.card.weights_sha256 for version in resumed] == [
        version.card.weights_sha256 for version in undisturbed
    ]


def test_a_single_style_is_named_after_the_output_folder_and_written_to_it(pictures: Path, tmp_path: Path) -> None:
    settings = replace(TINY, names=("simulated-harbour",), version="0.2", colour_steps=1, game_steps=1)
    named = StyleTrainingSettings.named_after(tmp_path / "simulated-harbour-0.2")
    assert (named.names, named.version) == (settings.names, settings.version)
    output = tmp_path / "simulated-harbour-0.2"
    (pictures / "content" / "TERMS.txt").write_text("free photographs")
    (pictures / "sepia" / "TERMS.txt").write_text("free prints")
    (version,) = train_styles(
        output, styles=pictures / "sepia", content=pictures / "content", settings=settings, execution=CPU, workers=0
    )
    assert version.path == output
    stated = json.loads((output / "card.json").read_text())["training"]["data"]
    assert (stated["style_terms"], stated["terms"]) == ("free prints", "free photographs")
    assert hashlib.sha256(version.weights_path.read_bytes()).hexdigest() == version.card.weights_sha256


def test_a_training_resumes_with_moved_folders(pictures: Path, tmp_path: Path) -> None:
    def stop(step: int, _steps: int, _losses: dict[str, float]) -> None:
        if step == 4:
            raise KeyboardInterrupt

    output = tmp_path / "simulated-sepia-0.1"
    one = replace(TINY, names=("simulated-sepia",))
    with pytest.raises(KeyboardInterrupt):
        train_styles(output, settings=one, execution=CPU, workers=0, progress=stop, **_folders(pictures, ""))
    for folder in ("sepia", "content"):
        (pictures / folder).rename(pictures / f"moved {folder}")
    with pytest.raises(TrainingError):
        train_styles(output, resume=True, execution=CPU, workers=0)
    (version,) = train_styles(output, resume=True, execution=CPU, workers=0, **_folders(pictures, "moved "))
    assert version.card.reference == "simulated-sepia@0.1"


def _folders(pictures: Path, moved: str) -> dict[str, Any]:
    return {"styles": pictures / f"{moved}sepia", "content": pictures / f"{moved}content"}


def test_16_bit_scans_are_read_and_large_ones_cropped_to_the_centre(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 96, dtype=np.uint16)[None, :].repeat(80, axis=0)
    tifffile.imwrite(tmp_path / "ramp.tif", ramp)
    np.testing.assert_array_equal(read_photograph(tmp_path / "ramp.tif"), np.rint(ramp / 257)[..., None].repeat(3, 2))
    wide = np.zeros((40, 2148, 3), np.uint8)
    wide[:, 50:-50] = 9
    tifffile.imwrite(tmp_path / "wide.tif", wide, photometric="rgb")
    middle = read_photograph(tmp_path / "wide.tif")
    assert middle.shape == (40, 2048, 3)
    assert (middle == 9).all()
    (tmp_path / "none.tif").write_bytes(b"none")
    with pytest.raises(TrainingError, match=r"none\.tif can't be read"):
        read_photograph(tmp_path / "none.tif")


def test_invalid_arguments_are_refused_with_a_reason(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Name a folder"):
        train_styles(tmp_path / "simulated-a-1", styles=pictures / "sepia", execution=CPU)
    with pytest.raises(TrainingError, match=r"begins with 'simulated-'.* Rename sepia to simulated-sepia"):
        train_styles(tmp_path / "sepia-1", styles=pictures / "sepia", content=pictures / "content", execution=CPU)
    with pytest.raises(TrainingError, match="the styles are"):
        train_styles(tmp_path / "out", styles=pictures / "sepia", content=pictures / "content", settings=replace(TINY))
    with pytest.raises(TrainingError, match="no checkpoint"):
        train_styles(tmp_path / "nothing", resume=True, execution=CPU)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="not empty"):
        trained(tmp_path / "full", pictures)
