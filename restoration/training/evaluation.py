"""What a trained generator does to photographs it never saw, in decibels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restoration.degradation import AgedPair, Ageing, Softness, age
from restoration.networks import Generator
from restoration.training.data import TrainingPictures, validation_pairs

_SIZE_PX = 320
_SEED = 20_000

SINGLE_DEFECTS = {
    "clean": Ageing(),
    "gaussian noise 15/255": Ageing(gaussian_noise=15 / 255),
    "gaussian noise 25/255": Ageing(gaussian_noise=25 / 255),
    "gaussian noise 50/255": Ageing(gaussian_noise=50 / 255),
    "film grain 0.06, size 0.8 px": Ageing(grain=0.06, grain_size_px=0.8),
    "gaussian blur 1.6 px, noise 2 %": Ageing(
        softness=(Softness(kind="gaussian", extent_px=1.6),), gaussian_noise=0.02
    ),
}


def evaluate(
    generator: Generator, pictures: TrainingPictures, *, device: torch.device, autocast: torch.dtype | None
) -> dict[str, Any]:
    """Mean PSNR and SSIM on the validation photographs before and after, aged by the full model and by one defect each.

    Returns:
        Rows by name, each with ``pictures``, ``psnr_before``, ``psnr_after``, ``ssim_before`` and ``ssim_after``;
        PSNR in dB on encoded RGB with data range 1, against the target that keeps fading; None where infinite.
    """
    generator.eval()
    aged = validation_pairs(pictures, size_px=_SIZE_PX, seed=_SEED)
    rows = {"aged by the full model": _row(generator, aged, device, autocast)}
    for name, ageing in SINGLE_DEFECTS.items():
        pairs = [
            age(pair.target, replace(ageing, clip=True), np.random.default_rng([_SEED, index]))
            for index, pair in enumerate(aged)
        ]
        rows[name] = _row(generator, pairs, device, autocast)
    return rows


def _row(
    generator: Generator, pairs: list[AgedPair], device: torch.device, autocast: torch.dtype | None
) -> dict[str, float | int | None]:
    before, after = [], []
    for pair in pairs:
        picture = torch.from_numpy(np.ascontiguousarray(pair.aged.transpose(2, 0, 1)))[None].to(device)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=autocast, enabled=autocast is not None),
        ):
            output = generator(picture.contiguous(memory_format=torch.channels_last))
        restored = output[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        before.append(_scores(pair.target, pair.aged))
        after.append(_scores(pair.target, restored))
    means_before, means_after = np.mean(before, axis=0), np.mean(after, axis=0)
    return {
        "pictures": len(pairs),
        "psnr_before": _rounded(means_before[0]),
        "psnr_after": _rounded(means_after[0]),
        "ssim_before": _rounded(means_before[1]),
        "ssim_after": _rounded(means_after[1]),
    }


def _scores(target: np.ndarray, picture: np.ndarray) -> tuple[float, float]:
    identical = np.array_equal(target, picture)
    psnr = np.inf if identical else peak_signal_noise_ratio(target, picture, data_range=1.0)
    ssim = structural_similarity(
        target,
        picture,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(psnr), float(ssim)


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
