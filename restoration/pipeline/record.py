"""The record of a restoration: what each stage did, and the environment that it ran in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Everything besides master and recipe that can affect a derivative's pixels."""

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
    """What one stage did: its index in the recipe, the number of tiles and the network's time, s.

    ``values`` names its colour space: encoded values in the space of the picture's profile, or sRGB for a style.
    ``statistics`` are the conditioning inputs measured on the whole input picture: a restoration's grain profile
    (:mod:`restoration.grain_profile`), a style's statistics (:mod:`restoration.picture_statistics`).
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
    """The record of one restoration. ``notes`` lists what was not carried over from the source, and why."""

    stages: tuple[StageRecord, ...]
    environment: Environment
    pixel_sha256: str
    notes: tuple[str, ...]
