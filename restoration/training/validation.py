"""Validation: PSNR and invented texture of a network on a fixed set of held-out aged pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from restoration.colour.colour_operations import LUMA_WEIGHTS
from restoration.execution import autocast
from restoration.networks import Generator
from restoration.training.aged_pairs import AgedPairs, AgedPatches, RealDefects, TrainingPictures, batches_of
from restoration.training.ema import weights_applied

_MAX_DB = 60.0  # limit for a pair that is nearly identical
_BATCH_SIZE = 8
_BLOCK_PX = 16
_FLAT_LEVEL = 1.5 / 255  # a block of the target with less high-pass deviation is flat


@dataclass(frozen=True, kw_only=True)
class ValidationMetrics:
    """What a restoration kept and what it added, over all validation pairs.

    ``psnr_db`` is the mean over the pairs. ``invented_texture`` is the texture that the restoration adds to flat
    places, as a standard deviation of encoded values: of the blocks of 16 x 16 px in which the target's luma hardly
    varies, the root mean square of what the restoration's high-pass (luma less its mean over 3 x 3 px) has beyond the
    target's. PSNR hardly sees it.
    """

    psnr_db: float
    invented_texture: float


class Validation:
    """Aged pairs of the validation photographs, sampled once."""

    def __init__(
        self,
        pictures: TrainingPictures,
        defects: RealDefects,
        *,
        patch_px: int,
        seed: int,
        device: torch.device,
        autocast: torch.dtype | None,
        damage_share: float = 0.0,
        pairs: int = 64,
    ) -> None:
        dataset = AgedPairs(pictures.validation, defects, patch_px=patch_px, seed=seed + 1, damage_share=damage_share)
        # One patch per photograph: further patches of the same photograph add little.
        self.batches: Sequence[AgedPatches] = [
            batches_of([dataset[index] for index in range(first, first + _BATCH_SIZE)])[0].to(device)
            for first in range(0, pairs, _BATCH_SIZE)
        ]
        self._device, self._autocast = device, autocast

    @property
    def pixels(self) -> int:
        """The number of pixels of all pairs."""
        return sum(batch.aged[:, 0].numel() for batch in self.batches)

    def restore(self, network: Generator, patches: AgedPatches) -> Tensor:
        """Restores a batch with ``network``: (N, 3, h, w) float32 in [0, 1]."""
        with torch.no_grad(), autocast(self._device, self._autocast):
            restored: Tensor = network(patches.aged, patches.conditions_of(network))
        return restored.float().clamp(0, 1)

    def measure(self, network: Generator, weights: Mapping[str, Tensor]) -> ValidationMetrics:
        """Measures ``network`` with ``weights``; afterwards the network has its own weights again."""
        errors, beyond = [], []
        for restored, target in self._restored_pairs(network, weights):
            errors.append(((restored - target) ** 2).mean(dim=(1, 2, 3)))
            after, before = _block_variance(restored), _block_variance(target)
            beyond.append((after - before)[before < _FLAT_LEVEL**2].clamp(min=0))
        psnr = (-10 * torch.log10(torch.cat(errors).clamp(min=1e-12))).clamp(max=_MAX_DB).mean()
        return ValidationMetrics(
            psnr_db=float(psnr), invented_texture=float(torch.cat(beyond).mean().sqrt().nan_to_num())
        )

    def _restored_pairs(self, network: Generator, weights: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        with weights_applied(network, weights):
            for patches in self.batches:
                yield self.restore(network, patches), patches.target.clamp(0, 1)


def _block_variance(pictures: Tensor) -> Tensor:
    """The variance of the luma's high-pass in blocks, (N, rows, columns), of (N, 3, h, w)."""
    luma = torch.einsum("nchw,c->nhw", pictures, torch.as_tensor(LUMA_WEIGHTS, device=pictures.device))[:, None]
    high = luma - functional.avg_pool2d(luma, 3, stride=1, padding=1, count_include_pad=False)
    mean, square = functional.avg_pool2d(high, _BLOCK_PX), functional.avg_pool2d(high**2, _BLOCK_PX)
    return (square - mean**2)[:, 0]
