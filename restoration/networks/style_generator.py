"""The generator of styles: a colour mapping for the whole picture, then texture from a small receptive field.

It has no normalisation and no pooling: statistics of the whole picture are a conditioning input. So a tile with enough
margin gives the same result as the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from restoration.networks.line_integral_convolution import STROKE_PLANES, STROKE_REACH_PX, brush_strokes
from restoration.networks.style_colour_mapping import (
    ColourMapper,
    ColourMapping,
    applied_share,
    join_luma_chroma,
    measure_toning,
    split_luma_chroma,
)


class StyledBlock(nn.Module):
    """A residual block with feature-wise linear modulation (FiLM, Perez et al. 2018) by the style code."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.fuse = nn.Linear(code, 2 * width)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        for layer in (self.first, self.second, self.fuse):
            nn.init.zeros_(cast(Tensor, layer.bias))
        nn.init.normal_(self.fuse.weight, std=0.1 / math.sqrt(code))
        with torch.no_grad():
            self.second.weight *= 0.1  # a deep stack starts near the identity and needs no normalisation

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Maps features (N, width, h, w) to the same shape, with the style code (N, code)."""
        scale, shift = self.fuse(code)[..., None, None].chunk(2, dim=1)
        return cast(Tensor, features + self.second(nn.functional.relu(self.first(features) * (1 + scale) + shift)))


class StyledLayer(nn.Module):
    """A sequence of styled blocks."""

    def __init__(self, width: int, code: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(StyledBlock(width, code) for _ in range(blocks))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        for block in self.blocks:
            features = block(features, code)
        return features


class StyleNetwork(nn.Module):
    """Applies a style: maps tone and chroma of the whole picture, adds texture, then applies the toning.

    The texture part is a U-Net on 2x2 pixel cells. A code of style vector and picture statistics modulates its blocks;
    a plane of noise is the source of grain. The toning is applied last, to the luma with grain, as in a print.

    With the neutral palette, R, G and B are equal by construction.

    Args:
        statistics: number of picture statistics.
        style: size of the style vector.
        widths: channels at each depth, finest first.
        blocks: blocks at each depth, in the encoder and again in the decoder; the deepest has no decoder.
        code: size of the code that modulates the blocks.
        deep_grain: whether noise is an input at every depth, not only at the finest; it gives strokes a start in flat
            areas.
        strokes: whether brush strokes along the picture's contours are an additional input, for painting styles.
    """

    statistics_mean: Tensor
    statistics_spread: Tensor

    def __init__(
        self,
        *,
        statistics: int,
        style: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        code: int = 64,
        deep_grain: bool = False,
        strokes: bool = False,
    ) -> None:
        if len(widths) != len(blocks) or not widths:
            raise ValueError("widths and blocks must have the same length")
        super().__init__()
        depth = len(widths)
        self.multiple_px: int = 2**depth
        self.margin_px = self._margin(blocks, STROKE_REACH_PX if strokes else 0)
        self._strokes = strokes
        self.register_buffer("statistics_mean", torch.zeros(statistics))
        self.register_buffer("statistics_spread", torch.ones(statistics))
        self.colouring = ColourMapper(statistics=statistics, style=style)
        self.code = nn.Sequential(nn.Linear(statistics + style, code), nn.SiLU(), nn.Linear(code, code), nn.SiLU())
        self.dose = nn.Linear(code, 1)
        self.head = nn.Conv2d(4 * (4 + (STROKE_PLANES if strokes else 0)), widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(StyledLayer(widths[level], code, blocks[level]) for level in range(depth))
        self.grains = nn.ModuleList(nn.Conv2d(1, width, 1, bias=False) for width in (widths if deep_grain else ()))
        self.downs = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 2, stride=2) for level in range(depth - 1)
        )
        self.ups = nn.ModuleList(
            # Nearest-neighbour upsampling: pixel shuffle caused a visible lattice in flat areas.
            nn.Sequential(nn.Conv2d(widths[level + 1], widths[level], 1), nn.Upsample(scale_factor=2))
            for level in range(depth - 1)
        )
        self.decoders = nn.ModuleList(StyledLayer(widths[level], code, blocks[level]) for level in range(depth - 1))
        self.tail = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-2)
        nn.init.zeros_(cast(Tensor, self.tail.bias))
        nn.init.constant_(self.dose.bias, 1.5)

    def _margin(self, blocks: Sequence[int], input_reach_px: int) -> int:
        """Radius of the receptive field, px: 2**(d + 1) per 3x3 convolution at depth d, in whole cells, plus a cell.

        The inputs of the network depend on pixels up to ``input_reach_px`` away.
        """
        reach: int = input_reach_px + 2 * 2  # head and tail
        for level, count in enumerate(blocks):
            passes = 1 if level == len(blocks) - 1 else 2
            reach += passes * count * 2 * 2 ** (level + 1)
        return math.ceil(reach / self.multiple_px) * self.multiple_px + self.multiple_px

    def mapping(self, statistics: Tensor, style: Tensor, palette: Tensor) -> ColourMapping:
        """Predicts the tone and colour mapping from statistics as measured."""
        return cast(ColourMapping, self.colouring(self._normalised(statistics), style, palette))

    def forward(self, picture: Tensor, noise: Tensor, statistics: Tensor, style: Tensor, palette: Tensor) -> Tensor:
        """Applies the style to pictures or regions of them.

        Args:
            picture: (N, 3, h, w), RGB, encoded values in [0, 1], h and w multiples of ``multiple_px``.
            noise: (N, 1, h, w), mean 0 and standard deviation 1, independent pixels.
            statistics: (N, statistics), of the whole pictures, see :mod:`restoration.picture_statistics`.
            style: (N, style).
            palette: (N, 2), see :data:`restoration.networks.style_colour_mapping.PALETTES`.

        Returns:
            The same shape as ``picture``, not clamped. A pixel depends on none further away than ``margin_px``.
        """
        mapping = self.mapping(statistics, style, palette)
        luma, chroma = self._mapped(mapping, picture, statistics, palette)
        code = self.code(torch.cat([self._normalised(statistics), style], dim=1))
        share = applied_share(self.dose(code), palette)[..., None, None]
        planes = [luma, chroma, *([brush_strokes(luma, noise)] if self._strokes else []), noise]
        texture = share * self._texture(torch.cat(planes, dim=1), noise, code)
        luma, chroma = luma + texture[:, :1], chroma + palette[:, :1, None, None] * texture[:, 1:]
        return join_luma_chroma(luma, chroma + mapping.toning_of(luma))

    def coloured(self, pixels: Tensor, statistics: Tensor, style: Tensor, palette: Tensor) -> Tensor:
        """Applies only the colour mapping, to pixels (N, 3, ...) in any order."""
        mapping = self.mapping(statistics, style, palette)
        luma, chroma = self._mapped(mapping, pixels, statistics, palette)
        return join_luma_chroma(luma, chroma + mapping.toning_of(luma))

    def _mapped(
        self, mapping: ColourMapping, pixels: Tensor, statistics: Tensor, palette: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The luma after the curve and the scaled own chroma; for a print palette one chroma per lightness."""
        luma, chroma = split_luma_chroma(pixels)
        colourful, toned = (palette[:, index].view(-1, *[1] * (pixels.dim() - 1)) for index in (0, 1))
        with torch.autocast(pixels.device.type, enabled=False):
            own = colourful * chroma + (1 - colourful) * toned * measure_toning(statistics, luma)
        return mapping.toned(luma), mapping.own_chroma(own)

    def _normalised(self, statistics: Tensor) -> Tensor:
        """Normalises statistics to mean 0 and standard deviation 1, clamped to ±4 to limit the effect of outliers."""
        return ((statistics - self.statistics_mean) / self.statistics_spread).clamp(-4, 4)

    def _texture(self, planes: Tensor, noise: Tensor, code: Tensor) -> Tensor:
        """The texture to add to luma and chroma, (N, 3, h, w) float32."""
        features = self.head(nn.functional.pixel_unshuffle(planes, 2))
        skips = []
        for level, encoder in enumerate(self.encoders):
            if level:
                skips.append(features)
                features = self.downs[level - 1](features)
            if self.grains:
                features = features + self.grains[level](_downsampled_noise(noise, 2 ** (level + 1)))
            features = encoder(features, code)
        for up, decoder, skip in zip(reversed(self.ups), reversed(self.decoders), reversed(skips), strict=True):
            features = decoder(up(features) + skip, code)
        return nn.functional.pixel_shuffle(self.tail(features), 2).float()


def _downsampled_noise(noise: Tensor, factor: int) -> Tensor:
    """Averages noise (N, 1, h, w) in cells of ``factor`` px a side and restores its standard deviation of 1."""
    return factor * nn.functional.avg_pool2d(noise, factor)


class StyleEncoder(nn.Module):
    """Encodes style pictures to a style vector: convolutions without normalisation, averaged over all pixels.

    Args:
        style: size of the style vector.
    """

    def __init__(self, *, style: int, widths: Sequence[int] = (16, 32, 48)) -> None:
        super().__init__()
        channels = (3, *widths)
        layers: list[nn.Module] = []
        for level in range(len(widths)):
            layers += [nn.Conv2d(channels[level], channels[level + 1], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.tell = nn.Linear(widths[-1], style)

    def forward(self, pictures: Tensor) -> Tensor:
        """Encodes pictures of one style, (N, 3, h, w), encoded RGB in [0, 1], to one vector (1, style)."""
        return cast(Tensor, self.tell(self.layers(pictures - 0.5).float().mean(dim=(0, 2, 3)))).unsqueeze(0)
