"""A trained generator becomes a model version: a folder with ``card.json`` and ``weights.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save

from restoration.models import CARD_NAME, WEIGHTS_NAME, ModelFolder, parse_card
from restoration.networks import Generator
from restoration.training.data import TrainingPictures
from restoration.training.evaluation import Row

if TYPE_CHECKING:
    from restoration.training.trainer import TrainingSettings

STRENGTH = {
    "default": 1.0,
    "range": [0.0, 1.0],
    "description": "source + strength * (output - source); 0 gives exactly the source",
}
UNSUITED_PROCESSES = ("halftone", "photogravure", "engraving", "lithograph", "etching", "woodcut", "collotype")
KNOWN_FAILURES = [
    "Weave, canvas and print texture finer than about 2 px may be taken for grain and smoothed.",
    "Heavy grain is removed together with the finest detail beneath it.",
    "Motion blur is hardly reduced.",
    "Scratches, hairs, dust, stains, tears and folds are hardly reduced (see the evaluation inside them).",
    "Small faces under heavy grain come out smooth; nothing in them is to be read as evidence.",
    "Fading, yellowing and vignetting are left as they are, by design.",
]


def write_version(
    output: Path,
    generator: Generator,
    *,
    settings: TrainingSettings,
    pictures: TrainingPictures,
    environment: dict[str, str],
    evaluation: Sequence[Row],
) -> ModelFolder:
    """Writes the version folder into ``output`` and opens it; the weights go first, so that a card implies weights."""
    weights = save({name: value.detach().contiguous().cpu() for name, value in generator.state_dict().items()})
    content = {
        "name": settings.name,
        "version": settings.version,
        "description": settings.description,
        "task": "restoration",
        "architecture": {"name": "residual-unet", "widths": list(settings.widths), "blocks": list(settings.blocks)},
        "parameters": {"strength": STRENGTH},
        "suited_to": {
            "polarity": ["positive"],
            "unsuited_processes": list(UNSUITED_PROCESSES),
            "minimum_size_px": 32,
        },
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": {
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": {
                "photographs": len(pictures.training),
                "validation_photographs": len(pictures.validation),
                "damage_masks": len(pictures.damage),
                "terms": settings.data_terms,
            },
            "losses": (
                "Charbonnier pixel loss; then pixel, discriminator-feature and hinge adversarial losses, in turns "
                "with a spectral-norm patch discriminator at two scales"
            ),
            "settings": asdict(settings),
            "environment": environment,
        },
        "evaluation": [row.as_dict() for row in evaluation],
        "known_failures": KNOWN_FAILURES,
    }
    parse_card(content)
    (output / WEIGHTS_NAME).write_bytes(weights)
    (output / CARD_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return ModelFolder.open(output)
