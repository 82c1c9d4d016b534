"""Statistics of whole pictures: correct, in bounded memory, independent of threads and windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data
from skimage.color import rgb2lab

from restoration import Picture
from restoration.image import Samples
from restoration.picture_statistics import (
    COLOUR_STATISTIC_NAMES,
    MOST_WINDOWS,
    STATISTIC_NAMES,
    WINDOW_PX,
    lab_to_rgb,
    lightness_of,
    measure_statistics,
    rgb_to_lab,
    window_statistics,
)


class Watched:
    """A source that records the windows that are read."""

    def __init__(self, source: Picture) -> None:
        self.info = source.info
        self.windows: list[tuple[int, int, int, int]] = []
        self._source = source

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        self.windows.append((x, y, width, height))
        return self._source.read(x, y, width, height)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)


def named(values: torch.Tensor) -> dict[str, float]:
    return dict(zip(STATISTIC_NAMES, values.tolist(), strict=True))


def test_lab_equals_scikit_images() -> None:
    photograph = data.coffee()[::8, ::8].astype(np.float64) / 255
    found = rgb_to_lab(torch.from_numpy(photograph).permute(2, 0, 1).unsqueeze(0))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, rgb2lab(photograph), atol=2e-3)


def test_lab_converts_back_to_rgb_and_lightness_equals_that_of_grey() -> None:
    pixels = torch.rand(3, 3, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(pixels)), pixels, rtol=0, atol=1e-4)
    grey = pixels[:, :1]
    torch.testing.assert_close(lightness_of(grey), rgb_to_lab(grey.expand(-1, 3, -1))[:, :1] / 100, rtol=0, atol=1e-5)
    garish = torch.tensor([[[50.0], [120.0], [-120.0]]])
    assert 0 <= lab_to_rgb(garish).min() <= lab_to_rgb(garish).max() <= 1


def test_windows_give_the_same_statistics_as_the_whole_picture() -> None:
    photograph = data.coffee()
    whole = photograph.transpose(2, 0, 1)[None].astype(np.float64) / 255
    # The windows' sides are even, so squares of 8 px never span two windows.
    np.testing.assert_allclose(
        measure_statistics(Picture.from_array(photograph)).numpy(), window_statistics([whole]).numpy(), atol=2e-3
    )


def test_a_large_picture_is_measured_in_a_limited_number_of_windows() -> None:
    source = Watched(Picture.from_array(np.zeros((5000, 9000), np.uint8)))
    measure_statistics(source)
    assert MOST_WINDOWS * 0.7 < len(source.windows) <= MOST_WINDOWS
    assert len(set(source.windows)) == len(source.windows)
    assert all(width <= WINDOW_PX and height <= WINDOW_PX for _, _, width, height in source.windows)
    columns, rows = ({window[axis] for window in source.windows} for axis in (0, 1))
    assert min(columns) == min(rows) == 0
    assert max(columns) > 9000 - 2 * WINDOW_PX
    assert max(rows) > 5000 - 2 * WINDOW_PX


def test_a_very_long_picture_is_measured_in_a_limited_number_of_windows() -> None:
    source = Watched(Picture.from_array(np.zeros((20, 40000), np.uint8)))
    measure_statistics(source)
    assert len(source.windows) == MOST_WINDOWS


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 200, 3)])
def test_the_smallest_pictures_have_statistics(shape: tuple[int, ...]) -> None:
    assert torch.isfinite(measure_statistics(Picture.from_array(np.full(shape, 90, np.uint8)))).all()


def test_a_neutral_picture_has_no_colour() -> None:
    found = named(measure_statistics(Picture.from_array(data.camera())))
    assert all(abs(found[name]) < 2e-3 for name in ("lab_mean_a", "lab_mean_b", "chroma_beside_toning", "toning_b_3"))
    assert found["luma_50"] == pytest.approx(np.median(data.camera()) / 255, abs=0.02)


def test_a_toned_picture_has_only_its_toning() -> None:
    grey = data.camera()[..., None] / 255
    found = named(measure_statistics(Picture.from_array(grey * [1.0, 0.9, 0.75])))
    assert found["toning_b_4"] > 0.1
    assert found["chroma_beside_toning"] < 0.02


def test_a_softer_picture_has_less_fine_detail() -> None:
    soft = np.kron(data.camera()[::4, ::4], np.ones((4, 4), np.uint8))
    sharp, blocks = (named(measure_statistics(Picture.from_array(each))) for each in (data.camera(), soft))
    assert blocks["detail_2_px"] < sharp["detail_2_px"] - 1


def test_there_is_a_name_for_each_statistic() -> None:
    assert (
        len(measure_statistics(Picture.from_array(data.camera()))) == len(STATISTIC_NAMES) == len(set(STATISTIC_NAMES))
    )
    assert STATISTIC_NAMES[: len(COLOUR_STATISTIC_NAMES)] == COLOUR_STATISTIC_NAMES
