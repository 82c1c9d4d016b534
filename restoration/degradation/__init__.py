"""The ageing model: what happens to photographs, seeded, with what of it a restoration should undo.

:func:`sample_ageing` draws the numbers of one photograph's life, :func:`age_picture` applies them and gives the aged picture
with the target of a restoration. ``defects`` holds the single defects and their physics, ``damage`` what breaks the
image layer, ``ageing`` the order of a life, ``lives`` the chances.
"""

from __future__ import annotations

from restoration.degradation.ageing import (
    DEFAULT_REPAIR,
    DEFECTS,
    AgedPair,
    Ageing,
    Defect,
    age_picture,
    without_fading,
)
from restoration.degradation.image_defects import Fading, Softness
from restoration.degradation.parameter_sampling import sample_ageing, sample_repair
from restoration.degradation.physical_damage import Damage

__all__ = [
    "DEFAULT_REPAIR",
    "DEFECTS",
    "AgedPair",
    "Ageing",
    "Damage",
    "Defect",
    "Fading",
    "Softness",
    "age_picture",
    "sample_ageing",
    "sample_repair",
    "without_fading",
]
