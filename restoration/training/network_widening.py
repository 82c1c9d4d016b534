"""A trained generator's weights in a wider one, which gives the same pictures at first and can learn more."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from restoration.networks import Generator


def widen_weights(weights: Mapping[str, Tensor], into: Generator) -> dict[str, Tensor]:
    """Copies ``weights`` of a narrower network with the same blocks into the fresh weights of ``into``.

    The outputs stay the same: new channels have random weights, but neither an old channel nor the output reads them
    yet (after Net2Net, Chen, Goodfellow and Shlens 2016).

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
        kept = tuple(slice(0, size) for size in trained.shape)
        if whole.ndim > 1:
            whole[kept[0], trained.shape[1] :] = 0
        whole[kept] = trained
        found[name] = whole
    return found
