"""A trained generator's weights in a wider one, which gives the same pictures at first and can learn more."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from restoration.networks import ResidualUNet


def grown(weights: Mapping[str, Tensor], into: ResidualUNet) -> dict[str, Tensor]:
    """``weights`` of a narrower network of the same blocks, laid into the fresh weights of ``into``.

    The outputs are the same: channels that are new are heard by none of the old ones yet, and add nothing to a
    picture (after Net2Net, Chen, Goodfellow and Shlens 2016). They learn, since what they hear isn't nothing.

    Raises:
        ValueError: a layer of ``weights`` is larger than in ``into``, or isn't there.
    """
    fresh = into.state_dict()
    if fresh.keys() != weights.keys():
        raise ValueError("the networks have other layers")
    found = {}
    for name, trained in weights.items():
        whole = fresh[name].clone()
        if any(old > new for old, new in zip(trained.shape, whole.shape, strict=True)):
            raise ValueError(f"{name} is larger than in the network that it is laid into")
        if trained.shape != whole.shape:
            kept = tuple(slice(0, size) for size in trained.shape)
            if not _hears_pictures(name):
                whole.zero_()
            elif whole.ndim > 1:
                whole[kept[0], trained.shape[1] :] = 0
            whole[kept] = trained
        else:
            whole = trained.clone()
        found[name] = whole.to(torch.float32)
    return found


def _hears_pictures(name: str) -> bool:
    """Whether a layer's new outputs may begin by chance: the head's, and those inside of residual blocks."""
    return name.startswith("head.") or ".first." in name
