"""Trains a restoration model: a pixel-loss phase, then an adversarial phase, with checkpoints to resume from.

The output folder holds ``checkpoint.safetensors`` during the training, ``log.jsonl`` with the losses of every 50th
step, the TensorBoard log ``board``, and finally a model version: ``card.json`` and ``weights.safetensors``.

The file ``TERMS.txt`` in the folder of photographs states their terms of use; the card includes them.
"""

from __future__ import annotations

import hashlib
import math
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
from restoration.processor_cores import count_cores
from restoration.training import checkpoints
from restoration.training.aged_pairs import (
    CONDITIONS,
    PATCHES_PER_PHOTOGRAPH,
    AgedPairs,
    AgedPatches,
    RealDefects,
    ResumeSampler,
    TrainingPictures,
    batches_of,
    find_pictures,
)
from restoration.training.network_widening import widen_weights
from restoration.training.precision_selection import keep_precision, resolve_for_training
from restoration.training.release import minimum_release_seconds, release
from restoration.training.restoration_gan import RestorationGAN
from restoration.training.tensorboard_writer import TensorBoardWriter
from restoration.training.training_loop import (
    Progress,
    TrainingLoop,
    add_folder_terms,
    create_output_folder,
    set_learning_rate,
)
from restoration.training.training_settings import TrainingSettings
from restoration.training.validation import Validation

_MIN_GAIN_DB = 0.01
_RELEASE_SHARE = 0.1  # of the time limit, for evaluating and writing the version, or longer where that takes longer
_STEPS_PER_TIMING = 20


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
    """Trains a restoration model and writes it as a model version to ``output``.

    Args:
        output: a new or empty folder; with ``resume``, a folder that holds a checkpoint.
        data: a folder of clean photographs (see :func:`restoration.training.aged_pairs.find_pictures`); with
            ``resume`` the default is the checkpoint's folder. The text of its ``TERMS.txt`` is added to
            ``data_terms``.
        settings: the training settings; by default :meth:`TrainingSettings.named_after` ``output``; with ``resume``
            the checkpoint's.
        resume: continue from the checkpoint in ``output``. On the same kind of processor the result equals that of an
            uninterrupted training; a GPU rounds sums in another order each time.
        start: a version whose weights, at texture 0, initialise the generator. The network is widened if the
            settings have larger widths (:func:`restoration.training.network_widening.widen_weights`).
        minutes: time limit from now for both phases and the release, also with ``resume``; by default a resumed
            training keeps its first limit.
        execution: device and precision; precision ``auto`` selects the faster one by a measurement, and with ``resume``
            keeps that of the training so far.
        perceptual_weights: VGG19's weights as safetensors, for the feature loss; by default it uses the
            discriminator's features.
        workers: the number of processes that age pictures; it doesn't affect the result. By default one; with a GPU
            all cores but one.
        progress: called after each step with the step, the total number of steps and the losses.

    Raises:
        TrainingError: there are no pictures, the folder is in use, there is no checkpoint, ``start`` has another kind
            of network or is combined with ``resume``, a loss is not finite, or the time limit is too short to evaluate
            and write a version.
        WeightsError: the perceptual weights aren't VGG19's, or the weights of ``start`` don't match its card.
        DeviceError: the requested device is not available.
    """
    # Over 60 lines because of the argument and error documentation; the body is about 30 lines.
    started = time.monotonic()
    settings, pictures, loop_state = _prepare(output, data, settings, resume=resume, start=start, minutes=minutes)
    resolved = resolve_for_training(keep_precision(execution or Execution(), loop_state), settings)
    loop_state["precision"] = resolved.precision
    settings, gan = _build_networks(settings, resolved, perceptual_weights)
    if resume:
        checkpoints.load(gan, output)
    if start is not None:
        gan.initialise_generator(widen_weights(interpolate_weights(start.load_weights(), 0.0), gan.generator))
    defects = RealDefects.read(pictures)
    validation = _sample_validation(settings, pictures, defects, gan)
    limit = _TimeLimit(settings, started=started, seconds_before=0.0 if minutes is not None else loop_state["seconds"])
    if settings.minutes is not None:
        limit.reserve(minimum_release_seconds(gan, pictures, validation), is_new=minutes is not None)
    training = _Training(gan, settings, validation, output, loop_state, limit)
    if workers is None:
        workers = max(1, count_cores() - 1) if resolved.device.type == "cuda" else 1
    training.run(_batches(settings, pictures, defects, first=training.step, workers=workers), progress)
    folder = release(
        output,
        gan,
        settings=training.settings,
        pictures=pictures,
        execution=resolved,
        validation=validation,
        seconds=limit.seconds_left(),
    )
    (output / checkpoints.CHECKPOINT_NAME).unlink(missing_ok=True)
    return folder


def _settings_from_version(start: ModelFolder, settings: TrainingSettings, *, resume: bool) -> TrainingSettings:
    """Adapts the settings to the network of the version that initialises the generator."""
    card = start.card
    if resume:
        raise TrainingError(
            "a resumed training has its weights from the checkpoint. Leave out the version to start from"
        )
    conditions = tuple(card.network.get("conditions", ()))
    if card.architecture != "residual-unet" or conditions != CONDITIONS[: len(conditions)]:
        raise TrainingError(
            f"{card.reference} has another kind of network than the current one. Start from another version"
        )
    blocks = tuple(card.network["blocks"])
    widths = tuple(card.network["widths"])
    if len(widths) == len(settings.widths):
        widths = tuple(max(pair) for pair in zip(widths, settings.widths, strict=True))
    return replace(settings, started_from=card.reference, widths=widths, blocks=blocks)


def _build_networks(
    settings: TrainingSettings, resolved: ResolvedExecution, perceptual_weights: Path | None
) -> tuple[TrainingSettings, RestorationGAN]:
    """Builds new networks; returns the settings with the digest of the perceptual weights, and the networks."""
    perceptual, digest = None, None
    if perceptual_weights is not None:
        perceptual = VGGFeatures.from_file(perceptual_weights)
        digest = hashlib.sha256(perceptual_weights.read_bytes()).hexdigest()
    if settings.perceptual_weights_sha256 not in (None, digest):
        raise TrainingError("this training started with other perceptual weights. Name the same file to resume it")
    torch.manual_seed(settings.seed)
    gan = RestorationGAN(
        build_generator(
            "residual-unet", {"widths": settings.widths, "blocks": settings.blocks, "conditions": CONDITIONS}
        ),
        PatchDiscriminator(),
        weights=settings.loss_weights,
        device=resolved.device,
        autocast=resolved.autocast,
        ema_decay=settings.ema_decay,
        perceptual=perceptual,
    )
    return replace(settings, perceptual_weights_sha256=digest), gan


def _prepare(
    output: Path,
    data: Path | None,
    settings: TrainingSettings | None,
    *,
    resume: bool,
    start: ModelFolder | None,
    minutes: float | None,
) -> tuple[TrainingSettings, TrainingPictures, dict[str, Any]]:
    """Returns the settings, the pictures and the loop state, of a new training or from the checkpoint."""
    if start is not None:
        settings = _settings_from_version(start, settings or TrainingSettings.named_after(output), resume=resume)
    settings, data, loop_state = _read_or_create(output, data, settings, resume=resume)
    pictures = find_pictures(data)
    settings = replace(settings, data_terms=add_folder_terms(data, settings.data_terms))
    if minutes is not None:
        settings = replace(settings, minutes=minutes)
    return settings, pictures, {**loop_state, "data": str(data.resolve())}


def _read_or_create(
    output: Path, data: Path | None, settings: TrainingSettings | None, *, resume: bool
) -> tuple[TrainingSettings, Path, dict[str, Any]]:
    """Returns the settings, the data folder and the loop state, from the checkpoint or in a new output folder."""
    if resume:
        loop_state = checkpoints.read_loop_state(output)
        if "data" not in loop_state:
            raise TrainingError(
                f"the training in {output} is a style training, not a restoration training. Resume it as one"
            )
        settings = TrainingSettings.from_stored(loop_state["settings"])
        return settings, data or Path(loop_state["data"]), {"seconds": 0.0, **loop_state}
    if data is None:
        raise TrainingError("no training images. Name a folder of clean photographs: --data DIR")
    settings = settings or TrainingSettings.named_after(output)
    create_output_folder(output)
    return settings, data, {"step": 0, "best_psnr": 0.0, "since_best": 0, "seconds": 0.0}


def _sample_validation(
    settings: TrainingSettings, pictures: TrainingPictures, defects: RealDefects, gan: RestorationGAN
) -> Validation:
    return Validation(
        pictures,
        defects,
        patch_px=settings.patch_px,
        seed=settings.seed,
        device=gan.device,
        autocast=gan.autocast,
        damage_share=settings.damage_share,
    )


class _TimeLimit:
    """The time limit of a training; without ``settings.minutes`` there is none, and the remaining times are None."""

    def __init__(self, settings: TrainingSettings, *, started: float, seconds_before: float) -> None:
        """Takes the monotonic time of the start, and the time of earlier runs, s, that counts."""
        self._started = started
        self._seconds = None if settings.minutes is None else settings.minutes * 60 - seconds_before
        self._reserved = 0.0

    def reserve(self, release_seconds: float, *, is_new: bool) -> None:
        """Reserves time for the release, at least as much as its shortest form takes.

        Raises:
            TrainingError: the limit is new, and that takes more than half of the time.
        """
        if is_new and (left := self.seconds_left()) is not None and release_seconds > left / 2:
            raise TrainingError(
                f"the time limit is too short: evaluating and writing the version alone takes "
                f"{release_seconds / 60:.1f} minutes here. Allow at least {math.ceil(release_seconds / 30) + 1} minutes"
            )
        self._reserved = max(_RELEASE_SHARE * (self._seconds or 0.0), release_seconds)

    def elapsed(self, now: float) -> float:
        """The time from the start of this run to ``now``, s."""
        return now - self._started

    def step_seconds_left(self, now: float) -> float | None:
        """The time that is left for steps, s."""
        return None if self._seconds is None else self._seconds - self._reserved - self.elapsed(now)

    def seconds_left(self) -> float | None:
        """The time that is left in all, s."""
        return None if self._seconds is None else self._seconds - self.elapsed(time.monotonic())


class _Training(TrainingLoop[AgedPatches, TrainingSettings]):
    """The loop of a restoration training, whose steps end within the time limit."""

    def __init__(
        self,
        gan: RestorationGAN,
        settings: TrainingSettings,
        validation: Validation,
        output: Path,
        loop_state: dict[str, Any],
        limit: _TimeLimit,
    ) -> None:
        super().__init__(gan, settings, output, loop_state)  # with step, best_psnr, since_best and seconds
        self.gan = gan
        self._limit, self._seconds_before = limit, float(loop_state["seconds"])
        self._timing_started, self._timed_steps = time.monotonic(), 0
        self._first_step = self.step
        self.validation = validation

    def train_step(self, batch: AgedPatches) -> dict[str, float]:
        gan, settings, step = self.gan, self.settings, self.step
        set_learning_rate(gan.generator_optimiser, settings.rate(step))
        set_learning_rate(gan.discriminator_optimiser, settings.adversarial_learning_rate * 4)
        if step == settings.pixel_steps:
            gan.store_fidelity_endpoint()
        train = gan.pixel_step if step < settings.pixel_steps else gan.adversarial_step
        losses = train(batch.to(gan.device))
        self._fit_to_time_limit()
        return losses

    def _fit_to_time_limit(self) -> None:
        """Updates the elapsed time, and every few steps fits the phases to the remaining time."""
        now = time.monotonic()
        self.loop_state["seconds"] = self._seconds_before + self._limit.elapsed(now)
        seconds_left = self._limit.step_seconds_left(now)
        if seconds_left is None:
            return
        self._timed_steps += 1
        if self.step in (self._first_step, self.settings.pixel_steps):  # the first step takes longer and is not timed
            self._timing_started, self._timed_steps = now, 0
        elif self._timed_steps >= _STEPS_PER_TIMING:
            seconds_per_step = (now - self._timing_started) / self._timed_steps
            self.settings = self.settings.fitted_to_time(
                self.step + 1, seconds_left=seconds_left, seconds_per_step=seconds_per_step
            )
            self._timing_started, self._timed_steps = now, 0

    def validate(self, tensorboard: TensorBoardWriter) -> dict[str, float]:
        """Validates the EMA weights; starts the learning-rate decay of a pixel phase that has stopped improving."""
        psnr = self.validation.measure(self.gan.generator, self.gan.ema.weights).psnr_db
        preview = self.validation.batches[0]
        restored = self.validation.restore(self.gan.generator, preview)
        columns = [preview.aged.clamp(0, 1), restored, preview.target.clamp(0, 1)]
        tensorboard.add_pictures(self.step, "aged, restored, target", columns)
        if psnr > self.loop_state["best_psnr"] + _MIN_GAIN_DB:
            self.loop_state.update(best_psnr=psnr, since_best=0)
        else:
            self.loop_state["since_best"] += 1
        stagnates = self.loop_state["since_best"] == self.settings.patience and self.settings.minutes is None
        if stagnates and self.step < self.settings.pixel_steps:
            self.settings = self.settings.with_decay_from(self.step)
        return {"validation_psnr": psnr}


def _batches(
    settings: TrainingSettings, pictures: TrainingPictures, defects: RealDefects, *, first: int, workers: int
) -> Iterator[AgedPatches]:
    """Yields the batches from step ``first`` on; each group of photographs yields several."""
    groups, used = divmod(first, PATCHES_PER_PHOTOGRAPH)
    loader = DataLoader(
        AgedPairs(
            pictures.training,
            defects,
            patch_px=settings.patch_px,
            seed=settings.seed,
            damage_share=settings.damage_share,
        ),
        batch_size=settings.batch_size,
        sampler=ResumeSampler(groups * settings.batch_size),
        num_workers=workers,
        collate_fn=batches_of,
        prefetch_factor=2 if workers else None,
    )
    yield from islice(chain.from_iterable(loader), used, None)
