"""Generator against discriminator, in turns.

One step reads: ``restored = generator(aged)``; the discriminator learns to tell ``target`` from ``restored``; the
generator learns to come near the target in pixels and features, and to be taken for a photograph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from restoration.networks import Generator, PatchDiscriminator, VGGFeatures
from restoration.training.aged_pairs import AgedPatches
from restoration.training.checkpoints import State, optimiser_state, restore_optimiser
from restoration.training.losses import (
    LossWeights,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    perceptual_loss,
    pixel_loss,
)

Network = TypeVar("Network", bound=nn.Module)


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
        perceptual: VGGFeatures | None = None,
    ) -> None:
        """Places the networks on ``device``; with ``perceptual`` its features take the discriminator's place."""
        self.generator = to_device(generator, device)
        self.discriminator = to_device(discriminator, device)
        self.perceptual = None if perceptual is None else to_device(perceptual, device)
        self.weights = weights
        self.device = device
        self.autocast = autocast
        self.ema_decay = ema_decay
        self.ema = {name: value.detach().clone() for name, value in generator.state_dict().items()}
        self.fidelity: dict[str, Tensor] = {}
        self.generator_optimiser = torch.optim.Adam(generator.parameters(), betas=(0.9, 0.99))
        self.discriminator_optimiser = torch.optim.Adam(discriminator.parameters(), betas=(0.5, 0.99))

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Gives the generator ``weights`` to begin with."""
        self.generator.load_state_dict(dict(weights))
        for name, value in self.generator.state_dict().items():
            self.ema[name].copy_(value)

    def keep_fidelity(self) -> None:
        """Keeps the running mean as it is at the end of the pixel phase."""
        self.fidelity = {name: value.clone() for name, value in self.ema.items()}

    def state(self) -> State:
        """All that changes in training."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "ema": self.ema,
            "fidelity": self.fidelity,
            "generator_optimiser": optimiser_state(self.generator_optimiser),
            "discriminator_optimiser": optimiser_state(self.discriminator_optimiser),
        }

    def restore(self, state: State) -> None:
        """Goes back to what :meth:`state` told.

        Raises:
            RuntimeError: it is of other networks.
        """
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        for name, value in state["ema"].items():
            self.ema[name].copy_(value)
        self.fidelity = {name: value.to(self.device) for name, value in state.get("fidelity", {}).items()}
        restore_optimiser(self.generator_optimiser, state["generator_optimiser"])
        restore_optimiser(self.discriminator_optimiser, state.get("discriminator_optimiser", {}))

    def pixel_step(self, patches: AgedPatches) -> dict[str, float]:
        """One step on the pixel loss alone. Returns the loss by name."""
        with self._autocast():
            loss = self._pixel_loss(self._restore(patches), patches)
        self._step_generator(loss)
        return {"pixel": loss.item()}

    def adversarial_step(self, patches: AgedPatches) -> dict[str, float]:
        """One turn of the discriminator, then one of the generator. Returns the losses by name."""
        with self._autocast():
            restored = self._restore(patches)
        losses = self._train_discriminator(restored.detach(), patches.target)
        losses |= self._train_generator(restored, patches)
        return losses

    def _restore(self, patches: AgedPatches) -> Tensor:
        return cast(Tensor, self.generator(patches.aged, patches.conditions_of(self.generator)))

    def _pixel_loss(self, restored: Tensor, patches: AgedPatches) -> Tensor:
        return pixel_loss(restored, patches.target, self.weights.damage * patches.damage)

    def _train_discriminator(self, restored: Tensor, target: Tensor) -> dict[str, float]:
        require_gradients(self.discriminator, required=True)
        with self._autocast():
            loss = discriminator_loss(self.discriminator(target), self.discriminator(restored))
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimiser.step()
        return {"discriminator": loss.item()}

    def _train_generator(self, restored: Tensor, patches: AgedPatches) -> dict[str, float]:
        require_gradients(self.discriminator, required=False)
        with self._autocast():
            judged = self.discriminator(restored)
            with torch.no_grad():
                judged_target = self.discriminator(patches.target)
            pixel = self._pixel_loss(restored, patches)
            if self.perceptual is None:
                feature = feature_loss(judged, judged_target)
            else:
                feature = perceptual_loss(self.perceptual(restored), self.perceptual(patches.target))
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


def to_device(network: Network, device: torch.device) -> Network:
    """The network on ``device``, laid out as fast convolutions want it."""
    # channels_last is what the fast convolutions of CPUs and GPUs want; torch's stubs don't know the argument.
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def require_gradients(network: nn.Module, *, required: bool) -> None:
    """Whether a loss's gradient is asked for by the network's weights."""
    for parameter in network.parameters():
        parameter.requires_grad_(required)
