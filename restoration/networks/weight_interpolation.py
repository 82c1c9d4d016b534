"""Weight interpolation between the two endpoints of a restoration training: fidelity and texture.

The adversarial phase starts from the weights of the pixel phase. So interpolated weights are a valid network between
the two (network interpolation, Wang et al. 2018, "ESRGAN").
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_FIDELITY, _TEXTURE = "fidelity.", "texture."


def join_endpoints(fidelity: Mapping[str, Tensor], texture: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Joins the weights of both endpoints to one mapping, in half precision, for one file."""
    named = {f"{_FIDELITY}{name}": value for name, value in fidelity.items()}
    named |= {f"{_TEXTURE}{name}": value for name, value in texture.items()}
    return {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in named.items()}


def interpolate_weights(weights: Mapping[str, Tensor], texture: float) -> dict[str, Tensor]:
    """Interpolates between both endpoints: ``texture`` 0 is fidelity, 1 the texture endpoint; float32.

    Values above 1 extrapolate.

    Raises:
        KeyError: one endpoint has a weight that the other one lacks.
    """
    names = [name.removeprefix(_FIDELITY) for name in weights if name.startswith(_FIDELITY)]
    return {
        name: torch.lerp(weights[_FIDELITY + name].float(), weights[_TEXTURE + name].float(), texture) for name in names
    }
