"""The restoration GAN: generator, discriminator, optimisers and the two kinds of training step.

An adversarial step computes ``restored = generator(aged)``, trains the discriminator to distinguish ``target`` from
``restored``, and trains the generator on pixel, feature and adversarial losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from restoration.execution import autocast
from restoration.networks import Generator, PatchDiscriminator, VGGFeatures
from restoration.training.aged_pairs import AgedPatches
from restoration.training.checkpoints import State, load_optimiser_state, optimiser_state
from restoration.training.ema import Ema
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
    """The two networks, their optimisers, the EMA of the generator's weights, and the training steps."""

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
        """Moves the networks to ``device``; ``perceptual`` replaces the discriminator in the feature loss."""
        self.generator = to_device(generator, device)
        self.discriminator = to_device(discriminator, device)
        self.perceptual = None if perceptual is None else to_device(perceptual, device)
        self.weights = weights
        self.device = device
        self.autocast = autocast
        self.ema = Ema(self.generator, decay=ema_decay)
        self.fidelity_endpoint: dict[str, Tensor] = {}
        self.generator_optimiser = torch.optim.Adam(generator.parameters(), betas=(0.9, 0.99))
        self.discriminator_optimiser = torch.optim.Adam(discriminator.parameters(), betas=(0.5, 0.99))

    def initialise_generator(self, weights: Mapping[str, Tensor]) -> None:
        """Sets the generator's weights and their EMA to ``weights``."""
        self.generator.load_state_dict(dict(weights))
        self.ema.restart(self.generator)

    def store_fidelity_endpoint(self) -> None:
        """Stores the EMA weights as the fidelity endpoint, at the end of the pixel phase."""
        self.fidelity_endpoint = {name: value.clone() for name, value in self.ema.weights.items()}

    def state(self) -> State:
        """The training state, by component."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            **self.ema.state(),
            "fidelity": self.fidelity_endpoint,
            "generator_optimiser": optimiser_state(self.generator_optimiser),
            "discriminator_optimiser": optimiser_state(self.discriminator_optimiser),
        }

    def load_state(self, state: State) -> None:
        """Loads a state that :meth:`state` returned.

        Raises:
            RuntimeError: it belongs to other networks.
        """
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.ema.load_state(state)
        self.fidelity_endpoint = {name: value.to(self.device) for name, value in state.get("fidelity", {}).items()}
        load_optimiser_state(self.generator_optimiser, state["generator_optimiser"])
        load_optimiser_state(self.discriminator_optimiser, state.get("discriminator_optimiser", {}))

    def pixel_step(self, patches: AgedPatches) -> dict[str, float]:
        """Trains the generator on the pixel loss only. Returns the loss by name."""
        with self._autocast():
            loss = self._pixel_loss(self._restore(patches), patches)
        self._step_generator(loss)
        return {"pixel": loss.item()}

    def adversarial_step(self, patches: AgedPatches) -> dict[str, float]:
        """Trains the discriminator, then the generator. Returns the losses by name."""
        with self._autocast():
            restored = self._restore(patches)
        losses = self._train_discriminator(restored.detach(), patches.target)
        losses |= self._train_generator(restored, patches)
        return losses

    def _restore(self, patches: AgedPatches) -> Tensor:
        return cast(Tensor, self.generator(patches.aged, patches.conditions_of(self.generator)))

    def _pixel_loss(self, restored: Tensor, patches: AgedPatches) -> Tensor:
        return pixel_loss(restored, patches.target, patches.damage, weights=self.weights)

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
            output_on_restored = self.discriminator(restored)
            with torch.no_grad():
                output_on_target = self.discriminator(patches.target)
            pixel = self._pixel_loss(restored, patches)
            if self.perceptual is None:
                feature = feature_loss(output_on_restored, output_on_target)
            else:
                feature = perceptual_loss(self.perceptual(restored), self.perceptual(patches.target))
            adversarial = adversarial_loss(output_on_restored)
        weights = self.weights
        self._step_generator(weights.pixel * pixel + weights.feature * feature + weights.adversarial * adversarial)
        return {"pixel": pixel.item(), "feature": feature.item(), "adversarial": adversarial.item()}

    def _step_generator(self, loss: Tensor) -> None:
        self.generator_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.generator_optimiser.step()
        self.ema.update(self.generator)

    def _autocast(self) -> torch.autocast:
        return autocast(self.device, self.autocast)


def to_device(network: Network, device: torch.device) -> Network:
    """Moves a network to ``device`` in channels-last memory format."""
    # Convolutions are fastest in channels_last, on CPUs and GPUs; torch's stubs lack the argument.
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def require_gradients(network: nn.Module, *, required: bool) -> None:
    """Enables or disables gradients of the network's weights."""
    for parameter in network.parameters():
        parameter.requires_grad_(required)
