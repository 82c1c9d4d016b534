"""What is measured of a styled picture, and of sets of them beside real pictures of the style.

Pictures are float32 (H, W, 3), encoded RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from restoration import picture_statistics
from restoration.colour.toning import luma
from restoration.training.style.losses import FixedFeatures

Array = NDArray[np.float32]
Vectors = NDArray[np.float64]

SPLITS = 20
_SEED = 30_000
_FLOOR = 0.02  # of a colour statistic's spread: what is more alike than this is equal
_COARSEST_PX = 4.0  # sigma: what is coarser is content, not texture
_RINGS = 12
_LEAST_CYCLES, _MOST_CYCLES = 1 / 32, 1 / 2  # a pixel


def colour_vector(picture: Array) -> Vectors:
    """The picture's Lab mean, spread and covariance, (9,), Lab in hundredths."""
    pixels = torch.from_numpy(picture.reshape(-1, 3).T.astype(np.float64)).unsqueeze(0)
    found = dict(
        zip(
            picture_statistics.COLOUR_STATISTIC_NAMES,
            picture_statistics.colour_statistics(pixels)[0].tolist(),
            strict=True,
        )
    )
    return np.array([value for name, value in found.items() if name.startswith("lab_")])


class Texture:
    """Texture vectors of pictures, by fixed seeded filters that no training has seen."""

    def __init__(self) -> None:
        self._features = FixedFeatures(seed=_SEED, channels=1, width=16)

    def grams(self, picture: Array) -> Vectors:
        """The Gram matrices, at three scales, of the picture's fine and contrast-normalised luma, as shares."""
        fine = torch.from_numpy(_fine(picture))[None, None].float()
        found = []
        with torch.no_grad():
            for layer in self._features(fine):
                flat = layer[0].flatten(1).double()
                gram = flat @ flat.T / flat.shape[1]
                found.append((gram / gram.diagonal().mean()).flatten().numpy() / len(gram))
        return np.concatenate(found)

    def spectrum(self, picture: Array) -> Vectors:
        """The power spectrum around circles of equal frequency, in bels, of that luma."""
        fine = _fine(picture)
        height, width = fine.shape
        window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
        power = np.abs(np.fft.rfft2(fine * window)) ** 2
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
        inside = (radius >= _LEAST_CYCLES) & (radius < _MOST_CYCLES)
        ring = ((radius[inside] - _LEAST_CYCLES) / (_MOST_CYCLES - _LEAST_CYCLES) * _RINGS).astype(int)
        means = np.bincount(ring, power[inside], minlength=_RINGS) / np.maximum(np.bincount(ring, minlength=_RINGS), 1)
        return np.asarray(np.log10(means / means.sum() + 1e-6), dtype=np.float64)


def _fine(picture: Array) -> NDArray[np.float64]:
    plane = luma(picture).astype(np.float64)
    fine = plane - ndimage.gaussian_filter(plane, _COARSEST_PX)
    return np.asarray(fine / (fine.std() + 1e-4), dtype=np.float64)


def distances(
    real: Sequence[Vectors], sets: Mapping[str, Sequence[Vectors]], *, scaled: bool = False
) -> dict[str, tuple[float, float | None]]:
    """How far sets of pictures are from real ones, and as a share of how far the set ``input`` is, both less the floor.

    The distance is the energy distance of the pictures' vectors (Székely 2003), which sees means and variety; it is
    the mean over 20 random splits of the real pictures into halves. The floor is the one half's distance from the
    other, and comes under that name. Where the input isn't twice as far as the floor, there is nothing to share.

    Args:
        real: a vector for each real picture, at least four.
        sets: the same for pictures of each kind, ``input`` among them; all are drawn from to be as many as the
            fewest, and at most half of the real ones.
        scaled: measure each number of the vectors in its spread over the real pictures.
    """
    points = np.stack(list(real))
    spread = np.maximum(points.std(axis=0), _FLOOR) if scaled else 1.0
    rng = np.random.default_rng(_SEED)
    chosen = {name: np.stack(list(vectors)) / spread for name, vectors in sets.items()}
    # Sets of one size: the random distance of small sets is then in the floor too.
    half = min(len(points) // 2, *map(len, chosen.values()))
    found: dict[str, list[float]] = {name: [] for name in ("floor", *sets)}
    for _ in range(SPLITS):
        order = rng.permutation(len(points))
        other = points[order[half : 2 * half]] / spread
        found["floor"].append(energy_distance(points[order[:half]] / spread, other))
        for name, vectors in chosen.items():
            found[name].append(energy_distance(vectors[rng.permutation(len(vectors))[:half]], other))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    floor, far = means["floor"], means["input"]
    counts = far >= 2 * floor
    return {name: (value, (value - floor) / (far - floor) if counts else None) for name, value in means.items()}


def energy_distance(one: Vectors, other: Vectors) -> float:
    """The energy distance of two sets of vectors, (n, d) and (m, d); 0 only where they are equal."""
    return 2 * _apart(one, other) - _apart(one, one) - _apart(other, other)


def _apart(one: Vectors, other: Vectors) -> float:
    return float(np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2)).mean())


def area_under_curve(real: Sequence[float], made: Sequence[float]) -> float:
    """How often a real picture is scored higher than a made one, ties counting half: 0.5 where they can't be told."""
    higher = np.subtract.outer(np.asarray(real), np.asarray(made))
    return float(np.mean((higher > 0) + 0.5 * (higher == 0)))
