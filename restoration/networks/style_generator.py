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

from restoration.networks.brush_strokes import STROKE_PLANES, STROKE_REACH_PX, brush_strokes
from restoration.networks.colour_mapping import (
    ColourMapper,
    ColourMapping,
    applied_share,
    join_luma_chroma,
    measure_toning,
    split_luma_chroma,
)


class StyledBlock(nn.Module):
    """Two 3x3 convolutions around a rectifier, added to what came in; the style scales and shifts what is between.

    So content and style meet (feature-wise linear modulation, Perez et al. 2018).
    """

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
            self.second.weight *= 0.1  # a deep stack begins near the identity and needs no normalisation

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Features (N, width, h, w) and the style's code (N, code); shape in, shape out."""
        scale, shift = self.fuse(code)[..., None, None].chunk(2, dim=1)
        return cast(Tensor, features + self.second(nn.functional.relu(self.first(features) * (1 + scale) + shift)))


class StyledLayer(nn.Module):
    """Blocks in a row."""

    def __init__(self, width: int, code: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(StyledBlock(width, code) for _ in range(blocks))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        for block in self.blocks:
            features = block(features, code)
        return features


class StyleNetwork(nn.Module):
    """A picture in a style: tone and chroma mapped as a whole, texture added to luma and chroma, then toned.

    The texture half is a U-Net on 2x2 pixels at a time: an encoder of the content and a decoder, both scaled and
    shifted by a code of the style and of the picture's statistics; a plane of noise lets it make grain. The toning
    comes last, from the luma with its grain, as in a print.

    A style of the neutral palette has a luma alone: its pictures are equal in R, G and B by construction.

    Args:
        statistics: how many numbers a picture's statistics have.
        style: how many a style's vector has.
        widths: channels at each depth, finest first.
        blocks: blocks at each depth, on the way down and again on the way up; once at the deepest.
        code: how many numbers the code has that scales and shifts features.
        deep_grain: whether noise comes in at every depth and not at the finest alone, so that strokes have somewhere
            to begin in a flat area.
        strokes: whether brush strokes along the picture's contours are a further input, for painting styles.
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
            raise ValueError("widths and blocks must name the same depths")
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
            # A cell is repeated, and not unfolded: four pixels that differ alike everywhere would show as a lattice.
            nn.Sequential(nn.Conv2d(widths[level + 1], widths[level], 1), nn.Upsample(scale_factor=2))
            for level in range(depth - 1)
        )
        self.decoders = nn.ModuleList(StyledLayer(widths[level], code, blocks[level]) for level in range(depth - 1))
        self.tail = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-2)
        nn.init.zeros_(cast(Tensor, self.tail.bias))
        nn.init.constant_(self.dose.bias, 1.5)

    def _margin(self, blocks: Sequence[int], given_px: int) -> int:
        """Each 3x3 convolution at depth d reaches 2**(d + 1) px further; rounded up to whole cells, plus one.

        What is given to them depends on pixels ``given_px`` away.
        """
        reach: int = given_px + 2 * 2  # head and tail
        for level, count in enumerate(blocks):
            ways = 1 if level == len(blocks) - 1 else 2
            reach += ways * count * 2 * 2 ** (level + 1)
        return math.ceil(reach / self.multiple_px) * self.multiple_px + self.multiple_px

    def mapping(self, statistics: Tensor, style: Tensor, palette: Tensor) -> ColourMapping:
        """What becomes of a picture's tones and colours; ``statistics`` as they are measured."""
        return cast(ColourMapping, self.colouring(self._even(statistics), style, palette))

    def forward(self, picture: Tensor, noise: Tensor, statistics: Tensor, style: Tensor, palette: Tensor) -> Tensor:
        """Pictures, or regions of them, in a style.

        Args:
            picture: (N, 3, h, w), RGB, encoded values in [0, 1], h and w multiples of ``multiple_px``.
            noise: (N, 1, h, w), of mean 0 and spread 1, every pixel for itself.
            statistics: (N, statistics), of the whole pictures, see :mod:`restoration.picture_statistics`.
            style: (N, style).
            palette: (N, 2), see :data:`restoration.networks.colour_mapping.PALETTES`.

        Returns:
            The same shape as ``picture``, not clamped. A pixel depends on none further away than ``margin_px``.
        """
        mapping = self.mapping(statistics, style, palette)
        luma, chroma = self._mapped(mapping, picture, statistics, palette)
        code = self.code(torch.cat([self._even(statistics), style], dim=1))
        dose = applied_share(self.dose(code), palette)[..., None, None]
        planes = [luma, chroma, *([brush_strokes(luma, noise)] if self._strokes else []), noise]
        texture = dose * self._texture(torch.cat(planes, dim=1), noise, code)
        luma, chroma = luma + texture[:, :1], chroma + palette[:, :1, None, None] * texture[:, 1:]
        return join_luma_chroma(luma, chroma + mapping.toning_of(luma))

    def coloured(self, pixels: Tensor, statistics: Tensor, style: Tensor, palette: Tensor) -> Tensor:
        """The colour half alone, of pixels (N, 3, ...) in any order."""
        mapping = self.mapping(statistics, style, palette)
        luma, chroma = self._mapped(mapping, pixels, statistics, palette)
        return join_luma_chroma(luma, chroma + mapping.toning_of(luma))

    def _mapped(
        self, mapping: ColourMapping, pixels: Tensor, statistics: Tensor, palette: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The luma after the curve, and what is left of the own chroma: of a print no more than one for each tone."""
        luma, chroma = split_luma_chroma(pixels)
        colourful, toned = (palette[:, place].view(-1, *[1] * (pixels.dim() - 1)) for place in (0, 1))
        with torch.autocast(pixels.device.type, enabled=False):
            kept = colourful * chroma + (1 - colourful) * toned * measure_toning(statistics, luma)
        return mapping.toned(luma), mapping.own_chroma(kept)

    def _even(self, statistics: Tensor) -> Tensor:
        """Statistics about zero and of spread one, none beyond 4: this limits the effect of outliers."""
        return ((statistics - self.statistics_mean) / self.statistics_spread).clamp(-4, 4)

    def _texture(self, planes: Tensor, noise: Tensor, code: Tensor) -> Tensor:
        """What is added to luma and chroma, (N, 3, h, w) float32."""
        features = self.head(nn.functional.pixel_unshuffle(planes, 2))
        skips = []
        for level, encoder in enumerate(self.encoders):
            if level:
                skips.append(features)
                features = self.downs[level - 1](features)
            if self.grains:
                features = features + self.grains[level](_coarser(noise, 2 ** (level + 1)))
            features = encoder(features, code)
        for up, decoder, skip in zip(reversed(self.ups), reversed(self.decoders), reversed(skips), strict=True):
            features = decoder(up(features) + skip, code)
        return nn.functional.pixel_shuffle(self.tail(features), 2).float()


def _coarser(noise: Tensor, factor: int) -> Tensor:
    """Noise (N, 1, h, w) by cells of ``factor`` px a side, (N, 1, h / factor, w / factor), its spread still 1."""
    return factor * nn.functional.avg_pool2d(noise, factor)


class StyleEncoder(nn.Module):
    """What style pictures have: features without normalisation, averaged over all that is shown.

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
        """Pictures of one style, (N, 3, h, w), encoded RGB in [0, 1], to one vector (1, style)."""
        return cast(Tensor, self.tell(self.layers(pictures - 0.5).float().mean(dim=(0, 2, 3)))).unsqueeze(0)
