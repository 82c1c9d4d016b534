"""The training loop: a pixel-loss phase, then the adversarial phase from it, with checkpoints that resume.

The folder that a training writes holds ``checkpoint.safetensors`` while it runs, ``log.jsonl`` with a line of losses
every few steps, and at its end a model version: ``card.json`` and ``weights.safetensors``.

A file ``TERMS.txt`` in the folder of photographs says under which terms they may be used; it is kept in the card.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from restoration.errors import TrainingError
from restoration.hardware import Execution
from restoration.models import ModelFolder
from restoration.networks import PatchDiscriminator, build
from restoration.stages import NetworkStage
from restoration.training import checkpoints
from restoration.training.adversarial import LossWeights, RestorationGAN
from restoration.training.data import AgedPairs, From, TrainingPictures, find_pictures
from restoration.training.evaluation import by_stage, evaluate, read_clean
from restoration.training.release import write_version

LOG_NAME = "log.jsonl"
TERMS_NAME = "TERMS.txt"

Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Everything that a training's result depends on but the pictures. Kept in the checkpoint and in the card.

    ``widths`` and ``blocks`` are the generator's numbers (see :class:`restoration.networks.ResidualUNet`); learning
    rates fall along a cosine within each phase. ``data_terms`` are those that the photographs may be used under.
    """

    name: str
    version: str
    description: str = ""
    data_terms: str = ""
    widths: tuple[int, ...] = (48, 96, 160)
    blocks: tuple[int, ...] = (2, 2, 2)
    pixel_steps: int = 16_000
    adversarial_steps: int = 3_000
    batch_size: int = 16
    patch_px: int = 96
    learning_rate: float = 4e-4
    adversarial_learning_rate: float = 5e-5
    loss_weights: LossWeights = field(default_factory=LossWeights)
    ema_decay: float = 0.999
    seed: int = 0
    checkpoint_every: int = 250

    @classmethod
    def named_after(cls, folder: Path) -> TrainingSettings:
        """The default settings for a version named as its folder is: ``street-views-0.2`` or ``street-views@0.2``.

        Raises:
            TrainingError: the folder's name isn't a model name and a version.
        """
        named = re.fullmatch(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)*?)[-@]([0-9][0-9A-Za-z.+_]*)", folder.name)
        if named is None:
            raise TrainingError(
                f"the folder {folder.name!r} names the model: call it like denoise-deblur-0.2, "
                "lower-case words and a version that starts with a digit"
            )
        return cls(name=named[1], version=named[2])

    @property
    def steps(self) -> int:
        """Steps of both phases together."""
        return self.pixel_steps + self.adversarial_steps

    def rate(self, step: int) -> float:
        """The generator's learning rate at ``step``."""
        if step < self.pixel_steps:
            warm = min(1.0, (step + 1) / 200)
            share, peak = step / self.pixel_steps, self.learning_rate * warm
        else:
            share, peak = (step - self.pixel_steps) / self.adversarial_steps, self.adversarial_learning_rate
        return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def train(
    output: Path,
    *,
    data: Path | None,
    settings: TrainingSettings | None = None,
    resume: bool = False,
    execution: Execution | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> ModelFolder:
    """Trains a restoration model and writes it as a model version into ``output``.

    Args:
        output: a new or empty folder; with ``resume`` one that holds a checkpoint.
        data: a folder of clean photographs (see :func:`restoration.training.data.find_pictures`); with ``resume`` the
            checkpoint's own unless another is named. What its ``TERMS.txt`` says joins the settings' ``data_terms``.
        settings: what to train and how, by default :meth:`TrainingSettings.named_after` ``output``; with ``resume``
            they are the checkpoint's.
        resume: go on from the checkpoint in ``output``. On the same kind of machine the result is that of an
            undisturbed training.
        execution: device and precision.
        workers: processes that age pictures; they don't change the result.
        progress: called after each step with the step, the number of steps and the losses.

    Raises:
        TrainingError: there are no pictures, the folder is in use, there is nothing to resume, or the losses stopped
            being numbers.
        DeviceError: the device asked for isn't there.
    """
    settings, data, first = _start(output, data, settings, resume=resume)
    pictures = find_pictures(data)
    settings = replace(settings, data_terms=_with_terms_of(data, settings.data_terms))
    how = (execution or Execution()).resolved()
    torch.manual_seed(settings.seed)
    gan = RestorationGAN(
        build("residual-unet", {"widths": settings.widths, "blocks": settings.blocks}),
        PatchDiscriminator(),
        weights=settings.loss_weights,
        device=how.device,
        autocast=how.autocast,
        ema_decay=settings.ema_decay,
    )
    facts = {"settings": asdict(settings), "data": str(data.resolve())}
    if first:
        checkpoints.load(gan, output)
    _run(gan, settings, pictures, output, first=first, workers=workers, facts=facts, progress=progress)
    gan.generator.load_state_dict(gan.ema)
    stage = NetworkStage(gan.generator, how, margin_px=gan.generator.margin_px, multiple_px=gan.generator.multiple_px)
    validation = [read_clean(path) for path in pictures.validation]
    evaluation = list(evaluate(by_stage(stage), validation, method="this version", with_peers=False))
    folder = write_version(
        output, gan.generator, settings=settings, pictures=pictures, environment=how.described(), evaluation=evaluation
    )
    (output / checkpoints.CHECKPOINT_NAME).unlink(missing_ok=True)
    return folder


def _start(
    output: Path, data: Path | None, settings: TrainingSettings | None, *, resume: bool
) -> tuple[TrainingSettings, Path, int]:
    """The settings, data folder and first step that this training has."""
    if resume:
        step, facts = checkpoints.read_facts(output)
        return _settings_from(facts["settings"]), data or Path(facts["data"]), step
    if data is None:
        raise TrainingError("name a folder of clean photographs to train on: --data DIR")
    settings = settings or TrainingSettings.named_after(output)
    # What a training leaves that was broken off before its first checkpoint is in nobody's way.
    leftovers = (LOG_NAME, checkpoints.TEMPORARY_NAME)
    if output.exists() and any(path.name not in leftovers for path in output.iterdir()):
        raise TrainingError(f"{output} is not empty: name a new folder, or go on with --resume")
    output.mkdir(parents=True, exist_ok=True)
    for name in leftovers:
        (output / name).unlink(missing_ok=True)
    return settings, data, 0


def _with_terms_of(data: Path, stated: str) -> str:
    """The terms ``stated`` so far, and those of the folder's own text file where it has one that says others."""
    path = data / TERMS_NAME
    try:
        found = path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return stated
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} can't be read: {error}. It must be text in UTF-8") from error
    return stated if found in stated else "\n".join(filter(None, (stated, found)))


def _settings_from(stored: dict[str, Any]) -> TrainingSettings:
    return replace(
        TrainingSettings(**{**stored, "loss_weights": LossWeights(**stored["loss_weights"])}),
        widths=tuple(stored["widths"]),
        blocks=tuple(stored["blocks"]),
    )


def _run(
    gan: RestorationGAN,
    settings: TrainingSettings,
    pictures: TrainingPictures,
    output: Path,
    *,
    first: int,
    workers: int,
    facts: dict[str, Any],
    progress: Progress | None,
) -> None:
    started = time.monotonic()
    step = first
    for aged, target in _batches(settings, pictures, first=first, workers=workers):
        rate = settings.rate(step)
        _set_rate(gan.generator_optimiser, rate)
        _set_rate(gan.discriminator_optimiser, settings.adversarial_learning_rate * 2)
        aged, target = _placed(gan, aged), _placed(gan, target)
        take = gan.pixel_step if step < settings.pixel_steps else gan.adversarial_step
        losses = take(aged, target)
        step += 1
        if not all(math.isfinite(value) for value in losses.values()):
            raise TrainingError(
                f"the losses stopped being numbers at step {step}. If --resume ends here again, train into a new "
                "folder from Python, with lower learning rates in TrainingSettings"
            )
        if progress is not None:
            progress(step, settings.steps, losses)
        if step % 50 == 0:
            _log(output, {"step": step, "rate": rate, "seconds": round(time.monotonic() - started, 1), **losses})
        if step % settings.checkpoint_every == 0 and step < settings.steps:
            checkpoints.save(gan, output, step=step, facts=facts)


def _batches(
    settings: TrainingSettings, pictures: TrainingPictures, *, first: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    pairs = AgedPairs(pictures.training, pictures.damage, patch_px=settings.patch_px, seed=settings.seed)
    yield from DataLoader(
        pairs,
        batch_size=settings.batch_size,
        sampler=From(first * settings.batch_size, settings.steps * settings.batch_size),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
    )


def _placed(gan: RestorationGAN, pictures: Tensor) -> Tensor:
    return pictures.to(gan.device, memory_format=torch.channels_last)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _log(output: Path, line: dict[str, float]) -> None:
    with (output / LOG_NAME).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
