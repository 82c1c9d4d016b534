"""Real grain: taken from flat places only, and fields have the spectrum of the patch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from restoration.degradation import DEFAULT_REPAIR, Ageing, age_picture
from restoration.degradation.real_grain import PATCH_PX, find_grain_patches, grain_field

Array = NDArray[np.float32]


def grain(shape: tuple[int, int], size_px: float, seed: int) -> Array:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), size_px)
    scaled: Array = field / field.std()
    return scaled


def correlation(field: Array) -> float:
    """The correlation of adjacent pixels."""
    return float(np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1])


def test_patches_come_from_flat_places_and_contain_their_grain() -> None:
    scan = np.full((480, 480), 0.5, np.float32)
    scan[240:] += 0.3 * np.sign(grain((240, 480), 2.0, 1))  # objects
    patches = find_grain_patches(np.clip(scan + 0.03 * grain((480, 480), 1.0, 2), 0, 1).astype(np.float32))
    assert 1 <= len(patches) <= 6
    inner = slice(12, -12)
    for patch in patches:
        assert patch.shape == (PATCH_PX, PATCH_PX)
        assert abs(correlation(patch[inner, inner]) - correlation(grain((480, 480), 1.0, 3))) < 0.12


def test_cleaned_and_small_scans_have_no_patches() -> None:
    assert find_grain_patches(np.full((480, 480), 0.5, np.float32)) == []
    assert find_grain_patches(0.5 + 0.03 * grain((60, 60), 1.0, 0)) == []


def test_a_field_has_unit_deviation_and_the_patch_s_correlation() -> None:
    patch = grain((PATCH_PX, PATCH_PX), 1.2, 4) * np.outer(np.hanning(PATCH_PX), np.hanning(PATCH_PX)).astype(
        np.float32
    )
    field = grain_field(301, 200, patch, np.random.default_rng(0))
    assert field.shape == (301, 200)
    assert abs(float(field.mean())) < 1e-3
    assert abs(float(field.std()) - 1) < 1e-3
    assert abs(correlation(field) - correlation(patch)) < 0.05


def test_an_ageing_with_a_patch_adds_that_grain_to_the_picture() -> None:
    clean = np.full((256, 256, 3), 0.5, np.float32)
    patch = grain((PATCH_PX, PATCH_PX), 2.0, 5)
    pair = age_picture(clean, Ageing(grain=0.05, grain_patch=patch), np.random.default_rng(0), repair=DEFAULT_REPAIR)
    laid = pair.aged[..., 0] - 0.5
    assert abs(float(laid.std()) - 0.05) < 0.005
    assert abs(correlation(laid) - correlation(patch)) < 0.08
    np.testing.assert_array_equal(pair.target, clean)
