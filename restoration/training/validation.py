"""Validation: PSNR of a network on a fixed set of held-out aged pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from restoration.networks import Generator
from restoration.training.aged_pairs import AgedPairs, AgedPatches, TrainingPictures, batches_of

_MAX_DB = 60.0  # limit for a pair that is nearly identical
_BATCH_SIZE = 8


class Validation:
    """Aged pairs of the validation photographs, sampled once."""

    def __init__(
        self,
        pictures: TrainingPictures,
        *,
        patch_px: int,
        seed: int,
        device: torch.device,
        autocast: torch.dtype | None,
        pairs: int = 64,
    ) -> None:
        dataset = AgedPairs(pictures.validation, pictures, patch_px=patch_px, seed=seed + 1)
        # One patch per photograph: further patches of the same photograph add little.
        self.batches: Sequence[AgedPatches] = [
            batches_of([dataset[index] for index in range(first, first + _BATCH_SIZE)])[0].to(device)
            for first in range(0, pairs, _BATCH_SIZE)
        ]
        self._device, self._autocast = device, autocast

    def restore(self, network: Generator, patches: AgedPatches) -> Tensor:
        """Restores a batch with ``network``: (N, 3, h, w) float32 in [0, 1]."""
        with (
            torch.no_grad(),
            torch.autocast(self._device.type, dtype=self._autocast, enabled=self._autocast is not None),
        ):
            restored: Tensor = network(patches.aged, patches.conditions_of(network))
        return restored.float().clamp(0, 1)

    def psnr(self, network: Generator, weights: Mapping[str, Tensor]) -> float:
        """Mean PSNR in dB of ``network`` with ``weights``; afterwards the network has its own weights again."""
        own = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(dict(weights))
        values = []
        for patches in self.batches:
            restored = self.restore(network, patches)
            error = ((restored - patches.target.clamp(0, 1)) ** 2).mean(dim=(1, 2, 3))
            values.append((-10 * torch.log10(error.clamp(min=1e-12))).clamp(max=_MAX_DB))
        network.load_state_dict(own)
        return float(torch.cat(values).mean())
