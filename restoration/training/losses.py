"""The losses of restoration: pixels, features, and the game against the discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Judgements = list[tuple[Tensor, list[Tensor]]]


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How much each loss counts in the adversarial phase; the pixel phase has the pixel loss alone.

    ``damage`` is how much more a damaged pixel counts in the pixel loss, since few pixels are damaged.
    """

    pixel: float = 0.02
    damage: float = 3.0
    feature: float = 0.02
    adversarial: float = 0.02


def pixel_loss(restored: Tensor, target: Tensor, weight: Tensor | None = None, *, floor: float = 1e-4) -> Tensor:
    """The logarithm of each patch's mean squared error, PSNR turned round (as in HINet, Chen et al. 2021), a scalar.

    The logarithm lets a patch with little noise count as much as one that can't be told well any more; without it the
    few that have faded drown all others.

    Args:
        restored: (N, C, h, w), encoded values about [0, 1].
        target: the same.
        weight: (N, 1, h, w), how much more than 1 a pixel counts; by itself all count the same.
        floor: the squared error that is as good as none; patches below it don't ask for more.
    """
    error = (restored.float() - target.float()) ** 2
    if weight is not None:
        error = error * (1 + weight)
    return torch.log1p(error.mean(dim=(1, 2, 3)) / floor).mean()


def feature_loss(restored: Judgements, target: Judgements) -> Tensor:
    """Mean absolute difference of the discriminator's features (Larsen et al. 2016; Wang et al. 2018), a scalar.

    Each layer weighs the same; the target's features are taken as given.
    """
    differences = [
        functional.l1_loss(of_restored.float(), of_target.detach().float())
        for (_, restored_features), (_, target_features) in zip(restored, target, strict=True)
        for of_restored, of_target in zip(restored_features, target_features, strict=True)
    ]
    return torch.stack(differences).mean()


def perceptual_loss(restored: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of a fixed network's features (Johnson et al. 2016), a scalar.

    Each layer weighs the same.
    """
    differences = [
        functional.l1_loss(one.float(), other.detach().float()) for one, other in zip(restored, target, strict=True)
    ]
    return torch.stack(differences).mean()


def adversarial_loss(restored: Judgements) -> Tensor:
    """The generator's side of the hinge game (Lim and Ye 2017): to be judged a photograph."""
    return torch.stack([-scores.float().mean() for scores, _ in restored]).mean()


def discriminator_loss(real: Judgements, restored: Judgements) -> Tensor:
    """The discriminator's side of the hinge game: real above 1, restored below -1."""
    return torch.stack(
        [
            functional.relu(1 - real_scores.float()).mean() + functional.relu(1 + restored_scores.float()).mean()
            for (real_scores, _), (restored_scores, _) in zip(real, restored, strict=True)
        ]
    ).mean()
