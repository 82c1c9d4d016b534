"""Training of restoration models: data, losses, adversarial training, evaluation, release of a version folder."""

from __future__ import annotations

from restoration.training.evaluation import Row, evaluate_version
from restoration.training.losses import LossWeights
from restoration.training.trainer import train
from restoration.training.training_settings import TrainingSettings

__all__ = ["LossWeights", "Row", "TrainingSettings", "evaluate_version", "train"]
