"""Styles: masks, blends, and scores of the kept content."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from restoration.errors import ImageError, RecipeError
from restoration.image import Area, ArraySink, Picture
from restoration.model_folders import ModelFolder, parse_card
from restoration.pipeline.restore import derivative_info, restore
from restoration.quality import StyleEvaluation, score
from restoration.quality.content_similarity import content_ssim
from restoration.recipe import Recipe, RecipeStage
from tests.fake_models import FakeModels, FakeStage, FakeStyle

RNG = np.random.default_rng(4)
DIGEST = "a" * 64


def _stage(task: Any = "style", **parameters: float) -> RecipeStage:
    return RecipeStage(
        task=task,
        model="simulated-oil",
        version="1.0",
        weights_sha256=DIGEST,
        parameters={"strength": 1.0} | parameters,
    )


def _folder(_stage: RecipeStage) -> ModelFolder:
    content = {
        "name": "simulated-oil",
        "version": "1.0",
        "task": "style",
        "architecture": {"name": "none"},
        "parameters": {},
        "suited_to": {"polarity": ["positive"], "unsuited_processes": [], "minimum_size_px": 16},
        "weights_sha256": DIGEST,
        "training": {},
        "evaluation": {},
        "style": {"palette": "full"},
    }
    return ModelFolder(path=None, card=parse_card(content))  # type: ignore[arg-type]


def _made(array: NDArray[Any], recipe: Recipe, **options: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """The result of a recipe for an array, and the input of its styles."""
    models = FakeModels(FakeStage(), FakeStyle(), _folder)
    picture = Picture.from_array(array)
    info = derivative_info(picture.info, recipe, models)
    sink, content = ArraySink(info), ArraySink(info)
    restore(picture, recipe, sink, models=models, content=content, **options)
    return sink.array, content.array


def _scan(height: int = 50, width: int = 70) -> NDArray[np.uint16]:
    return RNG.integers(0, 65536, (height, width, 3), dtype=np.uint16)


def test_the_input_of_a_style_is_returned_separately_from_its_result() -> None:
    scan = _scan()
    after, before = _made(
        scan, Recipe(stages=(_stage("restoration"), _stage())), picture_area=Area(x=3, y=9, width=40, height=30)
    )
    mended = scan.copy()
    mended[9:39, 3:43] = np.rint(scan[9:39, 3:43] * 0.5 + 16383.75)
    looked = mended.copy()
    looked[9:39, 3:43] = np.rint((scan[9:39, 3:43] * 0.5 + 16383.75) * [0.75, 0.7, 0.5])
    assert np.abs(before.astype(int) - mended).max() <= 1
    assert np.abs(after.astype(int) - looked).max() <= 1


def test_a_mask_limits_the_style_and_keeps_other_pixels_exactly() -> None:
    scan = _scan()
    shares = np.linspace(0, 255, 70).round().astype(np.uint8)
    mask = Picture.from_array(np.repeat(shares[None], 50, axis=0))
    after, _ = _made(scan, Recipe(stages=(_stage(),), mask_sha256=DIGEST), mask=mask)
    share = (shares / 255)[None, :, None]
    assert np.array_equal(after[:, 0], scan[:, 0])
    assert np.abs(after - (scan + share * (scan * [0.75, 0.7, 0.5] - scan))).max() <= 1


def test_a_mask_is_cropped_with_the_picture_area() -> None:
    scan = _scan()
    values = np.zeros((50, 70), np.uint8)
    values[20:30, 20:40] = 255
    recipe = Recipe(stages=(_stage(),), mask_sha256=DIGEST)
    after, _ = _made(scan, recipe, mask=Picture.from_array(values), picture_area=Area(x=10, y=5, width=20, height=30))
    changed = (after != scan).any(axis=2)
    assert changed[20:30, 20:30].all()
    assert changed.sum() == 100


def test_a_blend_is_the_weighted_mean_of_its_styles() -> None:
    scan = _scan()
    after, _ = _made(scan, Recipe(stages=(_stage(strength=0.0, weight=0.5), _stage(weight=0.25))))
    assert np.abs(after - (2.0 * scan + scan * [0.75, 0.7, 0.5]) / 3).max() <= 1


@pytest.mark.parametrize(
    ("recipe", "mask", "error"),
    [
        (Recipe(stages=(_stage(),), mask_sha256=DIGEST), None, RecipeError),
        (Recipe(stages=(_stage(),)), (50, 70), RecipeError),
        (Recipe(stages=(_stage("restoration"),), mask_sha256=DIGEST), (50, 70), RecipeError),
        (Recipe(stages=(_stage(),), mask_sha256=DIGEST), (70, 50), ImageError),
        (Recipe(stages=(_stage(),), mask_sha256=DIGEST), (50, 70, 3), ImageError),
    ],
)
def test_a_mask_that_does_not_match_recipe_and_picture_is_refused(recipe: Recipe, mask: Any, error: Any) -> None:
    given = None if mask is None else Picture.from_array(np.zeros(mask, np.uint8))
    with pytest.raises(error, match="mask"):
        _made(_scan(), recipe, mask=given)


def _blurred(height: int, width: int) -> NDArray[np.float64]:
    noise = gaussian_filter(RNG.random((height, width)), 3)
    return np.asarray((noise - noise.min()) / np.ptp(noise))


def _content(made: NDArray[np.float64], source: NDArray[np.float64], area: Area | None = None) -> float:
    value = content_ssim(
        Picture.from_array(made),
        Picture.from_array(source),
        area or Area(x=0, y=0, width=source.shape[1], height=source.shape[0]),
    )
    assert value is not None
    return value


def test_content_similarity_ignores_tone_and_grain() -> None:
    source = _blurred(150, 130)
    toned = np.clip(0.2 + 0.6 * source**1.7 + RNG.normal(0, 0.02, source.shape), 0, 1)
    assert _content(source, source) == pytest.approx(1, abs=1e-3)
    assert _content(toned, source) > 0.97
    assert _content(np.roll(toned, 12, axis=0), source) < 0.7
    assert _content(np.full_like(source, 0.5), source) < 0.5  # nothing of the picture remains
    assert _content(1 - source, source) < 0.7  # a negative has other content


def test_content_similarity_does_not_depend_on_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _blurred(150, 130)
    toned = np.clip(0.1 + 0.8 * source + RNG.normal(0, 0.05, source.shape), 0, 1)
    whole = _content(toned, source)
    monkeypatch.setattr("restoration.quality.content_similarity._BAND_PIXELS", 130 * 20)
    assert _content(toned, source) == pytest.approx(whole, abs=1e-12)
    one, other = (gaussian_filter(np.rint(each * 65535) / 65535, 2) for each in (toned, source))
    steps = np.rint(one * 1023).astype(int)
    tones, which = np.unique(steps, return_inverse=True)
    means = np.bincount(which.ravel(), other.ravel()) / np.bincount(which.ravel())
    assert (np.diff(means) < 0).any()  # the mean decreases; the regression corrects that
    brought = np.interp(one, tones / 1023, np.maximum.accumulate(means))
    near = structural_similarity(
        brought, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert whole == pytest.approx(near, abs=0.02)


def test_a_style_on_a_small_picture_gets_the_scores_that_are_possible() -> None:
    scan = _scan(10, 10)
    recipe = Recipe(stages=(_stage(),))
    made, _ = _made(scan, recipe)
    style = StyleEvaluation(recipe=recipe, content=None, cards=[_folder(recipe.stages[0]).card])
    scores = score(derivative=Picture.from_array(made), source=Picture.from_array(scan), style=style)
    (kept,) = [each for each in scores if each.metric == "content_ssim"]
    assert (kept.value, kept.detail) == (None, "smaller than 11 px: not compared")
