"""Settings and photographs of a training that takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from restoration.execution import Execution
from restoration.training import TrainingSettings

TINY = TrainingSettings(
    name="tiny",
    version="0.1",
    widths=(8, 12),
    blocks=(1, 1),
    pixel_steps=12,
    adversarial_steps=8,
    batch_size=2,
    patch_px=32,
    checkpoint_every=5,
    validate_every=10,
)
CPU = Execution(device="cpu", precision="fp32")


def write_training_pictures(folder: Path) -> Path:
    """Writes four clean photographs and a damage mask, in the folder layout of training data; returns the folder."""
    (folder / "photographs").mkdir(parents=True)
    (folder / "damage").mkdir()
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        Image.fromarray(getattr(data, name)()[:200, :240]).save(folder / "photographs" / f"{name}.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[20:23] = 255
    Image.fromarray(mask).save(folder / "damage" / "line.png")
    return folder
