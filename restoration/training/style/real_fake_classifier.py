"""A discriminator trained afresh: can what a style makes be told from real pictures of the style?"""

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
_BATCH = 16
_FOLDS = 3
_SEEN_PER_PICTURE = 8  # patches, at the test


def classifier_auc(real: Sequence[Array], made: Sequence[Array], *, seed: int = 0, steps: int = _STEPS) -> float:
    """The area under the curve of a small patch discriminator on pictures that it wasn't trained on.

    The pictures are parted into three; each third is scored, a picture by the mean of eight patches, by a network
    trained on the others; the areas of the three are averaged, since each network scores from a zero of its own. The
    same seed gives every method the same networks and the same patches' places.

    Args:
        real: pictures (H, W, 3), at least 64 px a side, three at least.
        made: the same of what is to be told from them.
        seed: of networks and patches.
        steps: how long each network is trained.

    Returns:
        0.5 where they can't be told apart, 1 where they always can.
    """
    areas = []
    for fold in range(_FOLDS):
        rng = np.random.default_rng([seed, fold])
        network = _trained([_part(set_, fold, test=False) for set_ in (real, made)], rng, seed + fold, steps)
        scores: list[list[float]] = []
        for set_ in (real, made):
            scores.append([])
            for picture in _part(set_, fold, test=True):
                patches = torch.stack([_patch(picture, rng) for _ in range(_SEEN_PER_PICTURE)])
                with torch.no_grad():
                    scores[-1].append(float(network(patches).mean()))
        areas.append(area_under_curve(*scores))
    return float(np.mean(areas))


def _part(pictures: Sequence[Array], fold: int, *, test: bool) -> list[Array]:
    return [picture for number, picture in enumerate(pictures) if (number % _FOLDS == fold) == test]


def _trained(sets: Sequence[list[Array]], rng: np.random.Generator, seed: int, steps: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inner, outer in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(inner, outer, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    wanted = torch.tensor([[1.0]] * (_BATCH // 2) + [[0.0]] * (_BATCH // 2))
    for _ in range(steps):
        patches = [_patch(set_[rng.integers(len(set_))], rng) for set_ in sets for _ in range(_BATCH // 2)]
        loss = nn.functional.binary_cross_entropy_with_logits(network(torch.stack(patches)), wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


def _patch(picture: Array, rng: np.random.Generator) -> Tensor:
    top, left = (int(rng.integers(side - PATCH_PX + 1)) for side in picture.shape[:2])
    patch = picture[top : top + PATCH_PX, left : left + PATCH_PX].transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(patch)) - 0.5
