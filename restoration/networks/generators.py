"""Generators without normalisation or global pooling, so that a tile with enough margin equals the whole.

Each states the radius of its receptive field and the alignment that its downsampling needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """A network from pictures to pictures.

    ``forward`` takes float (N, 3, h, w), RGB, encoded values about [0, 1], with h and w multiples of ``multiple_px``,
    and gives the same shape, not clamped. A network that has ``conditions`` also takes (N, len(conditions)), a number
    in [0, 1] for each named condition: what to repair, or the grain of the whole picture. An output pixel depends on
    no input pixel further away than ``margin_px``, as long as regions begin at multiples of ``multiple_px``.
    """

    margin_px: int
    multiple_px: int
    conditions: tuple[str, ...]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a rectifier, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        # Small at first, so that a deep stack begins near the identity and needs no normalisation.
        nn.init.normal_(self.second.weight, std=1e-3)
        nn.init.zeros_(cast(Tensor, self.first.bias))
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, features: Tensor) -> Tensor:
        """Shape in, shape out: (N, width, h, w)."""
        return cast(Tensor, features + self.second(nn.functional.relu(self.first(features))))


class ResidualUNet(Generator):
    """A residual U-Net that works on 2x2 pixels at a time and predicts what to add to the picture.

    The picture is folded into twelve channels at half its size (as in FFDNet, Zhang et al. 2018), goes down
    ``len(widths) - 1`` times through residual blocks (as in DRUNet, Zhang et al. 2021, without its noise map), up
    again with skips that are added, and is unfolded.

    Args:
        widths: channels at each depth, finest first.
        blocks: residual blocks at each depth, on the way down and again on the way up; once at the deepest.
        conditions: names of the conditioning inputs, each added as one constant plane.
    """

    def __init__(self, *, widths: Sequence[int], blocks: Sequence[int], conditions: Sequence[str] = ()) -> None:
        if len(widths) != len(blocks) or not widths:
            raise ValueError("widths and blocks must name the same depths")
        super().__init__()
        depth = len(widths)
        self.conditions = tuple(conditions)
        self.head = nn.Conv2d(12 + len(self.conditions), widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(widths[level]) for _ in range(blocks[level]))) for level in range(depth)
        )
        self.downs = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 2, stride=2) for level in range(depth - 1)
        )
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[level + 1], 4 * widths[level], 1), nn.PixelShuffle(2))
            for level in range(depth - 1)
        )
        self.decoders = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(widths[level]) for _ in range(blocks[level]))) for level in range(depth - 1)
        )
        self.tail = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-3)
        nn.init.zeros_(cast(Tensor, self.tail.bias))
        self.multiple_px = 2**depth
        self.margin_px = self._margin(blocks)

    def _margin(self, blocks: Sequence[int]) -> int:
        """Each 3x3 convolution at depth d reaches 2**(d + 1) px further; rounded up to whole cells, plus one.

        The one more covers that a pixel may lie anywhere in its cell of ``multiple_px``.
        """
        reach = 2 * 2  # head and tail
        for level, count in enumerate(blocks):
            ways = 1 if level == len(blocks) - 1 else 2
            reach += ways * count * 2 * 2 ** (level + 1)
        return -(-reach // self.multiple_px) * self.multiple_px + self.multiple_px

    def forward(self, picture: Tensor, conditions: Tensor | None = None) -> Tensor:
        """See :class:`Generator`."""
        cells = nn.functional.pixel_unshuffle(picture, 2)
        if conditions is not None:
            planes = conditions[:, :, None, None].expand(-1, -1, *cells.shape[2:])
            cells = torch.cat([cells, planes.to(cells.dtype)], dim=1)
        features = self.head(cells)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=False):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.encoders[-1](features)
        for up, decoder, skip in zip(reversed(self.ups), reversed(self.decoders), reversed(skips), strict=True):
            features = decoder(up(features) + skip)
        return picture + nn.functional.pixel_shuffle(self.tail(features), 2)
