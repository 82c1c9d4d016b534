"""Samples ageing parameters for training.

The probabilities decide what a network learns. Nearly half of the samples have a single defect; one in eight is
clean or nearly clean, so that the network leaves such scans unchanged; the others combine several defects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from restoration.degradation.ageing import DEFAULT_REPAIR, DEFECTS, Ageing, Defect
from restoration.degradation.image_defects import Fading, Softness
from restoration.degradation.physical_damage import sample_damage


def sample_repair(rng: np.random.Generator, ageing: Ageing) -> tuple[Defect, ...]:
    """Samples the requested repairs: mostly the default, often with damage where there is some, or one defect present.

    The amount of fading is mostly ambiguous, so targets without fading are rare. Requests for absent defects are also
    rare, because a network that mostly gets them learns to do nothing.
    """
    kind = rng.random()
    if kind < 0.2 or (kind < 0.6 and "damage" not in ageing.defects):
        return DEFAULT_REPAIR
    if kind < 0.6:
        return ("noise", "softness", "damage")
    if kind < 0.65:
        return DEFECTS
    present = [defect for defect in ageing.defects if defect != "fading"]
    if kind < 0.92 and present:
        return (present[rng.integers(len(present))],)
    chosen = tuple(defect for defect in DEFECTS if rng.random() < (0.2 if defect == "fading" else 0.5))
    return chosen or DEFAULT_REPAIR


def sample_damage_repair(rng: np.random.Generator, *, monochrome: bool = True) -> tuple[Ageing, tuple[Defect, ...]]:
    """Samples ageing and requested repairs of a photograph that asks for the repair of damage.

    A quarter is undamaged, so that the network keeps what only looks like damage.
    """
    kind = rng.random()
    if kind < 0.5:
        ageing = Ageing(damage=sample_damage(rng), gaussian_noise=float(rng.choice([0.0, 0.01])))
    elif kind < 0.75:
        ageing = replace(_sample_combined(rng, monochrome=monochrome), damage=sample_damage(rng))
    else:
        ageing = replace(sample_ageing(rng, monochrome=monochrome), damage=None)
    return ageing, ("damage",) if rng.random() < 0.5 else (*DEFAULT_REPAIR, "damage")


def sample_ageing(rng: np.random.Generator, *, monochrome: bool = True) -> Ageing:
    """Samples the ageing parameters of one photograph, from untouched to severely damaged."""
    kind = rng.random()
    if kind < 0.12:
        return _sample_untouched(rng)
    if kind < 0.24:
        return Ageing(
            gaussian_noise=_sample_level(rng, 1.5 / 255, 55 / 255)
            if rng.random() < 0.4
            else float(rng.uniform(0, 55 / 255)),
            noise_colour=0.0 if monochrome else 1.0,
            clip=bool(rng.random() < 0.5),
        )
    if kind < 0.37:
        return Ageing(
            softness=(_sample_softness(rng),),
            gaussian_noise=float(rng.uniform(0.0, 0.03)),
            noise_colour=0.0 if monochrome else 1.0,
        )
    if kind < 0.51:
        return _sample_grainy(rng, monochrome=monochrome)
    if kind < 0.70:
        return Ageing(damage=sample_damage(rng), gaussian_noise=float(rng.choice([0.0, 0.01])))
    return _sample_combined(rng, monochrome=monochrome)


def _sample_untouched(rng: np.random.Generator) -> Ageing:
    return Ageing(
        gaussian_noise=float(rng.choice([0.0, 0.002, 0.005])),
        sharpening=float(rng.uniform(0.2, 1.6)) if rng.random() < 0.4 else 0.0,
        sharpening_px=float(rng.uniform(0.5, 1.6)),
        jpeg_quality=int(rng.integers(92, 99)) if rng.random() < 0.4 else None,
        fading=_sample_fading(rng) if rng.random() < 0.3 else Fading(),
    )


def _sample_grainy(rng: np.random.Generator, *, monochrome: bool) -> Ageing:
    """Samples a sharp, undamaged photograph with coarse or fine grain, such as a good scan of a small negative."""
    return Ageing(
        grain=_sample_level(rng, 0.006, 0.11),
        grain_size_px=_sample_grain_size(rng),
        grain_colour=0.0 if monochrome else float(rng.uniform(0.3, 1.0)),
        gaussian_noise=float(rng.uniform(0.0, 0.015)),
        noise_colour=0.0 if monochrome else 1.0,
        **_sample_copy(rng),
    )


def _sample_level(rng: np.random.Generator, least: float, most: float) -> float:
    """Samples a level of grain or noise; its logarithm is uniformly distributed."""
    return float(np.exp(rng.uniform(np.log(least), np.log(most))))


def _sample_grain_size(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(0.4), np.log(2.4))))


def _sample_copy(rng: np.random.Generator) -> dict[str, Any]:
    """Samples sharpening by the scanning software and JPEG compression."""
    return {
        "sharpening": float(rng.uniform(0.2, 1.6)) if rng.random() < 0.4 else 0.0,
        "sharpening_px": float(rng.uniform(0.5, 1.6)),
        "jpeg_quality": int(rng.integers(30, 96)) if rng.random() < 0.5 else None,
    }


def _sample_combined(rng: np.random.Generator, *, monochrome: bool) -> Ageing:
    grainy = rng.random() < 0.8
    emulsion = 0.0 if monochrome else float(rng.uniform(0.3, 1.0))
    return Ageing(
        softness=tuple(
            _sample_softness(rng, mildness=2.0) for _ in range(int(rng.choice([0, 1, 2], p=[0.3, 0.6, 0.1])))
        ),
        grain=_sample_level(rng, 0.008, 0.12) if grainy else 0.0,
        grain_size_px=_sample_grain_size(rng),
        grain_colour=emulsion,
        vignette=float(rng.uniform(0.0, 0.4)) if rng.random() < 0.1 else 0.0,
        fading=_sample_fading(rng) if rng.random() < 0.6 else Fading(),
        damage=sample_damage(rng) if rng.random() < 0.65 else None,
        photon_count=float(np.exp(rng.uniform(np.log(80), np.log(4000)))) if rng.random() < 0.2 else 0.0,
        gaussian_noise=float(rng.uniform(0.0, 0.04) if rng.random() < 0.85 else rng.uniform(0.04, 0.2)),
        noise_colour=0.0 if monochrome and rng.random() < 0.7 else 1.0,
        streaks=float(rng.uniform(0.0, 0.02)) if rng.random() < 0.08 else 0.0,
        rescale=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.4 else 1.0,
        **_sample_copy(rng),
    )


def _sample_softness(rng: np.random.Generator, *, mildness: float = 1.0) -> Softness:
    """Samples a blur; with a ``mildness`` above 1 small extents are more likely than large ones."""
    kind = str(rng.choice(["gaussian", "disc", "motion", "trajectory"], p=[0.4, 0.12, 0.34, 0.14]))
    least, most = {"gaussian": (0.3, 3.0), "disc": (0.6, 4.0), "motion": (2.5, 16.0), "trajectory": (3.0, 16.0)}[kind]
    extent = least + (most - least) * rng.random() ** mildness
    return Softness(
        kind=kind,  # type: ignore[arg-type]
        extent_px=float(extent),
        angle=float(rng.uniform(0, np.pi)),
        seed=int(rng.integers(2**31)),
    )


def _sample_fading(rng: np.random.Generator) -> Fading:
    return Fading(
        density_loss=float(rng.uniform(0.0, 0.45)),
        flare=float(rng.uniform(0.0, 0.25)),
        yellowing=float(rng.uniform(0.0, 0.4)) if rng.random() < 0.6 else 0.0,
        discolouration=float(rng.uniform(0.0, 0.3)) if rng.random() < 0.2 else 0.0,
        unevenness=float(rng.uniform(0.0, 0.6)),
        seed=int(rng.integers(2**31)),
    )
