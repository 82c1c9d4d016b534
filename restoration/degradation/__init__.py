"""The ageing model: seeded, simulated degradation of photographs, with restoration targets.

:func:`sample_ageing` draws ageing parameters; :func:`age_picture` applies them and returns the aged picture with the
restoration target. ``image_defects`` simulates single defects, ``physical_damage`` and ``damage_strokes`` damage
to the image layer; ``ageing`` sets their order, ``parameter_sampling`` their probabilities.
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
from restoration.degradation.parameter_sampling import sample_ageing, sample_damage_repair, sample_repair
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
    "sample_damage_repair",
    "sample_repair",
    "without_fading",
]
