"""Settings of a style training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restoration.training.style.losses import StyleLossWeights
from restoration.training.training_settings import name_and_version


@dataclass(frozen=True, kw_only=True)
class StyleTrainingSettings:
    """All settings that affect the result, except the training images. The checkpoint and the cards store them.

    One network is trained for all ``names`` and released as a version of each. The colour phase trains only the mapping
    of tone and chroma; the adversarial phase also trains texture.

    Attributes:
        widths: channels per depth, see :class:`restoration.networks.StyleNetwork`, as for ``blocks`` and ``code``.
        scales: the number of scales of each discriminator.
        colour_steps: steps of the colour phase, with the learning rate ``colour_rate``.
        game_steps: steps of the adversarial phase, with the learning rate ``game_rate``.
        pictures: the number of pictures per step and kind whose pixels train the colour mapping.
        patches: the number of patches per step and kind.
        falling_share: the learning rate decays linearly over this last share of each phase.
        features_of: the network whose features are used for content and texture.
    """

    names: tuple[str, ...]
    version: str
    descriptions: tuple[str, ...] = ()
    style_terms: str = ""
    data_terms: str = ""
    widths: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 1, 2)
    code: int = 64
    scales: int = 2
    colour_steps: int = 3_000
    game_steps: int = 12_000
    pictures: int = 16
    patches: int = 6
    patch_px: int = 96
    colour_rate: float = 1e-3
    game_rate: float = 2e-4
    falling_share: float = 0.4
    loss_weights: StyleLossWeights = field(default_factory=StyleLossWeights)
    ema_decay: float = 0.998
    seed: int = 0
    checkpoint_every: int = 250
    validate_every: int = 500
    features_of: str = ""
    perceptual_weights_sha256: str | None = None

    @classmethod
    def named_after(cls, folder: Path) -> StyleTrainingSettings:
        """Default settings for the one style that the folder names: ``simulated-harbour-0.1``.

        Raises:
            TrainingError: the folder's name isn't a model name and a version.
        """
        name, version = name_and_version(folder)
        return cls(names=(name,), version=version)

    @property
    def steps(self) -> int:
        """The number of steps of both phases."""
        return self.colour_steps + self.game_steps

    def rate(self, step: int) -> float:
        """The learning rate at ``step``: warm-up over 100 steps, constant, then linear decay."""
        if step < self.colour_steps:
            progress, peak = step / self.colour_steps, self.colour_rate * min(1.0, (step + 1) / 100)
        else:
            progress, peak = (step - self.colour_steps) / self.game_steps, self.game_rate
        return peak * max(0.05, min(1.0, (1 - progress) / self.falling_share))

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> StyleTrainingSettings:
        """Restores settings from the JSON of their ``asdict``."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return cls(**{**plain, "loss_weights": StyleLossWeights(**stored["loss_weights"])})
