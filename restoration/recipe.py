"""Recipes: the ordered stages that make a derivative, in a canonical form with a digest.

Torch-free: a recipe can be planned, stored and compared without loading a network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import rfc8785

from restoration.errors import RecipeError

PIPELINE_VERSION = 1
"""Increment it with every change that alters the pixels of an existing recipe."""

StageTask = Literal["restoration", "style"]
ParameterValue = float | int | str | bool | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RecipeStage:
    """One model version applied to the image, with every parameter that its card declares written out."""

    task: StageTask
    model: str
    version: str
    weights_sha256: str
    parameters: Mapping[str, ParameterValue]

    def as_dict(self) -> dict[str, Any]:
        """The stage as plain JSON values."""
        return {
            "task": self.task,
            "model": self.model,
            "version": self.version,
            "weights_sha256": self.weights_sha256,
            "parameters": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.parameters.items()
            },
        }


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The ordered stages, the pipeline version and the mask's digest. Precision and device are not part of it."""

    stages: tuple[RecipeStage, ...]
    pipeline_version: int = PIPELINE_VERSION
    mask_sha256: str | None = None

    def __post_init__(self) -> None:
        if not self.stages:
            raise RecipeError("a recipe needs at least one stage")

    @property
    def styles(self) -> tuple[RecipeStage, ...]:
        """The style stages; empty if the recipe only restores."""
        return tuple(stage for stage in self.stages if stage.task == "style")

    @property
    def styles_a_restoration(self) -> bool:
        """Whether styles are applied to a restored picture, not to the source itself."""
        return 0 < len(self.styles) < len(self.stages)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values; includes the mask's digest only if there is a mask."""
        content: dict[str, Any] = {
            "pipeline_version": self.pipeline_version,
            "stages": [stage.as_dict() for stage in self.stages],
        }
        if self.mask_sha256 is not None:
            content["mask_sha256"] = self.mask_sha256
        return content

    def canonical_json(self) -> str:
        """The recipe in canonical JSON (RFC 8785); equal recipes give equal bytes."""
        return rfc8785.dumps(self.as_dict()).decode()

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON, in hex: the recipe's identifier."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Parses a recipe written by :meth:`canonical_json`.

        Raises:
            RecipeError: the text isn't a recipe.
        """
        try:
            content = json.loads(text)
            stages = tuple(
                RecipeStage(
                    task=stage["task"],
                    model=stage["model"],
                    version=stage["version"],
                    weights_sha256=stage["weights_sha256"],
                    parameters={
                        name: tuple(value) if isinstance(value, list) else value
                        for name, value in stage["parameters"].items()
                    },
                )
                for stage in content["stages"]
            )
            return cls(
                stages=stages,
                pipeline_version=content["pipeline_version"],
                mask_sha256=content.get("mask_sha256"),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecipeError(f"not a recipe: {error!r}") from error
