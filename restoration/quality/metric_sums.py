"""Sums over all blocks of several pictures, from which scores are computed.

The sums are integers, so they don't depend on the order in which threads finish their blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from restoration.image import Area, Source
from restoration.quality import block_metrics
from restoration.quality.block_metrics import BlockComparer, PictureBlock
from restoration.quality.block_reading import Block, Values, Window, map_windows
from restoration.quality.noise_estimate import Counts, count_details, empty_histogram, estimate_sigma
from restoration.quality.smoothing_detection import Cells, empty_cells, measure_cells, place_cells, smoothed_share

_UNITS_IN_ONE = 1 << 100  # fine enough to lose no significant bits

_COLOURS = ("red_green", "yellow_blue")

_Key = tuple[str, ...]  # the name of the sum, then the names of the pictures


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The results of one window: sums in units of 2**-100, histograms of the wavelet details by described picture and
    channel, and the cells of each block by described picture.
    """

    sums: Counter[_Key]
    details: list[list[Counts]]
    cells: list[tuple[Block, list[Cells]]]


class MetricSums:
    """Sums over the blocks of an area of several pictures, and the noise of the whole pictures."""

    def __init__(
        self, described: Mapping[str, Source], references: Mapping[str, Source], *, area: Area, threads: int
    ) -> None:
        """Reads all pictures once, together. All have the same size and channels.

        Args:
            described: by name, the pictures that get all scores.
            references: by name, pictures for comparison only; read inside the area only.
            area: the area that is divided into blocks.
            threads: the number of threads.
        """
        self.area = area
        self._described = list(described)
        self._names = [*described, *references]
        self._pairs = list(combinations(self._names, 2))
        self._places = list(combinations(range(len(self._names)), 2))
        pixel = (area.x, area.y, 1, 1)
        # Variances are computed about an existing value, so that a uniform picture's variance is exactly 0.
        self._origins = {name: _features(image.read(*pixel)[0, :, 0, 0]) for name, image in described.items()}
        self._sums: Counter[_Key] = Counter()
        self._details = [empty_histogram(image.info.colour_channels) for image in described.values()]
        self._cells = {name: empty_cells(area.width, area.height) for name in described}
        windows = map_windows(
            list(described.values()), list(references.values()), area=area, work=self._of_window, threads=threads
        )
        for found in windows:
            self._sums.update(found.sums)
            for totals, channels in zip(self._details, found.details, strict=True):
                # A narrow window may contain no details.
                for total, counts in zip(totals, channels, strict=False):
                    total[: counts.size] += counts
            for block, cells in found.cells:
                for name, own in zip(self._described, cells, strict=True):
                    place_cells(self._cells[name], own, block)

    def of(self, *key: str) -> float:
        """Returns a sum over the pixels of the area, and over the channels where it is computed by channel.

        The first key is ``error``, ``similarity`` (SSIM, inner pixels only) or ``changed`` (pixels), then two pictures;
        or ``edges_0``, ``lost_0``, ``edges_1``, ``lost_1`` (see :func:`block_metrics.edge_sums`), then one.
        """
        return self._sums[key] / _UNITS_IN_ONE

    def moments(self, feature: str, name: str) -> tuple[float, float]:
        """Mean and variance of a picture's ``luma``, ``red_green`` or ``yellow_blue``."""
        pixels = self.area.width * self.area.height
        mean = self.of(feature, name) / pixels
        return mean + self._origins[name][feature], max(0.0, self.of(f"{feature}_squared", name) / pixels - mean**2)

    def smoothed_share(self, source: str, derivative: str) -> float | None:
        """See :func:`restoration.quality.smoothing_detection.smoothed_share`."""
        return smoothed_share(self._cells[source], self._cells[derivative])

    def noise(self, name: str) -> float | None:
        """The noise estimate of the whole picture, or None if it has no details."""
        return estimate_sigma(self._details[self._described.index(name)])

    def _of_window(self, window: Window) -> _Found:
        sums: Counter[_Key] = Counter()
        cells = []
        comparer = BlockComparer(self._places)
        for block in window.blocks():
            values = [window.of_block(image, block) for image in range(len(self._names))]
            blocks = [PictureBlock.of(each) for each in values]
            compared = comparer.compare(values, blocks, block)
            described = dict(zip(self._described, blocks, strict=False))  # the described pictures come first
            for key, value in (*self._compared(values, blocks, compared, block), *self._alone(described, block)):
                sums[key] += int(value * _UNITS_IN_ONE)
            pairs = zip(described.values(), compared.smoothed_lumas, strict=False)
            cells.append((block, [measure_cells(own, smooth, block) for own, smooth in pairs]))
        details = [count_details(window, image) for image in range(len(self._described))]
        return _Found(sums=sums, details=details, cells=cells)

    def _compared(
        self,
        values: Sequence[Values],
        blocks: Sequence[PictureBlock],
        compared: block_metrics.Comparisons,
        block: Block,
    ) -> Iterator[tuple[_Key, float]]:
        sums = zip(self._pairs, compared.errors, compared.similarities, strict=True)
        for (one, other), error, similarity in sums:
            yield ("error", one, other), error
            yield ("similarity", one, other), similarity
        for first, second in combinations(range(len(self._described)), 2):
            pair = (values[first], values[second]), (blocks[first], blocks[second])
            yield ("changed", self._names[first], self._names[second]), block_metrics.count_changed(*pair, block)

    def _alone(self, described: Mapping[str, PictureBlock], block: Block) -> Iterator[tuple[_Key, float]]:
        for name, own in described.items():
            for feature, sums in self._spreads(name, own, block):
                yield (feature, name), sums[0]
                yield (f"{feature}_squared", name), sums[1]
            for axis, (sharp, lost) in enumerate(block_metrics.edge_sums(own.luma, block)):
                yield (f"edges_{axis}", name), sharp
                yield (f"lost_{axis}", name), lost

    def _spreads(self, name: str, own: PictureBlock, block: Block) -> Iterator[tuple[str, tuple[float, float]]]:
        """The moments of luma and opponent colours about the picture's origins."""
        planes = {"luma": own.luma}
        if len(own.about) == 3:
            planes |= dict(zip(_COLOURS, block_metrics.opponent_colours(own.about), strict=True))
        origins = _features(own.origins)
        for feature, plane in planes.items():
            offset = origins[feature] - self._origins[name][feature]
            yield feature, block_metrics.moments_about(block_metrics.block_core(plane, block), offset)


def _features(colours: Values) -> dict[str, float]:
    """Luma and opponent colours of one pixel, (C,)."""
    exact = colours.astype(np.float64)
    found = {"luma": float(block_metrics.luma_of(exact))}
    if exact.size == 3:
        found |= dict(zip(_COLOURS, map(float, block_metrics.opponent_colours(exact)), strict=True))
    return found
