"""Settings of a restoration training."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from restoration.errors import TrainingError
from restoration.training.losses import LossWeights

_ADVERSARIAL_STEP_COST = 1.3  # in pixel steps; measured on CPUs, used only for the estimate


def name_and_version(folder: Path) -> tuple[str, str]:
    """Parses the model name and version from a folder's name.

    Raises:
        TrainingError: the folder's name isn't a model name and a version.
    """
    match = re.fullmatch(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)*?)[-@]([0-9][0-9A-Za-z.+_]*)", folder.name)
    if match is None:
        raise TrainingError(
            f"the folder {folder.name!r} names the model. Use a name like denoise-deblur-0.2: "
            "lower-case words and a version that starts with a digit"
        )
    return match[1], match[2]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """All settings that affect the result, except the training images. The checkpoint and the card store them.

    Attributes:
        data_terms: the terms of use of the photographs.
        widths: channels per depth of the generator, see :class:`restoration.networks.ResidualUNet`.
        blocks: residual blocks per depth.
        damage_share: of the photographs ask for the repair of damage, most of which are damaged, beside those among the
            others that do.
        falling_share: the learning rate decays linearly over this last share of each phase.
        patience: the decay of the pixel phase starts early after so many validations without a gain of 0.01 dB.
        started_from: the version whose weights initialised the generator, or "".
        minutes: the time limit. If set, both phases are fitted into it, in the proportion of their numbers of steps.
    """

    name: str
    version: str
    description: str = ""
    data_terms: str = ""
    widths: tuple[int, ...] = (64, 96, 160)
    blocks: tuple[int, ...] = (2, 2, 2)
    pixel_steps: int = 16_000
    adversarial_steps: int = 3_000
    damage_share: float = 0.0
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
        """Default settings for the version that the folder names: ``street-views-0.2`` or ``street-views@0.2``.

        Raises:
            TrainingError: the folder's name isn't a model name and a version.
        """
        name, version = name_and_version(folder)
        return cls(name=name, version=version)

    @property
    def steps(self) -> int:
        """The number of steps of both phases."""
        return self.pixel_steps + self.adversarial_steps

    def rate(self, step: int) -> float:
        """The generator's learning rate at ``step``: warm-up over 200 steps, constant, then linear decay."""
        if step < self.pixel_steps:
            progress, peak = step / self.pixel_steps, self.learning_rate * min(1.0, (step + 1) / 200)
        else:
            progress, peak = (step - self.pixel_steps) / self.adversarial_steps, self.adversarial_learning_rate
        return peak * max(0.01, min(1.0, (1 - progress) / self.falling_share))

    def with_decay_from(self, step: int) -> TrainingSettings:
        """Returns settings whose pixel phase starts its decay at ``step``, unless it already started."""
        return replace(self, pixel_steps=min(self.pixel_steps, math.ceil(step / (1 - self.falling_share))))

    def fitted_to_time(self, step: int, *, seconds_left: float, seconds_per_step: float) -> TrainingSettings:
        """Returns settings whose phases end when the time does.

        Args:
            step: the number of completed steps.
            seconds_left: time for the remaining steps.
            seconds_per_step: measured in the current phase.
        """
        if step >= self.pixel_steps and not self.adversarial_steps:
            return self
        if step >= self.pixel_steps:
            remaining = max(1, int(seconds_left / seconds_per_step))
            return replace(self, adversarial_steps=step - self.pixel_steps + remaining)
        ratio = self.adversarial_steps / self.pixel_steps
        adversarial_cost = ratio * _ADVERSARIAL_STEP_COST
        remaining = int((seconds_left / seconds_per_step - adversarial_cost * step) / (1 + adversarial_cost))
        pixel_steps = step + max(1, remaining)
        adversarial_steps = max(1, round(ratio * pixel_steps)) if self.adversarial_steps else 0
        return replace(self, pixel_steps=pixel_steps, adversarial_steps=adversarial_steps)

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> TrainingSettings:
        """Restores settings from the JSON of their ``asdict``."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return cls(**{**plain, "loss_weights": LossWeights(**stored["loss_weights"])})
