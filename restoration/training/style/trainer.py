"""The training of styles: one network for one style or several, released as a model version of each."""

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
from restoration.errors import TrainingError
from restoration.execution import Execution, ResolvedExecution
from restoration.model_folders import STYLE_PREFIX, ModelFolder, shipped_versions
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
from restoration.training.style.losses import Features, LearntFeatures
from restoration.training.style.release import release
from restoration.training.style.style_data import StyleStep, StyleSteps, find_styles
from restoration.training.style.style_gan import ENCODED_SIZE, STYLE_SIZE, StyleGAN, StyleSetStatistics, has_strokes
from restoration.training.style.style_settings import StyleTrainingSettings
from restoration.training.tensorboard_writer import TensorBoardWriter
from restoration.training.training_loop import (
    Progress,
    TrainingLoop,
    create_output_folder,
    set_learning_rate,
    with_terms_of,
)

_REFERENCES = 96  # patches of a style, whose Gram matrices are the aim and that its vector is taken from
_LEAST_SPREAD = 1e-3


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
    """Trains styles and writes them as model versions: one into ``output``, several into folders in it.

    Args:
        output: a new or empty folder; with ``resume`` one that holds a checkpoint.
        styles: for each style of the settings its folder of pictures, of which every 5th by name is held back for
            evaluation; of one style the folder alone. With ``resume`` by itself the checkpoint's own.
        content: a folder of pictures to be styled, held back as for restoration. With ``resume`` the same.
        settings: what to train and how, by default :meth:`StyleTrainingSettings.named_after` ``output``; with
            ``resume`` they are the checkpoint's.
        resume: go on from the checkpoint in ``output``. On the same kind of machine the result is that of an
            undisturbed training.
        execution: device and precision.
        perceptual_weights: VGG19's weights as safetensors; else the features of the shipped restoration judge.
        workers: processes that draw pictures; they don't change the result.
        progress: called after each step with the step, the number of steps and the losses.

    Raises:
        TrainingError: there are too few pictures, the folder is in use, there is nothing to resume, or the losses
            stopped being numbers.
        WeightsError: the perceptual weights aren't VGG19's.
        DeviceError: the device asked for isn't there.
    """
    settings, folders, facts = _start(output, styles, content, settings, resume=resume)
    data = _Data.of(folders, settings)
    for folder in folders[:-1]:
        settings = replace(settings, style_terms=with_terms_of(folder, settings.style_terms))
    settings = replace(settings, data_terms=with_terms_of(folders[-1], settings.data_terms))
    how = (execution or Execution()).resolved()
    features, digest, features_of = _features(settings, perceptual_weights)
    settings = replace(settings, perceptual_weights_sha256=digest, features_of=features_of)
    gan = _networks(settings, data, features, how)
    if resume:
        checkpoints.load(gan, output)
    training = _Training(gan, settings, data, output, {**facts, "folders": [str(path.resolve()) for path in folders]})
    training.run(_turns(data.turns, first=training.step, workers=workers), progress)
    versions = release(output, gan, settings=settings, references=data.references, pictures=data.pictures, how=how)
    (output / checkpoints.CHECKPOINT_NAME).unlink(missing_ok=True)
    return versions


def _start(
    output: Path,
    styles: Mapping[str, Path] | Path | None,
    content: Path | None,
    settings: StyleTrainingSettings | None,
    *,
    resume: bool,
) -> tuple[StyleTrainingSettings, list[Path], dict[str, Any]]:
    """The settings, the folders of each style and last of the content, and what the checkpoint holds beside them."""
    if resume:
        facts = checkpoints.read_facts(output)
        if "folders" not in facts:
            raise TrainingError(f"the training in {output} is of a restoration and no style: resume it as one")
        settings = StyleTrainingSettings.from_stored(facts["settings"])
        *known, known_content = map(Path, facts["folders"])
        styles = styles or dict(zip(settings.names, known, strict=True))
        return settings, _folders(settings, styles, content or known_content), facts
    if styles is None or content is None:
        raise TrainingError(
            "name a folder of pictures in the style (--style-images DIR) and one of pictures to be styled "
            "(--content DIR)"
        )
    settings = settings or StyleTrainingSettings.named_after(output)
    folders = _folders(settings, styles, content)
    if wrong := [name for name in settings.names if not name.startswith(STYLE_PREFIX)]:
        raise TrainingError(
            f"the name of a style begins with {STYLE_PREFIX!r}, so that none reads like a process: call {wrong[0]} "
            f"{STYLE_PREFIX}{wrong[0]}"
        )
    create_output_folder(output)
    return settings, folders, {"step": 0}


def _folders(settings: StyleTrainingSettings, styles: Mapping[str, Path] | Path, content: Path) -> list[Path]:
    by_name = {settings.names[0]: styles} if isinstance(styles, Path) else dict(styles)
    if set(by_name) != set(settings.names):
        raise TrainingError(f"the folders are of {', '.join(by_name)}, but the styles are {', '.join(settings.names)}")
    return [*(by_name[name] for name in settings.names), content]


@dataclass(frozen=True, kw_only=True)
class _Data:
    """The pictures of a training; ``pictures`` are of each style and last those to be styled."""

    pictures: list[TrainingPictures]
    turns: StyleSteps
    references: list[Tensor]

    @classmethod
    def of(cls, folders: list[Path], settings: StyleTrainingSettings) -> _Data:
        found = [
            *find_styles(dict(zip(settings.names, folders[:-1], strict=True))).values(),
            find_pictures(folders[-1]),
        ]
        turns = StyleSteps(
            found[-1].training,
            [one.training for one in found[:-1]],
            patch_px=settings.patch_px,
            patches=settings.patches,
            pictures=settings.pictures,
            seed=settings.seed,
        )
        rng = np.random.default_rng([settings.seed, len(folders)])
        references = [turns.patches_of(style, _REFERENCES, rng) for style in range(len(settings.names))]
        return cls(pictures=found, turns=turns, references=references)


def _features(settings: StyleTrainingSettings, perceptual_weights: Path | None) -> tuple[Features, str | None, str]:
    """What judges content and texture, the digest of its weights file if the user named one, and its name."""
    digest = None if perceptual_weights is None else hashlib.sha256(perceptual_weights.read_bytes()).hexdigest()
    if settings.perceptual_weights_sha256 not in (None, digest):
        raise TrainingError("this training began with other perceptual weights: name the same file to resume it")
    if perceptual_weights is not None:
        if settings.features_of not in ("", "VGG19"):
            raise TrainingError(
                f"this training began with features of {settings.features_of}: resume it without others"
            )
        return VGGFeatures.from_file(perceptual_weights), digest, "VGG19"
    folders = [folder for folder in shipped_versions() if folder.card.architecture == "residual-unet"]
    wanted = [folder for folder in folders if settings.features_of in ("", folder.card.reference)]
    if not wanted:
        raise TrainingError(f"this training was judged by {settings.features_of}, which this software doesn't ship")
    card, weights = wanted[-1].card, wanted[-1].load_weights()
    network = cast(ResidualUNet, build_generator(card.architecture, card.network))
    both_ends = "texture" in {parameter.name for parameter in card.parameters}
    network.load_state_dict(
        interpolate_weights(weights, 0.0) if both_ends else {name: value.float() for name, value in weights.items()}
    )
    return LearntFeatures(network), None, card.reference


def _networks(settings: StyleTrainingSettings, data: _Data, features: Features, how: ResolvedExecution) -> StyleGAN:
    """Fresh networks that know what the pictures' statistics are like."""
    count = len(settings.names)
    found = [data.turns.all_statistics(style) for style in range(count)]
    everything = torch.cat([*found, data.turns.all_statistics(-1)])
    facts = [StyleSetStatistics.of(one) for one in found]
    torch.manual_seed(settings.seed)
    generator = StyleNetwork(
        statistics=len(picture_statistics.STATISTIC_NAMES),
        style=STYLE_SIZE,
        widths=settings.widths,
        blocks=settings.blocks,
        code=settings.code,
        deep_grain=True,
        strokes=has_strokes(facts),
    )
    generator.statistics_mean.copy_(everything.mean(dim=0))
    generator.statistics_spread.copy_(everything.std(dim=0).clamp(min=_LEAST_SPREAD))
    gan = StyleGAN(
        generator,
        StyleEncoder(style=ENCODED_SIZE),
        [PatchDiscriminator(scales=settings.scales) for _ in range(count)],
        features,
        facts,
        weights=settings.loss_weights,
        device=how.device,
        autocast=how.autocast,
        ema_decay=settings.ema_decay,
        seed=settings.seed,
    )
    gan.set_texture_targets(data.references)
    return gan


class _Training(TrainingLoop[StyleStep, StyleTrainingSettings]):
    """The loop of styles."""

    def __init__(
        self, gan: StyleGAN, settings: StyleTrainingSettings, data: _Data, output: Path, facts: dict[str, Any]
    ) -> None:
        super().__init__(gan, settings, output, facts)
        self.gan, self.references = gan, data.references
        self.shown = data.turns[0].to(gan.device)  # looked at again and again

    def take(self, item: StyleStep) -> dict[str, float]:
        gan, settings = self.gan, self.settings
        set_learning_rate(gan.generator_optimiser, settings.rate(self.step))
        set_learning_rate(gan.discriminator_optimiser, 2 * settings.game_rate)
        losses = (gan.colour_step if self.step < settings.colour_steps else gan.game_step)(item.to(gan.device))
        name = settings.names[item.style].removeprefix("simulated-")
        return {f"{name}/{loss}": value for loss, value in losses.items()}

    def validate(self, board: TensorBoardWriter) -> dict[str, float]:
        """Shows the same patches in each style; the figures come at the end, from whole pictures."""
        turn = self.shown
        with self.gan.with_running_mean():
            made = [
                self.gan.styled(number, patches, turn.given, turn.given_statistics, turn.noise)
                for number, patches in enumerate(self.references)
            ]
        board.pictures(self.step, "input, " + ", ".join(self.settings.names), [turn.given, *made])
        return {}


def _turns(turns: StyleSteps, *, first: int, workers: int) -> Iterator[StyleStep]:
    yield from DataLoader(
        turns,
        batch_size=None,
        sampler=ResumeSampler(first),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
    )
