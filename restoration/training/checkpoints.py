"""Checkpoints as safetensors: every tensor of the two networks, the running mean and the optimisers, and the step.

No pickle: a checkpoint that was passed on can hold nothing but numbers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from restoration.errors import TrainingError
from restoration.training.adversarial import RestorationGAN

CHECKPOINT_NAME = "checkpoint.safetensors"
TEMPORARY_NAME = "checkpoint.tmp"


def save(gan: RestorationGAN, folder: Path, *, facts: dict[str, Any]) -> None:
    """Writes the state after ``facts["step"]`` steps, replacing the checkpoint before it in one move."""
    tensors = {
        **_prefixed("generator", gan.generator.state_dict()),
        **_prefixed("discriminator", gan.discriminator.state_dict()),
        **_prefixed("ema", gan.ema),
        **_prefixed("fidelity", gan.fidelity),
        **_prefixed("generator_optimiser", _optimiser_tensors(gan.generator_optimiser)),
        **_prefixed("discriminator_optimiser", _optimiser_tensors(gan.discriminator_optimiser)),
    }
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
        TrainingError: there is no checkpoint that can be read.
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


def load(gan: RestorationGAN, folder: Path) -> None:
    """Puts the checkpoint's state into ``gan``.

    Raises:
        TrainingError: the checkpoint is of other networks.
    """
    with safe_open(folder / CHECKPOINT_NAME, framework="pt") as content:
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
    try:
        gan.generator.load_state_dict(_part(tensors, "generator"))
        gan.discriminator.load_state_dict(_part(tensors, "discriminator"))
    except RuntimeError as error:
        raise TrainingError(f"the checkpoint in {folder} is of other networks: {error}") from error
    for name, value in _part(tensors, "ema").items():
        gan.ema[name].copy_(value)
    gan.fidelity = {name: value.to(gan.device) for name, value in _part(tensors, "fidelity").items()}
    _restore_optimiser(gan.generator_optimiser, _part(tensors, "generator_optimiser"))
    _restore_optimiser(gan.discriminator_optimiser, _part(tensors, "discriminator_optimiser"))


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def _restore_optimiser(optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
