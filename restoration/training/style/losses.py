"""Losses of style training: colour statistics, Gram matrices and spectra for texture, features for content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from restoration import picture_statistics
from restoration.execution import autocast
from restoration.networks import ResidualUNet, VGGFeatures

_RINGS = 12  # frequency bins of a spectrum, from 1/32 to 1/2 cycles per pixel


@dataclass(frozen=True, kw_only=True)
class StyleLossWeights:
    """Weights of the losses; in the adversarial phase some differ between print and painting styles.

    ``identity`` and ``same`` penalise changes to pictures of the style, in colour and in texture. ``outlying`` is the
    weight of :func:`outlier_loss`.
    """

    colour: float = 1.0
    smooth: float = 20.0
    spectrum: float = 2.0
    print_identity: float = 120.0
    print_outlying: float = 1.0
    print_same: float = 50.0
    print_gram: float = 2.0
    print_adversarial: float = 0.3
    print_content: float = 2.0
    painting_identity: float = 15.0
    painting_outlying: float = 0.2
    painting_same: float = 2.0
    painting_gram: float = 10.0
    painting_adversarial: float = 3.0
    painting_content: float = 0.15


def energy_distance(styled: Tensor, real: Tensor) -> Tensor:
    """Energy distance of two sets of vectors, (n, d) and (m, d) (Székely 2003); compares mean and variation.

    It is unbiased: for two samples of one distribution its mean is 0, so it can be slightly negative.
    """
    between = torch.cdist(styled, real).mean()
    distance: Tensor = 2 * between - _mean_pairwise_distance(styled) - _mean_pairwise_distance(real)
    return distance


def _mean_pairwise_distance(points: Tensor) -> Tensor:
    count = len(points)
    distances = (points.unsqueeze(0) - points.unsqueeze(1)).pow(2).sum(dim=2)
    # The square root has no gradient at 0, so the diagonal is set to 1 here and excluded from the mean.
    distances = (distances + torch.eye(count, device=points.device)).sqrt()
    mean: Tensor = (distances.sum() - count) / (count * (count - 1))
    return mean


def colour_loss(styled: Tensor, real: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Energy distance of the pictures' Lab and HSV statistics, a scalar.

    Args:
        styled: (n, 3, count), pixels of styled pictures.
        real: (m, 3, count), pixels of pictures of the style.
        mean: (len(COLOUR_STATISTIC_NAMES),), subtracted from the statistics.
        spread: the same shape, divides them.
    """
    styled_statistics, real_statistics = (
        (picture_statistics.colour_statistics(pixels.clamp(0, 1)) - mean) / spread for pixels in (styled, real)
    )
    return energy_distance(styled_statistics, real_statistics) / math.sqrt(len(mean))


def outlier_loss(styled: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Mean squared excess of the pictures' Lab and HSV statistics over two standard deviations of the style, a scalar.

    A distance between sets is hardly affected by one outlier.
    """
    deviations = (picture_statistics.colour_statistics(styled.clamp(0, 1)) - mean) / spread
    return functional.relu(deviations.abs() - 2).square().mean()


def curve_smoothness(knots: Tensor) -> Tensor:
    """Mean squared second difference of curves (..., knots), times the squared number of segments."""
    return (knots.diff(n=2, dim=-1) ** 2).mean() * (knots.shape[-1] - 1) ** 2


class FixedFeatures(nn.Module):
    """Texture features from fixed random convolutions at three scales.

    Shallow random filters distinguish textures nearly as well as learnt ones (Ustyuzhaninov et al. 2016).

    Args:
        seed: the seed of the filters.
        channels: number of channels of the pictures.
        width: number of filters per scale.
    """

    def __init__(self, *, seed: int, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList()
        for level in range(3):
            layer = nn.Conv2d(channels if level == 0 else width, width, 5 if level == 0 else 3, padding="same")
            fan = layer.weight[0].numel()
            with torch.no_grad():
                kernels = torch.randn(layer.weight.shape, generator=generator)
                kernels -= kernels.mean(dim=(2, 3), keepdim=True) if level == 0 else 0  # no response to flat areas
                layer.weight.copy_(kernels * (2 / fan) ** 0.5)
                nn.init.zeros_(layer.bias) if layer.bias is not None else None
            self.layers.append(layer)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Computes features (N, width, h, w) of pictures (N, channels, h, w) about zero, each scale half the last."""
        features, current = [], pictures
        for level, layer in enumerate(self.layers):
            if level:
                current = functional.avg_pool2d(current, 2)
            current = functional.relu(layer(current))
            features.append(current)
        return features


class LearntFeatures(nn.Module):
    """Features of a trained restoration network, after its first two depths.

    Args:
        network: a trained network; its encoders stay frozen.
    """

    def __init__(self, network: ResidualUNet) -> None:
        super().__init__()
        self.network = network
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Computes two feature maps of pictures (N, 3, h, w), encoded RGB, h and w multiples of 4."""
        network = self.network
        cells = functional.pixel_unshuffle(pictures, 2)
        if network.conditions:
            conditions = cells.new_ones(len(cells), len(network.conditions), *cells.shape[2:])
            cells = torch.cat([cells, conditions], dim=1)
        first = network.encoders[0](network.head(cells))
        return [first, network.encoders[1](network.downs[0](first))]


Features = LearntFeatures | VGGFeatures


def gram_matrices(features: Sequence[Tensor]) -> list[Tensor]:
    """Computes the mean Gram matrix of each layer over all pictures, (width, width) (Gatys et al. 2016)."""
    matrices = []
    for layer in features:
        with autocast(layer.device, None):  # it would round the products to bfloat16
            flat = layer.float().transpose(0, 1).flatten(1)
            matrices.append(flat @ flat.T / flat.shape[1])
    return matrices


def gram_loss(styled: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Mean relative difference of Gram matrices from their targets, a scalar; all layers have the same weight."""
    return torch.stack([(one - other).norm() / other.norm() for one, other in zip(styled, target, strict=True)]).mean()


def fine_detail(pictures: Tensor, *, max_px: int = 9) -> Tensor:
    """High-pass of pictures (N, C, h, w), amplified tenfold; ``max_px`` (odd) is the size of the box filter."""
    coarse = functional.avg_pool2d(pictures, max_px, stride=1, padding=max_px // 2, count_include_pad=False)
    return 10 * (pictures - coarse)


def normalise_contrast(planes: Tensor) -> Tensor:
    """Normalises planes (N, C, h, w) about zero to a standard deviation of 1 per picture."""
    return planes / (planes.float().square().mean(dim=(1, 2, 3), keepdim=True) + 1e-3).sqrt()


def radial_spectra(planes: Tensor) -> Tensor:
    """Radially averaged power spectra of planes (N, 1, h, w): (N, rings), log10 of the share of the total."""
    height, width = planes.shape[2:]
    window = torch.hann_window(height, device=planes.device)[:, None] * torch.hann_window(width, device=planes.device)
    power = torch.fft.rfft2(planes[:, 0].float() * window).abs().square().flatten(1)
    rows, columns = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    ring_position = (torch.hypot(rows[:, None], columns[None, :]).flatten() - 1 / 32) * (_RINGS / (1 / 2 - 1 / 32))
    rings = torch.zeros(len(ring_position), _RINGS).scatter_(1, ring_position.long().clamp(0, _RINGS - 1)[:, None], 1.0)
    rings = (rings * ((ring_position >= 0) & (ring_position < _RINGS))[:, None]).to(planes.device)
    with autocast(planes.device, None):  # it would round the means to bfloat16
        means = power @ (rings / rings.sum(dim=0))
    return torch.log10(means / means.sum(dim=1, keepdim=True) + 1e-6)


def content_planes(luma: Tensor, factor: int) -> Tensor:
    """Downsamples luma (N, 1, h, w) by ``factor``, to reduce texture, and expands it to three equal channels."""
    return functional.avg_pool2d(luma, factor).expand(-1, 3, -1, -1)


def content_loss(styled: Sequence[Tensor], content: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of features relative to the content's mean square, a scalar."""
    return torch.stack(
        [
            functional.mse_loss(one.float(), other.float()) / other.float().pow(2).mean()
            for one, other in zip(styled, content, strict=True)
        ]
    ).mean()
