"""Scores equal those that scikit-image computes on whole arrays, and state what they measure."""

from __future__ import annotations

import math
import os
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2gray
from skimage.measure import blur_effect
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import estimate_sigma

from restoration.errors import ImageError
from restoration.image import Area, Picture
from restoration.quality import Score, score
from restoration.quality.block_reading import Window
from restoration.quality.noise_estimate import count_details
from tests.score_pictures import Pixels, WatchedPicture, picture, scene, small_windows, triples


def find(scores: list[Score], metric: str, image: str, compared_with: str | None) -> Score:
    (found,) = [s for s in scores if (s.metric, s.image, s.compared_with) == (metric, image, compared_with)]
    return found


def value(scores: list[Score], metric: str, image: str, compared_with: str | None = None) -> float:
    found = find(scores, metric, image, compared_with).value
    assert found is not None
    return found


TOLERANCE = {"noise_sigma": 1e-4, "ssim": 3e-6}  # SSIM is computed from float32 planes


def expected(made: Pixels, aged: Pixels, clean: Pixels) -> dict[tuple[str, str, str | None], float]:
    """The values of scikit-image, or of numpy for metrics that it lacks, for whole float64 arrays."""
    wholes = {"derivative": made.astype(float), "source": aged.astype(float), "reference": clean.astype(float)}
    lumas = {name: whole[..., 0] if whole.shape[2] == 1 else rgb2gray(whole) for name, whole in wholes.items()}
    found: dict[tuple[str, str, str | None], float] = {}
    for image, against in (("derivative", "source"), ("derivative", "reference"), ("source", "reference")):
        ours, theirs = wholes[image], wholes[against]
        if not np.array_equal(ours, theirs):
            found["psnr", image, against] = peak_signal_noise_ratio(theirs, ours, data_range=1.0)
        if min(ours.shape[:2]) > 10:
            found["ssim", image, against] = structural_similarity(
                theirs,
                ours,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=1.0,
                channel_axis=-1,
            )
    moved = np.abs(lumas["derivative"] - lumas["source"])
    found["changed_share", "derivative", "source"] = float((moved > 8 / 255 + 1e-6).mean())
    for image in ("source", "derivative"):
        whole, luma = wholes[image], lumas[image]
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            found["noise_sigma", image, None] = estimate_sigma(whole, average_sigmas=True, channel_axis=-1)
        if min(luma.shape) > 3:
            found["blur_effect", image, None] = blur_effect(luma)
        found["contrast", image, None] = float(luma.std())
        found["colourfulness", image, None] = colourfulness(whole)
    return found


def colourfulness(whole: NDArray[np.float64]) -> float:
    """The formula of Hasler and Süsstrunk, 2003."""
    if whole.shape[2] == 1:
        return 0.0
    red, green, blue = np.moveaxis(whole, -1, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = math.hypot(red_green.std(), yellow_blue.std())
    return spread + 0.3 * math.hypot(red_green.mean(), yellow_blue.mean())


def assert_as_expected(scores: list[Score], values: dict[tuple[str, str, str | None], float]) -> None:
    for key, wanted in values.items():
        found = find(scores, *key).value
        if math.isnan(wanted):
            assert found is None, key
        else:
            assert found == pytest.approx(wanted, abs=TOLERANCE.get(key[0], 1e-6)), key


@settings(max_examples=40, deadline=None)
@given(pictures=triples(), threads=st.integers(1, 4), window=st.sampled_from([(128, 512), (256, 512), (128, 1024)]))
def test_all_values_equal_scikit_images_on_whole_arrays(
    pictures: tuple[Pixels, Pixels, Pixels], threads: int, window: tuple[int, int]
) -> None:
    made, aged, clean = pictures
    with small_windows(*window):
        found = score(derivative=picture(made), source=picture(aged), reference=picture(clean), threads=threads)
    assert_as_expected(found, expected(made, aged, clean))
    assert found == score(derivative=picture(made), source=picture(aged), reference=picture(clean), threads=1)


@pytest.mark.parametrize(
    ("ground", "marks"),
    [
        (0.3, [(38, 41, 48, 103, 0.998), (28, 7, 51, 65, 0.903)]),
        (1.0, [(34, 46, 56, 96, 0.387), (0, 75, 16, 132, 0.686)]),
    ],
)
def test_ssim_of_flat_pictures_with_strong_marks_is_precise(
    ground: float, marks: list[tuple[int, int, int, int, float]]
) -> None:
    made = np.full((64, 175, 1), ground, np.float32)
    aged = made.copy()
    for top, left, bottom, right, value in marks:
        aged[top:bottom, left:right] = value
    scores = score(derivative=picture(made), source=picture(aged), reference=picture(made))
    assert_as_expected(scores, expected(made, aged, made))


def test_ssim_of_noisy_and_clean_black_and_white_is_precise() -> None:
    rng = np.random.default_rng(39)
    made = np.zeros((43, 493, 1), np.float32)
    made[10:30, 50:460] = 1
    aged = (np.round(np.clip(made + rng.normal(0, 0.05, made.shape), 0, 1) * 255) / 255).astype(np.float32)
    scores = score(derivative=picture(made), source=picture(aged), reference=picture(made))
    assert_as_expected(scores, expected(made, aged, made))


@settings(max_examples=25, deadline=None)
@given(pictures=triples(), data=st.data(), window=st.sampled_from([(128, 512), (256, 4096)]))
def test_scores_cover_the_picture_area_and_noise_the_whole_picture(
    pictures: tuple[Pixels, Pixels, Pixels], data: st.DataObject, window: tuple[int, int]
) -> None:
    (top, bottom), (left, right) = (
        sorted(data.draw(st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True)))
        for size in pictures[0].shape[:2]
    )
    made, aged, clean = map(picture, pictures)
    area = Area(x=left, y=top, width=right - left, height=bottom - top)
    with small_windows(*window):
        found = score(derivative=made, source=aged, reference=clean, area=area, threads=2)
    cut = [picture(pixels[top:bottom, left:right]) for pixels in pictures]
    inside = score(derivative=cut[0], source=cut[1], reference=cut[2])
    whole = score(derivative=made, source=aged)
    for image in ("source", "derivative"):
        noise = find(found, "noise_sigma", image, None)
        assert noise.value == find(whole, "noise_sigma", image, None).value
        assert noise.value is None or noise.detail == "of the whole picture"
    assert without_noise(found) == without_noise(inside)


def without_noise(scores: list[Score]) -> list[Score]:
    return [each for each in scores if each.metric != "noise_sigma"]


@settings(max_examples=40, deadline=None)
@given(pictures=triples())
def test_wavelet_details_are_zero_exactly_where_pywavelets_are(pictures: tuple[Pixels, Pixels, Pixels]) -> None:
    pixels = pictures[0]
    whole = Area(x=0, y=0, width=pixels.shape[1], height=pixels.shape[0])
    counts = count_details(Window([picture(pixels)], [], own=whole, area=whole), 0)
    for channel, counted in enumerate(counts):
        details = pywt.dwtn(pixels[..., channel].astype(float), "db2")["dd"]
        assert counted.sum() == np.count_nonzero(details)


@pytest.mark.parametrize("size", [(600, 9000), (9000, 600)])
def test_pictures_are_read_in_windows_of_bounded_size_by_the_calling_thread(size: tuple[int, int]) -> None:
    pixels = np.tile(scene(height=60, width=60, channels=1), (size[0] // 60, size[1] // 60, 1))
    images = [WatchedPicture(pixels) for _ in range(3)]
    score(derivative=images[0], source=images[1], reference=images[2], threads=2)
    for image, times in zip(images, (2.6, 2.6, 1.1), strict=True):  # once for the change map, with wide margins
        assert max(image.read_px) <= 3_000_000
        assert sum(image.read_px) < times * pixels.size
        assert image.threads == {threading.get_ident()}


def test_a_picture_that_is_stored_sideways_is_read_along_the_rows_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = np.tile(np.arange(640, dtype=np.uint8), (500, 1))
    tifffile.imwrite(tmp_path / "scan.tif", stored, photometric="minisblack", extratags=[(274, 3, 1, 6, True)])
    preadv, sizes = os.preadv, list[int]()

    def recorded(*arguments: Any) -> int:
        sizes.append(preadv(*arguments))
        return sizes[-1]

    monkeypatch.setattr(os, "preadv", recorded)
    with Picture.open(tmp_path / "scan.tif") as scan:
        score(derivative=scan, source=scan)
    assert sum(sizes) / len(sizes) > 200  # bytes at a time, of 640 in a row


def test_a_reference_is_read_only_where_the_picture_area_is() -> None:
    pixels = scene(height=1200, width=90, channels=1)
    images = [WatchedPicture(pixels) for _ in range(3)]
    score(derivative=images[0], source=images[1], reference=images[2], area=Area(x=10, y=20, width=40, height=50))
    assert sum(images[1].read_px) >= pixels.size
    assert sum(images[2].read_px) < pixels.size / 3


def test_an_unreadable_image_ends_the_scoring_with_its_error() -> None:
    class Broken(WatchedPicture):
        def read(self, x: int, y: int, width: int, height: int) -> Pixels:
            if y > 100:
                raise ImageError("strip 7 can't be decoded")
            return super().read(x, y, width, height)

    pixels = scene(height=900, width=40)
    with pytest.raises(ImageError, match="strip 7"):
        score(derivative=Broken(pixels), source=picture(pixels), threads=2)


def test_a_change_of_exactly_eight_levels_does_not_count_as_changed() -> None:
    grey = np.full((20, 20), 100, np.uint8)
    moved = grey.copy()
    moved[:5] += 8
    moved[5:10] += 9
    scores = score(derivative=Picture.from_array(moved), source=Picture.from_array(grey))
    assert value(scores, "changed_share", "derivative", "source") == 0.25


def test_identical_images_have_no_psnr_and_the_detail_identical() -> None:
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
def test_pictures_too_small_for_a_metric_get_a_reason_instead_of_a_value(size: tuple[int, int]) -> None:
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


def test_every_score_names_its_colour_space_data_range_and_implementation() -> None:
    grey = Picture.from_array(np.arange(400, dtype=np.uint16).reshape(20, 20))
    for found in score(derivative=grey, source=grey, reference=grey):
        assert found.colour_space == "encoded grey, no profile"
        assert found.data_range == 1.0
        assert found.implementation.startswith(("scikit-image 0.", "archive-restoration, "))


def _smoothed_share(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """The share by its definition, computed on whole luma planes."""
    planes = [plane - gaussian_filter(plane, 1.5, truncate=3.5, mode="reflect") for plane in (before, after)]
    planes.append(before)
    blocks = [sliding_window_view(plane, (32, 32))[::16, ::16] for plane in planes]
    deviations = [block.std(axis=(2, 3)) for block in blocks[:2]]
    lightness = blocks[2].mean(axis=(2, 3))
    grain = np.full(lightness.shape, np.percentile(deviations[0], 5))
    for low, high in ((-1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 2)):
        chosen = (lightness > low) & (lightness <= high)
        if chosen.sum() >= 20:
            grain[chosen] = np.percentile(deviations[0][chosen], 5)
    lost = np.sqrt(np.maximum(deviations[0] ** 2 - deviations[1] ** 2, 0))
    return float((lost > 2 * grain + 1 / 255).mean())


@pytest.mark.parametrize("area", [None, Area(x=35, y=21, width=301, height=250)])
def test_smoothed_texture_counts_and_removed_grain_does_not(area: Area | None) -> None:
    rng = np.random.default_rng(0)
    clean = np.full((320, 640), 0.5)
    clean[:, 320:] += 0.1 * gaussian_filter(rng.standard_normal((320, 320)), 0.8) * 3
    source = np.clip(clean + 0.01 * rng.standard_normal(clean.shape), 0, 1).astype(np.float32)
    denoised = np.clip(clean, 0, 1).astype(np.float32)
    smoothed = gaussian_filter(source, 2)
    inside = np.s_[:] if area is None else np.s_[area.y : area.y + area.height, area.x : area.x + area.width]
    for derivative in (denoised, smoothed):
        pictures = Picture.from_array(derivative), Picture.from_array(source)
        found = [score(derivative=pictures[0], source=pictures[1], area=area, threads=threads) for threads in (1, 3)]
        shares = {value(scores, "smoothed_share", "derivative", "source") for scores in found}
        (share,) = shares
        wanted = _smoothed_share(source[inside].astype(float), derivative[inside].astype(float))
        assert share == pytest.approx(wanted, abs=0.005)
    assert value(found[0], "smoothed_share", "derivative", "source") > (0.35 if area is None else 0)
    assert _smoothed_share(source.astype(float), denoised.astype(float)) == 0


def test_each_filled_place_is_counted_once() -> None:
    clean = np.full((400, 700), 0.4, np.float32)
    source = clean.copy()
    source[50:350, 100:102] = 0.95  # one long scratch
    source[200:203, 400:403] = source[120:123, 600:603] = 0.05  # two specks
    scores = score(derivative=Picture.from_array(clean), source=Picture.from_array(source))
    assert value(scores, "filled_places", "derivative", "source") == 3
    assert value(scores, "filled_share", "derivative", "source") == pytest.approx((600 + 18) / 280_000, rel=0.15)
    unchanged = score(derivative=Picture.from_array(source), source=Picture.from_array(source))
    for metric in ("smoothed_share", "filled_share", "filled_places"):
        assert value(unchanged, metric, "derivative", "source") == 0
