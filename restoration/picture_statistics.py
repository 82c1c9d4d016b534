"""Style statistics: colour, tone and detail of a whole picture, the conditioning input of style networks.

The vector comes from at most :data:`MOST_WINDOWS` windows of the picture, always the same ones, so time and memory are
bounded. Pictures of up to 1024 by 1024 px are measured completely. The colour part is differentiable, so that training
can use the same statistics in its losses.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restoration.colour.colour_operations import LUMA_WEIGHTS
from restoration.image import Source
from restoration.window_sampling import sample_areas

WINDOW_PX = 128
MOST_WINDOWS = 64

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_TONING_KNOTS = 6
_LEVELS = 3  # of detail: 2, 4 and 8 px
_TO_XYZ = (  # relative to the D65 white point
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)
_FAINTEST = 1e-7  # squared luma, far below one 8-bit step

COLOUR_STATISTIC_NAMES = (
    *(f"luma_{round(100 * quantile):02d}" for quantile in _QUANTILES),
    *(f"lab_mean_{axis}" for axis in "lab"),
    *(f"lab_spread_{axis}" for axis in "lab"),
    *(f"lab_covariance_{axes}" for axes in ("la", "lb", "ab")),
    "hue_red",
    "hue_green",
    "saturation_mean",
    "saturation_spread",
    "value_mean",
    "value_spread",
    *(f"toning_a_{knot}" for knot in range(_TONING_KNOTS)),
    *(f"toning_b_{knot}" for knot in range(_TONING_KNOTS)),
    "chroma_beside_toning",
)
"""Lab divided by 100; the toning is the mean a and b around each of six lightnesses from black to white."""
DETAIL_STATISTIC_NAMES = tuple(f"detail_{2 ** (level + 1)}_px" for level in range(_LEVELS))
"""Decimal logarithms of the luma's variance within squares of 2 px, and between those within squares of 4 and 8 px."""
STATISTIC_NAMES = COLOUR_STATISTIC_NAMES + DETAIL_STATISTIC_NAMES


def measure_statistics(source: Source) -> Tensor:
    """Measures the statistics of a picture, (len(STATISTIC_NAMES),) float32, rounded to 5 decimals.

    The sums are in double precision and the results rounded, so that they don't depend on the number of threads.

    Raises:
        ImageError: the picture can't be read.
    """
    areas = sample_areas(source.info, window_px=WINDOW_PX, most=MOST_WINDOWS)
    windows = [source.read(area.x, area.y, area.width, area.height).astype(np.float64) for area in areas]
    return window_statistics(windows)


def window_statistics(windows: list[NDArray[np.float64]]) -> Tensor:
    """Measures the windows of one picture, each (1, C, h, w), C 1 or 3, encoded values in [0, 1]."""
    pictures = [torch.from_numpy(window).double().expand(-1, 3, -1, -1) for window in windows]
    # For colours, every second pixel in each direction is sufficient.
    pixels = torch.cat([picture[..., ::2, ::2].flatten(2) for picture in pictures], dim=2)
    found = torch.cat([colour_statistics(pixels)[0], _detail(pictures)])
    return (found * 1e5).round().div(1e5).float()


def colour_statistics(pixels: Tensor) -> Tensor:
    """The statistics :data:`COLOUR_STATISTIC_NAMES` of pixels in any order.

    Args:
        pixels: (N, 3, count), encoded sRGB in [0, 1].

    Returns:
        (N, len(COLOUR_STATISTIC_NAMES)), of the type of ``pixels``; differentiable.
    """
    luma = luma_of(pixels)[:, 0]
    lab = rgb_to_lab(pixels) / 100
    ordered = luma.sort(dim=1).values
    places = [min(luma.shape[1] - 1, int(quantile * luma.shape[1])) for quantile in _QUANTILES]
    mean = lab.mean(dim=2, keepdim=True)
    apart = lab - mean
    covariance = apart @ apart.transpose(1, 2) / lab.shape[2]
    spread = _root(torch.diagonal(covariance, dim1=1, dim2=2))
    beside = torch.stack([covariance[:, 0, 1], covariance[:, 0, 2], covariance[:, 1, 2]], dim=1)
    parts = [ordered[:, places], mean[..., 0], spread, 10 * beside, _hue_and_saturation(pixels), *_toning(lab)]
    return torch.cat(parts, dim=1)


def rgb_to_lab(pixels: Tensor) -> Tensor:
    """Converts encoded sRGB, (N, 3, ...) in [0, 1], to CIE L*a*b* under D65, as ``skimage.color.rgb2lab`` does."""
    x, y, z = _bent(torch.einsum("ij,nj...->ni...", pixels.new_tensor(_TO_XYZ), _linear(pixels))).unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lightness_of(luma: Tensor) -> Tensor:
    """L* divided by 100, of grey encoded sRGB values in [0, 1], of any shape."""
    return 1.16 * _bent(_linear(luma)) - 0.16


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Converts CIE L*a*b* under D65 to encoded sRGB, both (N, 3, ...); out-of-gamut colours are clipped."""
    lightness, a, b = lab.unbind(dim=1)
    y = (lightness + 16) / 116
    bent = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(bent > 0.2068966, bent.clamp(min=0) ** 3, (bent - 16 / 116) / 7.787)
    linear = torch.einsum("ij,nj...->ni...", lab.new_tensor(_TO_XYZ).inverse(), xyz).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.003) ** (1 / 2.4) - 0.055)


def _linear(encoded: Tensor) -> Tensor:
    encoded = encoded.clamp(0, 1)
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)


def _bent(share: Tensor) -> Tensor:
    """CIE's cube root with its linear part near black, of X, Y or Z relative to white."""
    return torch.where(share > 0.008856, share.clamp(min=0.008) ** (1 / 3), 7.787 * share + 16 / 116)


def luma_of(pixels: Tensor) -> Tensor:
    """The luma of RGB, (N, 3, ...) to (N, 1, ...)."""
    weights = [float(weight) for weight in LUMA_WEIGHTS]
    return (weights[0] * pixels[:, 0] + weights[1] * pixels[:, 1] + weights[2] * pixels[:, 2]).unsqueeze(1)


def _hue_and_saturation(pixels: Tensor) -> Tensor:
    """The mean hue as a vector with the length of the chroma, and mean and deviation of HSV's saturation and value."""
    red, green, blue = pixels.unbind(dim=1)
    value, least = pixels.amax(dim=1), pixels.amin(dim=1)
    saturation = (value - least) / (value + 0.02)
    hue = [(red - (green + blue) / 2).mean(dim=1), (math.sqrt(0.75) * (green - blue)).mean(dim=1)]
    moments = [moment for plane in (saturation, value) for moment in (plane.mean(1), _root(plane.var(1, correction=0)))]
    return torch.stack([*hue, *moments], dim=1)


def _toning(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Mean a and b around each of six lightnesses, (N, 12), and the remaining chroma, (N, 1).

    Rare lightnesses get the picture's mean.
    """
    place = lab[:, :1].clamp(0, 1) * (_TONING_KNOTS - 1)
    knots = torch.arange(_TONING_KNOTS, device=lab.device, dtype=lab.dtype).view(1, -1, 1)
    near = (1 - (place - knots).abs()).clamp(min=0)  # (N, knots, count)
    chroma = lab[:, 1:]
    few = 0.002 * lab.shape[2]
    sums = chroma @ near.transpose(1, 2) + few * chroma.mean(dim=2, keepdim=True)
    toning = sums / (near.sum(dim=2).unsqueeze(1) + few)  # (N, 2, knots)
    rest = ((chroma - toning @ near) ** 2).sum(dim=1).mean(dim=1)
    return toning.flatten(1), _root(rest).unsqueeze(1)


def _root(value: Tensor) -> Tensor:
    """The square root, with a gradient at 0."""
    return (value.clamp(min=0) + 1e-10).sqrt()


def _detail(pictures: list[Tensor]) -> Tensor:
    sums, counts = torch.zeros(_LEVELS, dtype=torch.float64), torch.zeros(_LEVELS, dtype=torch.float64)
    for picture in pictures:
        plane = luma_of(picture)
        for level in range(_LEVELS):
            height, width = plane.shape[2] // 2 * 2, plane.shape[3] // 2 * 2
            if not height or not width:
                break
            cells = torch.nn.functional.pixel_unshuffle(plane[..., :height, :width], 2)
            plane = cells.mean(dim=1, keepdim=True)
            sums[level] += ((cells - plane) ** 2).sum()
            counts[level] += cells.numel()
    return torch.log10(sums / counts.clamp(min=1) + _FAINTEST)
