"""Measures pictures for their scores on the processor, block by block, in several threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from restoration.image import Area, Crop, Source
from restoration.quality import block_metrics
from restoration.quality.block_metrics import BlockComparer, PictureBlock
from restoration.quality.block_reading import Block, Values, Window, map_windows
from restoration.quality.change_detection import count_filled
from restoration.quality.metric_sums import FEATURES, MetricSums, SumKey, features, in_units
from restoration.quality.noise_estimate import Counts, count_details
from restoration.quality.smoothing_detection import Cells, measure_cells, place_cells


def measure_on_processor(
    described: Mapping[str, Source], references: Mapping[str, Source], *, area: Area, threads: int
) -> MetricSums:
    """Reads all pictures together, and the ``source`` and ``derivative`` once more for the filled-in pixels.

    Args:
        described: by name, the pictures that get all scores, among them ``source`` and ``derivative``.
        references: by name, pictures for comparison only, of the same size and channels; read inside the area only.
        area: the area that is measured; the noise is that of the whole pictures.
        threads: the number of threads.

    Raises:
        ImageError: a picture can't be read.
    """
    sums = MetricSums(described, area=area)
    windows = map_windows(
        list(described.values()),
        list(references.values()),
        area=area,
        work=_WindowMeasurement(list(described), list(references), sums.origins),
        threads=threads,
    )
    for found in windows:
        sums.add(found.sums)
        for totals, channels in zip(sums.details.values(), found.details, strict=True):
            # A narrow window may contain no details.
            for total, counts in zip(totals, channels, strict=False):
                total[: counts.size] += counts
        for block, cells in found.cells:
            for whole, own in zip(sums.cells.values(), cells, strict=True):
                place_cells(whole, own, block)
    sums.filled = count_filled(Crop(described["source"], area), Crop(described["derivative"], area))
    return sums


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The results of one window: sums, histograms of the wavelet details by described picture and channel, and the
    cells of each block by described picture.
    """

    sums: Counter[SumKey]
    details: list[list[Counts]]
    cells: list[tuple[Block, list[Cells]]]


class _WindowMeasurement:
    """Measures one window after the other; for several threads at once."""

    def __init__(
        self, described: Sequence[str], references: Sequence[str], origins: Mapping[str, Mapping[str, float]]
    ) -> None:
        self._described = described
        self._names = [*described, *references]
        self._pairs = list(combinations(self._names, 2))
        self._places = list(combinations(range(len(self._names)), 2))
        self._origins = origins

    def __call__(self, window: Window) -> _Found:
        sums: Counter[SumKey] = Counter()
        cells = []
        comparer = BlockComparer(self._places)
        for block in window.blocks():
            values = [window.of_block(image, block) for image in range(len(self._names))]
            blocks = [PictureBlock.of(each) for each in values]
            compared = comparer.compare(values, blocks, block)
            described = dict(zip(self._described, blocks, strict=False))  # the described pictures come first
            for key, value in (*self._compared(values, blocks, compared, block), *self._alone(described, block)):
                sums[key] += in_units(value)
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
    ) -> Iterator[tuple[SumKey, float]]:
        sums = zip(self._pairs, compared.errors, compared.similarities, strict=True)
        for (one, other), error, similarity in sums:
            yield ("error", one, other), error
            yield ("similarity", one, other), similarity
        for first, second in combinations(range(len(self._described)), 2):
            pair = (values[first], values[second]), (blocks[first], blocks[second])
            yield ("changed", self._names[first], self._names[second]), block_metrics.count_changed(*pair, block)

    def _alone(self, described: Mapping[str, PictureBlock], block: Block) -> Iterator[tuple[SumKey, float]]:
        for name, own in described.items():
            for feature, sums in self._spreads(name, own, block):
                yield (feature, name), sums[0]
                yield (f"{feature}_squared", name), sums[1]
            for axis, (sharp, lost) in enumerate(block_metrics.edge_sums(own.luma, block)):
                yield (f"edges_{axis}", name), sharp
                yield (f"lost_{axis}", name), lost

    def _spreads(self, name: str, own: PictureBlock, block: Block) -> Iterator[tuple[str, tuple[float, float]]]:
        """The moments of luma and opponent colours about the picture's origins."""
        colours = block_metrics.opponent_colours(own.about) if len(own.about) == 3 else ()
        origins = features(own.origins)
        for feature, plane in zip(FEATURES, (own.luma, *colours), strict=False):
            offset = origins[feature] - self._origins[name][feature]
            yield feature, block_metrics.moments_about(block_metrics.block_core(plane, block), offset)
