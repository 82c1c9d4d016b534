"""Compares the spectra of real grain, in flat places of scanned prints, and of the ageing model's grain.

    python -m benchmarks.grain_spectra PRINTS...

PRINTS are folders of scans. For each octave of spatial frequency it prints the quartiles, over the patches, of the
power density relative to white noise of the same variance, in dB; white noise has 0 everywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restoration.colour.colour_operations import luma
from restoration.degradation import age_picture, sample_ageing
from restoration.degradation.real_grain import PATCH_PX, find_grain_patches
from restoration.training.aged_pairs import images_in, read_photograph

Array = NDArray[np.float32]

_OCTAVES = ((1 / 24, 1 / 12), (1 / 12, 1 / 6), (1 / 6, 1 / 3), (1 / 3, 1 / 2))  # cycles per pixel
_AGEINGS = 600


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("prints", nargs="+", type=Path)
    options = parser.parse_args()
    real = [
        patch
        for folder in options.prints
        for path in images_in(folder)
        for patch in find_grain_patches(luma(read_photograph(path).astype(np.float32) / np.float32(255)))
    ]
    _print("real prints", real)
    _print("ageing model", _simulated())


def _simulated() -> list[Array]:
    """Patches of simulated grain on flat fields, if it is strong enough to be visible in a scan."""
    rng = np.random.default_rng(0)
    found: list[Array] = []
    for _ in range(_AGEINGS):
        ageing = sample_ageing(rng)
        if ageing.grain > 0 and ageing.damage is None:
            field = np.full((5 * PATCH_PX, 5 * PATCH_PX, 3), rng.uniform(0.2, 0.8), np.float32)
            found += find_grain_patches(luma(age_picture(field, ageing, rng).aged))[:1]
    return found


def _print(name: str, patches: list[Array]) -> None:
    spectra = np.asarray([_octave_levels(patch) for patch in patches])
    print(f"{name}: {len(patches)} patches")
    for (low, high), column in zip(_OCTAVES, spectra.T, strict=True):
        quartiles = ", ".join(f"{value:6.1f}" for value in np.percentile(column, [25, 50, 75]))
        print(f"  {low:.3f} to {high:.3f} cycles a pixel: {quartiles} dB")


def _octave_levels(patch: Array) -> list[float]:
    power = np.abs(np.fft.fft2(patch)) ** 2
    radius = np.hypot(np.fft.fftfreq(PATCH_PX)[:, None], np.fft.fftfreq(PATCH_PX)[None, :])
    white = power[(radius >= _OCTAVES[0][0]) & (radius < 0.5)].mean()
    return [float(10 * np.log10(power[(radius >= low) & (radius < high)].mean() / white)) for low, high in _OCTAVES]


if __name__ == "__main__":
    main()
