"""Evaluates restorations on pictures, beside classical baselines and at several textures.

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

from restoration.colour.space_conversion import convert_to_srgb
from restoration.degradation import DEFAULT_REPAIR, Defect
from restoration.errors import TrainingError
from restoration.execution import Execution
from restoration.grain_profile import GRAIN_NAMES, measure_array_grain
from restoration.image import Picture
from restoration.model_folders import ModelFolder
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.stages import LoadedRestoration
from restoration.training.aged_pairs import images_in
from restoration.training.evaluation_cases import Case, Sample, cases
from restoration.training.evaluation_metrics import Array, Figures, remaining_shares, smoothed_metrics
from restoration.training.throughput import measure_throughput

_SEED = 20_000
_FEWEST_PX = 32  # a side; SSIM's window and the marks' pieces want as much
_MOST_PX = 768  # a side; of a larger clean picture the middle is taken
_MOST_SCAN_PX = 1536  # a side, of a real scan
_MOST_SMOOTHED = 0.02  # of a scan's blocks, before a person should look at it
_GRAIN_LEVELS = (2, 5, 10, 25, 50)


class Restoration(Protocol):
    """What is measured.

    Called with a picture, (H, W, C) float32, C 1 or 3, encoded values that noise may carry beyond [0, 1], and with what
    to repair, it gives the same shape.
    """

    def __call__(self, picture: Array, repair: tuple[Defect, ...], /) -> Array: ...


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method's figures in one case: means over the pictures, of real scans medians.

    A figure is None where there was nothing to measure, and a ``psnr`` where a picture came back identical.
    """

    case: str
    method: str
    pictures: int
    figures: Mapping[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """The row as plain JSON values, each figure under its own name."""
        return {"case": self.case, "method": self.method, "pictures": self.pictures, **self.figures}


def evaluate(
    restorations: Mapping[str, Restoration], pictures: Sequence[Array], *, with_peers: bool = True
) -> Iterator[Row]:
    """Measures restorations in every case: a row for the input, for each of them, and for each peer.

    Args:
        restorations: what is measured, by what it is called in the rows.
        pictures: clean pictures, (H, W, C) float32 in [0, 1], C 1 or 3, at least 32 px high and wide.
        with_peers: whether the classical methods are run too.
    """
    for case in cases():
        clean = pictures if case.pictures is None else case.pictures()
        samples = [
            case.make(picture, np.random.default_rng([_SEED, index, time]))
            for index, picture in enumerate(clean)
            for time in range(case.times)
        ]
        yield _row(case, "input", samples, [sample.given for sample in samples])
        for name, restoration in restorations.items():
            yield _row(case, name, samples, [_within(restoration(each.given, case.repair)) for each in samples])
        for name in samples[0].peers if with_peers else ():
            yield _row(case, name, samples, [_within(each.peers[name](each.given)) for each in samples])


def evaluate_scans(restorations: Mapping[str, Restoration], scans: Sequence[Array]) -> Iterator[Row]:
    """Measures restorations on real scans; see :func:`restoration.training.evaluation_metrics.remaining_shares`.

    Args:
        restorations: what is measured, by what it is called in the rows.
        scans: (H, W, C) float32 in [0, 1], C 1 or 3.
    """
    for name, restoration in restorations.items():
        found, smoothed = [], []
        for scan in scans:
            made = _within(restoration(scan, DEFAULT_REPAIR))
            found.append(remaining_shares(scan, made))
            smoothed.append(smoothed_metrics(scan, made))
        yield _joined("real scans, shares of the source's", name, found, np.median)
        yield _joined("real scans, smoothed, median", name, smoothed, np.median)
        over = [{"scans_over_2_percent": float(one["smoothed_share"] > _MOST_SMOOTHED)} for one in smoothed]
        yield _joined("real scans, smoothed, count", name, over, np.sum)


def evaluate_grain_profile(pictures: Sequence[Array]) -> Iterator[Row]:
    """Measures how near the grain profile comes to white noise of a known level on clean pictures.

    Figures are medians over the pictures of the fine luma level, mean over lightness, as a share of the true level.
    """
    for level in _GRAIN_LEVELS:
        found = []
        for index, picture in enumerate(pictures):
            noise = np.random.default_rng([_SEED, index]).standard_normal((*picture.shape[:2], 1), dtype=np.float32)
            profile = measure_array_grain(_within(picture + np.float32(level / 255) * noise).transpose(2, 0, 1))
            fine = np.mean([profile[name] for name in GRAIN_NAMES if name.startswith("grain_1px_")])
            found.append({"measured_share": float(fine) * 255 / level})
        yield _joined(f"grain profile, white noise {level}/255", "grain profile", found, np.median)


def evaluate_version(
    folder: ModelFolder,
    data: Path,
    *,
    scans: Path | None = None,
    textures: Sequence[float] = (),
    execution: Execution | None = None,
    with_peers: bool = True,
) -> Iterator[Row]:
    """Measures a model version on the clean pictures in the folder ``data``; grey ones are measured in grey.

    Args:
        folder: the version.
        data: a folder of clean JPEG, PNG or TIFF files; of those larger than 768 px the middle is used.
        scans: a folder of real scans, measured against themselves; of those larger than 1536 px the middle is used.
        textures: which, where the version has several; by itself 0, the default of its card, and 1.
        execution: device and precision. On a GPU there are rows of its speed too.
        with_peers: whether the classical methods are run too.

    Raises:
        TrainingError: there are no pictures, or one is too small.
        RecipeError: the version has no texture, or not this one.
        ModelError: the version's weights aren't those of its card.
        ImageError: a picture can't be read.
    """
    models = LoadedModels(lambda _stage: folder, execution)
    restorations = {
        name: _of_version(models, folder, parameters) for name, parameters in _methods(folder, textures).items()
    }
    clean, real = _read_all(data, _MOST_PX), [] if scans is None else _read_all(scans, _MOST_SCAN_PX)
    yield from evaluate(restorations, clean, with_peers=with_peers)
    yield from evaluate_grain_profile(clean)
    if real:
        yield from evaluate_scans(restorations, real)
    how = (execution or Execution()).resolved()
    if how.device.type == "cuda":
        stage = models.restoration(folder.card.stage({})).for_picture(dict.fromkeys(GRAIN_NAMES, 0.0))
        found = measure_throughput(stage, how)
        figures = {name: round(value, 4) for name, value in found.items()}
        yield Row(case="speed", method=folder.card.reference, pictures=1, figures=figures)


def _methods(folder: ModelFolder, textures: Sequence[float]) -> dict[str, dict[str, Any]]:
    """The parameters of each restoration that a version offers, by its name in the rows."""
    known = folder.card.stage({}).parameters
    if not textures and "texture" not in known:
        return {folder.card.reference: {}}
    chosen = textures or sorted({0.0, float(str(known["texture"])), 1.0})
    return {f"{folder.card.reference}, texture {texture:g}": {"texture": texture} for texture in chosen}


def _of_version(models: LoadedModels, folder: ModelFolder, parameters: Mapping[str, Any]) -> Restoration:
    can_choose = "repair" in folder.card.stage(parameters).parameters

    def load(repair: tuple[Defect, ...]) -> LoadedRestoration:
        return models.restoration(folder.card.stage({**parameters, "repair": repair} if can_choose else parameters))

    return restoration_of_arrays(load)


def restoration_of_arrays(load: Callable[[tuple[Defect, ...]], LoadedRestoration]) -> Restoration:
    """A restoration of whole arrays by the networks that ``load`` returns for the defects to repair."""

    def restoration(picture: Array, repair: tuple[Defect, ...], /) -> Array:
        loaded = load(repair)
        grain = measure_array_grain(_within(picture).transpose(2, 0, 1)) if loaded.needs_grain_profile else {}
        stage = loaded.for_picture(grain)
        height, width = picture.shape[:2]
        rows, columns = -height % stage.multiple_px, -width % stage.multiple_px
        padded = np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="reflect")
        made = stage(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))
        inner: Array = made[0].transpose(1, 2, 0)[:height, :width]
        return inner

    return restoration


def read_middle(path: Path, most_px: int = _MOST_PX, *, as_srgb: bool = False) -> Array:
    """The middle of a picture in a file, at most ``most_px`` wide and high: (H, W, C) float32 in [0, 1], C 1 or 3.

    Values are as they are stored, or ``as_srgb``, converted by the picture's profile.

    Raises:
        TrainingError: the picture is smaller than 32 px.
        ImageError: it can't be read.
    """
    with Picture.open(path) as picture:
        width, height = picture.info.width, picture.info.height
        if min(width, height) < _FEWEST_PX:
            raise TrainingError(
                f"{path}: a picture of {width}x{height} px is too small to measure on; {_FEWEST_PX} px are needed"
            )
        across, down = min(width, most_px), min(height, most_px)
        source = convert_to_srgb(picture) if as_srgb else picture
        middle = source.read((width - across) // 2, (height - down) // 2, across, down)
    return np.ascontiguousarray(middle[0].transpose(1, 2, 0))


def _read_all(folder: Path, most_px: int) -> list[Array]:
    pictures = [read_middle(path, most_px) for path in images_in(folder)]
    if not pictures:
        raise TrainingError(f"{folder} holds no pictures to measure on: name a folder of JPEG, PNG or TIFF files")
    return pictures


def _within(picture: Array) -> Array:
    """As a file would hold it."""
    return np.clip(picture, 0, 1)


def _row(case: Case, method: str, samples: Sequence[Sample], made: Sequence[Array]) -> Row:
    found = [case.measure(sample, each) for sample, each in zip(samples, made, strict=True)]
    return _joined(case.name, method, found, np.mean)


def _joined(case: str, method: str, found: Sequence[Figures], mean: Callable[[Any], Any]) -> Row:
    """The pictures' figures as one row, without those that had nothing to measure."""
    figures: dict[str, float | None] = {}
    for name in found[0]:
        values = [one[name] for one in found if not np.isnan(one[name])]
        value = float(mean(values)) if values else np.inf
        figures[name] = round(value, 4) if np.isfinite(value) else None
    return Row(case=case, method=method, pictures=len(found), figures=figures)
