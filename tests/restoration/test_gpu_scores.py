"""The scores of a GPU equal the processor's. Here torch's processor device takes the GPU's place."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from restoration.device_scheduling import Result, run_immediately
from restoration.errors import DeviceError
from restoration.image import Area, Picture
from restoration.quality import gpu_measurement, score, scores
from restoration.quality.block_reading import Window
from restoration.quality.content_similarity import content_ssim
from restoration.quality.gpu_content_similarity import content_ssim_on_gpu
from restoration.quality.gpu_window_metrics import UploadedWindow, count_details
from restoration.quality.metric_sums import MetricSums
from restoration.quality.processor_measurement import measure_on_processor
from tests.score_comparison import assert_same
from tests.score_pictures import Pixels, WatchedPicture, picture, scene, small_windows, triples


@st.composite
def spotted(draw: st.DrawFn) -> tuple[Pixels, Pixels, Pixels]:
    """As :func:`triples`, the second picture with bright and dark marks that the first one lacks."""
    pictures = draw(triples())
    rng, (height, width) = np.random.default_rng(draw(st.integers(0, 99))), pictures[1].shape[:2]
    for _ in range(draw(st.integers(0, 20))):
        y, x, rows, columns = (int(rng.integers(0, size)) for size in (height, width, 30, 12))
        pictures[1][y : y + rows, x : x + columns] = rng.choice([0.02, 0.98])
    return pictures


@settings(max_examples=15, deadline=None)
@given(pictures=spotted(), window=st.sampled_from([(128, 512), (256, 1024)]), with_area=st.booleans())
def test_all_values_equal_the_processors(
    pictures: tuple[Pixels, Pixels, Pixels], window: tuple[int, int], with_area: bool
) -> None:
    height, width = pictures[0].shape[:2]
    area = Area(x=width // 5, y=height // 7, width=-(-width // 2), height=-(-height // 3)) if with_area else None
    made, aged, clean = map(picture, pictures)
    with small_windows(*window):
        found = score(derivative=made, source=aged, reference=clean, area=area, device="cpu")
    assert_same(found, score(derivative=made, source=aged, reference=clean, area=area))


def test_removed_marks_of_all_sizes_are_counted_over_many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restoration.quality.change_windows._WINDOW_COLUMNS", 512)
    rng = np.random.default_rng(4)
    clean = np.clip(0.5 + 0.02 * rng.standard_normal((2500, 1200)), 0, 1).astype(np.float32)
    marked = clean.copy()
    for _ in range(150):
        y, x, rows, columns = (int(rng.integers(0, size)) for size in (2500, 1200, 60, 20))
        marked[y : y + rows, x : x + columns] = rng.choice([0.05, 0.95])
    pictures: dict[str, Any] = {"derivative": Picture.from_array(clean), "source": Picture.from_array(marked)}
    found = score(**pictures, device="cpu")
    assert_same(found, score(**pictures))
    (places,) = [each.value for each in found if each.metric == "filled_places"]
    assert places is not None
    assert places > 60


@settings(max_examples=15, deadline=None)
@given(pictures=triples())
def test_wavelet_details_are_zero_exactly_where_pywavelets_are(pictures: tuple[Pixels, Pixels, Pixels]) -> None:
    pixels = pictures[0]
    whole = Area(x=0, y=0, width=pixels.shape[1], height=pixels.shape[0])
    window = Window([picture(pixels)], [], own=whole, area=whole)
    counts = count_details(UploadedWindow(window, torch.device("cpu")), 0)
    for channel, counted in enumerate(counts):
        details = pywt.dwtn(pixels[..., channel].astype(float), "db2")["dd"]
        assert int(counted.sum()) == np.count_nonzero(details)


def test_each_picture_is_read_once_and_calls_on_the_device_are_scheduled() -> None:
    pixels = scene(height=520, width=2100, channels=1)
    images = [WatchedPicture(pixels) for _ in range(3)]
    calls = 0

    def scheduler(call: Callable[[], Result], /) -> Result:
        nonlocal calls
        calls += 1
        return call()

    with small_windows(256, 1024):
        score(derivative=images[0], source=images[1], reference=images[2], device="cpu", scheduler=scheduler)
    for image in images:
        assert sum(image.read_px) < 1.15 * pixels.size
        assert image.threads == {threading.get_ident()}
    assert calls == 3 * 3 + 1  # for each window, and to finish


@pytest.mark.parametrize(
    ("error", "message"),
    [(torch.OutOfMemoryError, "tried to allocate 2 GiB"), (torch.AcceleratorError, "CUDA error: out of memory")],
)
def test_without_enough_memory_on_the_gpu_the_processor_computes_the_scores(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception], message: str
) -> None:
    measurements: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    class Full(gpu_measurement._Measurement):
        def add(self, window: Window) -> Any:
            measurements.append(weakref.ref(self))
            if len(measurements) == 3:
                raise error(message)
            return super().add(window)

    def measure(*arguments: Any, **options: Any) -> MetricSums:
        alive.append(measurements[0]() is not None)
        return measure_on_processor(*arguments, **options)

    pictures = {"derivative": picture(scene(seed=1, height=300)), "source": picture(scene(seed=2, height=300))}
    expected = score(**pictures)  # type: ignore[arg-type]
    monkeypatch.setattr(gpu_measurement, "_Measurement", Full)
    monkeypatch.setattr(scores, "measure_on_processor", measure)
    with caplog.at_level(logging.WARNING), small_windows(128, 512):
        found = score(**pictures, device="cpu")  # type: ignore[arg-type]
    assert found == expected
    assert "too little free memory for scores; the processor computes them" in caplog.text
    assert alive == [False]  # the device's memory is free again for other pictures


def test_a_failure_of_the_gpu_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(gpu_measurement, "UploadedWindow", fail)
    with pytest.raises(DeviceError, match="the device failed"):
        score(derivative=picture(scene(seed=1)), source=picture(scene(seed=2)), device="cpu")


def test_content_similarity_equals_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restoration.quality.content_similarity._BAND_PIXELS", 130 * 20)
    rng, area = np.random.default_rng(5), Area(x=3, y=10, width=120, height=131)
    source = gaussian_filter(rng.random((150, 130)), 3)
    source = (source - source.min()) / np.ptp(source)
    toned = np.clip(0.1 + 0.8 * source + rng.normal(0, 0.05, source.shape), 0, 1)
    for made in (toned, np.stack([toned, source, toned], axis=2)):
        expected = content_ssim(Picture.from_array(made), Picture.from_array(source), area)
        found = content_ssim_on_gpu(
            Picture.from_array(made), Picture.from_array(source), area, device="cpu", scheduler=run_immediately
        )
        assert found == pytest.approx(expected, abs=1e-9)
