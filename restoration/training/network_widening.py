"""Copies a trained generator's weights into a wider network with the same initial output."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from restoration.networks import Generator


def widen_weights(weights: Mapping[str, Tensor], into: Generator) -> dict[str, Tensor]:
    """Copies ``weights`` of a narrower network with the same blocks into the fresh weights of ``into``.

    The outputs stay the same: new channels have random weights, but old channels and the output have zero weights for
    them (after Net2Net, Chen, Goodfellow and Shlens 2016).

    Raises:
        ValueError: a layer of ``weights`` is larger than in ``into``, or is missing.
    """
    fresh = into.state_dict()
    if fresh.keys() != weights.keys():
        raise ValueError("the networks have different layers")
    widened = {}
    for name, trained in weights.items():
        values = fresh[name].clone()
        if any(old > new for old, new in zip(trained.shape, values.shape, strict=True)):
            raise ValueError(f"{name} is larger than in the wider network")
        kept = tuple(slice(0, size) for size in trained.shape)
        if values.ndim > 1:
            values[kept[0], trained.shape[1] :] = 0
        values[kept] = trained
        widened[name] = values
    return widened
