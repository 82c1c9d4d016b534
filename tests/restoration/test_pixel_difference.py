from __future__ import annotations

import numpy as np
import pytest

from restoration.errors import ImageError
from restoration.image import Picture
from restoration.quality import pixel_difference as module
from restoration.quality.pixel_difference import pixel_difference


def test_the_largest_and_the_mean_difference_do_not_depend_on_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    one = np.full((10, 8, 3), 100, np.uint8)
    other = one.copy()
    other[9, 7, 2] += 30
    other[0, 0, 0] -= 10
    expected = (30 / 255, 40 / 255 / (10 * 8 * 3))
    for pixels in (1, 24, 1 << 20):
        monkeypatch.setattr(module, "_BAND_PIXELS", pixels)
        found = pixel_difference(Picture.from_array(one), Picture.from_array(other))
        assert (found.largest, found.mean) == pytest.approx(expected)


def test_pictures_of_different_sizes_or_depths_are_not_compared() -> None:
    one = Picture.from_array(np.zeros((4, 4), np.uint8))
    for other in (np.zeros((4, 5), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(ImageError, match="can't be compared"):
            pixel_difference(one, Picture.from_array(other))
