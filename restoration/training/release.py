"""Releases a trained generator as a model version: a folder with ``card.json`` and ``weights.safetensors``."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
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
from restoration.training.evaluation import Restoration, evaluate, read_centre, restoration_of_arrays
from restoration.training.evaluation_cases import cases
from restoration.training.restoration_gan import RestorationGAN
from restoration.training.training_settings import TrainingSettings
from restoration.training.validation import Validation, ValidationMetrics

STRENGTH = {
    "default": 1.0,
    "range": [0.0, 1.0],
    "description": "source + strength * (output - source); 0 gives exactly the source",
}
TEXTURE = {
    "default": 0.0,
    "range": [0.0, 1.0],
    "description": (
        "0 keeps to what the picture shows; higher values add invented texture, up to 1, which adds as much as a "
        "photograph would have"
    ),
}
REPAIR = {
    "default": list(DEFAULT_REPAIR),
    "choices": list(DEFECTS),
    "description": "what is mended; what is not named stays as it is",
}
MAX_ENDPOINT_LOSS_DB = 0.8
_EVALUATED_PX = 320  # a side of each validation photograph; larger ones would take half an hour instead of minutes
_FACTORS = [index / 4 for index in range(9)]  # the places of the texture endpoint that are tried
_TEXTURES = [index / 20 for index in range(21)]
_EVALUATED_TEXTURES = (0.0, 1.0)
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
    execution: ResolvedExecution,
    validation: Validation,
    seconds: float | None = None,
) -> ModelFolder:
    """Writes the model version of a finished training to ``output``, evaluated on the centres of its validation
    photographs.

    The texture endpoint lies on the line through fidelity and adversarial weights. The factor is the largest one up to
    2 that loses at most :data:`MAX_ENDPOINT_LOSS_DB` on the validation pairs. The default texture is 0: nothing is
    invented unless somebody asks for it.

    With ``seconds``, a time limit, as many photographs are evaluated as it allows, but at least one.
    """
    started = time.monotonic()
    if not gan.fidelity_endpoint:
        gan.store_fidelity_endpoint()
    weights = join_endpoints(gan.fidelity_endpoint, gan.ema.weights)
    measured = _measure_by_texture(gan, weights, validation, _FACTORS)
    least_db = measured[0.0].psnr_db - MAX_ENDPOINT_LOSS_DB
    factor = max(texture for texture, one in measured.items() if one.psnr_db >= least_db)
    weights = join_endpoints(interpolate_weights(weights, 0.0), interpolate_weights(weights, factor))
    by_texture = _measure_by_texture(gan, weights, validation, _TEXTURES)
    restorations = {
        f"texture {texture:g}": _restoration_with(gan.generator, interpolate_weights(weights, texture), execution)
        for texture in _EVALUATED_TEXTURES
    }
    left = None if seconds is None else seconds - (time.monotonic() - started)
    return _write_restoration(
        output,
        weights,
        {
            "parameters": {"strength": STRENGTH, "texture": TEXTURE, "repair": REPAIR},
            "training": {
                "environment": execution.described(),
                "validation_psnr_by_texture": {f"{t:g}": round(one.psnr_db, 3) for t, one in by_texture.items()},
                "invented_texture_by_texture": {
                    f"{t:g}": round(one.invented_texture, 5) for t, one in by_texture.items()
                },
                "adversarial_share_taken": factor,
            },
            "evaluation": _evaluate_within(left, restorations, pictures),
        },
        settings=settings,
        pictures=pictures,
    )


def minimum_release_seconds(gan: RestorationGAN, pictures: TrainingPictures, validation: Validation) -> float:
    """Estimates from short measurements how long a release takes that evaluates one photograph only."""
    validation.restore(gan.generator, validation.batches[0])  # the first call takes longer and is not timed
    started = time.monotonic()
    validation.measure(gan.generator, gan.ema.weights)
    validation_seconds = time.monotonic() - started
    started = time.monotonic()
    first = read_centre(pictures.validation[0], _EVALUATED_PX)
    list(evaluate({}, [first], with_baselines=False))
    metric_seconds = time.monotonic() - started
    evaluated_pixels: int = sum(case.repetitions for case in cases()) * first.shape[0] * first.shape[1]
    network_seconds = validation_seconds * evaluated_pixels / validation.pixels
    picture_seconds = metric_seconds + len(_EVALUATED_TEXTURES) * (metric_seconds + network_seconds)
    # The first photograph is evaluated alone first, which shows how many fit, and once more with others.
    return (len(_FACTORS) + len(_TEXTURES)) * validation_seconds + 2 * picture_seconds


def _evaluate_within(
    seconds: float | None, restorations: Mapping[str, Restoration], pictures: TrainingPictures
) -> list[dict[str, Any]]:
    """The rows of the evaluation of all validation photographs, or of as many as fit into ``seconds``."""

    def rows(count: int) -> list[dict[str, Any]]:
        clean = [read_centre(path, _EVALUATED_PX) for path in pictures.validation[:count]]
        return [row.as_dict() for row in evaluate(restorations, clean, with_baselines=False)]

    if seconds is None:
        return rows(len(pictures.validation))
    started = time.monotonic()
    first = rows(1)
    each = time.monotonic() - started
    count = min(len(pictures.validation), int((seconds - each) / each))
    return rows(count) if count > 1 else first


def _measure_by_texture(
    gan: RestorationGAN, weights: Mapping[str, Tensor], validation: Validation, textures: Sequence[float]
) -> dict[float, ValidationMetrics]:
    return {texture: validation.measure(gan.generator, interpolate_weights(weights, texture)) for texture in textures}


def _restoration_with(generator: Generator, weights: Mapping[str, Tensor], execution: ResolvedExecution) -> Restoration:
    network = copy.deepcopy(generator)
    network.load_state_dict(dict(weights))

    return restoration_of_arrays(lambda repair: LoadedRestoration(network, execution, repair=repair))


def _write_restoration(
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
            "losses": _describe_losses(settings),
            "settings": asdict(settings),
            **measured["training"],
        },
        "evaluation": measured["evaluation"],
        "known_failures": KNOWN_FAILURES,
    }
    return write_version(output, tensors, content)


def write_version(output: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> ModelFolder:
    """Writes and opens a version's folder; weights are written first, so that a card implies weights.

    Args:
        output: an existing folder.
        tensors: the weights to store.
        content: the card without the weights' digest.

    Raises:
        CardError: the card is not valid.
    """
    weights = save(dict(tensors))
    card = {**content, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    parse_card(card)
    (output / WEIGHTS_NAME).write_bytes(weights)
    (output / CARD_NAME).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return ModelFolder.open(output)


def _describe_losses(settings: TrainingSettings) -> str:
    loss = "discriminator" if settings.perceptual_weights_sha256 is None else "VGG19"
    return (
        "pixel loss (the logarithm of a patch's squared error, another one for its damaged pixels); then pixel, "
        f"{loss}-feature and hinge adversarial losses, in turns with a spectral-norm patch discriminator at two scales"
    )
