"""The training loop shared by all tasks: steps, validation, logs and checkpoints.

The output folder holds ``checkpoint.safetensors`` during the training, ``log.jsonl`` with the losses of every 50th
step, the TensorBoard log ``board``, and finally model versions: ``card.json`` and ``weights.safetensors``.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch

from restoration.errors import TrainingError
from restoration.training import checkpoints
from restoration.training.tensorboard_writer import TensorBoardWriter

LOG_NAME = "log.jsonl"
TENSORBOARD_FOLDER = "board"
TERMS_NAME = "TERMS.txt"

Progress = Callable[[int, int, dict[str, float]], None]
Batch = TypeVar("Batch")
Settings = TypeVar("Settings", bound="Schedule")


class Schedule(Protocol):
    """The settings that the loop needs, of a dataclass that the checkpoint stores."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def checkpoint_every(self) -> int: ...

    @property
    def validate_every(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def rate(self, step: int) -> float: ...


class TrainingLoop(ABC, Generic[Batch, Settings]):
    """A loop over training steps.

    ``loop_state`` holds what a resumed training needs besides the networks, including ``step``.
    """

    def __init__(
        self, networks: checkpoints.Checkpointed, settings: Settings, output: Path, loop_state: dict[str, Any]
    ) -> None:
        self.networks, self.settings, self.output, self.loop_state = networks, settings, output, loop_state

    @property
    def step(self) -> int:
        """The number of completed steps."""
        return int(self.loop_state["step"])

    @abstractmethod
    def train_step(self, batch: Batch) -> dict[str, float]:
        """Trains on one batch and returns the losses by name."""

    @abstractmethod
    def validate(self, tensorboard: TensorBoardWriter) -> dict[str, float]:
        """Returns validation metrics by name, and adds preview pictures to the TensorBoard log."""

    def run(self, batches: Iterable[Batch], progress: Progress | None) -> None:
        """Runs the remaining steps, one per batch.

        Raises:
            TrainingError: a loss is not finite.
        """
        tensorboard = TensorBoardWriter(self.output / TENSORBOARD_FOLDER, first=self.step)
        started = time.monotonic()
        try:
            for batch in batches:
                if self.step >= self.settings.steps:
                    break
                entry = self._run_step(batch)
                if progress is not None:
                    progress(self.step, self.settings.steps, entry)
                if validating := self._due(self.settings.validate_every):
                    entry |= self.validate(tensorboard)
                if validating or self._due(50):
                    self._log(tensorboard, entry, time.monotonic() - started)
                if self._due(self.settings.checkpoint_every) and self.step < self.settings.steps:
                    self._save_checkpoint()
        finally:
            tensorboard.close()
        self._save_checkpoint()  # so that the release can be repeated if it is interrupted

    def _save_checkpoint(self) -> None:
        state = {**self.loop_state, "settings": asdict(self.settings)}
        checkpoints.save(self.networks, self.output, loop_state=state)

    def _run_step(self, batch: Batch) -> dict[str, float]:
        losses = self.train_step(batch)
        self.loop_state["step"] += 1
        if not all(math.isfinite(value) for value in losses.values()):
            raise TrainingError(
                f"a loss is not finite at step {self.step}. If --resume stops here again, train into a new folder from "
                f"Python, with lower learning rates in {type(self.settings).__name__}"
            )
        return losses

    def _due(self, every: int) -> bool:
        return self.step % every == 0

    def _log(self, tensorboard: TensorBoardWriter, entry: dict[str, float], seconds: float) -> None:
        tensorboard.add_scalars(self.step, entry)
        rate = self.settings.rate(self.step - 1)
        content = {"step": self.step, "rate": rate, "seconds": round(seconds, 1), **entry}
        with (self.output / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(json.dumps(content) + "\n")


def create_output_folder(output: Path) -> None:
    """Creates or clears the output folder of a new training.

    Raises:
        TrainingError: the folder holds other files.
    """
    # Files of a training that stopped before its first checkpoint may be removed.
    leftovers = (LOG_NAME, TENSORBOARD_FOLDER, checkpoints.TEMPORARY_NAME)
    if output.exists() and any(path.name not in leftovers for path in output.iterdir()):
        raise TrainingError(f"{output} is not empty. Name a new folder, or continue with --resume")
    output.mkdir(parents=True, exist_ok=True)
    for name in (LOG_NAME, checkpoints.TEMPORARY_NAME):
        (output / name).unlink(missing_ok=True)
    shutil.rmtree(output / TENSORBOARD_FOLDER, ignore_errors=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of an optimiser."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def add_folder_terms(data: Path, stated: str) -> str:
    """Appends the terms of use in the folder's ``TERMS.txt`` to ``stated``, unless they are already part of it.

    Raises:
        TrainingError: the file can't be read.
    """
    path = data / TERMS_NAME
    try:
        found = path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return stated
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} can't be read: {error}. Save it as UTF-8 text") from error
    return stated if found in stated else "\n".join(filter(None, (stated, found)))
