"""The ageing model: reproducible, bounded, and with the intended restoration targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from restoration.colour.colour_operations import apply_toning, luma
from restoration.degradation import (
    Ageing,
    Damage,
    Fading,
    Softness,
    age_picture,
    sample_ageing,
    sample_damage_repair,
    sample_repair,
)
from restoration.degradation.image_defects import (
    add_grain,
    add_noise,
    add_shot_noise,
    blur,
    blur_kernel,
    compress_jpeg,
    fade,
    rescale,
    sharpen,
)

PHOTOGRAPH = data.astronaut()[100:228, 160:288].astype(np.float32) / 255
GREY_FIELD = np.full((256, 256, 3), 0.5, dtype=np.float32)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), monochrome=st.booleans())
def test_the_same_seed_ages_a_picture_the_same_way(seed: int, monochrome: bool) -> None:
    pairs = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        pairs.append(age_picture(PHOTOGRAPH, sample_ageing(rng, monochrome=monochrome), rng))
    np.testing.assert_array_equal(pairs[0].aged, pairs[1].aged)
    np.testing.assert_array_equal(pairs[0].target, pairs[1].target)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_aged_pictures_are_valid_pictures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ageing = replace(sample_ageing(rng), clip=True)
    pair = age_picture(PHOTOGRAPH, ageing, rng)
    for picture in (pair.aged, pair.target):
        assert picture.shape == PHOTOGRAPH.shape
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert pair.damage.shape == PHOTOGRAPH.shape[:2]


def test_default_parameters_change_nothing() -> None:
    pair = age_picture(PHOTOGRAPH, Ageing(), np.random.default_rng(0))
    np.testing.assert_array_equal(pair.aged, PHOTOGRAPH)
    np.testing.assert_array_equal(pair.target, PHOTOGRAPH)


def test_the_target_keeps_fading_and_loses_grain() -> None:
    ageing = Ageing(grain=0.08, fading=Fading(density_loss=0.4, yellowing=0.3, unevenness=0.4, seed=7))
    pair = age_picture(PHOTOGRAPH, ageing, np.random.default_rng(0))
    np.testing.assert_array_equal(pair.target, fade(PHOTOGRAPH, ageing.fading))
    assert peak_signal_noise_ratio(pair.target, PHOTOGRAPH, data_range=1.0) < 25
    assert pair.aged.mean() == pytest.approx(pair.target.mean(), abs=0.01)


def test_fading_lightens_black_darkens_white_and_yellows() -> None:
    black, white = np.zeros((64, 64, 3), np.float32), np.ones((64, 64, 3), np.float32)
    fading = Fading(density_loss=0.4, flare=0.2, yellowing=0.3)
    assert fade(black, fading).min() > 0.1
    faded_white = fade(white, fading)
    assert faded_white.max() < 0.95
    assert faded_white[..., 2].mean() < faded_white[..., 1].mean() < faded_white[..., 0].mean()


def test_noise_has_the_stated_deviation() -> None:
    noisy = add_noise(GREY_FIELD, np.random.default_rng(1), sigma=25 / 255)
    assert (noisy - GREY_FIELD).std() == pytest.approx(25 / 255, rel=0.02)
    grey_noise = add_noise(GREY_FIELD, np.random.default_rng(1), sigma=25 / 255, colour=0.0) - GREY_FIELD
    np.testing.assert_allclose(grey_noise[..., 0], grey_noise[..., 2], atol=1e-6)


def test_grain_is_correlated_over_its_size_and_vanishes_in_white() -> None:
    rng = np.random.default_rng(2)
    grain = add_grain(GREY_FIELD, rng, strength=0.1, size_px=1.2, colour=0.0) - GREY_FIELD
    plane = grain[..., 0]
    neighbours = np.corrcoef(plane[:, :-1].ravel(), plane[:, 1:].ravel())[0, 1]
    assert neighbours == pytest.approx(np.exp(-1 / (4 * 1.2**2)), abs=0.05)
    in_white = add_grain(np.ones_like(GREY_FIELD), rng, strength=0.1, size_px=1.2, colour=0.0) - 1
    assert in_white.std() < 0.35 * plane.std()


def test_shot_noise_grows_with_light() -> None:
    rng = np.random.default_rng(3)
    dark, bright = (
        (add_shot_noise(np.full((128, 128, 3), level, np.float32), rng, photon_count=500) ** 2.2).std()
        for level in (0.3, 0.9)
    )
    assert dark < bright


@pytest.mark.parametrize("kind", ["disc", "motion", "trajectory", "gaussian"])
def test_kernels_keep_the_mean_and_their_extent(kind: str) -> None:
    softness = Softness(kind=kind, extent_px=5.0, angle=0.6, seed=4)  # type: ignore[arg-type]
    kernel = blur_kernel(softness)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    assert kernel.min() >= 0
    used = np.argwhere(kernel > 1e-4)
    longest = float((used.max(axis=0) - used.min(axis=0)).max())
    assert 3 <= longest <= (32 if kind == "gaussian" else 11)
    softened = blur(GREY_FIELD, softness)
    np.testing.assert_allclose(softened, 0.5, atol=1e-4)


def test_softness_lowers_the_gradient() -> None:
    softened = blur(PHOTOGRAPH, Softness(kind="gaussian", extent_px=2.0))
    assert np.abs(np.diff(luma(softened), axis=1)).mean() < 0.6 * np.abs(np.diff(luma(PHOTOGRAPH), axis=1)).mean()


def test_damage_changes_only_the_pixels_of_its_mask() -> None:
    ageing = Ageing(damage=Damage(scratches=8, hairs=4, specks=30, folds=2, seed=5))
    pair = age_picture(PHOTOGRAPH, ageing, np.random.default_rng(6))
    assert pair.damage.max() > 0.4
    np.testing.assert_array_equal(pair.aged[pair.damage == 0], PHOTOGRAPH[pair.damage == 0])
    assert np.abs(pair.aged - PHOTOGRAPH)[pair.damage > 0.5].mean() > 0.1


def test_a_scanned_mask_is_applied_to_the_picture() -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[10:14, 5:30] = 1
    ageing = Ageing(damage=Damage(mask=mask, mask_offset=(0, 0), lightness=1.0))
    pair = age_picture(PHOTOGRAPH, ageing, np.random.default_rng(6))
    assert pair.damage[12, 20] == 1
    assert pair.damage[12 + 40, 20 + 40] == 1
    assert pair.damage[0, 0] == 0


def test_damage_of_a_larger_scale_has_wider_strokes() -> None:
    def widest_px(scale: float) -> float:
        mask = Damage(scratches=20, hairs=10, scale=scale, seed=3).mask_of(400, 400)
        return float(ndimage.distance_transform_edt(mask > 0.3).max())

    assert widest_px(4) > 2 * widest_px(1)


def test_jpeg_and_rescaling_lose_detail_but_keep_the_shape() -> None:
    for lossy in (compress_jpeg(PHOTOGRAPH, 40), rescale(PHOTOGRAPH, 0.6)):
        assert lossy.shape == PHOTOGRAPH.shape
        assert 15 < peak_signal_noise_ratio(PHOTOGRAPH, np.clip(lossy, 0, 1), data_range=1.0) < 45


def test_toning_keeps_the_order_of_greys_and_tints_the_highlights() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None, :].repeat(4, axis=0)
    toned = apply_toning(ramp, shadows=(0.05, 0.01, -0.03), highlights=(1.0, 0.95, 0.8))
    assert np.all(np.diff(luma(toned)[0]) > -1e-6)
    assert toned[0, -1].tolist() == pytest.approx([1.0, 0.95, 0.8])
    assert toned[0, 0].tolist() == pytest.approx([0, 0, 0])


def test_a_scan_is_sharpened_with_its_grain_and_only_the_grain_is_repaired() -> None:
    sharp = sharpen(PHOTOGRAPH, amount=1.0, radius_px=1.0)
    rows = luma(PHOTOGRAPH), luma(sharp)
    assert np.abs(np.diff(rows[1], axis=0)).mean() > 1.3 * np.abs(np.diff(rows[0], axis=0)).mean()
    np.testing.assert_allclose(sharpen(GREY_FIELD, amount=1.0, radius_px=1.0), GREY_FIELD, atol=1e-6)

    grainy = Ageing(grain=0.05, grain_size_px=0.8, sharpening=1.0)
    pair = age_picture(PHOTOGRAPH, grainy, np.random.default_rng(3))
    np.testing.assert_allclose(pair.target, np.clip(sharp, 0, 1), atol=1e-6)
    softer = age_picture(PHOTOGRAPH, replace(grainy, sharpening=0.0), np.random.default_rng(3))
    spread = [np.abs(one.aged - one.target).mean() for one in (pair, softer)]
    assert spread[0] > 1.3 * spread[1]


def test_a_request_to_repair_damage_mostly_finds_some() -> None:
    damaged, only_damage, count = 0, 0, 400
    for seed in range(count):
        ageing, repair = sample_damage_repair(np.random.default_rng(seed))
        assert "damage" in repair
        damaged += "damage" in ageing.defects
        only_damage += repair == ("damage",)
    assert 0.65 < damaged / count < 0.85
    assert 0.4 < only_damage / count < 0.6


def test_requested_repairs_mostly_match_present_defects() -> None:
    asked_in_vain, count = 0, 400
    for seed in range(count):
        rng = np.random.default_rng(seed)
        ageing = sample_ageing(rng)
        asked_in_vain += not set(sample_repair(rng, ageing)) & set(ageing.defects)
    assert 0 < asked_in_vain < 0.1 * count  # a few, so that a model learns to change nothing if the defect is absent

    assert Ageing().defects == ()
    worn = Ageing(jpeg_quality=50, damage=Damage(hairs=1), vignette=0.1, fading=Fading(yellowing=0.1))
    assert worn.defects == ("noise", "damage", "fading")
