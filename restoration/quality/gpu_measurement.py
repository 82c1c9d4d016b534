"""Measures pictures for their scores on a GPU, window by window. Each picture is read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from restoration.device_errors import run_on_device
from restoration.device_scheduling import DeviceScheduler
from restoration.image import Area, Crop, Source
from restoration.quality.block_reading import Block, Window, map_windows
from restoration.quality.gpu_filled_pixels import FilledPixelCounter
from restoration.quality.gpu_operations import luma_of
from restoration.quality.gpu_window_metrics import AreaWindow, UploadedWindow, count_details
from restoration.quality.metric_sums import FEATURES, MetricSums, SumKey, in_units
from restoration.quality.noise_estimate import Counts
from restoration.quality.smoothing_detection import Cells, place_cells


def measure_on_gpu(
    described: Mapping[str, Source],
    references: Mapping[str, Source],
    *,
    area: Area,
    device: str,
    scheduler: DeviceScheduler,
) -> MetricSums:
    """Measures as :func:`restoration.quality.processor_measurement.measure_on_processor`.

    The device holds the rows of luma that the filled-in pixels need, about 1700 at 8 bytes a pixel, and less than 1 GB
    for the calculations in one window.

    Args:
        described: by name, the pictures that get all scores, among them ``source`` and ``derivative``.
        references: by name, pictures for comparison only, of the same size and channels; read inside the area only.
        area: the area that is measured; the noise is that of the whole pictures.
        device: torch's name of the device.
        scheduler: runs the calls on the device, one window at a time.

    Raises:
        ImageError: a picture can't be read.
        DeviceError: the device failed, or its memory is full.
    """
    sums = MetricSums(described, area=area)
    measurement = _Measurement(list(described), list(references), described["source"], sums, torch.device(device))
    for found in map_windows(
        list(described.values()),
        list(references.values()),
        area=area,
        work=lambda window: run_on_device(scheduler, lambda: measurement.add(window)),
        threads=1,
    ):
        if found is not None:
            sums.add(found.sums)
            for name, cells in found.cells.items():
                place_cells(sums.cells[name], cells, found.block)
    sums.filled, details = run_on_device(scheduler, measurement.finish)
    sums.details.update(details)
    return sums


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The results of the part of the area in a window."""

    block: Block
    sums: dict[SumKey, int]
    cells: dict[str, Cells]


@dataclass
class _Row:
    """The luma of the source and the derivative in one row of windows, so far, (2, rows, columns) each."""

    y: int
    parts: list[Tensor] = field(default_factory=list)


class _Measurement:
    """The measurement of windows in order, row by row; not for several threads at once."""

    def __init__(
        self,
        described: Sequence[str],
        references: Sequence[str],
        source: Source,
        sums: MetricSums,
        device: torch.device,
    ) -> None:
        self._described = described
        self._names = [*described, *references]
        self._area = sums.area
        self._origins = sums.origins
        self._device = device
        self._details: dict[str, Tensor] = {}
        self._filled = FilledPixelCounter(Crop(source, sums.area).info)
        self._row = _Row(0)

    def add(self, window: Window) -> _Found | None:
        """Measures a window; returns None if it has no part of the area."""
        uploaded = UploadedWindow(window, self._device)
        for image, name in enumerate(self._described):
            counts = count_details(uploaded, image)
            self._details[name] = self._details[name] + counts if name in self._details else counts
        block = window.area_block()
        if block is None:
            return None
        self._add_luma(uploaded, block)
        return self._measure(AreaWindow(uploaded, len(self._names), self._area, block), block)

    def finish(self) -> tuple[tuple[int, int], dict[str, Counts]]:
        """The numbers of filled-in pixels and places, and the histograms of the details."""
        self._end_row()
        return self._filled.count(), {name: counts.cpu().numpy() for name, counts in self._details.items()}

    def _measure(self, window: AreaWindow, block: Block) -> _Found:
        sums: dict[SumKey, Tensor] = {}
        for (first, one), (second, other) in combinations(enumerate(self._names), 2):
            sums["error", one, other], sums["similarity", one, other] = window.compare(first, second)
            if one in self._origins and other in self._origins:
                sums["changed", one, other] = window.count_changed(first, second).double()
        cells = {}
        for image, name in enumerate(self._described):
            own = window.describe(image, list(self._origins[name].values()))
            for feature, (total, squares) in zip(FEATURES, own.moments, strict=False):
                sums[feature, name], sums[f"{feature}_squared", name] = total, squares
            for axis, (sharp, lost) in enumerate(own.edges):
                sums[f"edges_{axis}", name], sums[f"lost_{axis}", name] = sharp, lost
            cells[name] = own.cells.float().cpu().numpy()
        values = torch.stack(list(sums.values())).tolist()
        return _Found(block=block, sums=dict(zip(sums, map(in_units, values), strict=True)), cells=cells)

    def _add_luma(self, uploaded: UploadedWindow, block: Block) -> None:
        if block.y != self._row.y:
            self._end_row()
            self._row = _Row(block.y)
        rows, columns = (block.y, block.y + block.rows), (block.x, block.x + block.columns)
        pair = (self._described.index(name) for name in ("source", "derivative"))
        self._row.parts.append(torch.stack([luma_of(uploaded.cut(each, self._area, rows, columns)) for each in pair]))

    def _end_row(self) -> None:
        self._filled.add(torch.cat(self._row.parts, dim=2))
