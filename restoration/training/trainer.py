"""The training loop: a pixel-loss phase, then the adversarial phase from it, with checkpoints that resume.

The folder that a training writes holds ``checkpoint.safetensors`` while it runs, ``log.jsonl`` with a line of losses
every few steps, ``board`` for TensorBoard, and at its end a model version: ``card.json`` and ``weights.safetensors``.

A file ``TERMS.txt`` in the folder of photographs says under which terms they may be used; it is kept in the card.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from restoration.errors import TrainingError
from restoration.execution import Execution, ResolvedExecution
from restoration.model_folders import ModelFolder
from restoration.networks import PatchDiscriminator, VGGFeatures, build_generator, interpolate_weights
from restoration.training import checkpoints
from restoration.training.aged_pairs import (
    CONDITIONS,
    PATCHES_PER_PHOTOGRAPH,
    AgedPairs,
    AgedPatches,
    ResumeSampler,
    TrainingPictures,
    batches_of,
    find_pictures,
)
from restoration.training.network_widening import widen_weights
from restoration.training.precision import resolve_for_training
from restoration.training.release import release
from restoration.training.restoration_gan import RestorationGAN
from restoration.training.tensorboard_writer import TensorBoardWriter
from restoration.training.training_loop import (
    Progress,
    TrainingLoop,
    create_output_folder,
    set_learning_rate,
    with_terms_of,
)
from restoration.training.training_settings import TrainingSettings
from restoration.training.validation import Validation

_LEAST_GAIN_DB = 0.01
_RELEASE_SHARE = 0.1  # of a limited time, for measuring and writing the version
_PACED_STEPS = 20


def train(
    output: Path,
    *,
    data: Path | None,
    settings: TrainingSettings | None = None,
    resume: bool = False,
    start: ModelFolder | None = None,
    minutes: float | None = None,
    execution: Execution | None = None,
    perceptual_weights: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> ModelFolder:
    """Trains a restoration model and writes it as a model version into ``output``.

    Args:
        output: a new or empty folder; with ``resume`` one that holds a checkpoint.
        data: a folder of clean photographs (see :func:`restoration.training.aged_pairs.find_pictures`); with
            ``resume`` the checkpoint's own unless another is named. The text of its ``TERMS.txt`` is added to the
            settings' ``data_terms``.
        settings: what to train and how, by default :meth:`TrainingSettings.named_after` ``output``; with ``resume``
            they are the checkpoint's.
        resume: go on from the checkpoint in ``output``. On the same kind of machine the result is that of an
            undisturbed training.
        start: a version whose weights, at texture 0, initialise the generator. Its network is widened to the
            settings' widths if those are wider (:func:`restoration.training.network_widening.widen_weights`).
        minutes: fits both phases and the release into this time from now, also with ``resume``; without it a resumed
            training has the rest of the time that it was given first.
        execution: device and precision; with the precision ``auto`` the one in which steps are faster here.
        perceptual_weights: VGG19's weights as safetensors, for the feature loss; else the discriminator's features
            are compared.
        workers: processes that age pictures; they don't change the result. By default one, and with a GPU all cores
            but one.
        progress: called after each step with the step, the number of steps and the losses.

    Raises:
        TrainingError: there are no pictures, the folder is in use, there is nothing to resume, ``start`` has another
            kind of network or stands beside ``resume``, or the losses stopped being numbers.
        WeightsError: the perceptual weights aren't VGG19's, or the weights of ``start`` aren't those of its card.
        DeviceError: the device asked for isn't there.
    """
    if start is not None:
        settings = _begun_with(start, settings or TrainingSettings.named_after(output), resume=resume)
    settings, data, facts = _start(output, data, settings, resume=resume)
    pictures = find_pictures(data)
    settings = replace(settings, data_terms=with_terms_of(data, settings.data_terms))
    settings = settings if minutes is None else replace(settings, minutes=minutes)
    how = resolve_for_training(execution or Execution(), settings)
    settings, gan = _networks(settings, how, perceptual_weights)
    if resume:
        checkpoints.load(gan, output)
    if start is not None:
        gan.begin_with(widen_weights(interpolate_weights(start.load_weights(), 0.0), gan.generator))
    spent = 0.0 if minutes is not None else float(facts["seconds"])
    training = _Training(gan, settings, pictures, output, {**facts, "data": str(data.resolve())}, spent=spent)
    if workers is None:
        workers = max(1, (os.cpu_count() or 2) - 1) if how.device.type == "cuda" else 1
    training.run(_batches(settings, pictures, first=training.step, workers=workers), progress)
    folder = release(
        output, gan, settings=training.settings, pictures=pictures, how=how, validation=training.validation
    )
    (output / checkpoints.CHECKPOINT_NAME).unlink(missing_ok=True)
    return folder


def _begun_with(start: ModelFolder, settings: TrainingSettings, *, resume: bool) -> TrainingSettings:
    """The settings for a training that goes out from another version."""
    card = start.card
    if resume:
        raise TrainingError("a training that is resumed has its weights already: leave out the version to start from")
    known = tuple(card.network.get("conditions", ()))
    if card.architecture != "residual-unet" or known != CONDITIONS[: len(known)]:
        raise TrainingError(f"{card.reference} has another kind of network than is trained now: start from another")
    blocks = tuple(card.network["blocks"])
    widths = tuple(card.network["widths"])
    if len(widths) == len(settings.widths):
        widths = tuple(max(both) for both in zip(widths, settings.widths, strict=True))
    return replace(settings, started_from=card.reference, widths=widths, blocks=blocks)


def _networks(
    settings: TrainingSettings, how: ResolvedExecution, perceptual_weights: Path | None
) -> tuple[TrainingSettings, RestorationGAN]:
    """Fresh networks, and the settings with the digest of the perceptual network's weights."""
    perceptual, digest = None, None
    if perceptual_weights is not None:
        perceptual = VGGFeatures.from_file(perceptual_weights)
        digest = hashlib.sha256(perceptual_weights.read_bytes()).hexdigest()
    if settings.perceptual_weights_sha256 not in (None, digest):
        raise TrainingError("this training began with other perceptual weights: name the same file to resume it")
    torch.manual_seed(settings.seed)
    gan = RestorationGAN(
        build_generator(
            "residual-unet", {"widths": settings.widths, "blocks": settings.blocks, "conditions": CONDITIONS}
        ),
        PatchDiscriminator(),
        weights=settings.loss_weights,
        device=how.device,
        autocast=how.autocast,
        ema_decay=settings.ema_decay,
        perceptual=perceptual,
    )
    return replace(settings, perceptual_weights_sha256=digest), gan


def _start(
    output: Path, data: Path | None, settings: TrainingSettings | None, *, resume: bool
) -> tuple[TrainingSettings, Path, dict[str, Any]]:
    """The settings and the data folder that this training has, and what its checkpoint holds beside them."""
    if resume:
        facts = checkpoints.read_facts(output)
        if "data" not in facts:
            raise TrainingError(f"the training in {output} is of a style and no restoration: resume it as one")
        return TrainingSettings.from_stored(facts["settings"]), data or Path(facts["data"]), {"seconds": 0.0, **facts}
    if data is None:
        raise TrainingError("name a folder of clean photographs to train on: --data DIR")
    settings = settings or TrainingSettings.named_after(output)
    create_output_folder(output)
    return settings, data, {"step": 0, "best_psnr": 0.0, "since_best": 0, "seconds": 0.0}


class _Training(TrainingLoop[AgedPatches, TrainingSettings]):
    """The loop of a restoration; what a resumed one needs beside the networks goes into each checkpoint's facts."""

    def __init__(
        self,
        gan: RestorationGAN,
        settings: TrainingSettings,
        pictures: TrainingPictures,
        output: Path,
        facts: dict[str, Any],
        *,
        spent: float,
    ) -> None:
        super().__init__(gan, settings, output, facts)  # step, best_psnr, since_best and seconds are among the facts
        self.gan = gan
        self._began = self._paced_from = time.monotonic()
        self._seconds_before, self._spent = float(facts["seconds"]), spent
        self._paced_steps = 0
        self.validation = Validation(
            pictures, patch_px=settings.patch_px, seed=settings.seed, device=gan.device, autocast=gan.autocast
        )

    def take(self, item: AgedPatches) -> dict[str, float]:
        gan, settings, step = self.gan, self.settings, self.step
        set_learning_rate(gan.generator_optimiser, settings.rate(step))
        set_learning_rate(gan.discriminator_optimiser, settings.adversarial_learning_rate * 4)
        if step == settings.pixel_steps:
            gan.keep_fidelity()
        take = gan.pixel_step if step < settings.pixel_steps else gan.adversarial_step
        losses = take(item.to(gan.device))
        self._keep_pace()
        return losses

    def _keep_pace(self) -> None:
        """Counts the time, and every few steps fits the phases into what is left of it."""
        now = time.monotonic()
        self.facts["seconds"] = self._seconds_before + now - self._began
        if self.settings.minutes is None:
            return
        self._paced_steps += 1
        if self.step in (0, self.settings.pixel_steps):  # the first step of a phase takes longer, and tells nothing
            self._paced_from, self._paced_steps = now, 0
        elif self._paced_steps >= _PACED_STEPS:
            left = self.settings.minutes * 60 * (1 - _RELEASE_SHARE) - self._spent - (now - self._began)
            pace = (now - self._paced_from) / self._paced_steps
            self.settings = self.settings.fitted(self.step + 1, seconds_left=left, seconds_per_step=pace)
            self._paced_from, self._paced_steps = now, 0

    def validate(self, board: TensorBoardWriter) -> dict[str, float]:
        """Measures the running mean; a pixel phase that has stopped gaining begins its fall."""
        psnr = self.validation.psnr(self.gan.generator, self.gan.ema)
        shown = self.validation.batches[0]
        made = self.validation.restore(self.gan.generator, shown)
        board.pictures(self.step, "aged, restored, target", [shown.aged.clamp(0, 1), made, shown.target.clamp(0, 1)])
        if psnr > self.facts["best_psnr"] + _LEAST_GAIN_DB:
            self.facts.update(best_psnr=psnr, since_best=0)
        else:
            self.facts["since_best"] += 1
        stands_still = self.facts["since_best"] == self.settings.patience and self.settings.minutes is None
        if stands_still and self.step < self.settings.pixel_steps:
            self.settings = self.settings.falling_from(self.step)
        return {"validation_psnr": psnr}


def _batches(
    settings: TrainingSettings, pictures: TrainingPictures, *, first: int, workers: int
) -> Iterator[AgedPatches]:
    """The batches from step ``first`` on; each group of photographs gives several."""
    groups, begun = divmod(first, PATCHES_PER_PHOTOGRAPH)
    loader = DataLoader(
        AgedPairs(pictures.training, pictures, patch_px=settings.patch_px, seed=settings.seed),
        batch_size=settings.batch_size,
        sampler=ResumeSampler(groups * settings.batch_size),
        num_workers=workers,
        collate_fn=batches_of,
        prefetch_factor=2 if workers else None,
    )
    yield from islice(chain.from_iterable(loader), begun, None)
