"""Discriminators: is this patch a photograph, or a generator's?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_CONTRAST = 10.0


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches at several scales (Isola et al. 2017; Wang et al. 2018), with spectral norm.

    Spectral normalisation (Miyato et al. 2018) bounds each layer's Lipschitz constant, which keeps the game stable
    without normalising over pictures. It also bounds how far a score can move with a pixel, and the grain of a
    photograph and a smooth surface lie only hundredths apart: so contrast is raised before the first layer.

    Args:
        widths: channels after each halving.
        scales: at how many scales to judge, each half the one before.
    """

    def __init__(self, *, widths: Sequence[int] = (32, 64, 96), scales: int = 2) -> None:
        super().__init__()
        self.judges = nn.ModuleList(_judge(widths) for _ in range(scales))

    def forward(self, picture: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """Judges pictures of shape (N, 3, h, w), encoded RGB.

        Returns:
            For each scale a map of scores (N, 1, h', w'), higher for what looks like a photograph, and the features of
            each layer, shallowest first, for a feature loss.
        """
        judgements = []
        for judge in self.judges:
            features = []
            current = _CONTRAST * (picture - 0.5)
            for layer in judge.children():
                current = layer(current)
                features.append(current)
            judgements.append((features.pop(), features))
            picture = nn.functional.avg_pool2d(picture, 2)
        return judgements


def _judge(widths: Sequence[int]) -> nn.Sequential:
    channels = (3, *widths)
    layers: list[nn.Module] = [
        nn.Sequential(
            spectral_norm(nn.Conv2d(channels[level], channels[level + 1], 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
        )
        for level in range(len(widths))
    ]
    layers.append(spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1)))
    return nn.Sequential(*layers)
