"""Evaluation cases: which defect is added to a clean picture, and which metrics the result gets.

Each case is a row of the evaluation table. Defects are sampled with a fixed seed, so that the metrics are reproducible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy import ndimage
from skimage import data

from restoration.colour.colour_operations import luma
from restoration.degradation import (
    DEFAULT_REPAIR,
    AgedPair,
    Ageing,
    Damage,
    Defect,
    Softness,
    age_picture,
    sample_ageing,
    without_fading,
)
from restoration.degradation.image_defects import blur_kernel
from restoration.training.baselines import Baseline, deblurrers, denoisers
from restoration.training.evaluation_metrics import (
    Array,
    Mask,
    Metrics,
    filled_metrics,
    kept_energy,
    mark_metrics,
    psnr,
    reference_metrics,
)
from restoration.training.inscriptions import draw_ink
from restoration.training.thin_structure_drawing import draw_thin_structures

_REPAIR_WITH_DAMAGE: tuple[Defect, ...] = ("noise", "softness", "damage")
_MAX_INPUT_DB = 40.0  # above this PSNR an aged picture has hardly aged; the case "clean" covers such pictures


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A degraded picture and the target of its restoration, both (H, W, C), C 1 or 3.

    ``mask`` (H, W) selects the measured pixels; None means all. ``baselines`` are classical methods that know the
    noise level or the blur kernel.
    """

    degraded: Array
    target: Array
    mask: Mask | None = None
    baselines: Mapping[str, Baseline] = field(default_factory=dict)


SampleMaker = Callable[[Array, np.random.Generator], Sample]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A defect, the requested repair and the metrics.

    ``repetitions`` is the number of samples per picture, each with other random numbers. ``pictures`` returns the
    case's own pictures, if it does not use those of the evaluation.
    """

    name: str
    make_sample: SampleMaker
    measure: Callable[[Sample, Array], Metrics]
    repair: tuple[Defect, ...] = DEFAULT_REPAIR
    repetitions: int = 1
    pictures: Callable[[], list[Array]] | None = None


def cases() -> tuple[Case, ...]:
    """Returns all cases in the order of the tables."""
    return (
        *(_noise_case(level, to_file=to_file) for to_file in (False, True) for level in (15, 25, 50)),
        _reference_case("film grain 0.06, size 0.8 px", _sample_maker(Ageing(grain=0.06, grain_size_px=0.8))),
        *(
            _reference_case(f"Gaussian blur {sigma:g} px, noise 2 %", _gaussian_blur_maker(sigma))
            for sigma in (1.6, 2.4)
        ),
        _reference_case("linear motion 9 to 15 px, noise 1 %", _motion_blur, repetitions=2),
        _reference_case("aged by the full model, unfaded", _full_ageing, repetitions=4, repair=_REPAIR_WITH_DAMAGE),
        _reference_case("clean", _sample_maker(Ageing())),
        Case(name="clean, texture kept", make_sample=_sample_maker(Ageing()), measure=_measure_kept_texture),
        Case(
            name="undamaged, with thin structures, damage asked for",
            make_sample=_add_thin_structures,
            measure=_measure_filled,
            repair=_REPAIR_WITH_DAMAGE,
        ),
        *_damage_cases(),
        *_mark_cases(),
        *(_single_defect_case(defect) for defect in _REPAIR_WITH_DAMAGE),
    )


def _reference_case(
    name: str, make: SampleMaker, *, repetitions: int = 1, repair: tuple[Defect, ...] = DEFAULT_REPAIR
) -> Case:
    def measure(sample: Sample, restored: Array) -> Metrics:
        return reference_metrics(sample.target, restored)

    return Case(name=name, make_sample=make, measure=measure, repetitions=repetitions, repair=repair)


def _measure_kept_texture(sample: Sample, restored: Array) -> Metrics:
    return kept_energy(sample.degraded, restored)


def _measure_filled(sample: Sample, restored: Array) -> Metrics:
    return filled_metrics(sample.degraded, restored)


def _add_thin_structures(clean: Array, rng: np.random.Generator) -> Sample:
    colour = np.broadcast_to(clean, (*clean.shape[:2], 3))
    with_structures = draw_thin_structures(np.ascontiguousarray(colour), rng)[..., : clean.shape[2]]
    return Sample(degraded=with_structures, target=with_structures)


def _sample_maker(ageing: Ageing, baselines: Mapping[str, Baseline] | None = None) -> SampleMaker:
    def make(clean: Array, rng: np.random.Generator) -> Sample:
        pair = age_picture(clean, ageing, rng)
        return Sample(degraded=pair.aged, target=pair.target, baselines=baselines or {})

    return make


def _noise_case(level: int, *, to_file: bool) -> Case:
    """White Gaussian noise: unclipped, as in published results, or clipped and quantised, as in a 16-bit file."""
    sigma = level / 255
    unquantised = _sample_maker(Ageing(gaussian_noise=sigma, clip=to_file), denoisers(sigma))

    def quantised(clean: Array, rng: np.random.Generator) -> Sample:
        sample = unquantised(clean, rng)
        return replace(sample, degraded=(np.rint(sample.degraded * 65535) / 65535).astype(np.float32))

    return _reference_case(
        f"noise {level}/255, {'clipped, from a 16-bit file' if to_file else 'not clipped'}",
        quantised if to_file else unquantised,
    )


def _gaussian_blur_maker(sigma_px: float) -> SampleMaker:
    return partial(_blur_sample, softness=Softness(kind="gaussian", extent_px=sigma_px), noise=0.02)


def _motion_blur(clean: Array, rng: np.random.Generator) -> Sample:
    extent, angle = float(rng.uniform(9, 15)), float(rng.uniform(0, np.pi))
    return _blur_sample(clean, rng, softness=Softness(kind="motion", extent_px=extent, angle=angle), noise=0.01)


def _blur_sample(clean: Array, rng: np.random.Generator, *, softness: Softness, noise: float) -> Sample:
    pair = age_picture(clean, Ageing(softness=(softness,), gaussian_noise=noise), rng)
    return Sample(degraded=pair.aged, target=pair.target, baselines=deblurrers(blur_kernel(softness), noise))


def _full_ageing(clean: Array, rng: np.random.Generator) -> Sample:
    """Ages a picture as in training; repeats the sampling while the picture has hardly aged."""
    while True:
        ageing = without_fading(sample_ageing(rng, monochrome=clean.shape[-1] == 1))
        pair = age_picture(clean, replace(ageing, clip=True), rng, repair=_REPAIR_WITH_DAMAGE)
        if psnr(pair.target, pair.aged) < _MAX_INPUT_DB:
            return Sample(degraded=pair.aged, target=pair.target)


def _add_damage(clean: Array, rng: np.random.Generator, *, scale: float = 1.0) -> AgedPair:
    return age_picture(clean, Ageing(damage=_sample_damage(rng, scale)), rng, repair=_REPAIR_WITH_DAMAGE)


def _sample_damage(rng: np.random.Generator, scale: float = 1.0) -> Damage:
    return Damage(scratches=5, hairs=3, specks=25, scale=scale, seed=int(rng.integers(2**31)))


def _damage_cases() -> tuple[Case, ...]:
    """Cases for the pixels inside the damage, also if it is three times as wide, those outside, and the same outside
    pixels of an undamaged picture.
    """

    def inside(clean: Array, rng: np.random.Generator, *, scale: float = 1.0) -> Sample:
        pair = _add_damage(clean, rng, scale=scale)
        return Sample(degraded=pair.aged, target=pair.target, mask=pair.damage > 0.1)

    def outside(clean: Array, rng: np.random.Generator) -> Sample:
        pair = _add_damage(clean, rng)
        return Sample(degraded=pair.aged, target=pair.target, mask=pair.damage == 0)

    def undamaged(clean: Array, rng: np.random.Generator) -> Sample:
        return replace(outside(clean, rng), degraded=clean)

    names: dict[str, SampleMaker] = {
        "inside them": inside,
        "three times as wide, inside them": partial(inside, scale=3.0),
        "outside them": outside,
        "the same outside without them": undamaged,
    }
    return tuple(
        Case(
            name=f"scratches, hairs and dust, {pixels}",
            make_sample=make,
            measure=_measure_masked_psnr,
            repair=_REPAIR_WITH_DAMAGE,
        )
        for pixels, make in names.items()
    )


def _measure_masked_psnr(sample: Sample, restored: Array) -> Metrics:
    return {"psnr": psnr(sample.target[sample.mask], restored[sample.mask])}


def _mark_cases() -> tuple[Case, ...]:
    """Cases for writing and print on a grainy and noisy scan, which must not be removed as damage."""
    kinds = {"handwriting": "handwriting", "crop marks": "rule", "captions": "type"}
    return (
        *(
            Case(
                name=f"marks on a noisy scan, {name}",
                make_sample=partial(_add_marks, kind=kind),
                measure=_measure_marks,
            )
            for name, kind in kinds.items()
        ),
        Case(
            name="marks on a noisy scan, printed and written pages",
            make_sample=lambda page, rng: _add_scan_noise(page, luma(page) < _paper_level(page) - 0.15, rng),
            measure=_measure_marks,
            pictures=lambda: [page[..., None].astype(np.float32) / 255 for page in (data.page(), data.text())],
        ),
    )


def _measure_marks(sample: Sample, restored: Array) -> Metrics:
    return mark_metrics(sample.target, restored, np.asarray(sample.mask))


def _add_marks(clean: Array, rng: np.random.Generator, *, kind: str) -> Sample:
    """Adds marks in visible ink: dark on a light picture, light on a dark one."""
    ink = draw_ink(clean.shape[0], clean.shape[1], [kind] * 3, rng)
    colour = np.float32(0.08 if luma(clean).mean() > 0.4 else 0.92)
    return _add_scan_noise(clean + ink[..., None] * (colour - clean), ink > 0.4, rng)


def _add_scan_noise(marked: Array, ink: Mask, rng: np.random.Generator) -> Sample:
    scan = Ageing(grain=0.05, grain_size_px=0.8, gaussian_noise=0.04)
    return Sample(degraded=age_picture(marked, scan, rng).aged, target=marked, mask=ink)


def _paper_level(page: Array) -> Array:
    brightest: Array = ndimage.gaussian_filter(ndimage.maximum_filter(ndimage.gaussian_filter(luma(page), 2), 25), 8)
    return brightest


def _single_defect_case(defect: Defect) -> Case:
    """Repairs one of three defects; the target keeps the other two, with the same random numbers."""

    def make(clean: Array, rng: np.random.Generator) -> Sample:
        ageing = Ageing(
            softness=(Softness(kind="gaussian", extent_px=1.6),),
            grain=0.06,
            grain_size_px=0.8,
            damage=_sample_damage(rng),
            gaussian_noise=0.03,
        )
        pair = age_picture(clean, ageing, rng, repair=(defect,))
        return Sample(degraded=pair.aged, target=pair.target)

    return replace(_reference_case(f"all three, {defect} alone repaired", make), repair=(defect,))
