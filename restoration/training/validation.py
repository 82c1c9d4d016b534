"""How a training stands: its networks on pairs of photographs that no step sees, always the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from restoration.networks import Generator
from restoration.training.aged_pairs import AgedPairs, AgedPatches, TrainingPictures, batches_of

_MOST_DB = 60.0  # a pair that came out all but identical counts as this
_BATCH = 8


class Validation:
    """Aged pairs of the validation photographs, drawn once."""

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
        drawn = AgedPairs(pictures.validation, pictures, patch_px=patch_px, seed=seed + 1)
        # One patch of each photograph: the others of the same photograph tell little more.
        self.batches: Sequence[AgedPatches] = [
            batches_of([drawn[index] for index in range(first, first + _BATCH)])[0].to(device)
            for first in range(0, pairs, _BATCH)
        ]
        self._device, self._autocast = device, autocast

    def restore(self, network: Generator, patches: AgedPatches) -> Tensor:
        """What ``network`` makes of a batch: (N, 3, h, w) float32 in [0, 1]."""
        with (
            torch.no_grad(),
            torch.autocast(self._device.type, dtype=self._autocast, enabled=self._autocast is not None),
        ):
            made: Tensor = network(patches.aged, patches.conditions_of(network))
        return made.float().clamp(0, 1)

    def psnr(self, network: Generator, weights: Mapping[str, Tensor]) -> float:
        """The mean PSNR in dB, against the targets, of ``network`` with ``weights``; its own stay as they were."""
        own = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(dict(weights))
        levels = []
        for patches in self.batches:
            made = self.restore(network, patches)
            error = ((made - patches.target.clamp(0, 1)) ** 2).mean(dim=(1, 2, 3))
            levels.append((-10 * torch.log10(error.clamp(min=1e-12))).clamp(max=_MOST_DB))
        network.load_state_dict(own)
        return float(torch.cat(levels).mean())
