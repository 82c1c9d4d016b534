"""The losses of styles: colours as a set, texture as Gram matrices, content as features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from restoration import picture_statistics
from restoration.networks import ResidualUNet, VGGFeatures

_RINGS = 12  # of a spectrum, evenly from 1/32 to 1/2 of a cycle a pixel


@dataclass(frozen=True, kw_only=True)
class StyleLossWeights:
    """How much each loss counts; in the game some count otherwise for prints than for paintings.

    ``identity`` and ``same`` are that pictures of the style stay as they are, in colour and in texture;
    ``outlier_loss`` is that no picture's colours lie far outside of the style's range.
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


def energy_distance(made: Tensor, real: Tensor) -> Tensor:
    """How far two sets of vectors, (n, d) and (m, d), are apart as sets: mean and variety alike (Székely 2003).

    Unbiased: two samples of one set have 0 on average, so it can be a little less.
    """
    between = torch.cdist(made, real).mean()
    apart: Tensor = 2 * between - _within(made) - _within(real)
    return apart


def _within(points: Tensor) -> Tensor:
    count = len(points)
    apart = (points.unsqueeze(0) - points.unsqueeze(1)).pow(2).sum(dim=2)
    # The root of a point's distance from itself has no gradient; it is left out of the mean in any case.
    apart = (apart + torch.eye(count, device=points.device)).sqrt()
    mean: Tensor = (apart.sum() - count) / (count * (count - 1))
    return mean


def colour_loss(made: Tensor, real: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """The energy distance of pictures' Lab and HSV statistics, a scalar.

    Args:
        made: (n, 3, count), pixels of styled pictures.
        real: (m, 3, count), pixels of pictures of the style.
        mean: (len(COLOUR_NAMES),), what the statistics are measured from.
        spread: the same, what they are measured in.
    """
    made_statistics, real_statistics = (
        (picture_statistics.colour_statistics(pixels.clamp(0, 1)) - mean) / spread for pixels in (made, real)
    )
    return energy_distance(made_statistics, real_statistics) / math.sqrt(len(mean))


def outlier_loss(made: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """How far pictures' Lab and HSV statistics lie beyond two spreads of the style's, squared, a scalar.

    The distance of sets hardly sees one picture that is unlike all others.
    """
    apart = (picture_statistics.colour_statistics(made.clamp(0, 1)) - mean) / spread
    return functional.relu(apart.abs() - 2).square().mean()


def curve_smoothness(knots: Tensor) -> Tensor:
    """How much curves (..., knots) bend: mean squared second difference, times the squared number of pieces."""
    return (knots.diff(n=2, dim=-1) ** 2).mean() * (knots.shape[-1] - 1) ** 2


class FixedFeatures(nn.Module):
    """Features of textures by convolutions that chance made and no training changes, at three scales.

    Shallow random filters tell textures apart nearly as well as learnt ones (Ustyuzhaninov et al. 2016).

    Args:
        seed: another gives other filters.
        channels: of the pictures.
        width: filters at each scale.
    """

    def __init__(self, *, seed: int, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList()
        for level in range(3):
            layer = nn.Conv2d(channels if level == 0 else width, width, 5 if level == 0 else 3, padding="same")
            fan = layer.weight[0].numel()
            with torch.no_grad():
                drawn = torch.randn(layer.weight.shape, generator=generator)
                drawn -= drawn.mean(dim=(2, 3), keepdim=True) if level == 0 else 0  # flat areas say nothing
                layer.weight.copy_(drawn * (2 / fan) ** 0.5)
                nn.init.zeros_(layer.bias) if layer.bias is not None else None
            self.layers.append(layer)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Features (N, width, h, w), of each scale half the one before, of (N, channels, h, w) about zero."""
        found, current = [], pictures
        for level, layer in enumerate(self.layers):
            if level:
                current = functional.avg_pool2d(current, 2)
            current = functional.relu(layer(current))
            found.append(current)
        return found


class LearntFeatures(nn.Module):
    """The features that a restoration network sees in pictures, after its first two depths.

    Args:
        network: trained; its encoders are used, and not trained any further.
    """

    def __init__(self, network: ResidualUNet) -> None:
        super().__init__()
        self.network = network
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Two maps of pictures (N, 3, h, w), encoded RGB, h and w multiples of 4."""
        network = self.network
        cells = functional.pixel_unshuffle(pictures, 2)
        if network.conditions:
            asked = cells.new_ones(len(cells), len(network.conditions), *cells.shape[2:])
            cells = torch.cat([cells, asked], dim=1)
        first = network.encoders[0](network.head(cells))
        return [first, network.encoders[1](network.downs[0](first))]


Features = LearntFeatures | VGGFeatures


def gram_matrices(features: Sequence[Tensor]) -> list[Tensor]:
    """The mean Gram matrix of each layer's features over all pictures, (width, width) (Gatys et al. 2016)."""
    found = []
    for layer in features:
        flat = layer.float().transpose(0, 1).flatten(1)
        found.append(flat @ flat.T / flat.shape[1])
    return found


def gram_loss(made: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """How far Gram matrices are from their targets, as shares of these, a scalar; each layer weighs the same."""
    return torch.stack([(one - other).norm() / other.norm() for one, other in zip(made, target, strict=True)]).mean()


def fine_detail(pictures: Tensor, *, most_px: int = 9) -> Tensor:
    """Pictures (N, C, h, w) without what is coarser than about ``most_px``, an odd number, ten times as strong."""
    coarse = functional.avg_pool2d(pictures, most_px, stride=1, padding=most_px // 2, count_include_pad=False)
    return 10 * (pictures - coarse)


def normalise_contrast(planes: Tensor) -> Tensor:
    """Planes (N, C, h, w) about zero, each picture's of spread one: a busy one counts no more than a calm one."""
    return planes / (planes.float().square().mean(dim=(1, 2, 3), keepdim=True) + 1e-3).sqrt()


def radial_spectra(planes: Tensor) -> Tensor:
    """The power of planes (N, 1, h, w) around circles of equal frequency, (N, rings), as shares in bels."""
    height, width = planes.shape[2:]
    window = torch.hann_window(height, device=planes.device)[:, None] * torch.hann_window(width, device=planes.device)
    power = torch.fft.rfft2(planes[:, 0].float() * window).abs().square().flatten(1)
    rows, columns = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    place = (torch.hypot(rows[:, None], columns[None, :]).flatten() - 1 / 32) * (_RINGS / (1 / 2 - 1 / 32))
    rings = torch.zeros(len(place), _RINGS).scatter_(1, place.long().clamp(0, _RINGS - 1)[:, None], 1.0)
    rings = (rings * ((place >= 0) & (place < _RINGS))[:, None]).to(planes.device)
    means = power @ (rings / rings.sum(dim=0))
    return torch.log10(means / means.sum(dim=1, keepdim=True) + 1e-6)


def content_planes(luma: Tensor, factor: int) -> Tensor:
    """The luma (N, 1, h, w) smaller by ``factor``, so that texture hardly counts, as three equal channels."""
    return functional.avg_pool2d(luma, factor).expand(-1, 3, -1, -1)


def content_loss(made: Sequence[Tensor], given: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of features, as a share of their own mean square, a scalar."""
    return torch.stack(
        [
            functional.mse_loss(one.float(), other.float()) / other.float().pow(2).mean()
            for one, other in zip(made, given, strict=True)
        ]
    ).mean()
