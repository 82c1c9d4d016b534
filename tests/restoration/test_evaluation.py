"""Evaluation: cases have the stated defects, rows the stated metrics, and baselines improve on the input."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from restoration.degradation import DEFAULT_REPAIR, Defect, Softness
from restoration.degradation.image_defects import blur, blur_kernel
from restoration.errors import RecipeError, TrainingError
from restoration.execution import Execution
from restoration.image import Picture
from restoration.model_folders import ModelFolder
from restoration.pipeline.stages import LoadedRestoration
from restoration.quality import score
from restoration.training import evaluate_version
from restoration.training.baselines import deblurrers, denoisers
from restoration.training.evaluation import (
    Row,
    evaluate,
    evaluate_grain_profile,
    evaluate_scans,
    read_centre,
    restoration_of_arrays,
)
from restoration.training.evaluation_cases import Case, cases
from restoration.training.evaluation_metrics import Array, filled_metrics, kept_energy, smoothed_metrics
from restoration.training.inference_benchmark import measure_throughput
from tests.small_archive import write_model

pytestmark = pytest.mark.slow

COLOUR = data.astronaut()[0:160, 120:280].astype(np.float32) / 255
GREY = data.camera()[60:220, 150:310, None].astype(np.float32) / 255
CPU = Execution(device="cpu", precision="fp32")
CASES = {case.name: case for case in cases()}


def nothing(picture: Array, _repair: tuple[Defect, ...]) -> Array:
    return picture.copy()


def _rows(picture: Array, *, with_baselines: bool = True) -> dict[tuple[str, str], Row]:
    rows = evaluate({"nothing": nothing}, [picture], with_baselines=with_baselines)
    return {(row.case, row.method): row for row in rows}


def _gain(rows: dict[tuple[str, str], Row], case: str, method: str) -> float:
    return rows[case, method].metrics["psnr"] - rows[case, "input"].metrics["psnr"]  # type: ignore[operator]


def _samples(case: Case, picture: Array) -> list[tuple[Array, Array]]:
    """The degraded picture and the target, for each picture of the case."""
    pictures = [picture] if case.pictures is None else case.pictures()
    samples = [case.make_sample(each, np.random.default_rng(index)) for index, each in enumerate(pictures)]
    return [(sample.degraded, sample.target) for sample in samples]


@pytest.mark.parametrize("picture", [COLOUR, GREY], ids=["colour", "grey"])
def test_the_identity_scores_as_the_input_and_baselines_score_better(picture: Array) -> None:
    rows = _rows(picture)
    for name in CASES:
        if "not clipped" not in name:
            assert rows[name, "nothing"].metrics == rows[name, "input"].metrics
    as_published = rows["noise 25/255, not clipped", "input"].metrics["psnr"]
    from_file = rows["noise 25/255, clipped, from a 16-bit file", "input"].metrics["psnr"]
    assert as_published == pytest.approx(20.17, abs=0.1)
    assert from_file > as_published  # type: ignore[operator]
    for method in ("non-local means", "total variation", "bicubic, half size and back"):
        assert _gain(rows, "noise 25/255, clipped, from a 16-bit file", method) > 4
    for blurred in ("Gaussian blur 1.6 px, noise 2 %", "linear motion 9 to 15 px, noise 1 %"):
        for method in ("Wiener", "Richardson-Lucy"):
            assert _gain(rows, blurred, method) > 0.8


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_the_clean_picture_itself_has_the_best_metrics_of_every_case(case: Case) -> None:
    best = {"psnr": np.inf, "ssim": 1.0, "spectrum_distance": 0.0, "marks_kept": 1.0}
    best |= {"kept_energy": 1.0, "kept_energy_1st_percentile": 1.0, "filled_share": 0.0, "filled_places": 0.0}
    sample = case.make_sample(COLOUR, np.random.default_rng(1))
    metrics = case.measure(sample, sample.target)
    assert metrics == pytest.approx({name: best[name] for name in metrics}, abs=1e-4)


def test_the_identity_is_exact_on_clean_pictures_and_outside_damage() -> None:
    rows = _rows(COLOUR, with_baselines=False)
    for name in ("clean", *(name for name in CASES if "outside" in name)):
        assert rows[name, "nothing"].metrics["psnr"] is None
    for which in ("inside them", "three times as wide, inside them"):
        assert 5 < rows[f"scratches, hairs and dust, {which}", "nothing"].metrics["psnr"] < 20  # type: ignore[operator]


def test_only_one_sample_is_in_memory_at_a_time() -> None:
    degraded: list[weakref.ref[Array]] = []

    def restore(picture: Array, _repair: tuple[Defect, ...]) -> Array:
        assert all(each() is None for each in degraded)
        degraded.append(weakref.ref(picture))
        return picture.copy()

    first_row = next(evaluate({"nothing": restore}, [GREY, GREY, GREY], with_baselines=False))
    assert first_row.pictures == len(degraded) == 3


def test_smoothing_is_measured_as_by_the_scores() -> None:
    smooth = blur(COLOUR, Softness(kind="gaussian", extent_px=2))
    scores = score(derivative=Picture.from_array(smooth), source=Picture.from_array(COLOUR))
    (expected,) = (each.value for each in scores if each.metric == "smoothed_share")
    assert expected
    assert smoothed_metrics(COLOUR, smooth)["smoothed_share"] == pytest.approx(expected, abs=1e-3)
    assert np.isnan(smoothed_metrics(COLOUR[:20, :20], smooth[:20, :20])["smoothed_share"])


def test_a_restoration_that_changes_undamaged_pixels_is_detected() -> None:
    def dimming(picture: Array, _repair: tuple[Defect, ...]) -> Array:
        return 0.9 * picture

    rows = {(row.case, row.method): row for row in evaluate({"dim": dimming}, [COLOUR], with_baselines=False)}
    outside = rows["scratches, hairs and dust, outside them", "dim"].metrics["psnr"]
    undamaged = rows["scratches, hairs and dust, the same outside without them", "dim"].metrics["psnr"]
    assert outside == undamaged
    assert outside < 35  # type: ignore[operator]


def test_erased_marks_are_not_kept_and_unchanged_ones_are() -> None:
    mark_cases = [case for name, case in CASES.items() if name.startswith("marks")]
    assert len(mark_cases) == 4
    smooth = blur(COLOUR, Softness(kind="gaussian", extent_px=8))  # has no lines of its own
    for case in mark_cases:
        pictures = [smooth] if case.pictures is None else case.pictures()
        for index, picture in enumerate(pictures):
            sample = case.make_sample(picture, np.random.default_rng([3, index]))
            assert sample.mask is not None
            assert sample.mask.any()
            assert case.measure(sample, sample.degraded)["marks_kept"] > 0.95
            erased = sample.target.copy()
            erased[sample.mask] = sample.target[~sample.mask].mean()
            assert case.measure(sample, erased)["ssim"] < case.measure(sample, sample.target)["ssim"]
            if case.pictures is None:
                assert case.measure(sample, picture)["marks_kept"] < 0.05


def test_each_defect_is_requested_alone_and_its_target_keeps_the_others() -> None:
    requested: list[tuple[Defect, ...]] = []

    def recording(picture: Array, repair: tuple[Defect, ...]) -> Array:
        requested.append(repair)
        return picture

    list(evaluate({"recording": recording}, [GREY], with_baselines=False))
    three: tuple[Defect, ...] = ("noise", "softness", "damage")
    assert set(requested) == {DEFAULT_REPAIR, three, *((defect,) for defect in three)}
    targets = {}
    for defect in three:
        ((degraded, target),) = _samples(CASES[f"all three, {defect} alone repaired"], GREY)
        targets[defect] = target
        assert peak_signal_noise_ratio(GREY, target, data_range=1.0) < 30
        assert (degraded != target).any()
    assert np.abs(np.diff(targets["noise"], axis=0)).mean() < 0.5 * np.abs(np.diff(targets["damage"], axis=0)).mean()


def test_rows_are_reproducible() -> None:
    assert _rows(GREY, with_baselines=False) == _rows(GREY, with_baselines=False)


def test_real_scans_are_compared_with_themselves() -> None:
    def halving_the_noise(picture: Array, _repair: tuple[Defect, ...]) -> Array:
        return 0.5 * picture + 0.25

    rows = list(evaluate_scans({"nothing": nothing, "halving": halving_the_noise}, [COLOUR, GREY, COLOUR]))
    shares = [row for row in rows if "shares" in row.case]
    assert [row.method for row in shares] == ["nothing", "halving"]
    assert shares[0].metrics == {"grain_fine": 1.0, "grain_coarse": 1.0, "edges": 1.0}
    assert shares[1].metrics == pytest.approx({"grain_fine": 0.5, "grain_coarse": 0.5, "edges": 0.5})


def test_baselines_keep_the_shape_and_reduce_a_known_blur() -> None:
    softness = Softness(kind="motion", extent_px=9, angle=0.4)
    blurred = blur(COLOUR, softness)
    for baseline in (*denoisers(0.1).values(), *deblurrers(blur_kernel(softness), 0.01).values()):
        assert baseline(blurred).shape == COLOUR.shape
    wiener = deblurrers(blur_kernel(softness), 0.01)["Wiener"](blurred)
    before = peak_signal_noise_ratio(COLOUR, blurred, data_range=1.0)
    assert peak_signal_noise_ratio(COLOUR, np.clip(wiener, 0, 1), data_range=1.0) > before + 3


class Doubling:
    """A restoration whose stage checks its input."""

    needs_grain_profile = False
    margin_px = 8
    multiple_px = 8

    def for_picture(self, grain: Mapping[str, float]) -> Doubling:
        assert not grain
        return self

    def __call__(self, region: Array) -> Array:
        assert region.shape[0] == 1
        assert region.shape[2] % 8 == region.shape[3] % 8 == 0
        return 2 * region


def test_a_stage_gets_padded_input_and_the_padding_is_removed() -> None:
    picture = COLOUR[:61, :50]
    restoration = restoration_of_arrays(lambda _repair: cast(LoadedRestoration, Doubling()))
    np.testing.assert_allclose(restoration(picture, DEFAULT_REPAIR), 2 * picture)


def test_clean_pictures_keep_their_channels_and_small_ones_are_refused(tmp_path: Path) -> None:
    Image.fromarray((GREY[..., 0] * 255).astype(np.uint8)).save(tmp_path / "grey.png")
    assert read_centre(tmp_path / "grey.png").shape == GREY.shape
    np.testing.assert_array_equal(read_centre(tmp_path / "grey.png", 40), GREY[60:100, 60:100])
    Image.fromarray(data.astronaut()[:30]).save(tmp_path / "low.png")
    with pytest.raises(TrainingError, match="too small"):
        read_centre(tmp_path / "low.png")


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., list[Row]]:
    """Evaluates a version with two endpoints and ``repair``, on one picture and one scan."""
    (tmp_path / "clean").mkdir()
    Image.fromarray(data.camera()[60:100, 150:190]).save(tmp_path / "clean" / "grey.png")
    path = write_model(tmp_path / "model", ends=2)

    def measure(**options: object) -> list[Row]:
        folder = ModelFolder.open(path)
        return list(evaluate_version(folder, tmp_path / "clean", execution=CPU, with_baselines=False, **options))  # type: ignore[arg-type]

    return measure


def test_a_version_is_evaluated_at_both_endpoints_and_its_default(
    measured: Callable[..., list[Row]], tmp_path: Path
) -> None:
    rows = measured(scans=tmp_path / "clean")
    textures = [f"denoise-deblur@9.0, texture {texture}" for texture in ("0", "0.35", "1")]
    assert [row.method for row in rows if row.case == "clean"] == ["input", *textures]
    assert [row.method for row in rows if row.case == "real scans, shares of the source's"] == textures
    psnr = {row.method: row.metrics["psnr"] for row in rows if row.case == "film grain 0.06, size 0.8 px"}
    assert len(set(psnr.values())) == 4


def test_textures_can_be_chosen_and_must_be_valid(measured: Callable[..., list[Row]]) -> None:
    rows = measured(textures=(0.5,))
    assert [row.method for row in rows if row.case == "clean"] == ["input", "denoise-deblur@9.0, texture 0.5"]
    with pytest.raises(RecipeError, match="texture must lie between 0 and 1"):
        measured(textures=(1.5,))


def test_throughput_is_compared_with_matrix_throughput_of_the_same_run() -> None:
    class Convolving(Doubling):
        def __call__(self, region: Array) -> Array:
            with torch.inference_mode():
                output = torch.nn.functional.conv2d(torch.from_numpy(region), torch.ones(3, 3, 3, 3), padding=1)
            return output.numpy()

    throughput = measure_throughput(Convolving(), CPU.resolved(), side_px=64, matrix_side=64)
    operations = 2 * 27 * 3  # per pixel: 3 channels, each of 27 products and sums
    per_megapixel = throughput["teraflops"] * 1e6 / throughput["megapixels_per_second"]
    assert per_megapixel == pytest.approx(operations)
    assert throughput["share_of_matrix_ceiling"] == pytest.approx(
        throughput["teraflops"] / throughput["matrix_teraflops"]
    )


def test_kept_energy_and_filled_share_detect_smearing_and_filling() -> None:
    texture = COLOUR.copy()
    smeared = texture.copy()
    smeared[96:, 64:112] = blur(smeared[96:, 64:112], Softness(kind="gaussian", extent_px=3))
    kept = kept_energy(texture, smeared)
    assert kept["kept_energy"] > 0.85
    assert kept["kept_energy_1st_percentile"] < 0.3
    assert kept_energy(texture, texture) == {"kept_energy": 1, "kept_energy_1st_percentile": 1}

    with_wire = np.full((120, 160, 1), 0.5, np.float32)
    with_wire[60:62] = 0.9
    filled = filled_metrics(with_wire, np.full((120, 160, 1), 0.5, np.float32))
    assert filled["filled_share"] == pytest.approx(2 / 120, rel=0.1)
    assert filled["filled_places"] == 1
    assert filled_metrics(with_wire, with_wire)["filled_share"] == 0


def test_the_grain_profile_s_accuracy_is_a_row_for_each_level() -> None:
    rows = list(evaluate_grain_profile([GREY, COLOUR]))
    assert [row.case for row in rows] == [f"grain profile, white noise {level}/255" for level in (2, 5, 10, 25, 50)]
    assert rows[-1].metrics["measured_share"] == pytest.approx(1, abs=0.15)


def test_rows_of_scans_include_the_smoothed_share() -> None:
    def blurred(picture: Array, _repair: tuple[Defect, ...]) -> Array:
        return blur(picture, Softness(kind="gaussian", extent_px=2))

    rows = {row.case: row.metrics for row in evaluate_scans({"blur": blurred}, [COLOUR, np.full_like(COLOUR, 0.5)])}
    assert rows["real scans, smoothed, count"] == {"scans_over_2_percent": 1}
    assert (rows["real scans, smoothed, median"]["smoothed_share"] or 0) > 0.02
