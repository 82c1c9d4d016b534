"""Checkpoints as safetensors: every tensor of the networks, the running mean and the optimisers, and the step.

No pickle: a checkpoint that was passed on can hold nothing but numbers.
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
"""Tensors by their owner's name and their own."""


class Trained(Protocol):
    """What is trained: it can tell its state, and be put into one."""

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


def save(trained: Trained, folder: Path, *, facts: dict[str, Any]) -> None:
    """Writes the state after ``facts["step"]`` steps, replacing the checkpoint before it in one move."""
    tensors = {f"{owner}/{name}": value for owner, part in trained.state().items() for name, value in part.items()}
    temporary = folder / TEMPORARY_NAME
    save_file(
        {name: value.detach().contiguous().cpu() for name, value in tensors.items()},
        temporary,
        metadata={"facts": json.dumps(facts)},
    )
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(folder / CHECKPOINT_NAME)


def read_facts(folder: Path) -> dict[str, Any]:
    """What was written with the checkpoint in ``folder``, its ``step`` among it.

    Raises:
        TrainingError: no readable checkpoint exists.
    """
    path = folder / CHECKPOINT_NAME
    try:
        with safe_open(path, framework="pt") as content:
            metadata = content.metadata()
        return dict(json.loads(metadata["facts"]))
    except FileNotFoundError as error:
        raise TrainingError(f"{folder} holds no {CHECKPOINT_NAME} to resume from: train without --resume") from error
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(f"the checkpoint {path} can't be read: {error}") from error


def load(trained: Trained, folder: Path) -> None:
    """Puts the checkpoint's state into what is trained.

    Raises:
        TrainingError: the checkpoint is of other networks.
    """
    state: dict[str, dict[str, Tensor]] = {}
    with safe_open(folder / CHECKPOINT_NAME, framework="pt") as content:
        for key in content.keys():  # noqa: SIM118 - no mapping
            owner, name = key.split("/", 1)
            state.setdefault(owner, {})[name] = content.get_tensor(key)
    try:
        trained.restore(state)
    except (RuntimeError, KeyError) as error:
        raise TrainingError(f"the checkpoint in {folder} is of other networks: {error}") from error


def optimiser_state(optimiser: Optimizer) -> dict[str, Tensor]:
    """All that an optimiser remembers, as tensors."""
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts what :func:`optimiser_state` told into an optimiser of the same weights."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
