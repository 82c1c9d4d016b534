"""The C2PA manifest of a derivative: its ingredients, its stages as actions, and digests that reveal later changes."""

from __future__ import annotations

from typing import Any

from archive import SOFTWARE_NAME, __version__
from restoration.image import Provenance, metadata_digests, stage_source_type
from restoration.image.image_info import ImageInfo
from restoration.image.provenance_metadata import ENHANCED
from restoration.recipe import RecipeStage

DOMAIN = "org.archive-restoration"
DERIVATIVE_ASSERTION = f"{DOMAIN}.derivative"
MASTER = "master"
"""The ingredient's name within the manifest's definition."""


def manifest_definition(
    provenance: Provenance, info: ImageInfo, *, title: str, sha256: str, pixel_sha256: str
) -> dict[str, Any]:
    """The definition for c2pa's builder, to which the master is added as the ingredient :data:`MASTER`.

    Args:
        provenance: how the derivative was made.
        info: what the derivative's file holds.
        title: its name.
        sha256: of its file, before it is signed.
        pixel_sha256: of its pixels.
    """
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [MASTER]}}
    derivative = {
        "derivative_sha256": sha256,
        "pixel_sha256": pixel_sha256,
        "master_sha256": provenance.master_sha256,
        "master_page": provenance.master_page,
        "recipe_sha256": provenance.recipe.sha256,
        "pipeline_version": provenance.recipe.pipeline_version,
        "metadata_sha256": metadata_digests(info),
    }
    return {
        "claim_generator_info": [{"name": SOFTWARE_NAME, "version": __version__}],
        "title": title,
        "format": "image/tiff",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [opened, *(_action(stage, provenance) for stage in provenance.recipe.stages)]},
            },
            {"label": DERIVATIVE_ASSERTION, "data": derivative},
        ],
    }


def master_ingredient(provenance: Provenance) -> dict[str, Any]:
    """The master of the derivative."""
    return {
        "title": provenance.master_name,
        "relationship": "parentOf",
        "label": MASTER,
        "instance_id": f"sha256:{provenance.master_sha256}",
    }


def _action(stage: RecipeStage, provenance: Provenance) -> dict[str, Any]:
    source_type = stage_source_type(stage)
    name, _, version = provenance.software.rpartition(" ")
    what = "Restored" if stage.task == "restoration" else "Simulated look applied"
    return {
        "action": "c2pa.enhanced" if source_type == ENHANCED else "c2pa.edited",
        "when": provenance.when,
        "description": f"{what} by {stage.model}@{stage.version}",
        "softwareAgent": {"name": name, "version": version},
        "digitalSourceType": source_type,
        "parameters": {
            f"{DOMAIN}.model": stage.model,
            f"{DOMAIN}.model_version": stage.version,
            f"{DOMAIN}.weights_sha256": stage.weights_sha256,
            f"{DOMAIN}.parameters": stage.as_dict()["parameters"],
        },
    }
