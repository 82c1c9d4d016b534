"""The losses of restoration: pixel, feature and adversarial losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

DiscriminatorOutput = list[tuple[Tensor, list[Tensor]]]
"""For each scale: the scores and the features of each layer."""


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the losses in the adversarial phase; the pixel phase uses only the pixel loss.

    ``damage`` is the weight of the damaged pixels' part of the pixel loss, ``floor`` the mean squared error of a patch
    below which it hardly affects the pixel loss, and ``damage_floor`` that of its damaged pixels.
    """

    pixel: float = 0.02
    damage: float = 1.0
    floor: float = 1e-4
    damage_floor: float = 1e-4
    feature: float = 0.02
    adversarial: float = 0.02


def pixel_loss(restored: Tensor, target: Tensor, damage: Tensor, *, weights: LossWeights) -> Tensor:
    """Mean logarithm of each patch's mean squared error, a scalar: a PSNR loss (as in HINet, Chen et al. 2021).

    With the logarithm, patches with little noise affect the loss as much as patches with large errors, such as faded
    ones. Damaged pixels have a logarithm of their own, so that their large errors don't hide the small ones that a
    repair leaves around them.

    Args:
        restored: (N, C, h, w), encoded values about [0, 1].
        target: the same shape.
        damage: (N, 1, h, w), from 0 for undamaged pixels to 1.
        weights: the weight of the damaged pixels' logarithm, and the floors of both.
    """
    error = (restored.float() - target.float()) ** 2
    undamaged = (error * (1 - damage)).mean(dim=(1, 2, 3))
    damaged = (error * damage).mean(dim=(1, 2, 3))
    logarithms = torch.log1p(undamaged / weights.floor), torch.log1p(damaged / weights.damage_floor)
    return (logarithms[0] + weights.damage * logarithms[1]).mean()


def feature_loss(restored: DiscriminatorOutput, target: DiscriminatorOutput) -> Tensor:
    """Mean absolute difference of the discriminator's features (Larsen et al. 2016; Wang et al. 2018), a scalar.

    All layers have the same weight; no gradient flows to the target.
    """
    differences = [
        functional.l1_loss(of_restored.float(), of_target.detach().float())
        for (_, restored_features), (_, target_features) in zip(restored, target, strict=True)
        for of_restored, of_target in zip(restored_features, target_features, strict=True)
    ]
    return torch.stack(differences).mean()


def perceptual_loss(restored: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of a fixed network's features (Johnson et al. 2016), a scalar.

    All layers have the same weight.
    """
    differences = [
        functional.l1_loss(one.float(), other.detach().float()) for one, other in zip(restored, target, strict=True)
    ]
    return torch.stack(differences).mean()


def adversarial_loss(restored: DiscriminatorOutput) -> Tensor:
    """Hinge loss of the generator (Lim and Ye 2017): the negative mean score of restored pictures."""
    return torch.stack([-scores.float().mean() for scores, _ in restored]).mean()


def discriminator_loss(real: DiscriminatorOutput, restored: DiscriminatorOutput) -> Tensor:
    """Hinge loss of the discriminator: scores of real pictures above 1, of restored ones below -1."""
    return torch.stack(
        [
            functional.relu(1 - real_scores.float()).mean() + functional.relu(1 + restored_scores.float()).mean()
            for (real_scores, _), (restored_scores, _) in zip(real, restored, strict=True)
        ]
    ).mean()
