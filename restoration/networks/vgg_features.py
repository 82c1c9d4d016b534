"""VGG19 features for a perceptual loss. The project doesn't ship the weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from restoration.errors import WeightsError

_LAYERS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512)
_FEATURES_AFTER = (1, 3, 7, 11)  # convolutions: relu1_2, relu2_2, relu3_4 and relu4_4
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, its training data


class VGGFeatures(nn.Module):
    """Features of VGG19 (Simonyan and Zisserman 2015) after the last ReLU of its first four blocks."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        width, layers = 3, []
        for layer in _LAYERS:
            if isinstance(layer, int):
                layers += [nn.Conv2d(width, layer, 3, padding=1), nn.ReLU()]
                width = layer
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(_SPREAD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    @classmethod
    def from_file(cls, path: Path) -> VGGFeatures:
        """Reads the weights from a safetensors file with torchvision's names, such as ``features.0.weight``.

        Other tensors in the file are ignored.

        Raises:
            WeightsError: the file can't be read, lacks a layer, or has a layer of another shape.
        """
        network = cls()
        try:
            stored = load_file(path)
            network.load_state_dict({name: stored[name] for name in network.state_dict()})
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{path} can't be read as safetensors ({error}). Pickle files are not supported"
            ) from error
        except KeyError as error:
            raise WeightsError(f"{path} lacks {error.args[0]}. It must hold VGG19 with torchvision's names") from error
        except RuntimeError as error:
            raise WeightsError(f"{path} doesn't hold VGG19's weights: {error}") from error
        return network

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Computes four feature maps of pictures (N, 3, h, w), encoded RGB in [0, 1], shallowest first."""
        current = (picture - self.mean) / self.spread
        maps, convolutions = [], -1
        for layer in self.features:
            current = layer(current)
            convolutions += isinstance(layer, nn.Conv2d)
            if isinstance(layer, nn.ReLU) and convolutions in _FEATURES_AFTER:
                maps.append(current)
        return maps
