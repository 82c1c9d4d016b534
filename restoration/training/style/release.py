"""Releases each trained style as a model version: a folder with ``card.json`` and ``weights.safetensors``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restoration import picture_statistics
from restoration.execution import Execution, ResolvedExecution
from restoration.model_folders import ModelFolder
from restoration.pipeline.style_stage import COLOUR_BALANCE, STYLE_VECTOR_NAME
from restoration.training.aged_pairs import TrainingPictures
from restoration.training.release import STRENGTH, UNSUITED_PROCESSES, write_version
from restoration.training.style.evaluation import evaluate_style_pictures, has_enough_pictures
from restoration.training.style.style_gan import STYLE_SIZE, StyleGAN, has_strokes
from restoration.training.style.style_settings import StyleTrainingSettings

WEIGHT = {
    "default": 1.0,
    "range": [0.0, 1.0],
    "description": "of styles that follow one another, how much this one counts in their mean",
}
_BALANCE_DESCRIPTIONS = {
    "temperature": "from -1, bluer, to 1, yellower",
    "tint": "from -1, greener, to 1, more magenta",
    "brightness": "from -1, darker, to 1, brighter",
}
LOSSES = (
    "energy distance of Lab and HSV statistics (colour); mean squared feature difference of the luma after the tone "
    "curve (content); Gram matrices over several layers, and power spectra (style); hinge game in turns with a "
    "spectral-norm patch discriminator for each style, at several scales; mean squared difference on pictures of the "
    "style (identity)"
)
KNOWN_FAILURES = [
    "It is a look, not a process: nothing in the result tells how, when or where the object was made.",
    "A print that is in the style already is left nearly alone; one that is faded may be taken for something else.",
    "Grain and paint follow pixels, not millimetres: a scan of twice the resolution gets them half as coarse.",
]


def release(
    output: Path,
    gan: StyleGAN,
    *,
    settings: StyleTrainingSettings,
    references: Sequence[Tensor],
    pictures: Sequence[TrainingPictures],
    execution: ResolvedExecution,
) -> list[ModelFolder]:
    """Writes a model version for each style: to ``output`` if there is only one, else to its subfolders.

    The card has the metrics of :func:`restoration.training.style.evaluate_style` on the held-out pictures, if there are
    enough.
    """
    versions, evaluation_execution = [], Execution(device=str(execution.device))
    with gan.ema.applied(gan.trained_networks):
        network = gan.generator.state_dict()
        for number, name in enumerate(settings.names):
            folder = output if len(settings.names) == 1 else output / f"{name}-{settings.version}"
            folder.mkdir(exist_ok=True)
            with torch.no_grad():
                vector = gan.style(number, references[number].to(gan.device))[0]
            tensors = {**network, STYLE_VECTOR_NAME: vector}
            tensors = {key: value.detach().to("cpu", torch.float16).contiguous() for key, value in tensors.items()}
            content = _card(gan, settings, number, pictures, execution)
            version = write_version(folder, tensors, content)
            if has_enough_pictures(pictures[-1].validation, pictures[number]):
                rows = evaluate_style_pictures(
                    version, pictures[-1].validation, pictures[number], execution=evaluation_execution
                )
                version = write_version(folder, tensors, {**content, "evaluation": [row.as_dict() for row in rows]})
            versions.append(version)
    return versions


def _card(
    gan: StyleGAN,
    settings: StyleTrainingSettings,
    number: int,
    pictures: Sequence[TrainingPictures],
    execution: ResolvedExecution,
) -> dict[str, Any]:
    style_statistics = gan.style_statistics[number]
    descriptions = dict(zip(settings.names, settings.descriptions, strict=False))
    return {
        "name": settings.names[number],
        "version": settings.version,
        "description": descriptions.get(settings.names[number], ""),
        "task": "style",
        "architecture": {
            "name": "style-unet",
            "statistics": len(picture_statistics.STATISTIC_NAMES),
            "style": STYLE_SIZE,
            "widths": list(settings.widths),
            "blocks": list(settings.blocks),
            "code": settings.code,
            "deep_grain": True,
            "strokes": has_strokes(gan.style_statistics),
        },
        "parameters": {
            "strength": STRENGTH,
            "weight": WEIGHT,
            **{
                name: {"default": 0.0, "range": [-1.0, 1.0], "description": _BALANCE_DESCRIPTIONS[name]}
                for name in COLOUR_BALANCE
            },
        },
        "style": {
            "palette": style_statistics.palette,
            "statistics": _named(style_statistics.mean),
            "spreads": _named(style_statistics.spread),
        },
        "suited_to": {
            "polarity": ["positive"],
            "unsuited_processes": list(UNSUITED_PROCESSES),
            "minimum_size_px": 32,
        },
        "training": {
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": {
                "style_pictures": len(pictures[number].training),
                "held_back_style_pictures": len(pictures[number].validation),
                "pictures_to_be_styled": len(pictures[-1].training),
                "style_terms": settings.style_terms,
                "terms": settings.data_terms,
            },
            "losses": LOSSES,
            "settings": asdict(settings),
            "environment": execution.described(),
        },
        "evaluation": [],
        "known_failures": KNOWN_FAILURES,
    }


def _named(values: Tensor) -> dict[str, float]:
    return {
        name: round(value, 5) for name, value in zip(picture_statistics.STATISTIC_NAMES, values.tolist(), strict=True)
    }
