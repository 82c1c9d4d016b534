"""What a training shows in TensorBoard: losses, validation, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tensorboardX import SummaryWriter

_SHOWN = 6  # rows


class TensorBoardWriter:
    """Event files in ``folder``, for ``tensorboard --logdir``; a resumed training adds to them."""

    def __init__(self, folder: Path, *, first: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first or None)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, name: str, columns: Sequence[torch.Tensor]) -> None:
        """Adds a sheet called ``name``: a row a picture, of columns (N, 3, h, w) in [0, 1] from left to right."""
        rows = torch.cat(list(columns), dim=3)[:_SHOWN]
        sheet = torch.cat(list(rows.cpu()), dim=1)
        self._writer.add_image(name, sheet.numpy(), step)

    def close(self) -> None:
        """Writes out what is still held back."""
        self._writer.close()
