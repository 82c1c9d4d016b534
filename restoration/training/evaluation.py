"""What a restoration does to pictures of which the clean original is known, in decibels, beside classical methods.

A clean picture is given one stated defect with a fixed seed, or aged by the full model; the restoration, and methods
that are told the noise level or the kernel, are compared with the clean one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restoration.degradation import AgedPair, Ageing, Damage, Softness, age, sample_ageing, without_fading
from restoration.degradation.defects import blur_kernel
from restoration.errors import TrainingError
from restoration.hardware import Execution
from restoration.image import Picture
from restoration.models import ModelFolder
from restoration.pipeline import LoadedModels
from restoration.stages import Stage
from restoration.training.data import images_in
from restoration.training.peers import Peer, deblurrers, denoisers

Array = NDArray[np.float32]
Restoration = Callable[[Array], Array]
"""(H, W, C) float32, C 1 or 3, encoded values that noise may carry beyond [0, 1], to the same shape."""

_SEED = 20_000
_FEWEST_PX = 32  # a side; the peers' borders and SSIM's window want as much
_MOST_PX = 768  # a side; of a larger picture the middle is taken


@dataclass(frozen=True, kw_only=True)
class Case:
    """A defect, how it is made, and the methods that it is compared with."""

    name: str
    make: Callable[[Array, np.random.Generator], AgedPair]
    peers: Mapping[str, Peer] = field(default_factory=dict)
    damage_only: bool = False  # scored inside the damaged pixels


@dataclass(frozen=True, kw_only=True)
class Row:
    """Means over the pictures: PSNR in dB and SSIM, on encoded values with data range 1, against the clean picture.

    ``psnr`` is None where a picture came back identical.
    """

    case: str
    method: str
    pictures: int
    psnr: float | None
    ssim: float | None

    def as_dict(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        return asdict(self)


def noise(level: int, *, clip: bool) -> Case:
    """White Gaussian noise of ``level``/255; clipped as a file clips it, or not, as published figures are taken."""
    return Case(
        name=f"noise {level}/255, {'clipped' if clip else 'not clipped'}",
        make=_ageing(Ageing(gaussian_noise=level / 255, clip=clip)),
        peers=denoisers(level / 255),
    )


def blur(softness: Softness, noise_percent: float) -> Case:
    """Blur of a known kernel, with white noise."""
    sigma = noise_percent / 100
    return Case(
        name=f"{softness.kind} blur {softness.extent_px:g} px, noise {noise_percent:g} %",
        make=_ageing(Ageing(softness=(softness,), gaussian_noise=sigma)),
        peers=deblurrers(blur_kernel(softness), sigma),
    )


def cases() -> tuple[Case, ...]:
    """All cases, in the order in which tables give them."""
    return (
        *(noise(level, clip=clip) for clip in (False, True) for level in (15, 25, 50)),
        Case(name="film grain 0.06, size 0.8 px", make=_ageing(Ageing(grain=0.06, grain_size_px=0.8))),
        blur(Softness(kind="gaussian", extent_px=1.6), 2),
        blur(Softness(kind="gaussian", extent_px=2.4), 2),
        blur(Softness(kind="motion", extent_px=9, angle=0.4), 1),
        blur(Softness(kind="motion", extent_px=15, angle=0.4), 1),
        Case(
            name="scratches, hairs and dust, inside them",
            make=_ageing(Ageing(damage=Damage(scratches=5, hairs=3, specks=25, seed=3))),
            damage_only=True,
        ),
        Case(name="aged by the full model, unfaded", make=_life),
        Case(name="clean", make=_ageing(Ageing())),
    )


def evaluate(
    restoration: Restoration, pictures: Sequence[Array], *, method: str, with_peers: bool = True
) -> Iterator[Row]:
    """Measures ``restoration`` in every case, a row for the input, for itself, and for each peer.

    Args:
        restoration: what is measured.
        pictures: clean pictures, (H, W, C) float32 in [0, 1], C 1 or 3; the middle 768 px of larger ones are used.
        method: what the restoration is called in the rows.
        with_peers: whether the classical methods are run too.

    Raises:
        TrainingError: a picture is smaller than 32 px.
    """
    middles = [_middle(picture) for picture in pictures]
    for case in cases():
        pairs = [case.make(clean, np.random.default_rng([_SEED, index])) for index, clean in enumerate(middles)]
        methods: dict[str, Restoration] = {"input": np.array, method: restoration}
        if with_peers:
            methods |= case.peers
        for name, apply in methods.items():
            yield _row(case, name, pairs, apply)


def evaluate_version(
    folder: ModelFolder, data: Path, *, execution: Execution | None = None, with_peers: bool = True
) -> Iterator[Row]:
    """Measures a model version on the clean pictures in the folder ``data``; grey ones are measured in grey.

    Raises:
        TrainingError: there are no pictures, or one is too small.
        ModelError: the version's weights aren't those of its card.
        ImageError: a picture can't be read.
    """
    models = LoadedModels(lambda _stage: folder, execution)
    pictures = [read_clean(path) for path in images_in(data)]
    if not pictures:
        raise TrainingError(f"{data} holds no pictures to measure on: name a folder of clean JPEG, PNG or TIFF files")
    restoration = by_stage(models.stage(folder.card.stage({})))
    yield from evaluate(restoration, pictures, method=folder.card.reference, with_peers=with_peers)


def by_stage(stage: Stage) -> Restoration:
    """A stage as a restoration of whole arrays, padded by reflection to the multiple that it needs."""

    def restoration(picture: Array) -> Array:
        height, width = picture.shape[:2]
        rows, columns = -height % stage.multiple_px, -width % stage.multiple_px
        padded = np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="reflect")
        made = stage(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))
        inner: Array = made[0].transpose(1, 2, 0)[:height, :width]
        return inner

    return restoration


def read_clean(path: Path) -> Array:
    """A picture from a file, (H, W, C) float32 in [0, 1], C 1 or 3."""
    with Picture.open(path) as picture:
        whole = picture.read(0, 0, picture.info.width, picture.info.height)
    return np.ascontiguousarray(whole[0].transpose(1, 2, 0))


def _ageing(ageing: Ageing) -> Callable[[Array, np.random.Generator], AgedPair]:
    def make(clean: Array, rng: np.random.Generator) -> AgedPair:
        return age(clean, replace(ageing, noise_colour=1.0), rng)

    return make


def _life(clean: Array, rng: np.random.Generator) -> AgedPair:
    ageing = without_fading(sample_ageing(rng, monochrome=clean.shape[-1] == 1))
    return age(clean, replace(ageing, clip=True), rng)


def _row(case: Case, method: str, pairs: Sequence[AgedPair], apply: Restoration) -> Row:
    scores = []
    for pair in pairs:
        made = np.clip(apply(pair.aged), 0, 1) if method != "input" else pair.aged
        scores.append(_inside(pair, made) if case.damage_only else _scores(pair.target, made))
    psnr, ssim = np.mean(scores, axis=0)
    return Row(case=case.name, method=method, pictures=len(pairs), psnr=_rounded(psnr), ssim=_rounded(ssim))


def _inside(pair: AgedPair, made: Array) -> tuple[float, float]:
    damaged = pair.damage > 0.1
    if not damaged.any():
        return float("nan"), float("nan")
    error = float(np.mean((made[damaged] - pair.target[damaged]) ** 2))
    return -10 * np.log10(max(error, 1e-12)), float("nan")


def _scores(clean: Array, made: Array) -> tuple[float, float]:
    identical = np.array_equal(clean, made)
    psnr = np.inf if identical else peak_signal_noise_ratio(clean, made, data_range=1.0)
    ssim = structural_similarity(
        clean,
        made,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(psnr), float(ssim)


def _middle(picture: Array) -> Array:
    height, width = picture.shape[:2]
    if min(height, width) < _FEWEST_PX:
        raise TrainingError(f"a picture of {width}x{height} px is too small to measure on: {_FEWEST_PX} px are needed")
    top, left = max(0, (height - _MOST_PX) // 2), max(0, (width - _MOST_PX) // 2)
    return picture[top : top + _MOST_PX, left : left + _MOST_PX]


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
