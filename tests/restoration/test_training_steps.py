"""Losses, single training steps of both networks, and network widening."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restoration.degradation import DEFECTS
from restoration.networks import (
    PatchDiscriminator,
    ResidualUNet,
    build_generator,
)
from restoration.training.aged_pairs import (
    CONDITIONS,
    AgedPatches,
)
from restoration.training.losses import LossWeights, adversarial_loss, discriminator_loss, feature_loss, pixel_loss
from restoration.training.network_widening import widen_weights
from restoration.training.restoration_gan import RestorationGAN

pytestmark = pytest.mark.slow


def test_losses_are_zero_for_equal_pictures_and_decrease_towards_the_target() -> None:
    torch.manual_seed(0)
    target = torch.rand(1, 3, 16, 16)
    undamaged = torch.zeros(1, 1, 16, 16)
    assert pixel_loss(target, target, undamaged, weights=LossWeights()).item() == pytest.approx(0, abs=1e-6)
    loss = pixel_loss(target + 0.1, target, undamaged, weights=LossWeights(floor=2e-5))
    assert loss.item() == pytest.approx(np.log1p(0.01 / 2e-5), rel=1e-3)
    discriminator = PatchDiscriminator(widths=(4,), scales=1).eval()
    assert feature_loss(discriminator(target), discriminator(target)).item() == 0
    assert feature_loss(discriminator(target * 0.5), discriminator(target)).item() > 0


def test_a_large_error_inside_damage_does_not_hide_a_small_one_around_it() -> None:
    damage = torch.zeros(1, 1, 16, 16)
    damage[..., :4] = 1
    target = torch.full((1, 3, 16, 16), 0.5)
    restored = (target + 0.3 * damage + 0.02 * (1 - damage)).requires_grad_()
    pixel_loss(restored, target, damage, weights=LossWeights()).backward()  # type: ignore[no-untyped-call]
    gradient = restored.grad
    assert gradient is not None
    around, inside = gradient[..., 4:].sum(), gradient[..., :4].sum()
    assert around > inside > 0
    by_weights = [
        pixel_loss(target + 0.1 * damage, target, damage, weights=weights)
        for weights in (LossWeights(), LossWeights(damage=3), LossWeights(damage_floor=1e-5), LossWeights(floor=1e-5))
    ]
    assert by_weights[0] < min(by_weights[1], by_weights[2])
    assert by_weights[0] == by_weights[3]


def test_hinge_losses_are_least_at_each_network_s_goal() -> None:
    def output(score: float) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        return [(torch.full((1, 1, 2, 2), score), [])]

    assert discriminator_loss(output(1.5), output(-1.5)).item() == 0
    assert discriminator_loss(output(-1.0), output(1.0)).item() == 4
    assert adversarial_loss(output(2.0)).item() < adversarial_loss(output(-2.0)).item()


def test_a_few_steps_lower_the_loss_on_one_batch() -> None:
    torch.manual_seed(0)
    target = torch.nn.functional.interpolate(torch.rand(4, 3, 6, 6), size=(32, 32), mode="bilinear")
    aged = target + 0.15 * torch.randn_like(target)
    gan = RestorationGAN(
        ResidualUNet(widths=(12, 16), blocks=(1, 1), conditions=DEFECTS),
        PatchDiscriminator(widths=(8, 12)),
        weights=LossWeights(),
        device=torch.device("cpu"),
        autocast=None,
    )
    for group in (*gan.generator_optimiser.param_groups, *gan.discriminator_optimiser.param_groups):
        group["lr"] = 2e-3
    patches = AgedPatches(
        aged=aged, target=target, damage=torch.zeros(4, 1, 32, 32), conditions=torch.ones(4, len(CONDITIONS))
    )
    before = gan.pixel_step(patches)["pixel"]
    for _ in range(60):
        after = gan.pixel_step(patches)["pixel"]
    assert after < before - np.log(2)  # half the squared error
    generator_before = [value.clone() for value in gan.generator.parameters()]
    discriminator_before = [value.clone() for value in gan.discriminator.parameters()]
    losses = gan.adversarial_step(patches)
    assert set(losses) == {"discriminator", "pixel", "feature", "adversarial"}
    assert not all(map(torch.equal, generator_before, gan.generator.parameters()))
    assert not all(map(torch.equal, discriminator_before, gan.discriminator.parameters()))


def test_a_widened_network_has_the_same_output_and_trains_all_its_channels_and_conditions() -> None:
    torch.manual_seed(1)
    small, large = (
        build_generator("residual-unet", {"widths": widths, "blocks": (1, 1), "conditions": names})
        for widths, names in (((8, 12), DEFECTS), ((12, 20), CONDITIONS))
    )
    picture, conditions = torch.rand(2, 3, 32, 32), torch.ones(2, len(CONDITIONS))
    large.load_state_dict(widen_weights(small.state_dict(), large))
    torch.testing.assert_close(large(picture, conditions), small(picture, conditions[:, : len(DEFECTS)]))

    optimiser = torch.optim.Adam(large.parameters(), lr=1e-3)
    for _ in range(3):
        optimiser.zero_grad()
        large(picture, conditions).square().mean().backward()
        optimiser.step()
    narrow = small.state_dict()
    for name, value in large.named_parameters():
        assert value.grad is not None
        for axis, (old, new) in enumerate(zip(narrow[name].shape, value.shape, strict=True)):
            if new > old:  # new channels along this axis get gradients
                assert value.grad.narrow(axis, old, new - old).abs().max() > 0, name

    with pytest.raises(ValueError, match="larger"):
        widen_weights(large.state_dict(), small)
