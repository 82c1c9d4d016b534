"""Training of restoration models: data, losses, the adversarial game, evaluation, release of a version folder."""

from __future__ import annotations

from restoration.training.adversarial import LossWeights
from restoration.training.evaluation import Row, evaluate_version
from restoration.training.trainer import TrainingSettings, train

__all__ = ["LossWeights", "Row", "TrainingSettings", "evaluate_version", "train"]
