"""Releases a trained generator as a model version: a folder with ``card.json`` and ``weights.safetensors``."""

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
from restoration.training.evaluation import Restoration, evaluate, read_centre, restoration_of_arrays
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
MAX_DEFAULT_LOSS_DB = 0.2
MAX_INVENTED_TEXTURE = 0.5 / 255
MAX_ENDPOINT_LOSS_DB = 0.8
_EVALUATED_PX = 320  # a side of each validation photograph; larger ones would take half an hour instead of minutes
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
) -> ModelFolder:
    """Writes the model version of a finished training to ``output``, evaluated on the centres of its validation
    photographs.

    The texture endpoint lies on the line through fidelity and adversarial weights. The factor is the largest one up to
    2 that loses at most :data:`MAX_ENDPOINT_LOSS_DB` on the validation pairs. The default texture is the largest
    one that loses at most :data:`MAX_DEFAULT_LOSS_DB` and adds at most :data:`MAX_INVENTED_TEXTURE` to flat places,
    beyond what texture 0 leaves there.
    """
    if not gan.fidelity_endpoint:
        gan.store_fidelity_endpoint()
    weights = join_endpoints(gan.fidelity_endpoint, gan.ema)
    factor = _largest_texture(_psnr_by_texture(gan, weights, validation, max_factor=2), MAX_ENDPOINT_LOSS_DB)
    weights = join_endpoints(interpolate_weights(weights, 0.0), interpolate_weights(weights, factor))
    psnr_by_texture = _psnr_by_texture(gan, weights, validation)
    invented = {
        texture: validation.invented_texture(gan.generator, interpolate_weights(weights, texture))
        for texture in psnr_by_texture
    }
    default = _largest_texture(
        {t: psnr for t, psnr in psnr_by_texture.items() if invented[t] <= invented[0.0] + MAX_INVENTED_TEXTURE},
        MAX_DEFAULT_LOSS_DB,
    )
    clean = [read_centre(path, _EVALUATED_PX) for path in pictures.validation]
    restorations = {
        f"texture {texture:g}": _restoration_with(gan.generator, interpolate_weights(weights, texture), execution)
        for texture in sorted({0.0, default, 1.0})
    }
    evaluation = list(evaluate(restorations, clean, with_baselines=False))
    by_texture = {f"{texture:g}": round(psnr, 3) for texture, psnr in psnr_by_texture.items()}
    return _write_restoration(
        output,
        weights,
        {
            "parameters": {"strength": STRENGTH, "texture": _texture_parameter(default), "repair": REPAIR},
            "training": {
                "environment": execution.described(),
                "validation_psnr_by_texture": by_texture,
                "invented_texture_by_texture": {f"{t:g}": round(value, 5) for t, value in invented.items()},
                "adversarial_share_taken": factor,
            },
            "evaluation": [row.as_dict() for row in evaluation],
        },
        settings=settings,
        pictures=pictures,
    )


def _psnr_by_texture(
    gan: RestorationGAN, weights: Mapping[str, Tensor], validation: Validation, *, max_factor: int = 1
) -> dict[float, float]:
    """Validation PSNR in dB for textures from 0 to ``max_factor`` in steps of 1/20."""
    textures = [index / 20 for index in range(20 * max_factor + 1)]
    return {texture: validation.psnr(gan.generator, interpolate_weights(weights, texture)) for texture in textures}


def _largest_texture(psnr_by_texture: Mapping[float, float], max_loss: float) -> float:
    return max(texture for texture, psnr in psnr_by_texture.items() if psnr >= psnr_by_texture[0.0] - max_loss)


def _restoration_with(generator: Generator, weights: Mapping[str, Tensor], execution: ResolvedExecution) -> Restoration:
    network = copy.deepcopy(generator)
    network.load_state_dict(dict(weights))

    return restoration_of_arrays(lambda repair: LoadedRestoration(network, execution, repair=repair))


def _texture_parameter(default: float) -> dict[str, Any]:
    return {
        "default": default,
        "range": [0.0, 1.0],
        "description": (
            "from 0, which keeps to what the picture shows, to 1, which adds the texture that a photograph would have; "
            f"the default costs at most {MAX_DEFAULT_LOSS_DB} dB of fidelity"
        ),
    }


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
        "pixel loss (the logarithm of a patch's squared error, damaged pixels weighted); then pixel, "
        f"{loss}-feature and hinge adversarial losses, in turns with a spectral-norm patch discriminator at two scales"
    )
