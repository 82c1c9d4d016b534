"""The colour part of a style: one mapping of tone and chroma per picture, predicted from its statistics.

Encoded RGB is split into luma y and chroma (R - y, B - y). The split is linear, so changes of chroma don't affect the
luma.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from restoration.colour.colour_operations import LUMA_WEIGHTS
from restoration.picture_statistics import STATISTIC_NAMES, lab_to_rgb, lightness_of

_RED, _GREEN, _BLUE = (float(weight) for weight in LUMA_WEIGHTS)

_TONING_A, _TONING_B = (
    [i for i, name in enumerate(STATISTIC_NAMES) if name.startswith(f"toning_{axis}")] for axis in "ab"
)


def split_luma_chroma(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Splits RGB, (N, 3, ...), into luma (N, 1, ...) and chroma (N, 2, ...): R - luma and B - luma."""
    luma = _RED * picture[:, :1] + _GREEN * picture[:, 1:2] + _BLUE * picture[:, 2:]
    return luma, torch.cat([picture[:, :1] - luma, picture[:, 2:] - luma], dim=1)


def join_luma_chroma(luma: Tensor, chroma: Tensor) -> Tensor:
    """Inverse of :func:`split_luma_chroma`; returns RGB."""
    red, blue = chroma[:, :1], chroma[:, 1:]
    return torch.cat([luma + red, luma - (_RED * red + _BLUE * blue) / _GREEN, luma + blue], dim=1)


PALETTES = {"neutral": (0.0, 0.0), "toned": (0.0, 1.0), "full": (1.0, 1.0)}
"""For each palette: whether the style keeps the picture's own colours, and whether it has a toning, 1 or 0.

A toned print has one colour for each lightness, whatever the colours of its subject.
"""


@dataclass(frozen=True, kw_only=True)
class ColourMapping:
    """The output of :class:`ColourMapper` for N pictures.

    Attributes:
        curve: (N, knots), the tone curve at evenly spaced lumas from 0 to 1; increasing.
        chroma: (N, 2), factors for the picture's own chroma; not negative, so that no hue is inverted.
        toning: (N, 2, knots), the chroma added at evenly spaced lumas.
    """

    curve: Tensor
    chroma: Tensor
    toning: Tensor

    def toned(self, luma: Tensor) -> Tensor:
        """The luma after the tone curve."""
        return interpolate_curve(self.curve.unsqueeze(1), luma)

    def own_chroma(self, chroma: Tensor) -> Tensor:
        """The scaled own chroma of the picture."""
        return chroma * self.chroma.view(-1, 2, *[1] * (chroma.dim() - 2))

    def toning_of(self, luma: Tensor) -> Tensor:
        """The toning for a luma after the tone curve."""
        return interpolate_curve(self.toning, luma)


def interpolate_curve(knots: Tensor, luma: Tensor) -> Tensor:
    """Interpolates values (N, C, knots) at evenly spaced lumas to ``luma`` (N, 1, ...); returns (N, C, ...)."""
    segments = knots.shape[2] - 1
    position = luma.flatten(2).clamp(0, 1) * segments
    left = position.detach().floor().clamp(max=segments - 1)
    # NaN stays NaN in the result, where it is detected; as an index it would be out of range.
    index = left.nan_to_num().long().expand(-1, knots.shape[1], -1)
    low, high = knots.gather(2, index), knots.gather(2, index + 1)
    return (low + (position - left) * (high - low)).reshape(luma.shape[0], knots.shape[1], *luma.shape[2:])


def measure_toning(statistics: Tensor, luma: Tensor) -> Tensor:
    """The picture's mean chroma at the lightness of ``luma``: its chroma as a toned print.

    Args:
        statistics: (N, len(STATISTIC_NAMES)), of the whole pictures.
        luma: (N, 1, ...), of the same pictures.

    Returns:
        (N, 2, ...).
    """
    knots = torch.stack([statistics[:, _TONING_A], statistics[:, _TONING_B]], dim=1).float()
    lightness = torch.linspace(0, 1, knots.shape[2], device=knots.device).expand(len(knots), 1, -1)
    toned = split_luma_chroma(lab_to_rgb(100 * torch.cat([lightness, knots], dim=1)))[1]
    return interpolate_curve(toned, lightness_of(luma.float()))


def applied_share(logit: Tensor, palette: Tensor) -> Tensor:
    """Computes the applied share of a style, (N, 1) in [0, 1], from a logit.

    A print style may leave the picture unchanged, which can be in the style already; a full-colour style applies at
    least half, because a colourful photograph is still not a painting.
    """
    minimum = 0.5 * palette[:, :1]
    return minimum + (1 - minimum) * torch.sigmoid(logit.float())


class ColourMapper(nn.Module):
    """Predicts the tone and colour mapping from a picture's statistics and a style vector.

    It also predicts the applied share (see :func:`applied_share`); at 0 the picture is unchanged.

    Args:
        statistics: number of picture statistics.
        style: size of the style vector.
        width: width of the hidden layers.
        tone_knots: number of knots of the tone curve.
        toning_knots: number of knots of the toning curve.
    """

    def __init__(
        self, *, statistics: int, style: int, width: int = 64, tone_knots: int = 13, toning_knots: int = 8
    ) -> None:
        super().__init__()
        self.tone_knots, self.toning_knots = tone_knots, toning_knots
        self.trunk = nn.Sequential(nn.Linear(statistics + style, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        # Outputs: black offset, steps of the curve, white offset; chroma; toning; applied share.
        self.decide = nn.Linear(width, tone_knots + 1 + 2 + 2 * toning_knots + 1)
        nn.init.normal_(self.decide.weight, std=1e-2)
        nn.init.zeros_(self.decide.bias)
        with torch.no_grad():
            self.decide.bias[0] = self.decide.bias[tone_knots] = -3.0  # black and white start unchanged
            self.decide.bias[-1] = 1.5

    def forward(self, statistics: Tensor, style: Tensor, palette: Tensor) -> ColourMapping:
        """Predicts the mapping, in float32.

        Args:
            statistics: (N, statistics), normalised.
            style: (N, style), normalised.
            palette: (N, 2), see :data:`PALETTES`.
        """
        with torch.autocast(statistics.device.type, enabled=False):
            return self._mapping(statistics.float(), style.float(), palette)

    def _mapping(self, statistics: Tensor, style: Tensor, palette: Tensor) -> ColourMapping:
        outputs = self.decide(self.trunk(torch.cat([statistics, style], dim=1)))
        sizes = [self.tone_knots + 1, 2, 2 * self.toning_knots, 1]
        steps, chroma, toning, share_logit = torch.split_with_sizes(outputs, sizes, dim=1)
        share = applied_share(share_logit, palette)
        count = self.tone_knots - 1
        # Every step has a minimum, so that different tones stay different.
        increments = 0.2 / count + 0.8 * torch.softmax(steps[:, 1:-1], dim=1)
        black, white = 0.35 * torch.sigmoid(steps[:, :1] - 1), 1 - 0.35 * torch.sigmoid(steps[:, -1:] - 1)
        normalised_curve = torch.cat([torch.zeros_like(black), increments.cumsum(dim=1)], dim=1)
        curve = black + (white - black) * normalised_curve
        identity = torch.linspace(0, 1, self.tone_knots, device=curve.device)
        return ColourMapping(
            curve=identity + share * (curve - identity),
            chroma=1 + share * (palette[:, :1] * 1.5 * torch.sigmoid(chroma) - 1),
            toning=(share * palette[:, 1:]).unsqueeze(2) * 0.3 * torch.tanh(toning).view(-1, 2, self.toning_knots),
        )
