"""Generator against discriminator, in turns.

One step reads: ``restored = generator(aged)``; the discriminator learns to tell ``target`` from ``restored``; the
generator learns to come near the target in pixels and features, and to be taken for a photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from restoration.networks import Generator, PatchDiscriminator
from restoration.training.losses import adversarial_loss, discriminator_loss, feature_loss, pixel_loss

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How much each loss counts in the adversarial phase; the pixel phase has the pixel loss alone."""

    pixel: float = 1.0
    feature: float = 0.1
    adversarial: float = 0.002


class RestorationGAN:
    """The two networks, their optimisers, the running mean of the generator's weights, and the two kinds of step."""

    def __init__(
        self,
        generator: Generator,
        discriminator: PatchDiscriminator,
        *,
        weights: LossWeights,
        device: torch.device,
        autocast: torch.dtype | None,
        ema_decay: float = 0.999,
    ) -> None:
        self.generator = _placed(generator, device)
        self.discriminator = _placed(discriminator, device)
        self.weights = weights
        self.device = device
        self.autocast = autocast
        self.ema_decay = ema_decay
        self.ema = {name: value.detach().clone() for name, value in generator.state_dict().items()}
        self.generator_optimiser = torch.optim.Adam(generator.parameters(), betas=(0.9, 0.99))
        self.discriminator_optimiser = torch.optim.Adam(discriminator.parameters(), betas=(0.5, 0.99))

    def pixel_step(self, aged: Tensor, target: Tensor) -> dict[str, float]:
        """One step on the pixel loss alone; pictures are (N, 3, h, w). Returns the loss by name."""
        with self._autocast():
            loss = pixel_loss(self.generator(aged), target)
        self._step_generator(loss)
        return {"pixel": loss.item()}

    def adversarial_step(self, aged: Tensor, target: Tensor) -> dict[str, float]:
        """One turn of the discriminator, then one of the generator; pictures are (N, 3, h, w). Returns the losses."""
        with self._autocast():
            restored = self.generator(aged)
        losses = self._train_discriminator(restored.detach(), target)
        losses |= self._train_generator(restored, target)
        return losses

    def _train_discriminator(self, restored: Tensor, target: Tensor) -> dict[str, float]:
        _require_gradients(self.discriminator, required=True)
        with self._autocast():
            loss = discriminator_loss(self.discriminator(target), self.discriminator(restored))
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimiser.step()
        return {"discriminator": loss.item()}

    def _train_generator(self, restored: Tensor, target: Tensor) -> dict[str, float]:
        _require_gradients(self.discriminator, required=False)
        with self._autocast():
            judged = self.discriminator(restored)
            with torch.no_grad():
                judged_target = self.discriminator(target)
            pixel = pixel_loss(restored, target)
            feature = feature_loss(judged, judged_target)
            adversarial = adversarial_loss(judged)
        weights = self.weights
        self._step_generator(weights.pixel * pixel + weights.feature * feature + weights.adversarial * adversarial)
        return {"pixel": pixel.item(), "feature": feature.item(), "adversarial": adversarial.item()}

    def _step_generator(self, loss: Tensor) -> None:
        self.generator_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.generator_optimiser.step()
        with torch.no_grad():
            for name, value in self.generator.state_dict().items():
                self.ema[name].lerp_(value, 1 - self.ema_decay)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None)


def _placed(network: Network, device: torch.device) -> Network:
    # channels_last is what the fast convolutions of CPUs and GPUs want; torch's stubs don't know the argument.
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _require_gradients(network: nn.Module, *, required: bool) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(required)
