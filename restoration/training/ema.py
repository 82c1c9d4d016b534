"""The exponential moving average (EMA) of a network's weights, which is what a training releases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from restoration.training.checkpoints import State

_AFTER_WARM_UP = 1_000_000_000


class Ema:
    """The EMA of a network's weights, ``weights`` by name.

    The decay of update t, from 0, is ``min(decay, (1 + t) / (10 + t))``, as in TensorFlow's ExponentialMovingAverage.
    Without this warm-up, the average of a short training would mostly consist of the first weights.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        """Starts with the weights of ``network``; ``decay`` is the decay of late updates."""
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self._decay = decay
        self._updates = 0

    def restart(self, network: nn.Module) -> None:
        """Starts again with the weights of ``network``, with a new warm-up."""
        self._copy(network.state_dict())
        self._updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves the average towards the weights of ``network``, once per training step."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, value in network.state_dict().items():
            self.weights[name].lerp_(value, 1 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Context in which ``network`` has the averaged weights; afterwards it has its own again."""
        with weights_applied(network, self.weights):
            yield

    def state(self) -> State:
        """The components of a checkpoint."""
        return {"ema": self.weights, "ema_updates": {"count": torch.tensor(self._updates)}}

    def load_state(self, state: State) -> None:
        """Loads a state that :meth:`state` returned. One without the number of updates is of a training without
        warm-up, which goes on without.

        Raises:
            KeyError: it belongs to another network.
        """
        self._copy(state["ema"])
        self._updates = int(state["ema_updates"]["count"]) if "ema_updates" in state else _AFTER_WARM_UP

    def _copy(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in weights.items():
            self.weights[name].copy_(value)


@contextmanager
def weights_applied(network: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Context in which ``network`` has other weights; afterwards it has its own again."""
    own = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(dict(weights))
    try:
        yield
    finally:
        network.load_state_dict(own)
