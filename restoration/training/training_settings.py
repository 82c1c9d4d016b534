"""Settings of a training."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from restoration.errors import TrainingError
from restoration.training.losses import LossWeights

_ADVERSARIAL_STEP_COST = 1.3  # in pixel steps; measured on CPUs and taken for the estimate only


def name_and_version(folder: Path) -> tuple[str, str]:
    """The model's name and version that a folder's name gives.

    Raises:
        TrainingError: it gives none.
    """
    named = re.fullmatch(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)*?)[-@]([0-9][0-9A-Za-z.+_]*)", folder.name)
    if named is None:
        raise TrainingError(
            f"the folder {folder.name!r} names the model: call it like denoise-deblur-0.2, "
            "lower-case words and a version that starts with a digit"
        )
    return named[1], named[2]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Everything that a training's result depends on but the pictures. Kept in the checkpoint and in the card.

    ``widths`` and ``blocks`` are the generator's numbers (see :class:`restoration.networks.ResidualUNet`); learning
    rates fall in a straight line over the last ``falling_share`` of each phase. ``data_terms`` are those that the
    photographs may be used under. ``patience`` is how many validations without a gain of 0.01 dB let the pixel phase
    begin its fall early. ``started_from`` names the version whose weights initialised the generator, if any. With
    ``minutes`` the numbers of steps only give the proportion of the phases; both are fitted into that time.
    """

    name: str
    version: str
    description: str = ""
    data_terms: str = ""
    widths: tuple[int, ...] = (64, 96, 160)
    blocks: tuple[int, ...] = (2, 2, 2)
    pixel_steps: int = 16_000
    adversarial_steps: int = 3_000
    batch_size: int = 16
    patch_px: int = 96
    learning_rate: float = 4e-4
    adversarial_learning_rate: float = 1e-4
    falling_share: float = 0.4
    loss_weights: LossWeights = field(default_factory=LossWeights)
    ema_decay: float = 0.999
    seed: int = 0
    checkpoint_every: int = 250
    validate_every: int = 250
    patience: int = 12
    perceptual_weights_sha256: str | None = None
    started_from: str = ""
    minutes: float | None = None

    @classmethod
    def named_after(cls, folder: Path) -> TrainingSettings:
        """The default settings for a version named as its folder is: ``street-views-0.2`` or ``street-views@0.2``.

        Raises:
            TrainingError: the folder's name isn't a model name and a version.
        """
        name, version = name_and_version(folder)
        return cls(name=name, version=version)

    @property
    def steps(self) -> int:
        """Steps of both phases together."""
        return self.pixel_steps + self.adversarial_steps

    def rate(self, step: int) -> float:
        """The generator's learning rate at ``step``: it rises over 200 steps, stays, and falls at the phase's end."""
        if step < self.pixel_steps:
            share, peak = step / self.pixel_steps, self.learning_rate * min(1.0, (step + 1) / 200)
        else:
            share, peak = (step - self.pixel_steps) / self.adversarial_steps, self.adversarial_learning_rate
        return peak * max(0.01, min(1.0, (1 - share) / self.falling_share))

    def falling_from(self, step: int) -> TrainingSettings:
        """The same, but with a pixel phase whose learning rate begins to fall at ``step``, if it didn't before."""
        return replace(self, pixel_steps=min(self.pixel_steps, math.ceil(step / (1 - self.falling_share))))

    def fitted(self, step: int, *, seconds_left: float, seconds_per_step: float) -> TrainingSettings:
        """The same, with phases that end when the time does.

        Args:
            step: how many steps were taken.
            seconds_left: for all further steps.
            seconds_per_step: of the phase that ``step`` is in.
        """
        if step >= self.pixel_steps:
            further = max(1, int(seconds_left / seconds_per_step))
            return replace(self, adversarial_steps=step - self.pixel_steps + further)
        ratio = self.adversarial_steps / self.pixel_steps
        cost = ratio * _ADVERSARIAL_STEP_COST
        further = int((seconds_left / seconds_per_step - cost * step) / (1 + cost))
        pixel_steps = step + max(1, further)
        return replace(self, pixel_steps=pixel_steps, adversarial_steps=max(1, round(ratio * pixel_steps)))

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> TrainingSettings:
        """The settings that ``asdict`` and JSON made plain."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return cls(**{**plain, "loss_weights": LossWeights(**stored["loss_weights"])})
