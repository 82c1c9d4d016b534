"""Colour spaces: conversion by a profile to sRGB and back, and styles with the same colours in each space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from skimage import color

from restoration import Area, ArraySink, Picture, Recipe, derivative_info, restore, shipped_recipe
from restoration.colour.srgb_adapters import convert_to_srgb, match_channels
from restoration.errors import OutputError
from restoration.execution import Execution
from restoration.image import ImageInfo, SrgbConversion, has_unusable_profile, srgb_profile, working_space
from restoration.model_folders import shipped_versions
from restoration.pipeline.loaded_models import LoadedModels
from restoration.training.aged_pairs import read_photograph
from restoration.training.evaluation import read_centre
from restoration.training.release import write_version
from tests.sample_images import ADOBE_RGB, SRGB, grey_profile

Array = NDArray[np.float32]


def info(profile: bytes | None, channels: int = 3) -> ImageInfo:
    return Picture.from_array(
        np.zeros((4, 4, channels)[: 2 if channels == 1 else 3], np.uint8), icc_profile=profile
    ).info


def colours() -> Array:
    """Colours within the sRGB gamut, (1, 3, 40, 50)."""
    return np.random.default_rng(1).uniform(0.1, 0.9, (1, 3, 40, 50)).astype(np.float32)


def adobe(srgb: Array) -> Array:
    """sRGB values converted to Adobe RGB (1998), by its specification and with scikit-image."""
    to_adobe = np.array([[2.04159, -0.56501, -0.34473], [-0.96924, 1.87597, 0.04156], [0.01344, -0.11836, 1.01517]])
    linear = np.einsum("ij,hwj->hwi", to_adobe, color.rgb2xyz(srgb[0].transpose(1, 2, 0)))
    return np.asarray(linear.clip(0, 1) ** (1 / 2.19921875), np.float32).transpose(2, 0, 1)[None]


def test_adobe_rgb_is_converted_by_its_specification_and_back() -> None:
    conversion = SrgbConversion.of(info(ADOBE_RGB))
    assert conversion is not None
    srgb = colours()
    np.testing.assert_allclose(conversion.to_srgb(adobe(srgb)), srgb, atol=2.5e-3)
    np.testing.assert_allclose(conversion.from_srgb(srgb, 3), adobe(srgb), atol=2.5e-3)


def test_colours_out_of_the_srgb_gamut_are_clipped() -> None:
    conversion = SrgbConversion.of(info(ADOBE_RGB))
    assert conversion is not None
    green = np.array([0, 1, 0], np.float32).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(conversion.to_srgb(green).ravel(), [0, 1, 0], atol=1e-3)


def test_grey_with_another_tone_curve_is_converted_to_srgb_and_back() -> None:
    conversion = SrgbConversion.of(info(grey_profile(1.0), channels=1))
    assert conversion is not None
    linear = np.linspace(0, 1, 20, dtype=np.float32).reshape(1, 1, 4, 5)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    made = conversion.to_srgb(linear)
    assert made.shape == (1, 3, 4, 5)
    np.testing.assert_allclose(made, np.repeat(encoded, 3, axis=1), atol=2e-3)
    np.testing.assert_allclose(conversion.from_srgb(made, 1), linear, atol=2e-3)


@pytest.mark.parametrize("profile", [None, SRGB, srgb_profile()])
def test_srgb_and_pictures_without_a_profile_are_not_converted(profile: bytes | None) -> None:
    assert SrgbConversion.of(info(profile)) is None
    assert not has_unusable_profile(info(profile))


@pytest.mark.parametrize("profile", [b"no profile", SRGB[:200], SRGB[:16] + b"CMYK" + SRGB[20:], grey_profile(2.0)])
def test_an_unusable_profile_is_detected(profile: bytes) -> None:
    assert SrgbConversion.of(info(profile)) is None
    assert has_unusable_profile(info(profile))


def test_only_styles_work_in_srgb() -> None:
    named = replace(info(ADOBE_RGB), icc_description="Adobe RGB (1998)")
    assert working_space(named, "restoration") == "encoded RGB, Adobe RGB (1998)"
    assert working_space(named, "style") == "encoded RGB, sRGB"
    assert working_space(info(None), "style") == "encoded RGB, no profile"


def applied(picture: Picture, name: str, **parameters: float) -> tuple[Picture, list[str]]:
    """The result of a shipped style, and the notes."""
    recipe = shipped_recipe(name, **parameters)
    wanted = f"{name}@{recipe.stages[0].version}"
    folder = next(each for each in shipped_versions() if each.card.reference == wanted)
    models = LoadedModels(lambda _stage: folder, Execution(device="cpu", precision="fp32"))
    info = derivative_info(picture.info, recipe, models)
    sink = ArraySink(info)
    record = restore(picture, recipe, sink, models=models)
    return Picture.from_array(sink.array.squeeze(), icc_profile=info.icc_profile), list(record.notes)


def styled(picture: Picture, name: str) -> Array:
    """The same result, (1, 3, H, W), converted to sRGB."""
    made, _ = applied(picture, name)
    return convert_to_srgb(made).read(0, 0, made.info.width, made.info.height)


def sixteen_bits(values: Array) -> NDArray[np.uint16]:
    return np.asarray((values[0].transpose(1, 2, 0) * 65535).round().squeeze(), np.uint16)


@pytest.mark.parametrize("name", ["simulated-toned-print", "simulated-silver-print", "simulated-van-gogh"])
def test_a_style_gives_the_same_colours_in_any_space(name: str) -> None:
    srgb = np.repeat(np.repeat(colours()[..., :8, :10], 8, axis=2), 8, axis=3)
    in_own = styled(Picture.from_array(sixteen_bits(srgb)), name)
    in_adobe = styled(Picture.from_array(sixteen_bits(adobe(srgb)), icc_profile=ADOBE_RGB), name)
    # Half a hundredth, because the specification's numbers are rounded. Without conversion, colours differ by several
    # hundredths.
    assert np.abs(in_adobe - in_own).mean() < 0.005
    taken_for_srgb = styled(Picture.from_array(sixteen_bits(adobe(srgb))), name)
    assert np.abs(taken_for_srgb - in_own).mean() > 0.01


def test_a_neutral_style_is_neutral_to_the_bit_in_any_space() -> None:
    made, _ = applied(Picture.from_array(sixteen_bits(colours()), icc_profile=ADOBE_RGB), "simulated-silver-print")
    assert np.ptp(made.read(0, 0, 50, 40), axis=1).max() == 0


def test_strength_0_keeps_the_values_exactly() -> None:
    picture = Picture.from_array(sixteen_bits(colours()), icc_profile=ADOBE_RGB)
    made, _ = applied(picture, "simulated-toned-print", strength=0.0)
    np.testing.assert_array_equal(made.read(0, 0, 50, 40), picture.read(0, 0, 50, 40))


def test_a_colour_style_uses_the_profile_of_a_grey_master() -> None:
    srgb = np.repeat(np.repeat(colours()[:, :1, :8, :10], 8, axis=2), 8, axis=3)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    in_own, said = applied(Picture.from_array(sixteen_bits(srgb)), "simulated-toned-print")
    assert any("taken for sRGB" in note for note in said)
    picture = Picture.from_array(sixteen_bits(linear), icc_profile=grey_profile(1.0))
    in_linear, said = applied(picture, "simulated-toned-print")
    assert in_linear.info.icc_profile == srgb_profile()
    assert any("made RGB with an sRGB profile" in note for note in said)
    assert not any("taken for sRGB" in note for note in said)
    assert np.abs(in_linear.read(0, 0, 80, 64) - in_own.read(0, 0, 80, 64)).mean() < 0.003


def test_a_neutral_style_keeps_the_tone_curve_of_a_grey_master() -> None:
    srgb = np.repeat(np.repeat(colours()[:, :1, :8, :10], 8, axis=2), 8, axis=3)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    picture = Picture.from_array(sixteen_bits(linear), icc_profile=grey_profile(1.0))
    made, said = applied(picture, "simulated-silver-print")
    assert (made.info.colour_channels, made.info.icc_profile, said) == (1, grey_profile(1.0), [])
    in_own = styled(Picture.from_array(sixteen_bits(srgb)), "simulated-silver-print")
    assert np.abs(convert_to_srgb(made).read(0, 0, 80, 64)[:, :1] - in_own).mean() < 0.003


def test_a_corrupt_profile_is_noted_if_a_style_needs_it() -> None:
    picture = Picture.from_array(sixteen_bits(colours()), icc_profile=b"broken")
    _, said = applied(picture, "simulated-silver-print")
    assert any("can't be used" in note for note in said)


def test_blend_mask_and_area_preserve_other_pixels_in_another_space() -> None:
    source = sixteen_bits(colours())
    picture = Picture.from_array(source, icc_profile=ADOBE_RGB)
    folders = {each.card.reference: each for each in shipped_versions()}
    models = LoadedModels(lambda stage: folders[f"{stage.model}@{stage.version}"], Execution(device="cpu"))
    stages = [shipped_recipe(f"simulated-{name}").stages[0] for name in ("toned-print", "van-gogh")]
    sink = ArraySink(picture.info)
    mask = np.zeros((40, 50), np.uint8)
    mask[:, 25:] = 255
    restore(
        picture,
        Recipe(stages=tuple(stages), mask_sha256="0" * 64),
        sink,
        models=models,
        mask=Picture.from_array(mask),
        picture_area=Area(x=0, y=10, width=50, height=30),
    )
    np.testing.assert_array_equal(sink.array[:10], source[:10])
    np.testing.assert_array_equal(sink.array[:, :25], source[:, :25])
    assert np.abs(sink.array[10:, 25:].astype(int) - source[10:, 25:]).mean() > 500


@pytest.mark.parametrize("profile", [ADOBE_RGB, grey_profile(1.0)])
def test_a_grey_master_is_compared_with_a_colour_derivative_in_srgb(profile: bytes) -> None:
    picture = Picture.from_array(sixteen_bits(colours()[:, :1]), icc_profile=profile)
    made, _ = applied(picture, "simulated-toned-print", temperature=0.0)
    shown = match_channels(picture, made.info)
    assert (shown.info.colour_channels, shown.info.icc_profile) == (3, srgb_profile())
    np.testing.assert_array_equal(shown.read(0, 0, 50, 40), convert_to_srgb(picture).read(0, 0, 50, 40))


def test_a_colour_style_keeps_the_space_of_a_neutral_rgb_master() -> None:
    grey = np.repeat(colours()[:, :1], 3, axis=1)
    made, said = applied(Picture.from_array(sixteen_bits(grey), icc_profile=ADOBE_RGB), "simulated-toned-print")
    assert (made.info.icc_profile, said) == (ADOBE_RGB, [])
    assert np.ptp(made.read(0, 0, 50, 40), axis=1).max() > 0.01


def test_nan_values_are_refused_in_another_space(tmp_path: Path) -> None:
    known = next(each for each in shipped_versions() if each.card.name == "simulated-toned-print")
    weights = {name: value.float() for name, value in known.load_weights().items()}
    weights["tail.bias"] = torch.full_like(weights["tail.bias"], torch.nan)
    broken = write_version(tmp_path, weights, known.card.content)
    recipe = Recipe(stages=(broken.card.stage({}),))
    picture = Picture.from_array(sixteen_bits(colours()), icc_profile=ADOBE_RGB)
    models = LoadedModels(lambda _stage: broken, Execution(device="cpu"))
    with pytest.raises(OutputError, match="aren't numbers"):
        restore(picture, recipe, ArraySink(picture.info), models=models)


def test_training_pictures_are_read_in_srgb(tmp_path: Path) -> None:
    srgb = colours()
    path = tmp_path / "print.tif"
    tifffile.imwrite(path, sixteen_bits(adobe(srgb)), photometric="rgb", iccprofile=ADOBE_RGB)
    read = read_photograph(path).astype(np.float32) / 255
    np.testing.assert_allclose(read, srgb[0].transpose(1, 2, 0), atol=0.5 / 255 + 2.5e-3)
    np.testing.assert_allclose(read_centre(path, as_srgb=True), srgb[0].transpose(1, 2, 0), atol=2.5e-3)
    np.testing.assert_allclose(read_centre(path), adobe(srgb)[0].transpose(1, 2, 0), atol=1e-4)
