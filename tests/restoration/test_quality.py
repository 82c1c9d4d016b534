"""Scores are those that scikit-image computes on the whole array, and say what they are of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import rgb2gray
from skimage.measure import blur_effect
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import estimate_sigma

from restoration import quality
from restoration.errors import ImageError
from restoration.image import Area, Picture
from restoration.quality import Score, score

Pixels = NDArray[np.float32]


def scene(*, height: int = 70, width: int = 53, channels: int = 3, seed: int = 1) -> Pixels:
    """A picture with edges, slopes and grain, (H, W, C)."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    base = 0.5 + 0.3 * np.sin(rows / 9)[..., None] * np.cos(columns / 7)[..., None]
    shifted = base + np.linspace(-0.1, 0.1, channels) + random.normal(0, 0.05, (height, width, channels))
    pixels: Pixels = np.clip(shifted, 0, 1).astype(np.float32)
    return pixels


def picture(pixels: Pixels) -> Picture:
    return Picture.from_array(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def find(scores: list[Score], metric: str, image: str, compared_with: str | None) -> Score:
    (found,) = [s for s in scores if (s.metric, s.image, s.compared_with) == (metric, image, compared_with)]
    return found


def value(scores: list[Score], metric: str, image: str, compared_with: str | None = None) -> float:
    found = find(scores, metric, image, compared_with).value
    assert found is not None
    return found


@pytest.fixture(params=[16, 64, 256])
def band_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Several bands, one that doesn't divide the height, and one for all."""
    monkeypatch.setattr(quality, "_BAND_PIXELS", 53 * request.param)
    return int(request.param)


@pytest.mark.parametrize("channels", [1, 3])
def test_comparisons_are_those_of_scikit_image_on_the_whole_array(channels: int, band_rows: int) -> None:
    clean, aged, made = (scene(channels=channels, seed=seed) for seed in (1, 2, 3))
    scores = score(derivative=picture(made), source=picture(aged), reference=picture(clean))
    for image, pixels, other, against in (
        ("derivative", made, aged, "source"),
        ("derivative", made, clean, "reference"),
        ("source", aged, clean, "reference"),
    ):
        ours, theirs = pixels.astype(np.float64), other.astype(np.float64)
        expected = peak_signal_noise_ratio(theirs, ours, data_range=1.0)
        assert value(scores, "psnr", image, against) == pytest.approx(expected, abs=1e-6)
        expected = structural_similarity(
            theirs,
            ours,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=-1,
        )
        assert value(scores, "ssim", image, against) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(70, 53), (65, 64), (31, 80)])
def test_no_reference_metrics_are_those_of_scikit_image_on_the_whole_array(
    channels: int, size: tuple[int, int], band_rows: int
) -> None:
    pixels = scene(height=size[0], width=size[1], channels=channels)
    scores = score(derivative=picture(pixels), source=picture(pixels))
    whole = pixels.astype(np.float64)
    luma = whole[..., 0] if channels == 1 else rgb2gray(whole)
    expected = estimate_sigma(whole, average_sigmas=True, channel_axis=-1)
    assert value(scores, "noise_sigma", "source") == pytest.approx(expected, abs=1e-6)
    assert value(scores, "blur_effect", "derivative") == pytest.approx(blur_effect(luma), abs=1e-6)
    assert value(scores, "contrast", "source") == pytest.approx(luma.std(), abs=1e-6)
    if channels == 3:
        red_green, yellow_blue = whole[..., 0] - whole[..., 1], (whole[..., 0] + whole[..., 1]) / 2 - whole[..., 2]
        expected = math.hypot(red_green.std(), yellow_blue.std())
        expected += 0.3 * math.hypot(red_green.mean(), yellow_blue.mean())
        assert value(scores, "colourfulness", "source") == pytest.approx(expected, abs=1e-6)
    else:
        assert value(scores, "colourfulness", "source") == 0


def test_values_do_not_depend_on_the_bands_in_any_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    aged, made = picture(scene(seed=2)), picture(scene(seed=3))
    whole = score(derivative=made, source=aged, reference=aged)
    monkeypatch.setattr(quality, "_BAND_PIXELS", 1)
    assert score(derivative=made, source=aged, reference=aged) == whole


def test_a_change_of_exactly_eight_levels_does_not_count_as_changed() -> None:
    grey = np.full((20, 20), 100, np.uint8)
    moved = grey.copy()
    moved[:5] += 8
    moved[5:10] += 9
    scores = score(derivative=Picture.from_array(moved), source=Picture.from_array(grey))
    assert value(scores, "changed_share", "derivative", "source") == 0.25


def test_identical_images_have_no_psnr_and_say_identical() -> None:
    same = picture(scene())
    found = find(score(derivative=same, source=same), "psnr", "derivative", "source")
    assert found.value is None
    assert found.detail == "identical"


def test_a_flat_picture_has_no_noise_no_contrast_and_no_colourfulness_spread() -> None:
    flat = Picture.from_array(np.full((40, 30, 3), 77, np.uint8))
    scores = score(derivative=flat, source=flat)
    assert value(scores, "noise_sigma", "source") < 1e-12
    assert value(scores, "contrast", "source") == 0
    assert value(scores, "colourfulness", "source") == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2), (10, 200)])
def test_pictures_too_small_for_a_metric_say_so_instead_of_failing(size: tuple[int, int]) -> None:
    pixels = scene(height=size[0], width=size[1])
    scores = score(derivative=picture(1 - pixels), source=picture(pixels))
    found = find(scores, "ssim", "derivative", "source")
    assert found.value is None
    assert found.detail == "smaller than 11 px: not compared"
    assert all(s.value is None or math.isfinite(s.value) for s in scores)


def test_a_reference_of_another_size_is_reported_and_not_compared() -> None:
    aged, reference = picture(scene()), picture(scene(height=60, width=50))
    scores = score(derivative=aged, source=aged, reference=reference)
    for image in ("source", "derivative"):
        for metric in ("psnr", "ssim"):
            found = find(scores, metric, image, "reference")
            assert found.value is None
            assert found.detail == "reference is 50x60, the picture 53x70: not compared"


def test_a_derivative_of_another_size_than_its_source_is_refused() -> None:
    with pytest.raises(ImageError, match="53x70"):
        score(derivative=picture(scene()), source=picture(scene(height=60)))


def test_scores_are_of_the_picture_area_alone() -> None:
    aged, clean = scene(seed=2), scene(seed=1)
    made = aged.copy()
    made[10:40, 5:45] = scene(seed=3)[10:40, 5:45]
    cut = (slice(10, 40), slice(5, 45))
    inside = score(derivative=picture(made[cut]), source=picture(aged[cut]), reference=picture(clean[cut]))
    area = Area(x=5, y=10, width=40, height=30)
    assert score(derivative=picture(made), source=picture(aged), reference=picture(clean), area=area) == inside


def test_every_score_names_its_colour_space_data_range_and_implementation() -> None:
    grey = Picture.from_array(np.arange(400, dtype=np.uint16).reshape(20, 20))
    for found in score(derivative=grey, source=grey, reference=grey):
        assert found.colour_space == "encoded grey, no profile"
        assert found.data_range == 1.0
        assert found.implementation.startswith(("scikit-image 0.", "archive-restoration, "))
