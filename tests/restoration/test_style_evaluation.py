"""Style metrics on pictures with known results."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from restoration.training.style.baselines import colour_transfer_baselines
from restoration.training.style.real_fake_classifier import classifier_auc
from restoration.training.style.style_metrics import (
    Texture,
    area_under_curve,
    colour_vector,
    distances,
    energy_distance,
)

pytestmark = pytest.mark.slow

Array = NDArray[np.float32]


def photograph(top: int = 0) -> Array:
    return np.asarray(data.astronaut()[top : top + 128, 100:260] / 255, dtype=np.float32)


def test_the_colour_vector_is_lab_mean_spread_and_covariance() -> None:
    vector = colour_vector(np.full((8, 8, 3), 0.5, np.float32))
    assert vector.shape == (9,)
    assert vector[0] == pytest.approx(0.5339, abs=1e-3)
    np.testing.assert_allclose(vector[1:], 0, atol=1e-3)


def test_texture_vectors_depend_on_grain_and_not_on_tone() -> None:
    texture, source = Texture(), photograph()
    paler = 0.3 + 0.5 * source
    soft = ndimage.gaussian_filter(source, (1.0, 1.0, 0))
    for vector in (texture.grams, texture.spectrum):
        toned, softened = (np.abs(vector(each) - vector(source)).mean() for each in (paler, soft))
        assert toned < 0.1 * softened


def test_the_share_is_0_for_real_pictures_and_1_for_the_input() -> None:
    rng = np.random.default_rng(0)
    real = list(rng.normal(0, 1, (40, 3)))
    sets = {"input": list(rng.normal(5, 1, (30, 3))), "real": list(rng.normal(0, 1, (30, 3)))}
    sets["half way"] = list(rng.normal(2.5, 1, (30, 3)))
    found = distances(real, sets)
    assert found["input"][1] == 1
    assert found["floor"][1] == 0
    assert found["real"][1] == pytest.approx(0, abs=0.05)
    half_way = found["half way"][1]
    assert half_way is not None
    assert 0.2 < half_way < 0.7


def test_the_share_is_none_if_the_input_is_like_the_real_pictures() -> None:
    rng = np.random.default_rng(0)
    found = distances(list(rng.normal(0, 1, (40, 3))), {"input": list(rng.normal(0, 1, (30, 3)))})
    assert found["input"][1] is None


def test_the_energy_distance_of_equal_sets_is_0() -> None:
    points = np.random.default_rng(0).normal(0, 1, (10, 2))
    assert energy_distance(points, points) == pytest.approx(0)


def test_the_area_under_the_curve_is_the_share_of_ordered_pairs() -> None:
    assert area_under_curve([2, 3], [0, 1]) == 1
    assert area_under_curve([0, 1], [2, 3]) == 0
    assert area_under_curve([1, 1], [1]) == 0.5
    assert area_under_curve([0, 2], [1]) == 0.5


def test_the_classifier_distinguishes_red_from_grey_and_not_grey_from_grey() -> None:
    rng = np.random.default_rng(0)
    grey = [rng.random((70, 80, 1), np.float32).repeat(3, axis=2) * 0.8 for _ in range(12)]
    red = [picture * np.array([1, 0.7, 0.6], np.float32) for picture in grey[6:]]
    assert classifier_auc(grey[:6], red, steps=40) == 1
    assert 0.1 < classifier_auc(grey[:6], grey[6:], steps=40) < 0.9


def test_the_baselines_approach_the_reference_colours() -> None:
    source, reference = photograph(), photograph(300) * np.array([1, 0.9, 0.7], np.float32)
    styled = {name: baseline(0, source) for name, baseline in colour_transfer_baselines([reference]).items()}
    target = colour_vector(reference)
    before = np.abs(colour_vector(source) - target)[:6].mean()
    for picture in styled.values():
        assert picture.shape == source.shape
        assert np.abs(colour_vector(picture) - target)[:6].mean() < 0.4 * before
