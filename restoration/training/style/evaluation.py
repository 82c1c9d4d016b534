"""Evaluates a style on held-out pictures and compares it with classical colour transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from restoration.errors import TrainingError
from restoration.execution import Execution
from restoration.image import Area, Picture
from restoration.model_folders import ModelFolder
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.restore import restore_array
from restoration.quality.content_similarity import content_ssim
from restoration.recipe import Recipe
from restoration.training.aged_pairs import TrainingPictures, find_pictures, images_in
from restoration.training.evaluation import Row, read_centre
from restoration.training.evaluation_metrics import psnr
from restoration.training.style.baselines import colour_transfer_baselines
from restoration.training.style.real_fake_classifier import PATCH_PX, classifier_auc
from restoration.training.style.style_data import HELD_OUT_SHARE
from restoration.training.style.style_metrics import Texture, colour_vector, distances

Array = NDArray[np.float32]

_MAX_PX = 512  # a side; larger pictures are cropped to the centre
_MIN_PICTURES = 3  # photographs, and held-out style pictures: the folds of the classifier


def evaluate_style(
    folder: ModelFolder,
    data: Path,
    style_images: Path,
    *,
    with_baselines: bool = True,
    execution: Execution | None = None,
) -> Iterator[Row]:
    """Evaluates a style version at full strength and compares it with the input and two classical baselines.

    The cases ``style reached`` and ``style reached, soft`` (centres enlarged twofold, as smooth as scans of large
    negatives at 100 %) have the metrics ``content_ssim``; ``colour_distance``, ``gram_distance`` and
    ``spectrum_distance`` to the real style pictures, each with its ``..._share`` (see
    :func:`restoration.training.style.style_metrics.distances`); and ``auc`` of a classifier trained to distinguish
    styled from held-out style pictures. ``left alone`` gives the PSNR of held-out style pictures against their styled
    versions. ``neutral given`` and ``colours given`` give the maximum chroma of styled photographs, from greyscale and
    from colour input, in steps of 1/255.

    Args:
        folder: the version.
        data: a folder of photographs that were not used for training.
        style_images: the folder of style pictures used for training; every 5th by name was held out.
        with_baselines: whether the classical baselines are evaluated too.
        execution: device and precision.

    Raises:
        TrainingError: there are too few pictures, or one is too small.
        ModelError: the version's weights don't match its card.
        ImageError: a picture can't be read.
    """
    style = find_pictures(style_images, validation_share=HELD_OUT_SHARE)
    photographs = images_in(data)
    if not has_enough_pictures(photographs, style):
        raise TrainingError(
            f"too few pictures to evaluate on: {data} holds {len(photographs)} photographs, and every 5th style "
            f"picture was held out, {len(style.validation)} in all. At least {_MIN_PICTURES} of each are needed"
        )
    yield from evaluate_style_pictures(folder, photographs, style, with_baselines=with_baselines, execution=execution)


def has_enough_pictures(photographs: Sequence[Path], style: TrainingPictures) -> bool:
    """Whether there are enough pictures to evaluate a style."""
    return min(len(photographs), len(style.validation)) >= _MIN_PICTURES


def evaluate_style_pictures(
    folder: ModelFolder,
    photographs: Sequence[Path],
    style: TrainingPictures,
    *,
    with_baselines: bool = True,
    execution: Execution | None = None,
) -> Iterator[Row]:
    """Yields the rows of :func:`evaluate_style` for photographs and style pictures that are already listed."""
    models = LoadedModels(lambda _stage: folder, execution)
    recipe = Recipe(stages=(folder.card.stage({}),))

    def styled(picture: Array) -> Array:
        return np.asarray(restore_array(picture, recipe, models=models), dtype=np.float32)

    content, held_out, references = (_read_centres(paths) for paths in (photographs, style.validation, style.training))
    comparison = _StyleComparison([*references, *held_out], held_out)
    for case, pictures in (
        ("style reached", content),
        ("style reached, soft", [_enlarge_twofold(one) for one in content]),
    ):
        sets = {"input": pictures, folder.card.reference: [styled(picture) for picture in pictures]}
        for name, baseline in colour_transfer_baselines(references).items() if with_baselines else ():
            sets[name] = [baseline(index, picture) for index, picture in enumerate(pictures)]
        metrics = comparison.metrics(sets)
        for name in sets:
            yield Row(case=case, method=name, pictures=len(pictures), metrics=metrics[name])
        yield Row(case=case, method="real against real", pictures=len(held_out), metrics=metrics["floor"])
    yield from _invariance_rows(folder.card.reference, styled, held_out, content)


class _StyleComparison:
    """Compares sets of pictures with real style pictures, whose feature vectors are computed once."""

    def __init__(self, real: Sequence[Array], held_out: Sequence[Array]) -> None:
        texture = Texture()
        vectors = {"colour": colour_vector, "gram": texture.grams, "spectrum": texture.spectrum}
        self._vectors = {name: (vector, [vector(picture) for picture in real]) for name, vector in vectors.items()}
        self._held_out = held_out

    def metrics(self, sets: Mapping[str, Sequence[Array]]) -> dict[str, dict[str, float | None]]:
        """Computes the metrics of each set, including ``input``, and of ``floor``, real pictures against real ones."""
        metrics: dict[str, dict[str, float | None]] = {name: {} for name in ("floor", *sets)}
        for measure, (vector, real) in self._vectors.items():
            vectors = {name: [vector(picture) for picture in pictures] for name, pictures in sets.items()}
            for name, (distance, share) in distances(real, vectors, scaled=measure == "colour").items():
                metrics[name][f"{measure}_distance"] = round(distance, 4)
                metrics[name][f"{measure}_share"] = None if share is None else round(share, 4)
        for name, pictures in sets.items():
            similarities = [_content_ssim(source, one) for source, one in zip(sets["input"], pictures, strict=True)]
            metrics[name]["content_ssim"] = round(float(np.mean(similarities)), 4)
            metrics[name]["auc"] = round(classifier_auc(self._held_out, pictures), 4)
        return metrics


def _content_ssim(source: Array, styled: Array) -> float:
    similarity = content_ssim(
        Picture.from_array(styled),
        Picture.from_array(source),
        Area(x=0, y=0, width=source.shape[1], height=source.shape[0]),
    )
    return np.nan if similarity is None else similarity


def _invariance_rows(
    method: str, styled: Callable[[Array], Array], held_out: Sequence[Array], photographs: Sequence[Array]
) -> Iterator[Row]:
    levels = [psnr(picture, styled(picture)) for picture in held_out]
    metrics = {"psnr_median": float(np.median(levels)), "psnr_least": float(np.min(levels))}
    yield Row(case="left alone", method=method, pictures=len(levels), metrics=_rounded(metrics))
    grey = [np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2) for picture in photographs]
    for case, pictures in (("neutral given", grey), ("colours given", photographs)):
        chroma_ranges = [float(np.ptp(styled(picture), axis=2).max()) * 255 for picture in pictures]
        yield Row(
            case=case,
            method=method,
            pictures=len(chroma_ranges),
            metrics=_rounded({"most_chroma_steps": max(chroma_ranges)}),
        )


def _read_centres(paths: Sequence[Path]) -> list[Array]:
    """Reads the centres of pictures as RGB in sRGB."""
    centres = [read_centre(path, _MAX_PX, as_srgb=True) for path in paths]
    for path, centre in zip(paths, centres, strict=True):
        if min(centre.shape[:2]) < PATCH_PX:
            raise TrainingError(f"{path} is too small to evaluate on: less than {PATCH_PX} px a side. Remove it")
    return [np.repeat(centre, 3, axis=2) if centre.shape[2] == 1 else centre for centre in centres]


def _enlarge_twofold(picture: Array) -> Array:
    """Enlarges the centre of a picture (H, W, 3) twofold; odd sides become a pixel shorter."""
    height, width = (side // 2 for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    centre = torch.from_numpy(picture[top : top + height, left : left + width]).permute(2, 0, 1)[None]
    enlarged = torch.nn.functional.interpolate(centre, scale_factor=2, mode="bicubic", align_corners=False)
    return np.ascontiguousarray(enlarged[0].permute(1, 2, 0).clamp(0, 1).numpy())


def _rounded(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: round(value, 2) if np.isfinite(value) else None for name, value in metrics.items()}
