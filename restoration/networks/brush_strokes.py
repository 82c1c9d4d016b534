"""Strokes of a brush: noise that is drawn out along the contours of a picture.

Line integral convolution (Cabral and Leedom 1993) along the tangents that a smoothed structure tensor tells (Brox et
al. 2006; Kyprianidis and Döllner 2008). Where there is nothing to follow, strokes wander as smooth noise says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

STROKE_PLANES = 3
"""How many planes of strokes there are, independent of each other."""
STROKE_REACH_PX = 52
"""No stroke depends on a pixel that is further away."""

_STEPS_PX = (1, 2, 4, 8)  # a stroke is as long to either side as their sum
_WIDTH_PX, _SMOOTH_PX, _WANDER_PX = (
    3,
    9,
    33,
)  # of the boxes that make strokes wide, contours steady, and flat areas flow
_WANDER = 2e-4  # squared luma a pixel: contours that are fainter are not followed
_SPREAD = 0.08  # of the noise when it is drawn out

STROKE_PLANES = 3
"""How many planes of strokes there are, independent of each other."""
STROKE_REACH_PX = sum(_STEPS_PX) + _WANDER_PX + 4
"""No stroke depends on a pixel that is further away: along it, then as far as what its direction is taken from."""


def brush_strokes(luma: Tensor, noise: Tensor) -> Tensor:
    """Strokes along the contours of ``luma``, of mean 0 and spread about 1.

    Args:
        luma: (N, 1, h, w), encoded values in [0, 1].
        noise: (N, 1, h, w), as :func:`restoration.pipeline.style_stage.normalise_grain` makes it of numbers with 24 random bits each.

    Returns:
        (N, PLANES, h, w) float32.
    """
    with torch.no_grad(), torch.autocast(luma.device.type, enabled=False):
        planes = _independent(noise.float())
        along = _tangents(luma.float(), planes)
        drawn = _softened(planes, _WIDTH_PX)
        for step in _STEPS_PX:
            drawn = (drawn + _shifted(drawn, step * along) + _shifted(drawn, -step * along)) / 3
        return drawn / _SPREAD


def _independent(noise: Tensor) -> Tensor:
    """Planes of noise from the bits of one, that have nothing to do with each other."""
    share = noise / math.sqrt(12) + 0.5
    shares = torch.cat([share, (share * 2**8) % 1, (share * 2**16) % 1], dim=1)
    return (shares - 0.5) * math.sqrt(12)


def _tangents(luma: Tensor, planes: Tensor) -> Tensor:
    """The direction across the gradient at every pixel, (N, 2, h, w), of length 1: columns, rows."""
    padded = functional.pad(_softened(luma, 3), (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    # Of an angle and its opposite the doubled angles are one, so that these can be averaged.
    doubled = _softened(torch.cat([down**2 - across**2, -2 * across * down], dim=1), _SMOOTH_PX)
    wander = _softened(planes[:, :2], _WANDER_PX) * _WANDER_PX
    doubled = doubled + _WANDER * wander
    angle = torch.atan2(doubled[:, 1:], doubled[:, :1]) / 2
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def _softened(planes: Tensor, side: int) -> Tensor:
    """Planes after a box of ``side`` px, an odd number, twice."""
    for _ in range(2):
        for kernel in ((side, 1), (1, side)):
            padding = (kernel[0] // 2, kernel[1] // 2)
            planes = functional.avg_pool2d(planes, kernel, stride=1, padding=padding, count_include_pad=False)
    return planes


def _shifted(planes: Tensor, shift: Tensor) -> Tensor:
    """Planes (N, C, h, w) as they are ``shift`` (N, 2, h, w) px away, interpolated; beyond an edge as at the edge.

    The shift is added to whole numbers and not to fractions of the size, so that a pixel's value is to the bit the same
    in any region.
    """
    height, width = planes.shape[2:]
    whole = shift.floor()
    share = shift - whole
    columns = torch.arange(width, device=shift.device) + whole[:, 0].long()
    rows = torch.arange(height, device=shift.device)[:, None] + whole[:, 1].long()
    flat = planes.flatten(2)

    def at(right: int, below: int) -> Tensor:
        place = (rows + below).clamp(0, height - 1) * width + (columns + right).clamp(0, width - 1)
        return flat.gather(2, place.flatten(1).unsqueeze(1).expand(-1, planes.shape[1], -1)).view_as(planes)

    across, down = share[:, :1], share[:, 1:]
    upper = (1 - across) * at(0, 0) + across * at(1, 0)
    lower = (1 - across) * at(0, 1) + across * at(1, 1)
    return (1 - down) * upper + down * lower
