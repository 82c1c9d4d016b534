"""Metrics of one window on a GPU, with torch: the same sums, histograms and cells as on the processor.

All arithmetic is in double precision, element by element, or sums over a window at a fixed position. So the values
don't depend on other windows, and they differ from the processor's, most of which are computed in single precision, by
less than the tolerances of the tests. Wavelet details are computed in PyWavelets' order of addition, so that the same
ones are zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restoration.image import Area
from restoration.quality.block_metrics import (
    BLUR_FLOOR,
    BLUR_SIZE,
    CHANGED_BY,
    SSIM_RADIUS,
    gaussian_weights,
)
from restoration.quality.block_reading import HALO, Block, Window
from restoration.quality.gpu_operations import filter_symmetric, luma_of, structural_similarity
from restoration.quality.noise_estimate import (
    BINS_IN_ONE,
    MAX_BINS,
    TAP_ORDER,
    TAP_ORDER_AT_OVERHANG,
    detail_range,
    high_pass_weights,
)
from restoration.quality.smoothing_detection import CELL_PX


class UploadedWindow:
    """A window's pictures on the device, (C, h, w) float32 each, and rectangles of them that may extend beyond."""

    def __init__(self, window: Window, device: torch.device) -> None:
        self.window = window
        self.values = [torch.from_numpy(each).to(device) for each in window.values]
        self._device = device

    def cut(self, image: int, frame: Area, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """The values of a range of rows and columns of a frame, (C, h, w), reflected beyond it as
        :meth:`Window.cut` does.
        """
        down, across = (torch.from_numpy(each).to(self._device) for each in self.window.positions(frame, rows, columns))
        return self.values[image].index_select(1, down).index_select(2, across)


@dataclass(frozen=True, kw_only=True)
class PictureSums:
    """The sums of one picture over a window, as tensors of one value."""

    moments: list[tuple[Tensor, Tensor]]
    """For luma, red-green and yellow-blue: the sum of the differences from the origin, and of their squares."""
    edges: list[tuple[Tensor, Tensor]]
    """For each axis: the luma's edges, and the part of them that another blur removes, both times eight; empty if the
    window has no inner pixels.
    """
    cells: Tensor
    """(3, rows, columns): see :data:`restoration.quality.smoothing_detection.Cells`."""


class AreaWindow:
    """The part of the area in a window, of several pictures, in double precision."""

    def __init__(self, uploaded: UploadedWindow, images: int, area: Area, block: Block) -> None:
        """Cuts the part.

        Args:
            uploaded: the window.
            images: the number of pictures.
            area: the area.
            block: the part of the area in the window.
        """
        rows = (block.y - HALO, block.y + block.rows + HALO)
        columns = (block.x - HALO, block.x + block.columns + HALO)
        self._block = block
        self._values = [uploaded.cut(image, area, rows, columns).double() for image in range(images)]
        self._lumas = [luma_of(each) for each in self._values]

    def compare(self, one: int, other: int) -> tuple[Tensor, Tensor]:
        """The sums of squared errors, and of SSIM over the pixels whose Gaussian window lies in the area."""
        error = _core(self._values[one] - self._values[other]).square().sum()
        counted = self._block.within(before=SSIM_RADIUS, after=SSIM_RADIUS)
        if counted is None:
            return error, torch.zeros_like(error)
        similar = structural_similarity(*(_with_ssim_halo(self._values[each]) for each in (one, other)))
        return error, similar[:, *counted].sum()

    def count_changed(self, one: int, other: int) -> Tensor:
        """The number of pixels whose luma differs by more than 8/255."""
        return ((_core(self._lumas[one]) - _core(self._lumas[other])).abs() > CHANGED_BY).sum()

    def describe(self, image: int, origins: Sequence[float]) -> PictureSums:
        """The sums of one picture; ``origins`` are near its mean luma and opponent colours, or its mean luma alone."""
        planes = [self._lumas[image], *_opponent_colours(self._values[image])]
        about = [_core(plane) - origin for plane, origin in zip(planes, origins, strict=True)]
        return PictureSums(
            moments=[(each.sum(), each.square().sum()) for each in about],
            edges=list(self._edge_sums(self._lumas[image])),
            cells=self._cells(image),
        )

    def _edge_sums(self, luma: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        counted = self._block.within(before=2, after=1)
        if counted is None:
            return
        yield _edges(luma, counted)
        yield _edges(luma.T, counted[::-1])

    def _cells(self, image: int) -> Tensor:
        core = _core(self._lumas[image])
        rows, columns = self._block.rows // CELL_PX, self._block.columns // CELL_PX
        high = core - filter_symmetric(_with_ssim_halo(self._lumas[image]), gaussian_weights().tolist())
        planes = torch.stack([high, high.square(), core])[:, : rows * CELL_PX, : columns * CELL_PX]
        return planes.reshape(3, rows, CELL_PX, columns, CELL_PX).mean(dim=(2, 4))


def _core(values: Tensor) -> Tensor:
    return values[..., HALO:-HALO, HALO:-HALO]


def _with_ssim_halo(values: Tensor) -> Tensor:
    """The values with the halo that SSIM's Gaussian needs."""
    spare = HALO - SSIM_RADIUS
    return values[..., spare:-spare, spare:-spare]


def _opponent_colours(values: Tensor) -> list[Tensor]:
    """Red-green and yellow-blue of (3, h, w), or nothing of (1, h, w)."""
    return [] if len(values) == 1 else [values[0] - values[1], (values[0] + values[1]) * 0.5 - values[2]]


def _edges(luma: Tensor, counted: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
    """The sums of :func:`restoration.quality.block_metrics.edge_sums` for the axis that runs down."""
    smooth = luma[:, HALO - 1 : -HALO - 1] + 2 * luma[:, HALO:-HALO] + luma[:, HALO + 1 : luma.shape[1] - HALO + 1]
    rows = smooth.shape[0] - 2 * HALO

    def moved(offset: int) -> Tensor:
        return smooth[HALO + offset : HALO + offset + rows]

    half = BLUR_SIZE // 2
    sharp = (moved(1) - moved(-1)).abs()[counted]
    blurred = ((moved(half) + moved(half + 1)) - (moved(-half) + moved(-half - 1))).abs()[counted] / BLUR_SIZE
    return sharp.sum() + sharp.numel() * 8 * BLUR_FLOOR, (sharp - blurred).clamp_min(0).sum()


def count_details(uploaded: UploadedWindow, image: int) -> Tensor:
    """Histograms, by channel, of the sizes of the window's finest diagonal details, without exact zeros, (C, bins).

    As :func:`restoration.quality.noise_estimate.count_details`.
    """
    own, whole = uploaded.window.own, uploaded.window.whole
    top, bottom = detail_range(own.y, own.height, whole.height)
    left, right = detail_range(own.x, own.width, whole.width)
    values = uploaded.values[image]
    counts = torch.zeros((len(values), MAX_BINS), dtype=torch.int64, device=values.device)
    if top >= bottom or left >= right:
        return counts
    around = uploaded.cut(image, whole, (2 * top - 2, 2 * bottom), (2 * left - 2, 2 * right)).double()
    details = _high_pass(around, 1, at_overhang=2 * bottom - 2 > whole.height)
    details = _high_pass(details, 2, at_overhang=2 * right - 2 > whole.width)
    for counted, sizes in zip(counts, details.abs().flatten(1), strict=True):
        counted += torch.bincount((sizes * BINS_IN_ONE).long(), minlength=MAX_BINS)
        counted[0] -= (sizes == 0).sum()
    return counts


def _high_pass(values: Tensor, axis: int, *, at_overhang: bool) -> Tensor:
    """Filters every second row or column; the last one in another order of addition where it begins at the edge."""
    size = values.shape[axis] // 2 - 1
    steps = [slice(k, k + 2 * size, 2) for k in range(4)]
    passed = _weighted([values[:, step] if axis == 1 else values[:, :, step] for step in steps], TAP_ORDER)
    if at_overhang:
        last = [values.narrow(axis, k, 1) for k in range(values.shape[axis] - 4, values.shape[axis])]
        passed.narrow(axis, size - 1, 1).copy_(_weighted(last, TAP_ORDER_AT_OVERHANG))
    return passed


def _weighted(four: Sequence[Tensor], taps: Sequence[int]) -> Tensor:
    """The weighted sum of four tensors, the last of them with the first tap; each product is rounded first."""
    weights = high_pass_weights()
    first, *others = (four[3 - tap] * weights[tap] for tap in taps)
    for product in others:
        first = first + product
    return first
