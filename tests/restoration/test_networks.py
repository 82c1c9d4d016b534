"""Generators keep shape and receptive field; discriminators score patches."""

from __future__ import annotations

import pytest
import torch

from restoration.errors import CardError
from restoration.networks import Generator, PatchDiscriminator, ResidualUNet, build_generator


def with_large_weights(generator: Generator) -> Generator:
    """Sets weights large enough that every path through the generator affects its output."""
    torch.manual_seed(0)
    for parameter in generator.parameters():
        torch.nn.init.uniform_(parameter, 0.01, 0.05)
    return generator.eval()


@pytest.mark.parametrize(("widths", "blocks"), [((4,), (1,)), ((4, 6), (1, 1)), ((4, 6, 8), (2, 1, 2))])
def test_no_output_pixel_depends_on_one_beyond_the_margin(widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
    generator = with_large_weights(ResidualUNet(widths=widths, blocks=blocks))
    margin, multiple = generator.margin_px, generator.multiple_px
    size = 2 * (margin + 2 * multiple)
    centre = size // 2
    for offset in (0, multiple - 1):  # the first and the last pixel of a cell
        picture = torch.zeros(1, 3, size, size, requires_grad=True)
        generator(picture)[0, :, centre + offset, centre + offset].sum().backward()
        assert picture.grad is not None
        affected = picture.grad[0].abs().sum(dim=0).nonzero()
        reach = (affected - (centre + offset)).abs().max().item()
        assert reach <= margin
        assert reach > margin // 3  # the stated margin isn't far too large


def test_an_initial_generator_hardly_changes_the_picture() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 32, 48)
    restored = ResidualUNet(widths=(8, 12), blocks=(1, 1))(picture)
    assert restored.shape == picture.shape
    assert (restored - picture).abs().max().item() < 0.2


def test_an_unknown_architecture_and_invalid_hyperparameters_are_refused() -> None:
    with pytest.raises(CardError, match="residual-unet"):
        build_generator("transformer", {})
    with pytest.raises(CardError, match="can't be built"):
        build_generator("residual-unet", {"widths": [8], "blocks": [1, 1]})
    with pytest.raises(CardError, match="can't be built"):
        build_generator("residual-unet", {"depth": 3})


def test_the_discriminator_returns_scores_and_features_at_each_scale() -> None:
    outputs = PatchDiscriminator(widths=(8, 12), scales=2)(torch.rand(2, 3, 64, 64))
    assert [scores.shape for scores, _ in outputs] == [(2, 1, 16, 16), (2, 1, 8, 8)]
    assert [len(features) for _, features in outputs] == [2, 2]


def test_spectral_norm_bounds_the_discriminators_layers() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(widths=(8, 12), scales=1)
    for _ in range(30):
        discriminator(torch.rand(1, 3, 32, 32))
    weight = discriminator.judges[0][0][0].weight  # type: ignore[index]
    assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1.0, abs=0.05)
