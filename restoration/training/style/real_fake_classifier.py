"""A classifier trained from scratch to distinguish styled pictures from real pictures of the style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restoration.training.style.style_metrics import area_under_curve

Array = NDArray[np.float32]

PATCH_PX = 64
_STEPS = 150
_BATCH_SIZE = 16
_FOLDS = 3
_TEST_PATCHES = 8  # per picture


def classifier_auc(real: Sequence[Array], styled: Sequence[Array], *, seed: int = 0, steps: int = _STEPS) -> float:
    """Area under the ROC curve of a small patch classifier, by three-fold cross-validation.

    Each fold is scored by a network trained on the other two; the score of a picture is the mean of eight patches. The
    areas of the folds are averaged, because the scores of different networks are not comparable. The same seed gives
    every method the same initial networks and the same patch positions.

    Args:
        real: at least three pictures (H, W, 3), at least 64 px a side.
        styled: the same for styled pictures.
        seed: the seed of networks and patches.
        steps: training steps per network.

    Returns:
        0.5 if they can't be distinguished, 1 if they always can.
    """
    areas = []
    for fold in range(_FOLDS):
        rng = np.random.default_rng([seed, fold])
        network = _train_classifier(
            [_fold_pictures(set_, fold, test=False) for set_ in (real, styled)], rng, seed + fold, steps
        )
        scores: list[list[float]] = []
        for set_ in (real, styled):
            scores.append([])
            for picture in _fold_pictures(set_, fold, test=True):
                patches = torch.stack([_sample_patch(picture, rng) for _ in range(_TEST_PATCHES)])
                with torch.no_grad():
                    scores[-1].append(float(network(patches).mean()))
        areas.append(area_under_curve(*scores))
    return float(np.mean(areas))


def _fold_pictures(pictures: Sequence[Array], fold: int, *, test: bool) -> list[Array]:
    return [picture for number, picture in enumerate(pictures) if (number % _FOLDS == fold) == test]


def _train_classifier(sets: Sequence[list[Array]], rng: np.random.Generator, seed: int, steps: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inner, outer in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(inner, outer, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    labels = torch.tensor([[1.0]] * (_BATCH_SIZE // 2) + [[0.0]] * (_BATCH_SIZE // 2))
    for _ in range(steps):
        patches = [_sample_patch(set_[rng.integers(len(set_))], rng) for set_ in sets for _ in range(_BATCH_SIZE // 2)]
        loss = nn.functional.binary_cross_entropy_with_logits(network(torch.stack(patches)), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


def _sample_patch(picture: Array, rng: np.random.Generator) -> Tensor:
    top, left = (int(rng.integers(side - PATCH_PX + 1)) for side in picture.shape[:2])
    patch = picture[top : top + PATCH_PX, left : left + PATCH_PX].transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(patch)) - 0.5
