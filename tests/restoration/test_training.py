"""Training: reproducible pairs, decreasing losses, resuming with equal results, release of a version folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from restoration.degradation import DEFAULT_REPAIR, DEFECTS
from restoration.errors import TrainingError, WeightsError
from restoration.execution import Execution
from restoration.model_folders import ModelFolder, parse_card
from restoration.networks import (
    Generator,
    VGGFeatures,
    build_generator,
    interpolate_weights,
)
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.restore import restore_array
from restoration.recipe import Recipe
from restoration.training import TrainingSettings, precision_selection, train
from restoration.training.aged_pairs import (
    CONDITIONS,
    PATCHES_PER_PHOTOGRAPH,
    AgedPairs,
    AgedPatches,
    RealDefects,
    batches_of,
    find_pictures,
)
from restoration.training.validation import Validation
from tests.tiny_training import CPU, TINY, write_training_pictures

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four clean photographs and a damage mask, in the folder layout of training data."""
    return write_training_pictures(tmp_path / "data")


def test_a_pair_depends_only_on_seed_and_index(pictures: Path) -> None:
    found = find_pictures(pictures)
    first = AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=1)
    again = AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=1)
    for index in (0, 7, 3):
        one, other = first[index], again[index]
        assert one.aged.shape == one.target.shape == (PATCHES_PER_PHOTOGRAPH, 3, 32, 32)
        for field in fields(AgedPatches):
            assert torch.equal(getattr(one, field.name), getattr(other, field.name))
    other_seed = AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=2)
    assert not torch.equal(first[0].target, other_seed[0].target)


def test_a_batch_holds_one_patch_of_each_photograph_with_its_whole_grain_profile(pictures: Path) -> None:
    found = find_pictures(pictures)
    samples = [AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=1)[index] for index in range(3)]
    batches = batches_of(samples)
    assert len(batches) == PATCHES_PER_PHOTOGRAPH
    for position, batch in enumerate(batches):
        assert batch.aged.shape == (3, 3, 32, 32)
        for row, one in enumerate(samples):
            assert torch.equal(batch.aged[row], one.aged[position])
            assert torch.equal(batch.conditions[row], one.conditions[0])
    assert all((one.conditions == one.conditions[:1]).all() for one in samples)


def test_validation_photographs_are_not_trained_on(pictures: Path) -> None:
    found = find_pictures(pictures)
    assert found.validation
    assert not set(found.training) & set(found.validation)
    assert len(found.training) + len(found.validation) == 4


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least two"):
        find_pictures(tmp_path)


def test_a_training_releases_a_version_and_its_card_describes_it(pictures: Path, tmp_path: Path) -> None:
    folder = train(tmp_path / "out", data=pictures, settings=TINY, execution=CPU, workers=0)
    assert folder == ModelFolder.open(tmp_path / "out")
    folder.check_weights()
    content = folder.card.content
    assert content["training"]["data"]["photographs"] == 3
    assert content["training"]["settings"]["pixel_steps"] == 12
    rows = {(row["case"], row["method"]): row for row in content["evaluation"]}
    assert rows["noise 25/255, not clipped", "input"]["psnr"] == pytest.approx(20.17, abs=0.1)
    assert rows["noise 25/255, not clipped", "texture 0"]["psnr"] is not None
    assert rows["clean", "input"]["psnr"] is None
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()
    stage = folder.card.stage({})
    assert stage.parameters == {"strength": 1.0, "texture": 0.0, "repair": ("noise", "softness")}
    cost = content["training"]["validation_psnr_by_texture"]
    assert cost["0"] - cost["1"] <= 0.8


@pytest.mark.parametrize("last", [8, 17], ids=["in the pixel phase", "in the adversarial phase"])
def test_a_resumed_training_ends_with_the_same_weights(pictures: Path, tmp_path: Path, last: int) -> None:
    undisturbed = train(tmp_path / "whole", data=pictures, settings=TINY, execution=CPU, workers=0)

    class PulledPlugError(Exception):
        pass

    def stop(step: int, _steps: int, _losses: dict[str, float]) -> None:
        if step == last:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        train(
            tmp_path / "parts",
            data=pictures,
            settings=TINY,
            execution=CPU,
            workers=0,
            progress=stop,
        )
    resumed = train(tmp_path / "parts", data=None, resume=True, execution=CPU, workers=0)
    assert resumed.card.weights_sha256 == undisturbed.card.weights_sha256


def test_a_training_that_stopped_before_its_first_checkpoint_starts_again(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "tiny-0.1"
    output.mkdir()
    (output / "log.jsonl").write_text('{"step": 50}\n')
    (output / "checkpoint.tmp").write_bytes(b"half of one")
    with pytest.raises(TrainingError, match="without --resume"):
        train(output, data=None, resume=True, execution=CPU)
    folder = train(output, data=pictures, settings=TINY, execution=CPU, workers=0)

    assert {path.name for path in folder.path.iterdir()} == {"card.json", "weights.safetensors", "log.jsonl", "board"}
    steps = [json.loads(line)["step"] for line in (output / "log.jsonl").read_text().splitlines()]
    assert max(steps) == TINY.steps  # and none of the stopped training


def test_the_terms_of_the_data_are_kept_in_the_card(pictures: Path, tmp_path: Path) -> None:
    (pictures / "TERMS.txt").write_text("\ufeffCC0, given by the estate in été 2020\n", encoding="utf-8")
    few = replace(TINY, pixel_steps=4, adversarial_steps=2)
    folder = train(tmp_path / "out", data=pictures, settings=few, execution=CPU, workers=0)

    assert folder.card.content["training"]["data"]["terms"] == "CC0, given by the estate in été 2020"


def test_stated_terms_are_kept_together_with_those_of_the_folder(pictures: Path, tmp_path: Path) -> None:
    few = replace(TINY, pixel_steps=4, adversarial_steps=2, data_terms="CC BY 4.0")
    plain = train(tmp_path / "plain", data=pictures, settings=few, execution=CPU, workers=0)
    (pictures / "TERMS.txt").write_text("CC0", encoding="utf-8")
    both = train(tmp_path / "both", data=pictures, settings=few, execution=CPU, workers=0)
    terms = [folder.card.content["training"]["data"]["terms"] for folder in (plain, both)]
    assert terms == ["CC BY 4.0", "CC BY 4.0\nCC0"]

    (pictures / "TERMS.txt").write_bytes("été".encode("latin-1"))
    with pytest.raises(TrainingError, match=r"TERMS\.txt can't be read"):
        train(tmp_path / "latin", data=pictures, settings=few, execution=CPU, workers=0)


def test_a_loss_that_is_not_finite_stops_the_training_with_advice(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower learning rates in TrainingSettings"):
        train(
            tmp_path / "out",
            data=pictures,
            settings=replace(TINY, learning_rate=1e30),
            execution=CPU,
            workers=0,
        )


def test_a_training_can_start_from_a_version(pictures: Path, tmp_path: Path) -> None:
    first = train(tmp_path / "first", data=pictures, settings=TINY, execution=CPU, workers=0)
    still = replace(TINY, widths=(4,), blocks=(1,), pixel_steps=1, adversarial_steps=1, learning_rate=0.0)
    still = replace(still, adversarial_learning_rate=0.0)
    second = train(tmp_path / "second", data=pictures, settings=still, start=first, execution=CPU, workers=0)
    initial = interpolate_weights(first.load_weights(), 0.0)
    for name, value in interpolate_weights(second.load_weights(), 0.0).items():
        torch.testing.assert_close(value, initial[name], rtol=1e-3, atol=1e-6)
    assert second.card.network["widths"] == [8, 12]
    assert second.card.content["training"]["settings"]["started_from"] == "tiny@0.1"

    wide = replace(still, widths=(10, 8), blocks=(1, 1))
    third = train(tmp_path / "wide", data=pictures, settings=wide, start=first, execution=CPU, workers=0)
    assert third.card.network["widths"] == [10, 12]
    picture, conditions = torch.rand(1, 3, 32, 32), torch.ones(1, len(CONDITIONS))
    narrow_output, wide_output = (_fidelity_network(folder)(picture, conditions) for folder in (first, third))
    torch.testing.assert_close(wide_output, narrow_output, rtol=0, atol=1e-3)  # weights are stored in half precision

    architecture = {**first.card.content["architecture"], "conditions": ["rain"]}
    other = parse_card({**first.card.content, "architecture": architecture})
    with pytest.raises(TrainingError, match="another kind of network"):
        train(tmp_path / "third", data=pictures, settings=TINY, start=ModelFolder(path=first.path, card=other))
    with pytest.raises(TrainingError, match="resumed training has its weights"):
        train(tmp_path / "fourth", data=None, settings=TINY, start=first, resume=True)


def _fidelity_network(folder: ModelFolder) -> Generator:
    network = build_generator(folder.card.architecture, folder.card.network)
    network.load_state_dict(interpolate_weights(folder.load_weights(), 0.0))
    return network


def test_texture_and_repair_change_the_output_of_a_trained_version(pictures: Path, tmp_path: Path) -> None:
    folder = train(tmp_path / "out", data=pictures, settings=TINY, execution=CPU, workers=0)
    aged = data.astronaut()[:48, :64]

    def restored(**parameters: object) -> np.ndarray:
        models = LoadedModels(lambda _stage: folder, CPU)
        return restore_array(aged, Recipe(stages=(folder.card.stage(parameters),)), models=models)

    plain = restored(texture=0.0)
    for parameters in ({"texture": 1.0}, {"texture": 0.0, "repair": ["damage"]}):
        assert (restored(**parameters) != plain).any()


def test_the_learning_rate_decays_early_if_validation_stagnates(pictures: Path, tmp_path: Path) -> None:
    stuck = replace(TINY, pixel_steps=200, learning_rate=0.0, validate_every=2, patience=3, adversarial_steps=2)
    folder = train(tmp_path / "out", data=pictures, settings=stuck, execution=CPU, workers=0)
    # The first of four validations is an improvement; at step 8 the decay starts, at 60 % of the shortened pixel phase.
    assert folder.card.content["training"]["settings"]["pixel_steps"] == 14


def test_vgg19_can_replace_the_discriminator_in_the_feature_loss(pictures: Path, tmp_path: Path) -> None:
    weights = tmp_path / "vgg19.safetensors"
    torch.manual_seed(0)
    save_file(VGGFeatures().state_dict(), weights)
    few = replace(TINY, pixel_steps=1, adversarial_steps=1)
    folder = train(tmp_path / "out", data=pictures, settings=few, execution=CPU, workers=0, perceptual_weights=weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert folder.card.content["training"]["settings"]["perceptual_weights_sha256"] == digest
    assert "VGG19" in folder.card.content["training"]["losses"]

    save_file({"features.0.weight": torch.zeros(1)}, weights)
    with pytest.raises(WeightsError, match="VGG19"):
        train(tmp_path / "no", data=pictures, settings=few, execution=CPU, perceptual_weights=weights)


def test_the_conditions_of_a_pair_name_its_repaired_defects(pictures: Path) -> None:
    found = find_pictures(pictures)
    pairs = AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=1)
    samples = [pairs[index] for index in range(80)]
    requested = {
        tuple(defect for defect, flag in zip(DEFECTS, one.conditions[0, : len(DEFECTS)], strict=True) if flag)
        for one in samples
    }
    assert DEFAULT_REPAIR in requested
    assert len(requested) > 5
    assert () not in requested
    damage = DEFECTS.index("damage")
    assert any(one.damage.any() for one in samples)
    assert not any(one.damage.any() for one in samples if not one.conditions[0, damage])


def test_patches_contain_more_damage_than_their_photographs_where_it_is_to_be_repaired(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_pictures(pictures)
    pairs = AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=1)
    chosen = [float(pairs[index].damage.mean()) for index in range(80)]
    monkeypatch.setattr(
        AgedPairs, "_cut", lambda _pairs, _plane, _position: np.zeros((2, 2))
    )  # all positions are equal
    others = [float(pairs[index].damage.mean()) for index in range(80)]
    assert np.mean(chosen) > 1.1 * np.mean(others)


def test_a_share_of_the_photographs_asks_for_the_repair_of_damage(pictures: Path) -> None:
    found = find_pictures(pictures)
    damage = DEFECTS.index("damage")
    asked, damaged = {}, {}
    for share in (0.0, 0.8):
        pairs = AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=1, damage_share=share)
        samples = [pairs[index] for index in range(60)]
        asked[share] = np.mean([float(one.conditions[0, damage]) for one in samples])
        damaged[share] = np.mean([float(one.damage.mean()) for one in samples])
    assert asked[0.8] > 0.75 > 0.5 > asked[0.0]
    assert damaged[0.8] > 1.5 * damaged[0.0]


def test_most_grain_profiles_show_the_added_grain_without_the_texture_of_the_photograph(pictures: Path) -> None:
    found = find_pictures(pictures)
    pairs = AgedPairs(found.training, RealDefects.read(found), patch_px=32, seed=1)
    levels = np.array([float(pairs[index].conditions[0, len(DEFECTS) :].max()) for index in range(80)])
    assert np.mean(levels < 0.05) > 0.05  # photographs without grain, although all of them have texture
    assert np.mean(levels > 0.2) > 0.5


def test_texture_that_a_restoration_invents_in_flat_places_is_measured(pictures: Path) -> None:
    found = find_pictures(pictures)
    validation = Validation(
        found, RealDefects.read(found), patch_px=32, seed=1, device=torch.device("cpu"), autocast=None, pairs=16
    )
    for batch in validation.batches:
        batch.target.fill_(0.5)
        batch.aged.fill_(0.5)
    network = build_generator("residual-unet", {"widths": (8, 12), "blocks": (1, 1)})
    untouched = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    assert validation.measure(network, untouched).invented_texture == pytest.approx(0, abs=1e-6)
    for batch in validation.batches:
        batch.aged.add_(4 / 255 * torch.randn(batch.aged[:, :1].shape, generator=torch.Generator().manual_seed(0)))
    assert validation.measure(network, untouched).invented_texture == pytest.approx(4 / 255, rel=0.15)


def test_training_refuses_what_it_cannot_start_from(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--data"):
        train(tmp_path / "out-1.0", data=None)
    with pytest.raises(TrainingError, match="without --resume"):
        train(tmp_path / "out", data=pictures, resume=True)
    (tmp_path / "full-1.0").mkdir()
    (tmp_path / "full-1.0" / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="not empty"):
        train(tmp_path / "full-1.0", data=pictures)
    assert (tmp_path / "full-1.0" / "thesis.txt").read_text() == "mine"


def test_the_folder_names_the_model_version(tmp_path: Path) -> None:
    for folder, expected in {
        "denoise-deblur-0.2": ("denoise-deblur", "0.2"),
        "street-views@1.0.3": ("street-views", "1.0.3"),
        "a2-b-10": ("a2-b", "10"),
    }.items():
        settings = TrainingSettings.named_after(tmp_path / folder)
        assert (settings.name, settings.version) == expected
    for folder in ("out", "Denoise-1.0", "-1.0", "denoise"):
        with pytest.raises(TrainingError, match="names the model"):
            TrainingSettings.named_after(tmp_path / folder)


def test_the_learning_rate_warms_up_decays_and_restarts_in_the_adversarial_phase() -> None:
    settings = replace(TINY, pixel_steps=1000, adversarial_steps=500)
    assert settings.rate(0) < settings.rate(200) > settings.rate(999)
    assert settings.rate(1000) == pytest.approx(settings.adversarial_learning_rate)


def test_the_faster_precision_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster in ("fp32", "bf16"):
        monkeypatch.setattr(
            precision_selection, "seconds_per_step", lambda how, _, faster=faster: how.precision != faster
        )
        assert precision_selection.resolve_for_training(Execution(device="cpu"), TINY).precision == faster
    assert precision_selection.resolve_for_training(CPU, TINY).precision == "fp32"
    monkeypatch.undo()
    assert precision_selection.seconds_per_step(CPU.resolved(), TINY) > 0


@pytest.mark.parametrize(("flags", "kept"), [(["amx_bf16"], "bf16"), ([], "auto")])
def test_bfloat16_is_kept_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], kept: str
) -> None:
    monkeypatch.setattr("restoration.execution._bfloat16_flags", lambda: flags)
    how = precision_selection.keep_precision(Execution(device="cpu"), {"precision": "bf16"})
    assert how.precision == kept


def test_a_resumed_training_keeps_its_precision(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(Exception):
        pass

    def stop(step: int, _steps: int, _losses: dict[str, float]) -> None:
        if step == 6:  # after the checkpoint of step 5
            raise StoppedError

    def make_faster(precision: str) -> None:
        monkeypatch.setattr(precision_selection, "seconds_per_step", lambda how, _: how.precision != precision)

    how, settings = Execution(device="cpu"), replace(TINY, pixel_steps=6, adversarial_steps=1)
    make_faster("fp32")
    with pytest.raises(StoppedError):
        train(tmp_path / "out", data=pictures, settings=settings, execution=how, workers=0, progress=stop)
    make_faster("bf16")
    folder = train(tmp_path / "out", data=None, resume=True, execution=how, workers=0)
    assert folder.card.content["training"]["environment"]["precision"] == "fp32"
