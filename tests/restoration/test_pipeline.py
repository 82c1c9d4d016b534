"""Recipes applied to pictures: results, records and errors."""

from __future__ import annotations

import doctest
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tifffile
import torch
from numpy.typing import NDArray
from torch import nn

import restoration
from restoration.errors import DeviceError, ImageError, ModelError, OutputError, RecipeError, WeightsError
from restoration.execution import Execution
from restoration.image import Area, ArraySink, Picture, TiffSink, inspect, pixel_sha256
from restoration.model_folders import CARD_NAME, WEIGHTS_NAME, ModelFolder
from restoration.networks import build_generator
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.record import RestorationRecord
from restoration.pipeline.restore import restore, restore_array, shipped_recipe
from restoration.recipe import PIPELINE_VERSION, Recipe, RecipeStage

NUMBERS = {"widths": [4, 6], "blocks": [1, 1]}


def make_version(folder: Path, *, name: str = "tiny", seed: int = 1, fill: float | None = None) -> ModelFolder:
    """A model version with seeded weights, or with one value for all weights."""
    torch.manual_seed(seed)
    network = build_generator("residual-unet", NUMBERS)
    for parameter in network.parameters():
        if fill is None:
            nn.init.normal_(parameter, std=0.1)
        else:
            nn.init.constant_(parameter, fill)
    weights = safetensors.torch.save(dict(network.state_dict()))
    card = {
        "name": name,
        "version": "0.1",
        "task": "restoration",
        "architecture": {"name": "residual-unet", **NUMBERS},
        "parameters": {"strength": {"default": 1.0, "range": [0, 1]}},
        "suited_to": {"polarity": ["positive"], "unsuited_processes": [], "minimum_size_px": 1},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": {},
        "evaluation": {},
    }
    folder.mkdir()
    (folder / CARD_NAME).write_text(json.dumps(card))
    (folder / WEIGHTS_NAME).write_bytes(weights)
    return ModelFolder.open(folder)


@pytest.fixture
def version(tmp_path: Path) -> ModelFolder:
    return make_version(tmp_path / "tiny")


def models_of(*folders: ModelFolder, tile_size: int = 32, **options: Any) -> LoadedModels:
    given: dict[str, Any] = {"device": "cpu", "precision": "fp32", "tile_size": tile_size} | options
    execution = Execution(**given)
    by_name = {folder.card.name: folder for folder in folders}
    return LoadedModels(lambda stage: by_name[stage.model], execution)


def recipe_of(*folders: ModelFolder, strength: float = 1.0) -> Recipe:
    return Recipe(stages=tuple(folder.card.stage({"strength": strength}) for folder in folders))


def scan(*, height: int = 45, width: int = 71, samples: int = 3, dtype: str = "u2") -> NDArray[Any]:
    highest = np.iinfo(dtype).max
    return np.random.default_rng(5).integers(0, highest, (height, width, samples), dtype).squeeze()


def made_of(
    array: NDArray[Any], recipe: Recipe, models: LoadedModels, *, area: Area | None = None
) -> tuple[NDArray[Any], RestorationRecord]:
    source = Picture.from_array(array)
    sink = ArraySink(source.info)
    record = restore(source, recipe, sink, models=models, picture_area=area)
    return sink.array, record


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_file_is_restored_into_a_tiff_of_the_same_kind(
    tmp_path: Path, version: ModelFolder, dtype: str, samples: int
) -> None:
    array = scan(samples=samples, dtype=dtype)
    photometric = "rgb" if samples == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "scan.tif", array, photometric=photometric, resolution=(400, 400), metadata=None)
    with Picture.open(tmp_path / "scan.tif") as source, TiffSink(tmp_path / "out.tif", source.info) as sink:
        record = restore(source, recipe_of(version), sink, models=models_of(version))
    assert inspect(tmp_path / "out.tif") == inspect(tmp_path / "scan.tif")
    with Picture.open(tmp_path / "out.tif") as out:
        assert pixel_sha256(out) == record.pixel_sha256
    written = tifffile.imread(tmp_path / "out.tif")
    assert written.dtype == array.dtype
    assert (written != array).mean() > 0.5


def test_pixels_do_not_depend_on_the_tile_size(version: ModelFolder) -> None:
    whole, _ = made_of(scan(), recipe_of(version), models_of(version, tile_size=256))
    tiled, record = made_of(scan(), recipe_of(version), models_of(version, tile_size=16))
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 1
    assert record.stages[0].tiles == 15


def test_a_repeated_run_gives_the_same_pixels_and_environment(version: ModelFolder) -> None:
    (_, first), (_, second) = (made_of(scan(), recipe_of(version), models_of(version)) for _ in range(2))
    assert first.pixel_sha256 == second.pixel_sha256
    assert first.environment == second.environment


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("samples", [1, 3])
def test_strength_0_gives_the_source_exactly(version: ModelFolder, dtype: str, samples: int) -> None:
    array = scan(samples=samples, dtype=dtype)
    made, _ = made_of(array, recipe_of(version, strength=0), models_of(version))
    np.testing.assert_array_equal(made, array)


def test_half_strength_is_the_mean_of_source_and_output(version: ModelFolder) -> None:
    array = scan()
    full, _ = made_of(array, recipe_of(version), models_of(version))
    half, _ = made_of(array, recipe_of(version, strength=0.5), models_of(version))
    assert np.abs((array.astype(int) + full.astype(int)) / 2 - half).max() <= 1


def test_pixels_outside_the_picture_area_equal_the_sources(version: ModelFolder) -> None:
    array = scan()
    area = Area(x=7, y=11, width=40, height=29)
    made, _ = made_of(array, recipe_of(version), models_of(version, tile_size=16), area=area)
    inside = (slice(11, 40), slice(7, 47))
    alone, _ = made_of(np.ascontiguousarray(array[inside]), recipe_of(version), models_of(version, tile_size=16))
    np.testing.assert_array_equal(made[inside], alone)
    outside = np.ones(array.shape, bool)
    outside[inside] = False
    np.testing.assert_array_equal(made[outside], array[outside])


def test_an_area_outside_the_picture_is_refused(version: ModelFolder) -> None:
    with pytest.raises(ImageError, match="71x45"):
        made_of(scan(), recipe_of(version), models_of(version), area=Area(x=70, y=0, width=2, height=1))


def test_stages_follow_each_other_and_each_is_recorded(tmp_path: Path, version: ModelFolder) -> None:
    other = make_version(tmp_path / "other", name="other", seed=2)
    models = models_of(version, other, tile_size=256)
    both, record = made_of(scan(), recipe_of(version, other), models)
    first, _ = made_of(scan(), recipe_of(version), models)
    second, _ = made_of(first, recipe_of(other), models)
    assert (
        np.abs(both.astype(int) - second.astype(int)).max() <= 2
    )  # the first result is rounded before the second call
    assert [(stage.index, stage.model, stage.version) for stage in record.stages] == [
        (0, "tiny", "0.1"),
        (1, "other", "0.1"),
    ]
    assert all(stage.seconds > 0 and stage.tiles == 1 for stage in record.stages)


def test_the_record_holds_the_environment_that_the_pixels_depend_on(version: ModelFolder) -> None:
    _, record = made_of(scan(), recipe_of(version), models_of(version, tile_size=48, threads=1, seed=3))
    environment = record.environment.as_dict()
    assert environment["torch_version"] == torch.__version__
    assert environment["device"].startswith("cpu")
    assert environment["instruction_set"].startswith(torch.backends.cpu.get_cpu_capability())
    assert (environment["precision"], environment["tile_size"]) == ("fp32", 48)
    assert (environment["threads"], environment["seed"]) == (1, 3)
    assert json.loads(json.dumps(environment)) == environment


def test_metadata_that_is_not_copied_is_noted(tmp_path: Path, version: ModelFolder) -> None:
    broken = [(34675, 7, 8, b"nonsense", True)]
    tifffile.imwrite(tmp_path / "scan.tif", scan(), photometric="rgb", metadata=None, extratags=broken)
    with Picture.open(tmp_path / "scan.tif") as source:
        record = restore(source, recipe_of(version), ArraySink(source.info), models=models_of(version))
    assert record.notes == ("the ICC profile of 8 bytes is corrupt and was left out",)


def test_progress_ends_at_the_last_row(version: ModelFolder) -> None:
    seen: list[tuple[int, int]] = []
    source = Picture.from_array(scan())
    restore(
        source,
        recipe_of(version),
        ArraySink(source.info),
        models=models_of(version),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(32, 45), (45, 45)]


def test_a_network_that_returns_nan_fails_and_leaves_no_file(tmp_path: Path) -> None:
    broken = make_version(tmp_path / "broken", fill=float("nan"))
    source = Picture.from_array(scan())
    with pytest.raises(OutputError, match=r"tiny@0\.1"), TiffSink(tmp_path / "out.tif", source.info) as sink:
        restore(source, recipe_of(broken), sink, models=models_of(broken))
    assert not (tmp_path / "out.tif").exists()


def test_weights_that_do_not_match_the_recipe_are_refused(tmp_path: Path, version: ModelFolder) -> None:
    other = make_version(tmp_path / "retrained", seed=2)
    with pytest.raises(WeightsError, match="but the recipe asks for"):
        made_of(scan(), recipe_of(version), models_of(other))


def test_a_changed_byte_in_the_weights_is_refused(version: ModelFolder) -> None:
    data = bytearray(version.weights_path.read_bytes())
    data[-1] ^= 1
    version.weights_path.write_bytes(data)
    with pytest.raises(WeightsError, match="are not those of"):
        made_of(scan(), recipe_of(version), models_of(version))


def test_weights_that_do_not_fit_the_architecture_are_refused(tmp_path: Path) -> None:
    version = make_version(tmp_path / "tiny")
    card = json.loads((version.path / CARD_NAME).read_text())
    card["architecture"]["widths"] = [4, 8]
    (version.path / CARD_NAME).write_text(json.dumps(card))
    changed = ModelFolder.open(version.path)
    with pytest.raises(WeightsError, match="don't fit"):
        made_of(scan(), recipe_of(changed), models_of(changed))


def stage(**changes: Any) -> RecipeStage:
    content = {"task": "restoration", "model": "tiny", "version": "0.1", "weights_sha256": "0" * 64, "parameters": {}}
    return RecipeStage(**(content | changes))


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(stages=(stage(),), pipeline_version=PIPELINE_VERSION + 1), "pipeline version"),
        (Recipe(stages=(stage(),), mask_sha256="0" * 64), "mask"),
        (Recipe(stages=(stage(task="style", parameters={"texture": 1.0}),)), "texture"),
        (Recipe(stages=(stage(parameters={"sharpness": 1.0}),)), "sharpness"),
    ],
)
def test_an_unsupported_recipe_is_refused(version: ModelFolder, recipe: Recipe, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        made_of(scan(), recipe, models_of(version))


def test_a_strength_out_of_range_is_refused(version: ModelFolder) -> None:
    beyond = stage(weights_sha256=version.card.weights_sha256, parameters={"strength": 1.5})
    with pytest.raises(RecipeError, match="between 0 and 1"):
        made_of(scan(), Recipe(stages=(beyond,)), models_of(version))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "mps"])
def test_an_unavailable_device_is_refused(version: ModelFolder, device: str) -> None:
    with pytest.raises(DeviceError, match=device):
        models_of(version, device=device)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("samples", [1, 3])
def test_an_array_gives_an_array_of_the_same_shape_and_type(version: ModelFolder, dtype: str, samples: int) -> None:
    is_float = dtype[0] == "f"
    array = scan(samples=samples, dtype="u2" if is_float else dtype)
    if is_float:
        array = (array / 65535).astype(dtype)
    made = restore_array(array, recipe_of(version), models=models_of(version))
    assert (made.shape, made.dtype) == (array.shape, array.dtype)
    assert (made != array).any()


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_an_array_of_the_other_byte_order_is_restored_alike(version: ModelFolder, dtype: str) -> None:
    array = scan(dtype="u2") if dtype == "u2" else (scan(dtype="u2") / 65535).astype(dtype)
    swapped = array.astype(array.dtype.newbyteorder())
    made = restore_array(swapped, recipe_of(version), models=models_of(version))
    assert made.dtype == swapped.dtype
    np.testing.assert_array_equal(made, restore_array(array, recipe_of(version), models=models_of(version)))


def test_shipped_versions_are_the_default(
    tmp_path: Path, version: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restoration.model_folders.SHIPPED", tmp_path)
    recipe = shipped_recipe("tiny", strength=0.5)
    assert recipe == recipe_of(version, strength=0.5)
    assert restore_array(scan(), recipe).shape == (45, 71, 3)
    with pytest.raises(ModelError, match=r"tiny@0\.1"):
        shipped_recipe("tiny@9.9")
    with pytest.raises(ModelError, match=r"tiny@0\.1"):
        restore_array(scan(), Recipe(stages=(stage(version="9.9"),)))


def test_the_example_in_the_documentation_works() -> None:
    assert doctest.testmod(restoration).failed == 0


def test_public_names_match_the_declared_ones() -> None:
    for name in restoration.__all__:
        assert getattr(restoration, name) is not None
    assert set(restoration.__all__) <= set(dir(restoration))
    with pytest.raises(AttributeError, match="Pictures"):
        _ = restoration.Pictures


def test_a_16_bit_gradient_keeps_16_bits(version: ModelFolder) -> None:
    gradient = np.tile(np.arange(4096, dtype=np.uint16) * 16, (24, 1))
    made, _ = made_of(gradient, recipe_of(version, strength=0.1), models_of(version, tile_size=64))
    assert len(np.unique(made)) > 4096
    row = made[12].astype(int)
    assert len(np.unique(row % 257)) > 200  # no 8-bit steps


@pytest.mark.parametrize("area", [None, Area(x=8, y=5, width=50, height=30)])
def test_a_neutral_picture_stored_as_rgb_gets_no_colour_cast(version: ModelFolder, area: Area | None) -> None:
    grey = scan(samples=1)
    made, record = made_of(np.stack([grey] * 3, axis=2), recipe_of(version), models_of(version), area=area)
    expected, _ = made_of(grey, recipe_of(version), models_of(version), area=area)
    for channel in range(3):
        np.testing.assert_array_equal(made[..., channel], expected)
    assert (made[..., 0] != grey).any()
    assert record.stages[0].values == "encoded RGB, no profile"


def test_a_picture_with_one_coloured_pixel_is_not_neutral(version: ModelFolder) -> None:
    nearly = np.stack([scan(samples=1)] * 3, axis=2)
    nearly[-1, -1, 0] += 1
    made, _ = made_of(nearly, recipe_of(version), models_of(version))
    assert (made[..., 0] != made[..., 1]).any()
