"""A GPU gives the same results as the CPU. These tests run only if torch finds a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from restoration import Execution, LoadedModels, Picture, restore, shipped_recipe
from restoration.device_scheduling import run_immediately
from restoration.image import Area, ArraySink
from restoration.model_folders import shipped
from restoration.quality import score
from restoration.quality.content_similarity import content_ssim
from restoration.quality.gpu_content_similarity import content_ssim_on_gpu
from tests.device_checks import (
    assert_close_losses,
    assert_close_pixels,
    assert_same_pixels,
    restoration_losses,
    restored,
    style_losses,
)
from tests.score_comparison import assert_same

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("model", ["denoise-deblur", "simulated-toned-print", "simulated-van-gogh"])
def test_gpu_and_cpu_pixels_differ_by_at_most_one_8_bit_level(model: str) -> None:
    assert_same_pixels(restored("cuda", model=model), restored("cpu", model=model))


@pytest.mark.parametrize("model", ["denoise-deblur", "simulated-toned-print"])
def test_bfloat16_which_a_gpu_uses_by_default_is_close_to_float32(model: str) -> None:
    assert_close_pixels(restored("cuda", model=model, precision="bf16"), restored("cuda", model=model))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_runs_on_a_gpu_give_the_same_pixels(precision: str) -> None:
    assert np.array_equal(restored("cuda", precision=precision), restored("cuda", precision=precision))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("losses", [restoration_losses, style_losses])
def test_training_steps_on_a_gpu_have_the_losses_of_the_cpu(
    losses: Callable[..., dict[str, float]], precision: str
) -> None:
    assert_close_losses(losses("cuda", precision=precision), losses("cpu", precision="fp32"))


def _spotted(height: int, width: int, channels: int) -> dict[str, Any]:
    """A picture without, and the same one with, marks of many sizes."""
    rng = np.random.default_rng(8)
    clean = np.clip(0.5 + 0.02 * rng.standard_normal((height, width, channels)), 0, 1).astype(np.float32)
    marked = clean.copy()
    for _ in range(200):
        y, x, rows, columns = (int(rng.integers(0, size)) for size in (height, width, 60, 20))
        marked[y : y + rows, x : x + columns] = rng.choice([0.05, 0.95])
    names = {"derivative": clean, "source": marked, "reference": np.clip(clean + 0.01, 0, 1)}
    return {name: Picture.from_array(each if channels == 3 else each[..., 0]) for name, each in names.items()}


@pytest.mark.parametrize(
    ("size", "area"),
    [((1500, 4500, 3), None), ((700, 900, 1), None), ((700, 900, 3), Area(x=33, y=71, width=601, height=555))],
)
def test_the_scores_of_a_gpu_equal_the_processors_and_do_not_change(
    size: tuple[int, int, int], area: Area | None
) -> None:
    pictures = _spotted(*size)
    found, again = (score(**pictures, area=area, device="cuda") for _ in range(2))
    assert found == again
    assert_same(found, score(**pictures, area=area))


def test_content_similarity_on_a_gpu_equals_the_processors() -> None:
    pictures, area = _spotted(300, 400, 3), Area(x=3, y=10, width=301, height=207)
    made, source = pictures["derivative"], pictures["source"]
    found = content_ssim_on_gpu(made, source, area, device="cuda", scheduler=run_immediately)
    assert found == pytest.approx(content_ssim(made, source, area), abs=1e-6)


def test_a_gpu_with_too_little_free_memory_leaves_the_scores_to_the_processor() -> None:
    pictures = _spotted(1500, 4500, 3)
    torch.cuda.set_per_process_memory_fraction(0.0005)
    try:
        found = score(**pictures, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found == score(**pictures)


def test_a_gpu_with_too_little_free_memory_restores_in_smaller_tiles() -> None:
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        folder = shipped("denoise-deblur")
        models = LoadedModels(lambda _stage: folder, Execution(device="cuda", precision="fp32", tile_size=8192))
        picture = Picture.from_array(np.random.default_rng(7).integers(0, 65536, (6000, 6000, 3), np.uint16))
        sink = ArraySink(picture.info)
        record = restore(picture, shipped_recipe("denoise-deblur"), sink, models=models)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert record.environment.tile_size < 8192
    assert any("not enough memory" in note for note in record.notes)
