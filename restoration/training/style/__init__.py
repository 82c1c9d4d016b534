"""Training of styles: data, losses, adversarial training with one discriminator per style, release, evaluation."""

from __future__ import annotations

from restoration.training.style.evaluation import evaluate_style
from restoration.training.style.losses import StyleLossWeights
from restoration.training.style.style_settings import StyleTrainingSettings
from restoration.training.style.trainer import train_styles

__all__ = ["StyleLossWeights", "StyleTrainingSettings", "evaluate_style", "train_styles"]
