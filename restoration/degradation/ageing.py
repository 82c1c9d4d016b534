"""Ageing parameters of a photograph and the order in which they are applied.

The order is: lens and camera, negative, print, decades of storage, handling, scanner, file. This module also decides
what a restoration may undo: each step belongs to one :data:`Defect` or to none, and the target of a pair keeps the
steps that aren't repaired, with the same random numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

import numpy as np

from restoration.degradation import image_defects
from restoration.degradation.image_defects import Array, Fading, Softness
from restoration.degradation.physical_damage import Damage, paint_damage

Defect = Literal["noise", "softness", "damage", "fading"]
DEFECTS: tuple[Defect, ...] = get_args(Defect)
"""The defects that a restoration can repair, in the order in which lists of them are written."""

DEFAULT_REPAIR: tuple[Defect, ...] = ("noise", "softness")
"""Minimal intervention: a print's tone is part of the object, and what seems to be damage may be part of the subject.
"""


@dataclass(frozen=True, kw_only=True)
class Ageing:
    """The ageing parameters of one photograph. The default changes nothing.

    Noise levels are standard deviations of encoded values; a ``grain_size_px`` is the sigma of the grain's Gaussian
    autocorrelation; ``rescale`` is the factor of the size at which the picture was stored before it was enlarged again.
    """

    softness: tuple[Softness, ...] = ()
    grain: float = 0.0
    grain_size_px: float = 0.0
    grain_patch: Array | None = None  # real grain, whose spectrum replaces the Gaussian one
    grain_colour: float = 0.0  # 0: one emulsion (the channels share the grain); 1: separate grain for each channel
    vignette: float = 0.0  # share of light missing in the corners; part of the original, so never repaired
    fading: Fading = field(default_factory=Fading)
    damage: Damage | None = None
    halftone_px: float = 0.0  # pitch of a halftone screen: a print process, not a defect; 0: none
    photon_count: float = 0.0  # photons at white in a scanner's sensor; 0: no shot noise
    gaussian_noise: float = 0.0
    noise_colour: float = 1.0  # 0: all channels share the noise, as in a grey scan; 1: independent noise
    streaks: float = 0.0  # lines in the scanning direction, from unequal sensor elements
    rescale: float = 1.0
    sharpening: float = 0.0  # amount of the scanning software's unsharp mask; never repaired
    sharpening_px: float = 1.0
    jpeg_quality: int | None = None
    clip: bool = True

    @property
    def defects(self) -> tuple[Defect, ...]:
        """The defects present that can be repaired."""
        found = {defect for defect, _ in _steps(self)}
        return tuple(defect for defect in DEFECTS if defect in found)


@dataclass(frozen=True, kw_only=True)
class AgedPair:
    """An aged picture and its restoration target, both (H, W, 3); ``damage`` is (H, W), 1 where damaged."""

    aged: Array
    target: Array
    damage: Array


def age_picture(
    clean: Array, ageing: Ageing, rng: np.random.Generator, *, repair: Collection[Defect] = DEFAULT_REPAIR
) -> AgedPair:
    """Ages a clean picture.

    Args:
        clean: (H, W, 3), encoded values in [0, 1].
        ageing: the parameters.
        rng: the random generator for grain, damage and noise.
        repair: the defects that the target doesn't have; it keeps the others, with the same grain and noise.

    Returns:
        The aged picture, the target and the mask of all damage in the aged picture. With ``ageing.clip`` both pictures
        are clipped to [0, 1], as in a file; otherwise noise may exceed it.
    """
    aged = target = clean
    for defect, step in _steps(ageing):
        if defect not in repair:
            target = step(target, copy.deepcopy(rng))
        aged = step(aged, rng)
    if ageing.damage is None:
        mask = np.zeros(clean.shape[:2], dtype=np.float32)
    else:
        mask = ageing.damage.mask_of(*clean.shape[:2])
    if ageing.clip:
        aged, target = np.clip(aged, 0, 1), np.clip(target, 0, 1)
    return AgedPair(aged=aged.astype(np.float32), target=target.astype(np.float32), damage=mask)


Step = Callable[[Array, np.random.Generator], Array]


def _steps(ageing: Ageing) -> Iterator[tuple[Defect | None, Step]]:
    """The steps in order, each with its defect; None marks a step that also stays in the target."""
    yield from _taking(ageing)
    yield from _keeping(ageing)
    yield from _scanning(ageing)


def _taking(ageing: Ageing) -> Iterator[tuple[Defect | None, Step]]:
    """The steps in the camera and in the darkroom."""
    for softness in ageing.softness:
        yield "softness", _deterministic(partial(image_defects.blur, softness=softness))
    if ageing.vignette > 0:
        yield None, _deterministic(partial(image_defects.vignette, strength=ageing.vignette))
    if ageing.grain > 0:
        yield (
            "noise",
            partial(
                image_defects.add_grain,
                strength=ageing.grain,
                size_px=ageing.grain_size_px,
                colour=ageing.grain_colour,
                patch=ageing.grain_patch,
            ),
        )


def _keeping(ageing: Ageing) -> Iterator[tuple[Defect | None, Step]]:
    """The steps of storage and handling, and of a printing press."""
    if ageing.fading != Fading():
        yield "fading", _deterministic(partial(image_defects.fade, fading=ageing.fading))
    if ageing.halftone_px > 0:
        yield None, _deterministic(partial(image_defects.halftone, pitch_px=ageing.halftone_px))
    if ageing.damage is not None:
        damage = ageing.damage
        yield "damage", lambda picture, rng: paint_damage(picture, damage, rng)


def _scanning(ageing: Ageing) -> Iterator[tuple[Defect | None, Step]]:
    """The steps in the scanner and its file."""
    if ageing.photon_count > 0:
        yield "noise", partial(image_defects.add_shot_noise, photon_count=ageing.photon_count)
    if ageing.gaussian_noise > 0:
        yield "noise", partial(image_defects.add_noise, sigma=ageing.gaussian_noise, colour=ageing.noise_colour)
    if ageing.streaks > 0:
        yield "noise", partial(image_defects.add_streaks, sigma=ageing.streaks)
    if ageing.rescale != 1.0:
        yield "softness", _deterministic(partial(image_defects.rescale, factor=ageing.rescale))
    if ageing.sharpening > 0:
        sharpen = partial(image_defects.sharpen, amount=ageing.sharpening, radius_px=ageing.sharpening_px)
        yield None, _deterministic(sharpen)
    if ageing.jpeg_quality is not None:
        yield "noise", _deterministic(partial(image_defects.compress_jpeg, quality=ageing.jpeg_quality))


def _deterministic(step: Callable[[Array], Array]) -> Step:
    return lambda picture, _rng: step(picture)


def without_fading(ageing: Ageing) -> Ageing:
    """The same parameters without fading."""
    return replace(ageing, fading=Fading())
