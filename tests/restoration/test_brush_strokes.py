"""Strokes follow contours, have the statistics of noise, and depend only on nearby pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from restoration.networks.line_integral_convolution import STROKE_PLANES, STROKE_REACH_PX, brush_strokes

SIZE = 192


def noise(seed: int = 0) -> Tensor:
    return (torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) - 0.5) * 12**0.5


def stripes(*, upright: bool) -> Tensor:
    wave = 0.5 + 0.2 * torch.sin(torch.arange(SIZE) / 4)
    return (wave if upright else wave[:, None]).expand(1, 1, SIZE, SIZE)


def test_strokes_run_along_contours() -> None:
    for upright in (True, False):
        drawn = brush_strokes(stripes(upright=upright), noise())
        down, across = (drawn.diff(dim=axis).square().mean() for axis in (2, 3))
        assert (across if upright else down) > 5 * (down if upright else across)


def test_strokes_have_mean_0_deviation_1_and_are_independent() -> None:
    drawn = brush_strokes(torch.full((1, 1, SIZE, SIZE), 0.5), noise())
    assert drawn.shape == (1, STROKE_PLANES, SIZE, SIZE)
    assert drawn.mean().abs() < 0.2
    assert 0.7 < drawn.std() < 1.4
    correlations = torch.corrcoef(drawn[0].flatten(1)) - torch.eye(STROKE_PLANES)
    assert correlations.abs().max() < 0.2


def test_strokes_have_a_direction_in_flat_areas() -> None:
    drawn = brush_strokes(torch.full((1, 1, SIZE, SIZE), 0.5), noise())[0, 0]
    windows = drawn.unfold(0, 16, 16).unfold(1, 16, 16)
    down, across = (windows.diff(dim=axis).square().mean(dim=(2, 3)) for axis in (2, 3))
    assert (torch.log(across / down).abs() > 0.7).float().mean() > 0.3


def test_strokes_depend_only_on_pixels_within_their_receptive_field() -> None:
    luma, grain = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)), noise()
    before = brush_strokes(luma, grain)
    edge = SIZE // 2
    luma, grain = luma.clone(), grain.clone()
    luma[..., : edge - STROKE_REACH_PX] = 0
    grain[..., : edge - STROKE_REACH_PX] = noise(2)[..., : edge - STROKE_REACH_PX]
    after = brush_strokes(luma, grain)
    assert torch.equal(after[..., edge:], before[..., edge:])
    assert not torch.equal(after, before)
