"""Brush strokes: noise smeared along the contours of a picture.

Line integral convolution (Cabral and Leedom 1993) along the tangents of a smoothed structure tensor (Brox et al. 2006;
Kyprianidis and Döllner 2008). In flat areas, smooth noise sets the direction.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_STEPS_PX = (1, 2, 4, 8)  # their sum is the stroke length on each side
_WIDTH_PX = 3  # side of the box filter that sets the stroke width
_SMOOTH_PX = 9  # side of the box filter that smooths the structure tensor
_WANDER_PX = 33  # side of the box filter that sets the direction in flat areas
_WANDER = 2e-4  # squared luma per pixel: fainter contours are ignored
_SPREAD = 0.08  # standard deviation of the smeared noise

STROKE_PLANES = 3
"""Number of independent stroke planes."""
STROKE_REACH_PX = sum(_STEPS_PX) + _WANDER_PX + 4
"""Radius of the receptive field, px: the stroke length plus the support of the direction estimate."""


def brush_strokes(luma: Tensor, noise: Tensor) -> Tensor:
    """Draws strokes along the contours of ``luma``, with mean 0 and standard deviation about 1.

    Args:
        luma: (N, 1, h, w), encoded values in [0, 1].
        noise: (N, 1, h, w), from :func:`restoration.pipeline.style_stage.normalise_grain`, of numbers with 24 random
            bits each.

    Returns:
        (N, STROKE_PLANES, h, w) float32.
    """
    with torch.no_grad(), torch.autocast(luma.device.type, enabled=False):
        planes = _independent(noise.float())
        along = _tangents(luma.float(), planes)
        strokes = _softened(planes, _WIDTH_PX)
        for step in _STEPS_PX:
            strokes = (strokes + _shifted(strokes, step * along) + _shifted(strokes, -step * along)) / 3
        return strokes / _SPREAD


def _independent(noise: Tensor) -> Tensor:
    """Splits the bits of one noise plane into independent planes."""
    share = noise / math.sqrt(12) + 0.5
    shares = torch.cat([share, (share * 2**8) % 1, (share * 2**16) % 1], dim=1)
    return (shares - 0.5) * math.sqrt(12)


def _tangents(luma: Tensor, planes: Tensor) -> Tensor:
    """Unit vectors perpendicular to the gradient, (N, 2, h, w): columns, rows."""
    padded = functional.pad(_softened(luma, 3), (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    # An angle and its opposite have the same doubled angle, so doubled angles can be averaged.
    doubled = _softened(torch.cat([down**2 - across**2, -2 * across * down], dim=1), _SMOOTH_PX)
    wander = _softened(planes[:, :2], _WANDER_PX) * _WANDER_PX
    doubled = doubled + _WANDER * wander
    angle = torch.atan2(doubled[:, 1:], doubled[:, :1]) / 2
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def _softened(planes: Tensor, side: int) -> Tensor:
    """Applies a box filter of ``side`` px (odd) twice."""
    for _ in range(2):
        for kernel in ((side, 1), (1, side)):
            padding = (kernel[0] // 2, kernel[1] // 2)
            planes = functional.avg_pool2d(planes, kernel, stride=1, padding=padding, count_include_pad=False)
    return planes


def _shifted(planes: Tensor, shift: Tensor) -> Tensor:
    """Samples planes (N, C, h, w) at an offset of ``shift`` (N, 2, h, w) px, bilinearly; edges are replicated.

    The shift is added to integer positions, not to fractions of the size, so that a pixel has bit-identical values in
    every region.
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
