"""What a training shows in TensorBoard: losses, validation, and pictures before, after and as they should be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from tensorboardX import SummaryWriter

from restoration.training.data import AgedPatches

_SHOWN = 6  # pairs


class Board:
    """Event files in ``folder``, for ``tensorboard --logdir``; a resumed training adds to them."""

    def __init__(self, folder: Path, *, first: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first or None)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, patches: AgedPatches, made: torch.Tensor) -> None:
        """Adds a sheet: a row a pair, with aged, restored and target from left to right."""
        rows = torch.cat([patches.aged.clamp(0, 1), made, patches.target.clamp(0, 1)], dim=3)[:_SHOWN]
        sheet = torch.cat(list(rows.cpu()), dim=1)
        self._writer.add_image("aged, restored, target", sheet.numpy(), step)

    def close(self) -> None:
        """Writes out what is still held back."""
        self._writer.close()
