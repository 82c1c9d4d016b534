"""Style metrics: feature vectors of pictures, and distances between sets of styled and real pictures.

Pictures are float32 (H, W, 3), encoded RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from restoration import picture_statistics
from restoration.colour.colour_operations import luma
from restoration.training.style.losses import FixedFeatures

Array = NDArray[np.float32]
Vectors = NDArray[np.float64]

SPLITS = 20
_SEED = 30_000
_MIN_SPREAD = 0.02  # lower limit of a colour statistic's standard deviation
_MAX_TEXTURE_PX = 4.0  # sigma; coarser structure is content, not texture
_RINGS = 12
_MIN_CYCLES, _MAX_CYCLES = 1 / 32, 1 / 2  # per pixel


def colour_vector(picture: Array) -> Vectors:
    """The mean, standard deviation and covariance of the picture in Lab / 100, (9,)."""
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
    """Computes texture vectors with fixed random filters that no training uses."""

    def __init__(self) -> None:
        self._features = FixedFeatures(seed=_SEED, channels=1, width=16)

    def grams(self, picture: Array) -> Vectors:
        """Normalised Gram matrices, at three scales, of the high-pass, contrast-normalised luma."""
        fine = torch.from_numpy(_normalised_detail(picture))[None, None].float()
        found = []
        with torch.no_grad():
            for layer in self._features(fine):
                flat = layer[0].flatten(1).double()
                gram = flat @ flat.T / flat.shape[1]
                found.append((gram / gram.diagonal().mean()).flatten().numpy() / len(gram))
        return np.concatenate(found)

    def spectrum(self, picture: Array) -> Vectors:
        """Radially averaged power spectrum of that luma: log10 of the share of the total."""
        fine = _normalised_detail(picture)
        height, width = fine.shape
        window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
        power = np.abs(np.fft.rfft2(fine * window)) ** 2
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
        inside = (radius >= _MIN_CYCLES) & (radius < _MAX_CYCLES)
        ring = ((radius[inside] - _MIN_CYCLES) / (_MAX_CYCLES - _MIN_CYCLES) * _RINGS).astype(int)
        means = np.bincount(ring, power[inside], minlength=_RINGS) / np.maximum(np.bincount(ring, minlength=_RINGS), 1)
        return np.asarray(np.log10(means / means.sum() + 1e-6), dtype=np.float64)


def _normalised_detail(picture: Array) -> NDArray[np.float64]:
    plane = luma(picture).astype(np.float64)
    fine = plane - ndimage.gaussian_filter(plane, _MAX_TEXTURE_PX)
    return np.asarray(fine / (fine.std() + 1e-4), dtype=np.float64)


def distances(
    real: Sequence[Vectors], sets: Mapping[str, Sequence[Vectors]], *, scaled: bool = False
) -> dict[str, tuple[float, float | None]]:
    """Measures the distance of each set of pictures to real ones, absolute and relative to the set ``input``.

    The distance is the energy distance of the pictures' vectors (Székely 2003), which compares means and variation,
    averaged over 20 random splits of the real pictures into halves. The distance between the halves is the floor. The
    share is (distance - floor) / (input's distance - floor).

    Args:
        real: a vector for each real picture, at least four.
        sets: vectors of the pictures of each set, including ``input``. All sets are subsampled to the size of the
            smallest, at most half of the real ones.
        scaled: divide each component of the vectors by its standard deviation over the real pictures.

    Returns:
        For each set, and for ``floor``, the distance and the share. The share is None if the input's distance is less
        than twice the floor.
    """
    points = np.stack(list(real))
    spread = np.maximum(points.std(axis=0), _MIN_SPREAD) if scaled else 1.0
    rng = np.random.default_rng(_SEED)
    vectors_of = {name: np.stack(list(vectors)) / spread for name, vectors in sets.items()}
    # All sets have the same size, so that the floor includes the sampling error of small sets.
    half = min(len(points) // 2, *map(len, vectors_of.values()))
    found: dict[str, list[float]] = {name: [] for name in ("floor", *sets)}
    for _ in range(SPLITS):
        order = rng.permutation(len(points))
        other = points[order[half : 2 * half]] / spread
        found["floor"].append(energy_distance(points[order[:half]] / spread, other))
        for name, vectors in vectors_of.items():
            found[name].append(energy_distance(vectors[rng.permutation(len(vectors))[:half]], other))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    floor, input_distance = means["floor"], means["input"]
    has_share = input_distance >= 2 * floor
    return {
        name: (value, (value - floor) / (input_distance - floor) if has_share else None)
        for name, value in means.items()
    }


def energy_distance(one: Vectors, other: Vectors) -> float:
    """Energy distance of two sets of vectors, (n, d) and (m, d); 0 only if they are equal."""
    return 2 * _mean_distance(one, other) - _mean_distance(one, one) - _mean_distance(other, other)


def _mean_distance(one: Vectors, other: Vectors) -> float:
    return float(np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2)).mean())


def area_under_curve(real: Sequence[float], styled: Sequence[float]) -> float:
    """Share of pairs in which the real picture scores higher than the styled one; ties count half."""
    higher = np.subtract.outer(np.asarray(real), np.asarray(styled))
    return float(np.mean((higher > 0) + 0.5 * (higher == 0)))
