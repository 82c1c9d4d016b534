"""Generators without normalisation or global pooling, so that tiles with enough margin equal the whole picture.

Each states the radius of its receptive field and the alignment that its downsampling needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """Base class of image-to-image networks.

    ``forward`` takes float (N, 3, h, w), RGB, encoded values about [0, 1], with h and w multiples of ``multiple_px``,
    and returns the same shape, not clamped. A network with ``conditions`` also takes (N, len(conditions)), a number in
    [0, 1] for each conditioning input: a defect to repair, or the grain of the whole picture. If regions start at
    multiples of ``multiple_px``, an output pixel depends on no input pixel further away than ``margin_px``.
    """

    margin_px: int
    multiple_px: int
    conditions: tuple[str, ...]


class ResidualBlock(nn.Module):
    """A residual block: two 3x3 convolutions with a ReLU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        # Small initial weights, so that a deep stack starts near the identity and needs no normalisation.
        nn.init.normal_(self.second.weight, std=1e-3)
        nn.init.zeros_(cast(Tensor, self.first.bias))
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, features: Tensor) -> Tensor:
        """Maps (N, width, h, w) to the same shape."""
        return cast(Tensor, features + self.second(nn.functional.relu(self.first(features))))


class ResidualUNet(Generator):
    """A residual U-Net on 2x2 pixel cells that predicts the difference to the input picture.

    Pixel unshuffle makes twelve channels of half the size (as in FFDNet, Zhang et al. 2018). Residual blocks with
    ``len(widths) - 1`` downsamplings follow (as in DRUNet, Zhang et al. 2021, without its noise map), then upsampling
    with added skip connections, and pixel shuffle.

    Args:
        widths: channels at each depth, finest first.
        blocks: residual blocks at each depth, in the encoder and again in the decoder; the deepest has no decoder.
        conditions: names of the conditioning inputs, each added as one constant plane.
    """

    def __init__(self, *, widths: Sequence[int], blocks: Sequence[int], conditions: Sequence[str] = ()) -> None:
        if len(widths) != len(blocks) or not widths:
            raise ValueError("widths and blocks must have the same length")
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
        """Radius of the receptive field, px: 2**(d + 1) per 3x3 convolution at depth d, in whole cells, plus a cell.

        The additional cell is needed because a pixel may lie anywhere in its cell of ``multiple_px``.
        """
        reach = 2 * 2  # head and tail
        for level, count in enumerate(blocks):
            passes = 1 if level == len(blocks) - 1 else 2
            reach += passes * count * 2 * 2 ** (level + 1)
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
