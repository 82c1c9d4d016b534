"""Styles as stages: tiles equal the whole, strength 0 changes nothing, neutral stays neutral, grey becomes RGB."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage import data
from torch import nn

from restoration import Picture, Recipe, TiffSink, derivative_info, restore, restore_array
from restoration.colour.colour_operations import apply_colour_balance, apply_toning, luma
from restoration.errors import CardError, RecipeError, WeightsError
from restoration.execution import Execution
from restoration.model_folders import ModelFolder, parse_card
from restoration.networks import StyleNetwork
from restoration.networks.style_colour_mapping import PALETTES, applied_share, measure_toning, split_luma_chroma
from restoration.picture_statistics import STATISTIC_NAMES, window_statistics
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.style_stage import STYLE_VECTOR_NAME, LoadedStyle, grain_noise
from restoration.pipeline.tiling import StageSource
from restoration.training.release import write_version

CPU = Execution(device="cpu", precision="fp32", tile_size=64)
STYLE_SIZE = 6
ARCHITECTURE = {
    "statistics": len(STATISTIC_NAMES),
    "style": STYLE_SIZE,
    "widths": (4, 6, 5),
    "blocks": (1, 1, 1),
    "code": 8,
}
NUMBER = {"default": 0.0, "range": [-1.0, 1.0]}
SHARE = {"default": 1.0, "range": [0.0, 1.0]}


def network(**more: bool) -> StyleNetwork:
    """A small network with weights large enough to show the effects of padding, alignment and noise."""
    torch.manual_seed(4)
    made = StyleNetwork(**ARCHITECTURE, **more)  # type: ignore[arg-type]
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.15)
    return made


def version(folder: Path, name: str, palette: str) -> ModelFolder:
    folder.mkdir()
    tensors = {**network().state_dict(), STYLE_VECTOR_NAME: torch.linspace(-1, 1, STYLE_SIZE)}
    return write_version(
        folder,
        {key: value.contiguous() for key, value in tensors.items()},
        {
            "name": name,
            "version": "0.1",
            "task": "style",
            "architecture": {"name": "style-unet", **ARCHITECTURE},
            "parameters": {
                "strength": SHARE,
                "weight": SHARE,
                **dict.fromkeys(("temperature", "tint", "brightness"), NUMBER),
            },
            "style": {"palette": palette},
            "suited_to": {"polarity": ["positive"], "unsuited_processes": [], "minimum_size_px": 8},
            "training": {},
            "evaluation": [],
        },
    )


@pytest.fixture
def toned(tmp_path: Path) -> ModelFolder:
    return version(tmp_path / "toned", "simulated-toned", "toned")


@pytest.fixture
def neutral(tmp_path: Path) -> ModelFolder:
    return version(tmp_path / "neutral", "simulated-neutral", "neutral")


def models(*folders: ModelFolder) -> LoadedModels:
    by_name = {folder.card.name: folder for folder in folders}
    return LoadedModels(lambda stage: by_name[stage.model], CPU)


def recipe(*folders: ModelFolder, **parameters: float) -> Recipe:
    return Recipe(stages=tuple(folder.card.stage(parameters) for folder in folders))


def scan(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(3).integers(0, 65536, shape, dtype=np.uint16)


@settings(max_examples=20, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    tile_size=st.integers(8, 48),
    palette=st.sampled_from(sorted(PALETTES)),
    more=st.fixed_dictionaries({"deep_grain": st.booleans(), "strokes": st.booleans()}),
)
def test_tiles_equal_the_whole_for_every_size_of_picture_and_tile(
    width: int, height: int, tile_size: int, palette: str, more: dict[str, bool]
) -> None:
    source = Picture.from_array(scan(height, width, 3))
    style = LoadedStyle(network(**more), torch.linspace(-1, 1, STYLE_SIZE), CPU.resolved(), palette=palette)
    stage = style.for_picture(dict(zip(STATISTIC_NAMES, np.linspace(-0.5, 0.5, len(STATISTIC_NAMES)), strict=True)))
    whole = StageSource(source, stage, tile_size=256).read(0, 0, width, height)
    tiled = StageSource(source, stage, tile_size=tile_size).read(0, 0, width, height)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_strokes_have_no_seams() -> None:
    source = Picture.from_array(data.astronaut()[:330, :310])  # larger than a region with its margin
    painted = network(deep_grain=True, strokes=True)
    assert 64 + 2 * painted.margin_px < 310
    style = LoadedStyle(painted, torch.linspace(-1, 1, STYLE_SIZE), CPU.resolved(), palette="full")
    stage = style.for_picture(dict(zip(STATISTIC_NAMES, np.linspace(-0.5, 0.5, len(STATISTIC_NAMES)), strict=True)))
    whole = StageSource(source, stage, tile_size=512).read(0, 0, 310, 330)
    np.testing.assert_allclose(StageSource(source, stage, tile_size=64).read(0, 0, 310, 330), whole, atol=1e-5)


def test_a_derivative_does_not_depend_on_the_tile_size(toned: ModelFolder) -> None:
    source = scan(150, 170, 3)
    whole = LoadedModels(lambda _stage: toned, Execution(device="cpu", precision="fp32", tile_size=512))
    made = restore_array(source, recipe(toned), models=models(toned))
    np.testing.assert_allclose(made / 65535, restore_array(source, recipe(toned), models=whole) / 65535, atol=3e-5)
    assert not np.array_equal(made, source)


def test_strength_0_keeps_the_pixels_exactly(toned: ModelFolder) -> None:
    for source in (scan(40, 50, 3), scan(40, 50)):
        made = restore_array(source, recipe(toned, strength=0), models=models(toned))
        np.testing.assert_array_equal(made, source)


def test_strength_interpolates_between_source_and_style(toned: ModelFolder) -> None:
    source = scan(40, 50, 3).astype(np.float64) / 65535
    full = restore_array(source, recipe(toned), models=models(toned))
    half = restore_array(source, recipe(toned, strength=0.5), models=models(toned))
    np.testing.assert_allclose(half, (source + full) / 2, atol=3e-5)


def test_a_neutral_style_makes_every_picture_neutral(neutral: ModelFolder) -> None:
    colours = restore_array(scan(60, 50, 3), recipe(neutral), models=models(neutral))
    assert np.ptp(colours.astype(int), axis=2).max() <= 1
    grey = np.repeat(scan(60, 50)[..., None], 3, axis=2)
    made = restore_array(grey, recipe(neutral), models=models(neutral))
    assert np.ptp(made, axis=2).max() == 0


def test_a_neutral_style_keeps_grey_pictures_grey(neutral: ModelFolder) -> None:
    picture = Picture.from_array(scan(60, 50))
    assert derivative_info(picture.info, recipe(neutral), models(neutral)) == picture.info
    assert restore_array(scan(60, 50), recipe(neutral), models=models(neutral)).shape == (60, 50)


def test_a_toned_style_makes_a_grey_master_rgb_with_a_profile_and_a_note(toned: ModelFolder, tmp_path: Path) -> None:
    picture = Picture.from_array(scan(60, 50), icc_profile=b"a profile of grey")
    info = derivative_info(picture.info, recipe(toned), models(toned))
    with TiffSink(tmp_path / "styled.tif", info) as sink:
        record = restore(picture, recipe(toned), sink, models=models(toned))
    with Picture.open(tmp_path / "styled.tif") as styled:
        assert (styled.info.colour_channels, styled.info.bits_per_sample) == (3, 16)
        profile = styled.info.icc_profile
    assert profile is not None
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    assert any("sRGB" in note and "in place of its own" in note for note in record.notes)


def test_outside_the_picture_area_a_grey_master_keeps_its_values_as_rgb(toned: ModelFolder) -> None:
    from restoration import Area, ArraySink

    source = scan(80, 90)
    picture = Picture.from_array(source)
    sink = ArraySink(derivative_info(picture.info, recipe(toned), models(toned)))
    restore(picture, recipe(toned), sink, models=models(toned), picture_area=Area(x=20, y=10, width=40, height=50))
    np.testing.assert_array_equal(sink.array[:10], np.repeat(source[:10, :, None], 3, axis=2))
    assert not np.array_equal(sink.array[10:60, 20:60, 0], source[10:60, 20:60])


def test_the_record_contains_the_conditioning_inputs_of_the_style(toned: ModelFolder) -> None:
    from restoration import ArraySink

    picture = Picture.from_array(scan(60, 50, 3))
    record = restore(picture, recipe(toned), ArraySink(picture.info), models=models(toned))
    assert set(record.stages[0].statistics) == set(STATISTIC_NAMES)


def test_consecutive_styles_are_blended_by_their_weights(toned: ModelFolder, neutral: ModelFolder) -> None:
    source = scan(60, 50, 3).astype(np.float64) / 65535
    alone = [restore_array(source, recipe(folder), models=models(folder)) for folder in (toned, neutral)]
    stages = (toned.card.stage({"weight": 0.3}), neutral.card.stage({"weight": 0.1}))
    blended = restore_array(source, Recipe(stages=stages), models=models(toned, neutral))
    np.testing.assert_allclose(blended, 0.75 * alone[0] + 0.25 * alone[1], atol=5e-5)


def test_styles_with_a_total_weight_of_0_are_refused(toned: ModelFolder) -> None:
    with pytest.raises(RecipeError, match="weight 0"):
        restore_array(scan(20, 20, 3), recipe(toned, weight=0), models=models(toned))


def test_a_colour_balance_warms_a_picture_and_keeps_its_luma(neutral: ModelFolder) -> None:
    assert (
        derivative_info(
            Picture.from_array(scan(9, 9)).info, recipe(neutral, temperature=0.5), models(neutral)
        ).colour_channels
        == 3
    )
    source = np.random.default_rng(1).uniform(0.2, 0.7, (1, 3, 20, 20)).astype(np.float32)
    warm = apply_colour_balance(source, temperature=1.0)
    before, after = (luma(each[0].transpose(1, 2, 0)) for each in (source, warm))
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert (warm[:, 0] - warm[:, 2]).mean() > (source[:, 0] - source[:, 2]).mean()
    assert (
        apply_colour_balance(source, brightness=0.5).mean()
        > source.mean()
        > apply_colour_balance(source, brightness=-0.5).mean()
    )
    np.testing.assert_array_equal(apply_colour_balance(source), source)


def test_a_toned_print_has_one_colour_for_each_lightness() -> None:
    grey = np.linspace(0.02, 0.98, 6400, dtype=np.float32).reshape(80, 80)
    toned = apply_toning(grey, shadows=(0.05, 0.02, -0.04), highlights=(1.0, 0.95, 0.85)).astype(np.float64)
    for picture in (toned, np.stack([grey, grey[::-1], grey.T], axis=2).astype(np.float64)):
        pixels = torch.from_numpy(picture.transpose(2, 0, 1)[None])
        light, chroma = split_luma_chroma(pixels.float())
        own = measure_toning(window_statistics([pixels.numpy()])[None], light)
        assert own.shape == chroma.shape
        by_lightness = own[0].flatten(1)[:, light.flatten().argsort()]
        assert by_lightness.diff(dim=1).abs().max() < 0.02  # one colour for each lightness
        if picture is toned:
            assert (own - chroma).abs().mean() < 0.005  # everything that six knots can represent is kept


def test_a_print_style_may_change_nothing_and_a_full_colour_style_applies_at_least_half() -> None:
    doses = torch.tensor([[-30.0], [0.0], [30.0]])
    for name, expected in (("toned", [0, 0.5, 1]), ("full", [0.5, 0.75, 1])):
        palette = torch.tensor([PALETTES[name]]).expand(3, -1)
        torch.testing.assert_close(applied_share(doses, palette)[:, 0], torch.tensor(expected, dtype=torch.float32))


def test_grain_depends_only_on_position_and_seed() -> None:
    whole = grain_noise(0, 0, 50, 40, seed=7)
    np.testing.assert_array_equal(grain_noise(20, 10, 30, 30, seed=7), whole[..., 10:, 20:])
    assert not np.array_equal(grain_noise(0, 0, 50, 40, seed=8), whole)
    large = grain_noise(10_000, 20_000, 400, 300, seed=0)
    assert abs(float(large.mean())) < 0.01
    assert float(large.std()) == pytest.approx(1, abs=0.01)
    neighbour_correlation = np.corrcoef(large[0, 0, :, 1:].ravel(), large[0, 0, :, :-1].ravel())[0, 1]
    assert abs(neighbour_correlation) < 0.01


def test_a_card_of_a_style_without_a_palette_is_refused(toned: ModelFolder) -> None:
    with pytest.raises(CardError, match="palette"):
        parse_card({**toned.card.content, "style": {}})


def test_weights_without_the_styles_vector_are_refused(tmp_path: Path, toned: ModelFolder) -> None:
    content = dict(toned.card.content)
    other = write_version(tmp_path, {key: value.contiguous() for key, value in network().state_dict().items()}, content)
    with pytest.raises(WeightsError, match=r"style\.vector"):
        LoadedModels(lambda _stage: other, CPU).load(other.card.stage({}))


def test_a_recipe_with_a_mask_requires_it(toned: ModelFolder) -> None:
    with pytest.raises(RecipeError, match="mask"):
        restore_array(scan(9, 9), Recipe(stages=recipe(toned).stages, mask_sha256="0" * 64), models=models(toned))


def test_an_8_bit_colour_file_stays_8_bit_colour(toned: ModelFolder, tmp_path: Path) -> None:
    Image.fromarray((scan(60, 50, 3) >> 8).astype(np.uint8)).save(tmp_path / "scan.png")
    with Picture.open(tmp_path / "scan.png") as picture, TiffSink(tmp_path / "out.tif", picture.info) as sink:
        assert derivative_info(picture.info, recipe(toned), models(toned)) == picture.info
        restore(picture, recipe(toned), sink, models=models(toned))
    with Picture.open(tmp_path / "out.tif") as made:
        assert (made.info.bits_per_sample, made.info.colour_channels) == (8, 3)
