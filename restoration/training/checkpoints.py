"""Checkpoints as safetensors: the tensors of networks, EMA weights and optimisers, and the state of the loop.

No pickle is used, so a checkpoint from another person cannot execute code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from restoration.errors import TrainingError

CHECKPOINT_NAME = "checkpoint.safetensors"
TEMPORARY_NAME = "checkpoint.tmp"


State = Mapping[str, Mapping[str, Tensor]]
"""Tensors by component and name."""


class Checkpointed(Protocol):
    """Networks and optimisers whose state can be saved and loaded."""

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


def save(networks: Checkpointed, folder: Path, *, loop_state: dict[str, Any]) -> None:
    """Writes the state after ``loop_state["step"]`` steps; replaces the previous checkpoint atomically."""
    tensors = {
        f"{component}/{name}": value for component, part in networks.state().items() for name, value in part.items()
    }
    temporary = folder / TEMPORARY_NAME
    save_file(
        {name: value.detach().contiguous().cpu() for name, value in tensors.items()},
        temporary,
        metadata={"facts": json.dumps(loop_state)},
    )
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(folder / CHECKPOINT_NAME)


def read_loop_state(folder: Path) -> dict[str, Any]:
    """Reads the loop state from the checkpoint in ``folder``; it includes ``step``.

    Raises:
        TrainingError: no readable checkpoint exists.
    """
    path = folder / CHECKPOINT_NAME
    try:
        with safe_open(path, framework="pt") as content:
            metadata = content.metadata()
        return dict(json.loads(metadata["facts"]))
    except FileNotFoundError as error:
        raise TrainingError(f"{folder} holds no {CHECKPOINT_NAME} to resume from. Train without --resume") from error
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(f"the checkpoint {path} can't be read: {error}") from error


def load(networks: Checkpointed, folder: Path) -> None:
    """Loads the checkpoint in ``folder`` into ``networks``.

    Raises:
        TrainingError: the checkpoint belongs to other networks.
    """
    state: dict[str, dict[str, Tensor]] = {}
    with safe_open(folder / CHECKPOINT_NAME, framework="pt") as content:
        for key in content.keys():  # noqa: SIM118 - not a mapping
            component, name = key.split("/", 1)
            state.setdefault(component, {})[name] = content.get_tensor(key)
    try:
        networks.load_state(state)
    except (RuntimeError, KeyError) as error:
        raise TrainingError(f"the checkpoint in {folder} belongs to other networks: {error}") from error


def optimiser_state(optimiser: Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as tensors, by parameter index and name."""
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def load_optimiser_state(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Loads a state from :func:`optimiser_state` into an optimiser of the same weights."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
