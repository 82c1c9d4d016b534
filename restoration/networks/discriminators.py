"""Discriminators: classify patches as real photographs or generated ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_CONTRAST = 10.0


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches at several scales (Isola et al. 2017; Wang et al. 2018), with spectral norm.

    Spectral normalisation (Miyato et al. 2018) bounds each layer's Lipschitz constant, which keeps adversarial training
    stable without normalising over pictures. It also limits how much a score can change with a pixel value. Grain and
    a smooth surface differ only by hundredths, so the contrast is raised before the first layer.

    Args:
        widths: channels after each downsampling.
        scales: number of scales, each half the previous one.
    """

    def __init__(self, *, widths: Sequence[int] = (32, 64, 96), scales: int = 2) -> None:
        super().__init__()
        self.judges = nn.ModuleList(_patch_classifier(widths) for _ in range(scales))

    def forward(self, picture: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """Scores pictures of shape (N, 3, h, w), encoded RGB.

        Returns:
            For each scale a map of scores (N, 1, h', w'), higher for real photographs, and the features of each layer,
            shallowest first, for a feature loss.
        """
        outputs = []
        for classifier in self.judges:
            features = []
            current = _CONTRAST * (picture - 0.5)
            for layer in classifier.children():
                current = layer(current)
                features.append(current)
            outputs.append((features.pop(), features))
            picture = nn.functional.avg_pool2d(picture, 2)
        return outputs


def _patch_classifier(widths: Sequence[int]) -> nn.Sequential:
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
