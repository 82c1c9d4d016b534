"""TensorBoard log of a training: losses, validation metrics and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tensorboardX import SummaryWriter

_MAX_ROWS = 6  # of a sheet


class TensorBoardWriter:
    """Event files in ``folder``, for ``tensorboard --logdir``; a resumed training appends to them."""

    def __init__(self, folder: Path, *, first: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first or None)

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to the curve of each name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def add_pictures(self, step: int, name: str, columns: Sequence[torch.Tensor]) -> None:
        """Adds a sheet with one row per picture; ``columns`` are (N, 3, h, w) in [0, 1], from left to right."""
        rows = torch.cat(list(columns), dim=3)[:_MAX_ROWS]
        sheet = torch.cat(list(rows.cpu()), dim=1)
        self._writer.add_image(name, sheet.numpy(), step)

    def close(self) -> None:
        """Flushes and closes the log."""
        self._writer.close()
