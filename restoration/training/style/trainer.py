"""Trains one network for one or several styles and releases it as a model version of each style."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from restoration import picture_statistics
from restoration.errors import ModelError, TrainingError
from restoration.execution import Execution, ResolvedExecution
from restoration.model_folders import STYLE_PREFIX, ModelFolder, shipped
from restoration.networks import (
    PatchDiscriminator,
    ResidualUNet,
    StyleEncoder,
    StyleNetwork,
    VGGFeatures,
    build_generator,
    interpolate_weights,
)
from restoration.training import checkpoints
from restoration.training.aged_pairs import ResumeSampler, TrainingPictures, find_pictures
from restoration.training.precision_selection import keep_precision
from restoration.training.style.losses import Features, LearntFeatures
from restoration.training.style.release import release
from restoration.training.style.style_data import StyleStep, StyleSteps, find_styles
from restoration.training.style.style_gan import ENCODED_SIZE, STYLE_SIZE, StyleGAN, StyleSetStatistics, has_strokes
from restoration.training.style.style_settings import StyleTrainingSettings
from restoration.training.tensorboard_writer import TensorBoardWriter
from restoration.training.training_loop import (
    Progress,
    TrainingLoop,
    add_folder_terms,
    create_output_folder,
    set_learning_rate,
)

_REFERENCES = 96  # patches per style; they give its texture targets and its style vector
_MIN_SPREAD = 1e-3
_FEATURES_OF = "denoise-deblur"  # whose newest version gives the features of a new training


def train_styles(
    output: Path,
    *,
    styles: Mapping[str, Path] | Path | None = None,
    content: Path | None = None,
    settings: StyleTrainingSettings | None = None,
    resume: bool = False,
    execution: Execution | None = None,
    perceptual_weights: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[ModelFolder]:
    """Trains styles and writes them as model versions: one style to ``output``, several to its subfolders.

    Args:
        output: a new or empty folder; with ``resume``, a folder that holds a checkpoint.
        styles: the folder of pictures of each style, or of the only style; every 5th picture by name is held out for
            evaluation. With ``resume`` the default is the checkpoint's folders.
        content: a folder of content pictures, split as for restoration. With ``resume`` the default is the
            checkpoint's folder.
        settings: the training settings; by default :meth:`StyleTrainingSettings.named_after` ``output``; with
            ``resume`` the checkpoint's.
        resume: continue from the checkpoint in ``output``. On the same kind of processor the result equals that of an
            uninterrupted training; a GPU rounds sums in another order each time.
        execution: device and precision; a resumed training keeps its precision if this is ``auto``.
        perceptual_weights: VGG19's weights as safetensors, for content and texture losses; by default they use the
            features of the shipped restoration model.
        workers: the number of processes that sample pictures; it doesn't affect the result.
        progress: called after each step with the step, the total number of steps and the losses.

    Raises:
        TrainingError: there are too few pictures, the folder is in use, there is no checkpoint, or a loss is not
            finite.
        WeightsError: the perceptual weights aren't VGG19's.
        DeviceError: the requested device is not available.
    """
    settings, folders, loop_state = _prepare(output, styles, content, settings, resume=resume)
    data = _Data.of(folders, settings)
    for folder in folders[:-1]:
        settings = replace(settings, style_terms=add_folder_terms(folder, settings.style_terms))
    settings = replace(settings, data_terms=add_folder_terms(folders[-1], settings.data_terms))
    resolved = keep_precision(execution or Execution(), loop_state).resolved()
    features, digest, features_of = _features(settings, perceptual_weights)
    settings = replace(settings, perceptual_weights_sha256=digest, features_of=features_of)
    gan = _build_networks(settings, data, features, resolved)
    if resume:
        checkpoints.load(gan, output)
    training = _Training(
        gan,
        settings,
        data,
        output,
        {**loop_state, "folders": [str(path.resolve()) for path in folders], "precision": resolved.precision},
    )
    training.run(_load_steps(data.steps, first=training.step, workers=workers), progress)
    versions = release(
        output, gan, settings=settings, references=data.references, pictures=data.pictures, execution=resolved
    )
    (output / checkpoints.CHECKPOINT_NAME).unlink(missing_ok=True)
    return versions


def _prepare(
    output: Path,
    styles: Mapping[str, Path] | Path | None,
    content: Path | None,
    settings: StyleTrainingSettings | None,
    *,
    resume: bool,
) -> tuple[StyleTrainingSettings, list[Path], dict[str, Any]]:
    """Returns the settings, the folders of the styles followed by that of the content, and the loop state."""
    if resume:
        loop_state = checkpoints.read_loop_state(output)
        if "folders" not in loop_state:
            raise TrainingError(
                f"the training in {output} is a restoration training, not a style training. Resume it as one"
            )
        settings = StyleTrainingSettings.from_stored(loop_state["settings"])
        *stored, stored_content = map(Path, loop_state["folders"])
        styles = styles or dict(zip(settings.names, stored, strict=True))
        return settings, _folders(settings, styles, content or stored_content), loop_state
    if styles is None or content is None:
        raise TrainingError(
            "no training images. Name a folder of pictures in the style (--style-images DIR) and one of photographs to "
            "apply it to (--content DIR)"
        )
    settings = settings or StyleTrainingSettings.named_after(output)
    folders = _folders(settings, styles, content)
    if wrong := [name for name in settings.names if not name.startswith(STYLE_PREFIX)]:
        raise TrainingError(
            f"the name of a style begins with {STYLE_PREFIX!r}, so that nobody takes it for a process. "
            f"Rename {wrong[0]} to {STYLE_PREFIX}{wrong[0]}"
        )
    create_output_folder(output)
    return settings, folders, {"step": 0}


def _folders(settings: StyleTrainingSettings, styles: Mapping[str, Path] | Path, content: Path) -> list[Path]:
    by_name = {settings.names[0]: styles} if isinstance(styles, Path) else dict(styles)
    if set(by_name) != set(settings.names):
        raise TrainingError(f"the folders are for {', '.join(by_name)}, but the styles are {', '.join(settings.names)}")
    return [*(by_name[name] for name in settings.names), content]


@dataclass(frozen=True, kw_only=True)
class _Data:
    """The training data; ``pictures`` holds those of each style, followed by the content pictures."""

    pictures: list[TrainingPictures]
    steps: StyleSteps
    references: list[Tensor]

    @classmethod
    def of(cls, folders: list[Path], settings: StyleTrainingSettings) -> _Data:
        pictures = [
            *find_styles(dict(zip(settings.names, folders[:-1], strict=True))).values(),
            find_pictures(folders[-1]),
        ]
        steps = StyleSteps(
            pictures[-1].training,
            [one.training for one in pictures[:-1]],
            patch_px=settings.patch_px,
            patches=settings.patches,
            pictures=settings.pictures,
            seed=settings.seed,
        )
        rng = np.random.default_rng([settings.seed, len(folders)])
        references = [steps.patches_of(style, _REFERENCES, rng) for style in range(len(settings.names))]
        return cls(pictures=pictures, steps=steps, references=references)


def _features(settings: StyleTrainingSettings, perceptual_weights: Path | None) -> tuple[Features, str | None, str]:
    """The features for the losses, the digest of the user's weights file or None, and their name."""
    digest = None if perceptual_weights is None else hashlib.sha256(perceptual_weights.read_bytes()).hexdigest()
    if settings.perceptual_weights_sha256 not in (None, digest):
        raise TrainingError("this training started with other perceptual weights. Name the same file to resume it")
    if perceptual_weights is not None:
        if settings.features_of not in ("", "VGG19"):
            raise TrainingError(
                f"this training started with features of {settings.features_of}. Resume it without --perceptual-weights"
            )
        return VGGFeatures.from_file(perceptual_weights), digest, "VGG19"
    try:
        folder = shipped(settings.features_of or _FEATURES_OF)
    except ModelError as error:
        raise TrainingError(
            f"this training started with features of {settings.features_of}, which this software doesn't ship. "
            "Resume it with the release that started it"
        ) from error
    card, weights = folder.card, folder.load_weights()
    network = cast(ResidualUNet, build_generator(card.architecture, card.network))
    has_endpoints = "texture" in {parameter.name for parameter in card.parameters}
    network.load_state_dict(
        interpolate_weights(weights, 0.0) if has_endpoints else {name: value.float() for name, value in weights.items()}
    )
    return LearntFeatures(network), None, card.reference


def _build_networks(
    settings: StyleTrainingSettings, data: _Data, features: Features, resolved: ResolvedExecution
) -> StyleGAN:
    """Builds new networks, normalised by the statistics of the pictures."""
    count = len(settings.names)
    statistics = [data.steps.all_statistics(style) for style in range(count)]
    all_statistics = torch.cat([*statistics, data.steps.all_statistics(-1)])
    style_statistics = [StyleSetStatistics.of(one) for one in statistics]
    torch.manual_seed(settings.seed)
    generator = StyleNetwork(
        statistics=len(picture_statistics.STATISTIC_NAMES),
        style=STYLE_SIZE,
        widths=settings.widths,
        blocks=settings.blocks,
        code=settings.code,
        deep_grain=True,
        strokes=has_strokes(style_statistics),
    )
    generator.statistics_mean.copy_(all_statistics.mean(dim=0))
    generator.statistics_spread.copy_(all_statistics.std(dim=0).clamp(min=_MIN_SPREAD))
    gan = StyleGAN(
        generator,
        StyleEncoder(style=ENCODED_SIZE),
        [PatchDiscriminator(scales=settings.scales) for _ in range(count)],
        features,
        style_statistics,
        weights=settings.loss_weights,
        device=resolved.device,
        autocast=resolved.autocast,
        ema_decay=settings.ema_decay,
        seed=settings.seed,
    )
    gan.set_texture_targets(data.references)
    return gan


class _Training(TrainingLoop[StyleStep, StyleTrainingSettings]):
    """The loop of a style training."""

    def __init__(
        self, gan: StyleGAN, settings: StyleTrainingSettings, data: _Data, output: Path, loop_state: dict[str, Any]
    ) -> None:
        super().__init__(gan, settings, output, loop_state)
        self.gan, self.references = gan, data.references
        self.preview = data.steps[0].to(gan.device)

    def train_step(self, batch: StyleStep) -> dict[str, float]:
        gan, settings = self.gan, self.settings
        set_learning_rate(gan.generator_optimiser, settings.rate(self.step))
        set_learning_rate(gan.discriminator_optimiser, 2 * settings.game_rate)
        losses = (gan.colour_step if self.step < settings.colour_steps else gan.adversarial_step)(batch.to(gan.device))
        name = settings.names[batch.style].removeprefix("simulated-")
        return {f"{name}/{loss}": value for loss, value in losses.items()}

    def validate(self, tensorboard: TensorBoardWriter) -> dict[str, float]:
        """Logs the same patches in each style; metrics are computed from whole pictures at the end."""
        preview = self.preview
        with self.gan.ema.applied(self.gan.trained_networks):
            styled = [
                self.gan.styled(number, patches, preview.content, preview.content_statistics, preview.noise)
                for number, patches in enumerate(self.references)
            ]
        names = ", ".join(["input", *self.settings.names])
        tensorboard.add_pictures(self.step, names, [preview.content, *styled])
        return {}


def _load_steps(steps: StyleSteps, *, first: int, workers: int) -> Iterator[StyleStep]:
    yield from DataLoader(
        steps,
        batch_size=None,
        sampler=ResumeSampler(first),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
    )
