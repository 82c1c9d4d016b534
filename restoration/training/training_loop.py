"""What the training loops of all tasks share: where they write, how they go on, and how they stop.

The folder that a training writes holds ``checkpoint.safetensors`` while it runs, ``log.jsonl`` with a line of losses
every few steps, ``board`` for TensorBoard, and at its end model versions: ``card.json`` and ``weights.safetensors``.
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
Item = TypeVar("Item")
Chosen = TypeVar("Chosen", bound="Schedule")


class Schedule(Protocol):
    """The part of a training's settings that its loop goes by; they are a dataclass, and kept in the checkpoint."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def checkpoint_every(self) -> int: ...

    @property
    def validate_every(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def rate(self, step: int) -> float: ...


class TrainingLoop(ABC, Generic[Item, Chosen]):
    """Steps in a row; what a resumed training needs beside the networks is in ``facts``, ``step`` among it."""

    def __init__(self, trained: checkpoints.Trained, settings: Chosen, output: Path, facts: dict[str, Any]) -> None:
        self.trained, self.settings, self.output, self.facts = trained, settings, output, facts

    @property
    def step(self) -> int:
        """How many steps were taken."""
        return int(self.facts["step"])

    @abstractmethod
    def take(self, item: Item) -> dict[str, float]:
        """Takes one step and tells its losses by name."""

    @abstractmethod
    def validate(self, board: TensorBoardWriter) -> dict[str, float]:
        """Tells how the training stands, in figures by name, and shows it on the board."""

    def run(self, items: Iterable[Item], progress: Progress | None) -> None:
        """Takes all steps that are left, one for each item.

        Raises:
            TrainingError: the losses stopped being numbers.
        """
        board = TensorBoardWriter(self.output / TENSORBOARD_FOLDER, first=self.step)
        started = time.monotonic()
        try:
            for item in items:
                if self.step >= self.settings.steps:
                    break
                line = self._taken(item)
                if progress is not None:
                    progress(self.step, self.settings.steps, line)
                if validates := self._due(self.settings.validate_every):
                    line |= self.validate(board)
                if validates or self._due(50):
                    self._note(board, line, time.monotonic() - started)
                if self._due(self.settings.checkpoint_every) and self.step < self.settings.steps:
                    checkpoints.save(self.trained, self.output, facts={**self.facts, "settings": asdict(self.settings)})
        finally:
            board.close()

    def _taken(self, item: Item) -> dict[str, float]:
        losses = self.take(item)
        self.facts["step"] += 1
        if not all(math.isfinite(value) for value in losses.values()):
            raise TrainingError(
                f"the losses stopped being numbers at step {self.step}. If --resume ends here again, train into a new "
                f"folder from Python, with lower learning rates in {type(self.settings).__name__}"
            )
        return losses

    def _due(self, every: int) -> bool:
        return self.step % every == 0

    def _note(self, board: TensorBoardWriter, line: dict[str, float], seconds: float) -> None:
        board.numbers(self.step, line)
        rate = self.settings.rate(self.step - 1)
        content = {"step": self.step, "rate": rate, "seconds": round(seconds, 1), **line}
        with (self.output / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(json.dumps(content) + "\n")


def create_output_folder(output: Path) -> None:
    """Makes the folder ready for a new training.

    Raises:
        TrainingError: it holds something else.
    """
    # What a training leaves that was broken off before its first checkpoint is in nobody's way.
    leftovers = (LOG_NAME, TENSORBOARD_FOLDER, checkpoints.TEMPORARY_NAME)
    if output.exists() and any(path.name not in leftovers for path in output.iterdir()):
        raise TrainingError(f"{output} is not empty: name a new folder, or go on with --resume")
    output.mkdir(parents=True, exist_ok=True)
    for name in (LOG_NAME, checkpoints.TEMPORARY_NAME):
        (output / name).unlink(missing_ok=True)
    shutil.rmtree(output / TENSORBOARD_FOLDER, ignore_errors=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Gives an optimiser its learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def with_terms_of(data: Path, stated: str) -> str:
    """The terms ``stated`` so far, and those of the folder's own text file where it has one that says others."""
    path = data / TERMS_NAME
    try:
        found = path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return stated
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} can't be read: {error}. It must be text in UTF-8") from error
    return stated if found in stated else "\n".join(filter(None, (stated, found)))
