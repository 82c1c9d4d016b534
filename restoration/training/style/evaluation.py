"""What a style does to pictures that it wasn't trained on, in figures, beside classical colour transfer."""

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
from restoration.training.evaluation import Row, read_middle
from restoration.training.evaluation_metrics import psnr
from restoration.training.style.colour_transfer import colour_transfer_baselines
from restoration.training.style.real_fake_classifier import PATCH_PX, classifier_auc
from restoration.training.style.style_data import HELD_BACK_SHARE
from restoration.training.style.style_metrics import Texture, colour_vector, distances

Array = NDArray[np.float32]

_MOST_PX = 512  # a side; of a larger picture the middle is taken
_FEWEST = 3  # photographs, and held-back pictures of the style: the discriminator's folds


def evaluate_style(
    folder: ModelFolder,
    data: Path,
    style_images: Path,
    *,
    with_peers: bool = True,
    execution: Execution | None = None,
) -> Iterator[Row]:
    """Measures a style's version, at full strength, beside the input and two classical peers.

    Rows of the cases ``style reached`` and ``style reached, soft`` (the photographs' middles enlarged twofold: a scan
    of a large negative is smooth at 100 %) have ``content_ssim``; ``colour_distance``, ``gram_distance`` and
    ``spectrum_distance`` from the real pictures, each with its ``..._share`` (see
    :func:`restoration.training.style.style_metrics.distances`); and ``auc`` of a discriminator trained on the held-out
    real pictures. ``left alone`` says how near those come to themselves; ``neutral given`` and ``colours given``
    how far from neutral the photographs come out without and with their colours, at most, in steps of 1/255.

    Args:
        folder: the version.
        data: a folder of photographs that it wasn't trained on.
        style_images: the folder of pictures that it was trained with; every 5th by name was held back.
        with_peers: whether the classical ones are measured too.
        execution: device and precision.

    Raises:
        TrainingError: there are too few pictures, or one is too small.
        ModelError: the version's weights aren't those of its card.
        ImageError: a picture can't be read.
    """
    style = find_pictures(style_images, validation_share=HELD_BACK_SHARE)
    photographs = images_in(data)
    if not has_enough_pictures(photographs, style):
        raise TrainingError(
            f"{data} holds {len(photographs)} photographs, and of the style {len(style.validation)} pictures were held "
            f"back, every 5th by name: {_FEWEST} of each are needed to measure on"
        )
    yield from evaluate_style_pictures(folder, photographs, style, with_peers=with_peers, execution=execution)


def has_enough_pictures(photographs: Sequence[Path], style: TrainingPictures) -> bool:
    """Whether there are pictures enough to measure a style on."""
    return min(len(photographs), len(style.validation)) >= _FEWEST


def evaluate_style_pictures(
    folder: ModelFolder,
    photographs: Sequence[Path],
    style: TrainingPictures,
    *,
    with_peers: bool = True,
    execution: Execution | None = None,
) -> Iterator[Row]:
    """The rows of :func:`evaluate_style` for these photographs and a style's pictures, of which some were held back."""
    models = LoadedModels(lambda _stage: folder, execution)
    recipe = Recipe(stages=(folder.card.stage({}),))

    def styled(picture: Array) -> Array:
        return np.asarray(restore_array(picture, recipe, models=models), dtype=np.float32)

    given, held_back, references = (_read(paths) for paths in (photographs, style.validation, style.training))
    reached = _Reached([*references, *held_back], held_back)
    for case, pictures in (("style reached", given), ("style reached, soft", [_enlarged(one) for one in given])):
        made = {"input": pictures, folder.card.reference: [styled(picture) for picture in pictures]}
        for name, peer in colour_transfer_baselines(references).items() if with_peers else ():
            made[name] = [peer(number, picture) for number, picture in enumerate(pictures)]
        figures = reached.figures(made)
        for name in made:
            yield Row(case=case, method=name, pictures=len(pictures), figures=figures[name])
        yield Row(case=case, method="real against real", pictures=len(held_back), figures=figures["floor"])
    yield from _left_alone(folder.card.reference, styled, held_back, given)


class _Reached:
    """What sets of pictures are like beside the real ones, whose vectors are worked out once."""

    def __init__(self, real: Sequence[Array], held_back: Sequence[Array]) -> None:
        texture = Texture()
        vectors = {"colour": colour_vector, "gram": texture.grams, "spectrum": texture.spectrum}
        self._vectors = {name: (vector, [vector(picture) for picture in real]) for name, vector in vectors.items()}
        self._held_back = held_back

    def figures(self, made: Mapping[str, Sequence[Array]]) -> dict[str, dict[str, float | None]]:
        """The figures of each set, ``input`` among them, and of ``floor``, real pictures beside others."""
        figures: dict[str, dict[str, float | None]] = {name: {} for name in ("floor", *made)}
        for measure, (vector, real) in self._vectors.items():
            vectors = {name: [vector(picture) for picture in pictures] for name, pictures in made.items()}
            for name, (distance, share) in distances(real, vectors, scaled=measure == "colour").items():
                figures[name][f"{measure}_distance"] = round(distance, 4)
                figures[name][f"{measure}_share"] = None if share is None else round(share, 4)
        for name, pictures in made.items():
            kept = [_content_kept(source, one) for source, one in zip(made["input"], pictures, strict=True)]
            figures[name]["content_ssim"] = round(float(np.mean(kept)), 4)
            figures[name]["auc"] = round(classifier_auc(self._held_back, pictures), 4)
        return figures


def _content_kept(source: Array, made: Array) -> float:
    kept = content_ssim(
        Picture.from_array(made),
        Picture.from_array(source),
        Area(x=0, y=0, width=source.shape[1], height=source.shape[0]),
    )
    return np.nan if kept is None else kept


def _left_alone(
    method: str, styled: Callable[[Array], Array], held_back: Sequence[Array], photographs: Sequence[Array]
) -> Iterator[Row]:
    kept = [psnr(picture, styled(picture)) for picture in held_back]
    figures = {"psnr_median": float(np.median(kept)), "psnr_least": float(np.min(kept))}
    yield Row(case="left alone", method=method, pictures=len(kept), figures=_rounded(figures))
    grey = [np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2) for picture in photographs]
    for case, pictures in (("neutral given", grey), ("colours given", photographs)):
        casts = [float(np.ptp(styled(picture), axis=2).max()) * 255 for picture in pictures]
        yield Row(case=case, method=method, pictures=len(casts), figures=_rounded({"most_chroma_steps": max(casts)}))


def _read(paths: Sequence[Path]) -> list[Array]:
    """The middles of pictures, as RGB in sRGB."""
    middles = [read_middle(path, _MOST_PX, as_srgb=True) for path in paths]
    for path, middle in zip(paths, middles, strict=True):
        if min(middle.shape[:2]) < PATCH_PX:
            raise TrainingError(f"{path} is smaller than {PATCH_PX} px a side, too small to measure on: leave it out")
    return [np.repeat(middle, 3, axis=2) if middle.shape[2] == 1 else middle for middle in middles]


def _enlarged(picture: Array) -> Array:
    """The middle of a picture (H, W, 3), enlarged twofold to its size, less a pixel where that is odd."""
    height, width = (side // 2 for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    middle = torch.from_numpy(picture[top : top + height, left : left + width]).permute(2, 0, 1)[None]
    enlarged = torch.nn.functional.interpolate(middle, scale_factor=2, mode="bicubic", align_corners=False)
    return np.ascontiguousarray(enlarged[0].permute(1, 2, 0).clamp(0, 1).numpy())


def _rounded(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: round(value, 2) if np.isfinite(value) else None for name, value in figures.items()}
