"""Computations on a given device, whose results are compared between devices and precisions.

They don't need a GPU, so that they can be tested without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from restoration import Execution, LoadedModels, restore_array, shipped_recipe
from restoration.degradation import DEFECTS
from restoration.execution import ResolvedExecution
from restoration.model_folders import shipped
from restoration.networks import PatchDiscriminator, ResidualUNet, StyleEncoder, StyleNetwork
from restoration.picture_statistics import STATISTIC_NAMES
from restoration.training.aged_pairs import CONDITIONS, AgedPatches
from restoration.training.losses import LossWeights
from restoration.training.restoration_gan import RestorationGAN
from restoration.training.style.losses import StyleLossWeights
from restoration.training.style.style_data import StyleStep
from restoration.training.style.style_gan import ENCODED_SIZE, STYLE_SIZE, StyleGAN, StyleSetStatistics

_PATCH_PX = 32
_LEARNING_RATE = 1e-3


def restored(
    device: str, *, model: str = "denoise-deblur", precision: str = "fp32", size: tuple[int, int] = (300, 200)
) -> NDArray[Any]:
    """The result of a shipped version on a noisy picture, (*size, 3) uint16."""
    folder = shipped(model)
    models = LoadedModels(lambda _stage: folder, Execution(device=device, precision=precision, tile_size=128))
    picture = np.random.default_rng(7).integers(0, 65536, size=(*size, 3), dtype=np.uint16)
    return restore_array(picture, shipped_recipe(model), models=models)


def assert_same_pixels(one: NDArray[Any], other: NDArray[Any]) -> None:
    """Two 16-bit results of one precision differ by at most one 8-bit level."""
    assert _differences(one, other).max() <= 1 / 255


def assert_close_pixels(bfloat16: NDArray[Any], float32: NDArray[Any]) -> None:
    """A 16-bit result in bfloat16 differs from one in float32 by at most 4 8-bit levels, and by 0.75 in the mean."""
    differences = _differences(bfloat16, float32)
    assert 0 < differences.max() <= 4 / 255
    assert differences.mean() <= 0.75 / 255


def assert_close_losses(losses: Mapping[str, float], expected: Mapping[str, float]) -> None:
    """Losses of steps on different devices, or in different precisions, are alike."""
    assert losses == pytest.approx(dict(expected), rel=0.05, abs=0.01)


def _differences(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    differences: NDArray[np.float64] = np.abs(one.astype(np.float64) - other) / 65535
    return differences


def restoration_losses(device: str, *, precision: str) -> dict[str, float]:
    """The losses of a pixel step, and of the adversarial step after it, of a small restoration GAN."""
    resolved = Execution(device=device, precision=precision).resolved()
    torch.manual_seed(0)
    gan = RestorationGAN(
        ResidualUNet(widths=(12, 16), blocks=(1, 1), conditions=DEFECTS),
        PatchDiscriminator(widths=(8, 12)),
        weights=LossWeights(),
        device=resolved.device,
        autocast=resolved.autocast,
    )
    _set_rates(gan.generator_optimiser, gan.discriminator_optimiser)
    target = torch.rand(4, 3, _PATCH_PX, _PATCH_PX)
    patches = AgedPatches(
        aged=target + 0.15 * torch.randn_like(target),
        target=target,
        damage=torch.zeros(4, 1, _PATCH_PX, _PATCH_PX),
        conditions=torch.ones(4, len(CONDITIONS)),
    ).to(resolved.device)
    first = {f"first {name}": value for name, value in gan.pixel_step(patches).items()}
    return first | gan.adversarial_step(patches)


def style_losses(device: str, *, precision: str) -> dict[str, float]:
    """The losses of a colour step, and of the adversarial step after it, of a small style GAN."""
    resolved = Execution(device=device, precision=precision).resolved()
    torch.manual_seed(0)
    gan = _style_gan(resolved)
    _set_rates(gan.generator_optimiser, gan.discriminator_optimiser)
    gan.set_texture_targets([torch.rand(6, 3, _PATCH_PX, _PATCH_PX)])
    count = len(STATISTIC_NAMES)
    step = StyleStep(
        style=0,
        content=torch.rand(3, 3, _PATCH_PX, _PATCH_PX),
        content_statistics=torch.rand(3, count),
        real=torch.rand(3, 3, _PATCH_PX, _PATCH_PX),
        real_statistics=torch.rand(3, count),
        noise=torch.randn(6, 1, _PATCH_PX, _PATCH_PX),
        content_pixels=torch.rand(4, 3, 256),
        content_pixel_statistics=torch.rand(4, count),
        real_pixels=torch.rand(4, 3, 256),
        real_pixel_statistics=torch.rand(4, count),
    ).to(resolved.device)
    first = {f"first {name}": value for name, value in gan.colour_step(step).items()}
    return first | gan.adversarial_step(step)


def _style_gan(resolved: ResolvedExecution) -> StyleGAN:
    count = len(STATISTIC_NAMES)
    generator = StyleNetwork(
        statistics=count, style=STYLE_SIZE, widths=(4, 6), blocks=(1, 1), code=8, deep_grain=True, strokes=True
    )
    return StyleGAN(
        generator,
        StyleEncoder(style=ENCODED_SIZE),
        [PatchDiscriminator(widths=(8, 12))],
        None,
        [StyleSetStatistics(mean=torch.full((count,), 0.5), spread=torch.full((count,), 0.1))],
        weights=StyleLossWeights(),
        device=resolved.device,
        autocast=resolved.autocast,
    )


def _set_rates(*optimisers: torch.optim.Optimizer) -> None:
    for group in (group for optimiser in optimisers for group in optimiser.param_groups):
        group["lr"] = _LEARNING_RATE
