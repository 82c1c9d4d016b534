"""The record of a restoration: what each stage did, and the environment that it ran in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Environment:
    """All that a derivative's pixels depend on beside its master and its recipe."""

    software_version: str
    torch_version: str
    device: str
    instruction_set: str
    precision: str
    tile_size: int
    threads: int
    seed: int
    libraries: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What one stage did: its place in the recipe, and how long its network worked on how many tiles.

    ``values`` says what it worked on: encoded values, as they are stored, in the space of the picture's profile; of a
    style in sRGB.
    ``statistics`` are what a style was told of the whole picture that it worked on.
    """

    index: int
    model: str
    version: str
    seconds: float
    tiles: int
    values: str
    statistics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class RestorationRecord:
    """What was done to one picture. ``notes`` says what of the source isn't carried, and why."""

    stages: tuple[StageRecord, ...]
    environment: Environment
    pixel_sha256: str
    notes: tuple[str, ...]
