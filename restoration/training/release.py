"""A trained generator becomes a model version: a folder with ``card.json`` and ``weights.safetensors``."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from restoration.degradation import DEFAULT_REPAIR, DEFECTS
from restoration.execution import ResolvedExecution
from restoration.model_folders import CARD_NAME, WEIGHTS_NAME, ModelFolder, parse_card
from restoration.networks import Generator, interpolate_weights, join_endpoints
from restoration.pipeline.stages import LoadedRestoration
from restoration.training.aged_pairs import CONDITIONS, TrainingPictures
from restoration.training.evaluation import Restoration, evaluate, read_middle, restoration_of_arrays
from restoration.training.restoration_gan import RestorationGAN
from restoration.training.training_settings import TrainingSettings
from restoration.training.validation import Validation

STRENGTH = {
    "default": 1.0,
    "range": [0.0, 1.0],
    "description": "source + strength * (output - source); 0 gives exactly the source",
}
REPAIR = {
    "default": list(DEFAULT_REPAIR),
    "choices": list(DEFECTS),
    "description": "what is mended; what is not named stays as it is",
}
MOST_LOST_DB = 0.2
MOST_LOST_IN_ALL_DB = 0.8
_MEASURED_PX = 320  # a side, of each validation photograph; enough for means, and minutes instead of half an hour
UNSUITED_PROCESSES = ("halftone", "photogravure", "engraving", "lithograph", "etching", "woodcut", "collotype")
KNOWN_FAILURES = [
    "Weave, canvas and print texture finer than about 2 px may be taken for grain and smoothed.",
    "Heavy grain is removed together with the finest detail beneath it.",
    "Motion blur of more than some 5 px is hardly reduced.",
    "Scratches and dust wider than a few pixels stay, or leave a trace.",
    "Small faces under heavy grain come out smooth; nothing in them is to be read as evidence.",
]


def release(
    output: Path,
    gan: RestorationGAN,
    *,
    settings: TrainingSettings,
    pictures: TrainingPictures,
    how: ResolvedExecution,
    validation: Validation,
) -> ModelFolder:
    """Writes the version folder of a finished training into ``output``, measured on the middles of its photographs
    for validation.

    The textured end lies on the line through both ends, as far out as costs at most :data:`MOST_LOST_IN_ALL_DB` on the
    validation pairs, and at most twice as far as the training went; the default texture is the largest that costs at
    most :data:`MOST_LOST_DB`.
    """
    if not gan.fidelity:
        gan.keep_fidelity()
    weights = join_endpoints(gan.fidelity, gan.ema)
    taken = _furthest(_levels(gan, weights, validation, furthest=2), MOST_LOST_IN_ALL_DB)
    weights = join_endpoints(interpolate_weights(weights, 0.0), interpolate_weights(weights, taken))
    levels = _levels(gan, weights, validation)
    default = _furthest(levels, MOST_LOST_DB)
    clean = [read_middle(path, _MEASURED_PX) for path in pictures.validation]
    restorations = {
        f"texture {texture:g}": _restoration(gan.generator, interpolate_weights(weights, texture), how)
        for texture in sorted({0.0, default, 1.0})
    }
    evaluation = list(evaluate(restorations, clean, with_peers=False))
    by_texture = {f"{texture:g}": round(psnr, 3) for texture, psnr in levels.items()}
    return _write(
        output,
        weights,
        {
            "parameters": {"strength": STRENGTH, "texture": _texture(default), "repair": REPAIR},
            "training": {
                "environment": how.described(),
                "validation_psnr_by_texture": by_texture,
                "adversarial_share_taken": taken,
            },
            "evaluation": [row.as_dict() for row in evaluation],
        },
        settings=settings,
        pictures=pictures,
    )


def _levels(
    gan: RestorationGAN, weights: Mapping[str, Tensor], validation: Validation, *, furthest: int = 1
) -> dict[float, float]:
    """The validation's PSNR in dB at each twentieth of the way from one end of ``weights`` to the other, or further."""
    textures = [share / 20 for share in range(20 * furthest + 1)]
    return {texture: validation.psnr(gan.generator, interpolate_weights(weights, texture)) for texture in textures}


def _furthest(levels: Mapping[float, float], most_lost: float) -> float:
    return max(texture for texture, level in levels.items() if level >= levels[0.0] - most_lost)


def _restoration(generator: Generator, weights: Mapping[str, Tensor], how: ResolvedExecution) -> Restoration:
    network = copy.deepcopy(generator)
    network.load_state_dict(dict(weights))

    return restoration_of_arrays(lambda repair: LoadedRestoration(network, how, repair=repair))


def _texture(default: float) -> dict[str, Any]:
    return {
        "default": default,
        "range": [0.0, 1.0],
        "description": (
            "from 0, which keeps to what the picture shows, to 1, which adds the texture that a photograph would have; "
            f"the default costs at most {MOST_LOST_DB} dB of fidelity"
        ),
    }


def _write(
    output: Path,
    tensors: dict[str, Tensor],
    measured: dict[str, Any],
    *,
    settings: TrainingSettings,
    pictures: TrainingPictures,
) -> ModelFolder:
    content = {
        "name": settings.name,
        "version": settings.version,
        "description": settings.description,
        "task": "restoration",
        "architecture": {
            "name": "residual-unet",
            "widths": list(settings.widths),
            "blocks": list(settings.blocks),
            "conditions": list(CONDITIONS),
        },
        "parameters": measured["parameters"],
        "suited_to": {
            "polarity": ["positive"],
            "unsuited_processes": list(UNSUITED_PROCESSES),
            "minimum_size_px": 32,
        },
        "training": {
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": {
                "photographs": len(pictures.training),
                "validation_photographs": len(pictures.validation),
                "damage_masks": len(pictures.damage),
                "terms": settings.data_terms,
            },
            "losses": _losses(settings),
            "settings": asdict(settings),
            **measured["training"],
        },
        "evaluation": measured["evaluation"],
        "known_failures": KNOWN_FAILURES,
    }
    return write_version(output, tensors, content)


def write_version(output: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> ModelFolder:
    """Writes a version's folder and opens it; the weights go first, so that a card implies weights.

    Args:
        output: an existing folder.
        tensors: the weights, as they are to be stored.
        content: the card but for the weights' digest.

    Raises:
        CardError: the card isn't a valid one.
    """
    weights = save(dict(tensors))
    card = {**content, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    parse_card(card)
    (output / WEIGHTS_NAME).write_bytes(weights)
    (output / CARD_NAME).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return ModelFolder.open(output)


def _losses(settings: TrainingSettings) -> str:
    judge = "discriminator" if settings.perceptual_weights_sha256 is None else "VGG19"
    return (
        "pixel loss (the logarithm of a patch's squared error, damaged pixels weighted); then pixel, "
        f"{judge}-feature and hinge adversarial losses, in turns with a spectral-norm patch discriminator at two scales"
    )
