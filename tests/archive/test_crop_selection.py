"""Where a contact sheet looks: at detail, at flats, in the middle; found by windows and always the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from archive.report.crop_selection import CROP_PX, select_crops
from restoration.image import Area, Picture


def _open(path: Path, values: NDArray[np.float32]) -> Picture:
    """A picture of 16 bits in tiles."""
    tifffile.imwrite(path, np.rint(values * 65535).astype(np.uint16), photometric="minisblack", tile=(256, 256))
    return Picture.open(path)


def _whole(picture: Picture) -> Area:
    return Area(x=0, y=0, width=picture.info.width, height=picture.info.height)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Picture]:
    """A ramp with some grain; a texture, a flat, and a black that shows nothing."""
    rng = np.random.default_rng(1)
    ramp = np.linspace(0.2, 0.8, 6000, dtype=np.float32)
    values = np.broadcast_to(ramp, (4000, 6000)).copy()
    values += np.float32(0.2) * (np.sin(np.arange(6000, dtype=np.float32) / 30))
    values += rng.normal(0, 0.02, values.shape).astype(np.float32)
    values[2500:3300, 400:1200] = np.kron(rng.random((80, 80)), np.ones((10, 10)))  # detail of 10 px
    values[300:1200, 4000:5000] = 0.5
    values[3300:, 4500:] = 0
    with _open(tmp_path / "large.tif", values.clip(0, 1)) as picture:
        yield picture


def test_the_most_detailed_the_flattest_and_a_middle_window_are_selected(large: Picture) -> None:
    found = {place.why: place.area for place in select_crops(large, _whole(large))}
    assert list(found) == ["most detail", "flattest", "middle"]
    assert 100 < found["most detail"].x < 1200
    assert 2200 < found["most detail"].y < 3300
    assert 3700 < found["flattest"].x < 5000
    assert found["flattest"].y < 1200
    assert (found["middle"].x, found["middle"].y) == (2850, 1850)
    assert {(area.width, area.height) for area in found.values()} == {(CROP_PX, CROP_PX)}


def test_it_reads_windows_and_not_the_whole_picture(large: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    first = select_crops(large, _whole(large))
    reads: list[tuple[int, int]] = []
    read = large.read

    def watched(x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        reads.append((width, height))
        return read(x, y, width, height)

    monkeypatch.setattr(large, "read", watched)
    assert select_crops(large, _whole(large)) == first
    assert set(reads) == {(CROP_PX, CROP_PX)}
    assert sum(width * height for width, height in reads) < large.info.width * large.info.height / 3


def test_nothing_outside_the_picture_area_is_selected(large: Picture) -> None:
    area = Area(x=1500, y=700, width=1000, height=900)
    for place in select_crops(large, area):
        assert area.x <= place.area.x <= place.area.x + place.area.width <= area.x + area.width
        assert area.y <= place.area.y <= place.area.y + place.area.height <= area.y + area.height


@pytest.mark.parametrize(("size", "count"), [((20, 3), 1), ((1, 1), 1), ((400, 320), 1), ((700, 300), 2)])
def test_a_small_picture_has_no_two_crops_of_nearly_the_same(tmp_path: Path, size: tuple[int, int], count: int) -> None:
    rng = np.random.default_rng(2)
    with _open(tmp_path / "small.tif", rng.random((size[1], size[0]), dtype=np.float32)) as picture:
        assert len(select_crops(picture, _whole(picture))) == count
