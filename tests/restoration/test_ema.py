"""The exponential moving average of a training's weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restoration.networks import PatchDiscriminator, ResidualUNet
from restoration.training.ema import Ema
from restoration.training.losses import LossWeights
from restoration.training.restoration_gan import RestorationGAN


def network(weight: float) -> nn.Linear:
    made = nn.Linear(1, 1, bias=False)
    nn.init.constant_(made.weight, weight)
    return made


def weight_of(ema: Ema) -> float:
    return float(ema.weights["weight"])


def test_a_short_training_forgets_its_first_weights_and_a_long_one_has_the_full_decay() -> None:
    ema = Ema(network(0), decay=0.9)
    ema.update(network(1))
    assert weight_of(ema) == pytest.approx(0.9)
    ema.update(network(2))
    assert weight_of(ema) == pytest.approx(0.9 * 2 / 11 + 2 * 9 / 11)
    for _ in range(200):
        ema.update(network(1))
    assert weight_of(ema) == pytest.approx(1)
    ema.update(network(2))
    assert weight_of(ema) == pytest.approx(1.1)


def test_a_training_from_given_weights_warms_up_again() -> None:
    ema = Ema(network(0), decay=0.999)
    for _ in range(100):
        ema.update(network(0))
    ema.restart(network(5))
    assert weight_of(ema) == 5
    ema.update(network(6))
    assert weight_of(ema) == pytest.approx(5.9)


def test_a_network_has_the_averaged_weights_only_within_the_context() -> None:
    ema, trained = Ema(network(0), decay=0.9), network(3)
    with ema.applied(trained):
        assert trained.weight.item() == 0
    assert trained.weight.item() == 3


def gan() -> RestorationGAN:
    torch.manual_seed(0)
    return RestorationGAN(
        ResidualUNet(widths=(4, 6), blocks=(1, 1)),
        PatchDiscriminator(widths=(4,), scales=1),
        weights=LossWeights(),
        device=torch.device("cpu"),
        autocast=None,
        ema_decay=0.5,
    )


@pytest.mark.parametrize(("with_count", "share_of_the_last"), [(True, 1 - 5 / 14), (False, 0.5)])
def test_a_resumed_training_continues_the_warm_up_and_one_of_an_older_release_has_none(
    with_count: bool, share_of_the_last: float
) -> None:
    trained, resumed = gan(), gan()
    for _ in range(4):
        trained.ema.update(trained.generator)
    resumed.load_state({name: part for name, part in trained.state().items() if with_count or name != "ema_updates"})
    before = {name: value.clone() for name, value in resumed.ema.weights.items()}
    with torch.no_grad():
        for parameter in resumed.generator.parameters():
            parameter.add_(1)
    resumed.ema.update(resumed.generator)
    for name, value in resumed.ema.weights.items():
        torch.testing.assert_close(value, before[name] + share_of_the_last)
