"""The cases of an evaluation: which defect a clean picture is given, and what of the result counts.

Each is a row of a table. Defects are drawn from a seed, so that the same pictures give the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy import ndimage
from skimage import data

from restoration.colour.toning import luma
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
    Figures,
    Mask,
    filled_metrics,
    kept_energy,
    mark_metrics,
    psnr,
    reference_metrics,
)
from restoration.training.inscriptions import draw_ink
from restoration.training.thin_structures import draw_thin_structures

_REPAIR_WITH_DAMAGE: tuple[Defect, ...] = ("noise", "softness", "damage")
_BEST_INPUT_DB = 40.0  # an aged picture nearer to the clean one has hardly aged; the clean row is about such


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture with its defects and what to compare a restoration with, both (H, W, C), C 1 or 3.

    ``where`` are the pixels that count, (H, W), all of them by itself; ``peers`` are methods told what a restoration
    isn't.
    """

    given: Array
    target: Array
    where: Mask | None = None
    peers: Mapping[str, Baseline] = field(default_factory=dict)


MakeSample = Callable[[Array, np.random.Generator], Sample]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A defect, what is asked to be repaired, and what is measured.

    ``times`` is how often each picture is given, each time by another chance; ``pictures`` are the case's own, where it
    isn't measured on those of an evaluation.
    """

    name: str
    make: MakeSample
    measure: Callable[[Sample, Array], Figures]
    repair: tuple[Defect, ...] = DEFAULT_REPAIR
    times: int = 1
    pictures: Callable[[], list[Array]] | None = None


def cases() -> tuple[Case, ...]:
    """All cases, in the order in which tables give them."""
    return (
        *(_noise(level, to_file=to_file) for to_file in (False, True) for level in (15, 25, 50)),
        _whole("film grain 0.06, size 0.8 px", _ageing(Ageing(grain=0.06, grain_size_px=0.8))),
        *(_whole(f"Gaussian blur {sigma:g} px, noise 2 %", _gaussian_blur(sigma)) for sigma in (1.6, 2.4)),
        _whole("linear motion 9 to 15 px, noise 1 %", _motion, times=2),
        _whole("aged by the full model, unfaded", _life, times=4, repair=_REPAIR_WITH_DAMAGE),
        _whole("clean", _ageing(Ageing())),
        Case(name="clean, texture kept", make=_ageing(Ageing()), measure=_kept_texture),
        Case(
            name="undamaged, with thin structures, damage asked for",
            make=_with_thin_structures,
            measure=_filled,
            repair=_REPAIR_WITH_DAMAGE,
        ),
        *_damage(),
        *_marks(),
        *(_alone(defect) for defect in _REPAIR_WITH_DAMAGE),
    )


def _whole(name: str, make: MakeSample, *, times: int = 1, repair: tuple[Defect, ...] = DEFAULT_REPAIR) -> Case:
    def measure(sample: Sample, made: Array) -> Figures:
        return reference_metrics(sample.target, made)

    return Case(name=name, make=make, measure=measure, times=times, repair=repair)


def _kept_texture(sample: Sample, made: Array) -> Figures:
    return kept_energy(sample.given, made)


def _filled(sample: Sample, made: Array) -> Figures:
    return filled_metrics(sample.given, made)


def _with_thin_structures(clean: Array, rng: np.random.Generator) -> Sample:
    colour = np.broadcast_to(clean, (*clean.shape[:2], 3))
    drawn = draw_thin_structures(np.ascontiguousarray(colour), rng)[..., : clean.shape[2]]
    return Sample(given=drawn, target=drawn)


def _ageing(ageing: Ageing, peers: Mapping[str, Baseline] | None = None) -> MakeSample:
    def make(clean: Array, rng: np.random.Generator) -> Sample:
        pair = age_picture(clean, ageing, rng)
        return Sample(given=pair.aged, target=pair.target, peers=peers or {})

    return make


def _noise(level: int, *, to_file: bool) -> Case:
    """White Gaussian noise: as published figures are taken, or as it arrives in a file, which holds no less than 0."""
    sigma = level / 255
    plain = _ageing(Ageing(gaussian_noise=sigma, clip=to_file), denoisers(sigma))

    def through_a_file(clean: Array, rng: np.random.Generator) -> Sample:
        sample = plain(clean, rng)
        return replace(sample, given=(np.rint(sample.given * 65535) / 65535).astype(np.float32))

    return _whole(
        f"noise {level}/255, {'clipped, from a 16-bit file' if to_file else 'not clipped'}",
        through_a_file if to_file else plain,
    )


def _gaussian_blur(sigma_px: float) -> MakeSample:
    return partial(_blurred, softness=Softness(kind="gaussian", extent_px=sigma_px), noise=0.02)


def _motion(clean: Array, rng: np.random.Generator) -> Sample:
    extent, angle = float(rng.uniform(9, 15)), float(rng.uniform(0, np.pi))
    return _blurred(clean, rng, softness=Softness(kind="motion", extent_px=extent, angle=angle), noise=0.01)


def _blurred(clean: Array, rng: np.random.Generator, *, softness: Softness, noise: float) -> Sample:
    pair = age_picture(clean, Ageing(softness=(softness,), gaussian_noise=noise), rng)
    return Sample(given=pair.aged, target=pair.target, peers=deblurrers(blur_kernel(softness), noise))


def _life(clean: Array, rng: np.random.Generator) -> Sample:
    """A life by the chances of training, but none that left the picture as good as new."""
    while True:
        ageing = without_fading(sample_ageing(rng, monochrome=clean.shape[-1] == 1))
        pair = age_picture(clean, replace(ageing, clip=True), rng, repair=_REPAIR_WITH_DAMAGE)
        if psnr(pair.target, pair.aged) < _BEST_INPUT_DB:
            return Sample(given=pair.aged, target=pair.target)


def _scratched(clean: Array, rng: np.random.Generator) -> AgedPair:
    return age_picture(clean, Ageing(damage=_handled(rng)), rng, repair=_REPAIR_WITH_DAMAGE)


def _handled(rng: np.random.Generator) -> Damage:
    return Damage(scratches=5, hairs=3, specks=25, seed=int(rng.integers(2**31)))


def _damage() -> tuple[Case, ...]:
    """Inside the damage, outside of it, and what the same outside comes to where nothing was damaged."""

    def inside(clean: Array, rng: np.random.Generator) -> Sample:
        pair = _scratched(clean, rng)
        return Sample(given=pair.aged, target=pair.target, where=pair.damage > 0.1)

    def outside(clean: Array, rng: np.random.Generator) -> Sample:
        pair = _scratched(clean, rng)
        return Sample(given=pair.aged, target=pair.target, where=pair.damage == 0)

    def undamaged(clean: Array, rng: np.random.Generator) -> Sample:
        return replace(outside(clean, rng), given=clean)

    names = {"inside them": inside, "outside them": outside, "the same outside without them": undamaged}
    return tuple(
        Case(name=f"scratches, hairs and dust, {where}", make=make, measure=_psnr_where, repair=_REPAIR_WITH_DAMAGE)
        for where, make in names.items()
    )


def _psnr_where(sample: Sample, made: Array) -> Figures:
    return {"psnr": psnr(sample.target[sample.where], made[sample.where])}


def _marks() -> tuple[Case, ...]:
    """What was written or printed, on a grainy and noisy scan: none of it is damage."""
    written = {"handwriting": "handwriting", "crop marks": "rule", "captions": "type"}
    return (
        *(
            Case(name=f"marks on a noisy scan, {name}", make=partial(_written_on, kind=kind), measure=_marks_where)
            for name, kind in written.items()
        ),
        Case(
            name="marks on a noisy scan, printed and written pages",
            make=lambda page, rng: _noisy_scan(page, luma(page) < _paper_of(page) - 0.15, rng),
            measure=_marks_where,
            pictures=lambda: [page[..., None].astype(np.float32) / 255 for page in (data.page(), data.text())],
        ),
    )


def _marks_where(sample: Sample, made: Array) -> Figures:
    return mark_metrics(sample.target, made, np.asarray(sample.where))


def _written_on(clean: Array, rng: np.random.Generator, *, kind: str) -> Sample:
    """Marks in the ink that shows: dark on a light picture, light on a dark one."""
    ink = draw_ink(clean.shape[0], clean.shape[1], [kind] * 3, rng)
    colour = np.float32(0.08 if luma(clean).mean() > 0.4 else 0.92)
    return _noisy_scan(clean + ink[..., None] * (colour - clean), ink > 0.4, rng)


def _noisy_scan(marked: Array, ink: Mask, rng: np.random.Generator) -> Sample:
    scan = Ageing(grain=0.05, grain_size_px=0.8, gaussian_noise=0.04)
    return Sample(given=age_picture(marked, scan, rng).aged, target=marked, where=ink)


def _paper_of(page: Array) -> Array:
    lightest: Array = ndimage.gaussian_filter(ndimage.maximum_filter(ndimage.gaussian_filter(luma(page), 2), 25), 8)
    return lightest


def _alone(defect: Defect) -> Case:
    """One defect mended on a picture that has all three; the target keeps the other two, by the same chance."""

    def make(clean: Array, rng: np.random.Generator) -> Sample:
        ageing = Ageing(
            softness=(Softness(kind="gaussian", extent_px=1.6),),
            grain=0.06,
            grain_size_px=0.8,
            damage=_handled(rng),
            gaussian_noise=0.03,
        )
        pair = age_picture(clean, ageing, rng, repair=(defect,))
        return Sample(given=pair.aged, target=pair.target)

    return replace(_whole(f"all three, {defect} alone repaired", make), repair=(defect,))
