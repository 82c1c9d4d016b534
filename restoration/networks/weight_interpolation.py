"""Weight interpolation between the two endpoints of a restoration training: fidelity and texture.

The pixel phase ends faithful, the adversarial phase after it textured. Since the one began where the other ended, a
mixture of their weights is a network of its own, between the two (network interpolation, Wang et al. 2018, "ESRGAN").
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_FIDELITY, _TEXTURE = "fidelity.", "texture."


def join_endpoints(fidelity: Mapping[str, Tensor], texture: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of both ends as one mapping, in half precision, for one file."""
    named = {f"{_FIDELITY}{name}": value for name, value in fidelity.items()}
    named |= {f"{_TEXTURE}{name}": value for name, value in texture.items()}
    return {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in named.items()}


def interpolate_weights(weights: Mapping[str, Tensor], texture: float) -> dict[str, Tensor]:
    """The weights at ``texture``, from 0 (fidelity) to 1 (full GAN) and on, float32, of a mapping with both ends.

    Raises:
        KeyError: an end has a weight that the other lacks.
    """
    names = [name.removeprefix(_FIDELITY) for name in weights if name.startswith(_FIDELITY)]
    return {
        name: torch.lerp(weights[_FIDELITY + name].float(), weights[_TEXTURE + name].float(), texture) for name in names
    }
