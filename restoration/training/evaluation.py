"""Evaluates restorations at several textures and compares them with classical baselines.

Clean pictures get defects with a fixed seed, and the restored pictures are compared with the clean ones
(``evaluation_cases``, ``evaluation_metrics``, ``baselines``). Real scans have no clean original and are compared with
themselves. On a GPU, the throughput is compared with its matrix throughput (``measure_throughput``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from restoration.colour.srgb_adapters import convert_to_srgb
from restoration.degradation import DEFAULT_REPAIR, Defect
from restoration.errors import TrainingError
from restoration.execution import Execution
from restoration.grain_profile import GRAIN_NAMES, mean_luma_level, measure_array_grain
from restoration.image import Picture
from restoration.model_folders import ModelFolder
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.stages import LoadedRestoration
from restoration.training.aged_pairs import images_in
from restoration.training.evaluation_cases import Case, Sample, cases
from restoration.training.evaluation_metrics import Array, Metrics, retained_shares, smoothed_metrics
from restoration.training.inference_benchmark import measure_throughput

_SEED = 20_000
_MIN_PX = 32  # a side; required by SSIM's window and the mark pieces
_MAX_PX = 768  # a side; larger clean pictures are cropped to the centre
_MAX_SCAN_PX = 1536  # a side; larger real scans are cropped to the centre
_MAX_SMOOTHED = 0.02  # of a scan's blocks; above it a person should check the scan
_GRAIN_LEVELS = (2, 5, 10, 25, 50)


class Restoration(Protocol):
    """A restoration under evaluation.

    It takes a picture, (H, W, C) float32, C 1 or 3, encoded values that noise may push outside [0, 1], and the defects
    to repair, and returns the same shape.
    """

    def __call__(self, picture: Array, repair: tuple[Defect, ...], /) -> Array: ...


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method's metrics in one case: means over the pictures; for real scans medians.

    A metric is None if there was nothing to measure; ``psnr`` is also None if a picture is identical to its target.
    """

    case: str
    method: str
    pictures: int
    metrics: Mapping[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """The row as plain JSON values, each metric under its own name."""
        return {"case": self.case, "method": self.method, "pictures": self.pictures, **self.metrics}


def evaluate(
    restorations: Mapping[str, Restoration], pictures: Sequence[Array], *, with_baselines: bool = True
) -> Iterator[Row]:
    """Evaluates restorations in every case; yields a row for the input, for each restoration and for each baseline.

    Args:
        restorations: the restorations by the name that their rows get.
        pictures: clean pictures, (H, W, C) float32 in [0, 1], C 1 or 3, at least 32 px high and wide.
        with_baselines: whether the classical baselines are run too.
    """
    for case in cases():
        found: dict[str, list[Metrics]] = {}
        # One sample at a time, because all samples of a case may take gigabytes.
        for sample in _make_samples(case, pictures):
            for name, restored in _restore_by_method(case, sample, restorations, with_baselines=with_baselines):
                found.setdefault(name, []).append(case.measure(sample, restored))
        for name, metrics in found.items():
            yield _aggregate(case.name, name, metrics, np.mean)


def _make_samples(case: Case, pictures: Sequence[Array]) -> Iterator[Sample]:
    for index, picture in enumerate(pictures if case.pictures is None else case.pictures()):
        for repetition in range(case.repetitions):
            yield case.make_sample(picture, np.random.default_rng([_SEED, index, repetition]))


def _restore_by_method(
    case: Case, sample: Sample, restorations: Mapping[str, Restoration], *, with_baselines: bool
) -> Iterator[tuple[str, Array]]:
    """Yields the input and the result of each restoration and baseline, with the method's name."""
    yield "input", sample.degraded
    for name, restoration in restorations.items():
        yield name, _clipped(restoration(sample.degraded, case.repair))
    if with_baselines:
        for name, baseline in sample.baselines.items():
            yield name, _clipped(baseline(sample.degraded))


def evaluate_scans(restorations: Mapping[str, Restoration], scans: Sequence[Array]) -> Iterator[Row]:
    """Evaluates restorations on real scans; see :func:`restoration.training.evaluation_metrics.retained_shares`.

    Args:
        restorations: the restorations by the name that their rows get.
        scans: (H, W, C) float32 in [0, 1], C 1 or 3.
    """
    for name, restoration in restorations.items():
        retained, smoothed = [], []
        for scan in scans:
            restored = _clipped(restoration(scan, DEFAULT_REPAIR))
            retained.append(retained_shares(scan, restored))
            smoothed.append(smoothed_metrics(scan, restored))
        yield _aggregate("real scans, shares of the source's", name, retained, np.median)
        yield _aggregate("real scans, smoothed, median", name, smoothed, np.median)
        over = [{"scans_over_2_percent": float(one["smoothed_share"] > _MAX_SMOOTHED)} for one in smoothed]
        yield _aggregate("real scans, smoothed, count", name, over, np.sum)


def evaluate_grain_profile(pictures: Sequence[Array]) -> Iterator[Row]:
    """Measures the accuracy of the grain profile for white noise of a known level on clean pictures.

    The metric is the fine luma level, mean over lightness, divided by the true level; median over the pictures.
    """
    for level in _GRAIN_LEVELS:
        found = []
        for index, picture in enumerate(pictures):
            noise = np.random.default_rng([_SEED, index]).standard_normal((*picture.shape[:2], 1), dtype=np.float32)
            profile = measure_array_grain(_clipped(picture + np.float32(level / 255) * noise).transpose(2, 0, 1))
            found.append({"measured_share": mean_luma_level(profile, 1) * 255 / level})
        yield _aggregate(f"grain profile, white noise {level}/255", "grain profile", found, np.median)


def evaluate_version(
    folder: ModelFolder,
    data: Path,
    *,
    scans: Path | None = None,
    textures: Sequence[float] = (),
    execution: Execution | None = None,
    with_baselines: bool = True,
) -> Iterator[Row]:
    """Evaluates a model version on the clean pictures in the folder ``data``; grey pictures are evaluated in grey.

    Args:
        folder: the version.
        data: a folder of clean JPEG, PNG or TIFF files; those larger than 768 px are cropped to the centre.
        scans: a folder of real scans, compared with themselves; those larger than 1536 px are cropped to the centre.
        textures: the values of ``texture`` to evaluate; by default 0, the card's default and 1.
        execution: device and precision. On a GPU, throughput is measured too.
        with_baselines: whether the classical baselines are run too.

    Raises:
        TrainingError: there are no pictures, or one is too small.
        RecipeError: the version has no parameter ``texture``, or the value is out of range.
        ModelError: the version's weights don't match its card.
        ImageError: a picture can't be read.
    """
    models = LoadedModels(lambda _stage: folder, execution)
    restorations = {
        name: _of_version(models, folder, parameters) for name, parameters in _methods(folder, textures).items()
    }
    clean, real = _read_all(data, _MAX_PX), [] if scans is None else _read_all(scans, _MAX_SCAN_PX)
    yield from evaluate(restorations, clean, with_baselines=with_baselines)
    yield from evaluate_grain_profile(clean)
    if real:
        yield from evaluate_scans(restorations, real)
    resolved = (execution or Execution()).resolved()
    if resolved.device.type == "cuda":
        stage = models.restoration(folder.card.stage({})).for_picture(dict.fromkeys(GRAIN_NAMES, 0.0))
        throughput = measure_throughput(stage, resolved)
        metrics = {name: round(value, 4) for name, value in throughput.items()}
        yield Row(case="speed", method=folder.card.reference, pictures=1, metrics=metrics)


def _methods(folder: ModelFolder, textures: Sequence[float]) -> dict[str, dict[str, Any]]:
    """The parameters of each restoration to evaluate, by its name in the rows."""
    defaults = folder.card.stage({}).parameters
    if not textures and "texture" not in defaults:
        return {folder.card.reference: {}}
    chosen = textures or sorted({0.0, float(str(defaults["texture"])), 1.0})
    return {f"{folder.card.reference}, texture {texture:g}": {"texture": texture} for texture in chosen}


def _of_version(models: LoadedModels, folder: ModelFolder, parameters: Mapping[str, Any]) -> Restoration:
    has_repair = "repair" in folder.card.stage(parameters).parameters

    def load(repair: tuple[Defect, ...]) -> LoadedRestoration:
        return models.restoration(folder.card.stage({**parameters, "repair": repair} if has_repair else parameters))

    return restoration_of_arrays(load)


def restoration_of_arrays(load: Callable[[tuple[Defect, ...]], LoadedRestoration]) -> Restoration:
    """Wraps the networks that ``load`` returns for a set of defects as a restoration of whole arrays."""

    def restoration(picture: Array, repair: tuple[Defect, ...], /) -> Array:
        loaded = load(repair)
        grain = measure_array_grain(_clipped(picture).transpose(2, 0, 1)) if loaded.needs_grain_profile else {}
        stage = loaded.for_picture(grain)
        height, width = picture.shape[:2]
        pad_rows, pad_columns = -height % stage.multiple_px, -width % stage.multiple_px
        padded = np.pad(picture, ((0, pad_rows), (0, pad_columns), (0, 0)), mode="reflect")
        restored = stage(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))
        cropped: Array = restored[0].transpose(1, 2, 0)[:height, :width]
        return cropped

    return restoration


def read_centre(path: Path, max_px: int = _MAX_PX, *, as_srgb: bool = False) -> Array:
    """Reads the centre of a picture, at most ``max_px`` wide and high: (H, W, C) float32 in [0, 1], C 1 or 3.

    Values are as stored; with ``as_srgb`` they are converted to sRGB by the picture's profile.

    Raises:
        TrainingError: the picture is smaller than 32 px.
        ImageError: it can't be read.
    """
    with Picture.open(path) as picture:
        width, height = picture.info.width, picture.info.height
        if min(width, height) < _MIN_PX:
            raise TrainingError(
                f"{path} is too small to evaluate on: {width}x{height} px. Use pictures of at least {_MIN_PX} px a side"
            )
        crop_width, crop_height = min(width, max_px), min(height, max_px)
        source = convert_to_srgb(picture) if as_srgb else picture
        centre = source.read((width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height)
    return np.ascontiguousarray(centre[0].transpose(1, 2, 0))


def _read_all(folder: Path, max_px: int) -> list[Array]:
    pictures = [read_centre(path, max_px) for path in images_in(folder)]
    if not pictures:
        raise TrainingError(f"{folder} holds no pictures to evaluate on: name a folder of JPEG, PNG or TIFF files")
    return pictures


def _clipped(picture: Array) -> Array:
    """Clips to the range that a file can hold."""
    return np.clip(picture, 0, 1)


def _aggregate(case: str, method: str, found: Sequence[Metrics], average: Callable[[Any], Any]) -> Row:
    """Aggregates the pictures' metrics to one row; ignores NaN."""
    metrics: dict[str, float | None] = {}
    for name in found[0]:
        values = [one[name] for one in found if not np.isnan(one[name])]
        value = float(average(values)) if values else np.inf
        metrics[name] = round(value, 4) if np.isfinite(value) else None
    return Row(case=case, method=method, pictures=len(found), metrics=metrics)
