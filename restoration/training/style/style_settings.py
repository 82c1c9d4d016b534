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
    """Everything that the result depends on but the pictures. Kept in the checkpoint and in the cards.

    One network is trained for all of ``names`` and released as a version of each. ``widths``, ``blocks`` and ``code``
    are its numbers (see :class:`restoration.networks.StyleNetwork`); the discriminators judge at ``scales`` scales. The
    colour phase teaches the mapping of tone and chroma alone; the game teaches texture too. Each learning rate falls in
    a straight line over the last ``falling_share`` of its phase. ``pictures`` and ``patches`` are how many of each kind
    a step sees. ``features_of`` says whose features judge content and texture.
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
        """The default settings for one style, named as its folder is: ``simulated-harbour-0.1``.

        Raises:
            TrainingError: the folder's name isn't a model name and a version.
        """
        name, version = name_and_version(folder)
        return cls(names=(name,), version=version)

    @property
    def steps(self) -> int:
        """Steps of both phases together."""
        return self.colour_steps + self.game_steps

    def rate(self, step: int) -> float:
        """The makers' learning rate at ``step``: it rises over 100 steps, stays, and falls at the phase's end."""
        if step < self.colour_steps:
            share, peak = step / self.colour_steps, self.colour_rate * min(1.0, (step + 1) / 100)
        else:
            share, peak = (step - self.colour_steps) / self.game_steps, self.game_rate
        return peak * max(0.05, min(1.0, (1 - share) / self.falling_share))

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> StyleTrainingSettings:
        """The settings that ``asdict`` and JSON made plain."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return cls(**{**plain, "loss_weights": StyleLossWeights(**stored["loss_weights"])})
