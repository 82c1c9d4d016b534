"""The change map: the pixels that it marks as changed and as filled in, and those that it doesn't."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from restoration.errors import ImageError
from restoration.image import Picture
from restoration.quality import ChangeMap, change_map, change_windows, score

Pixels = NDArray[np.float64]


def _map(source: Pixels, derivative: Pixels, *, width_px: int = 1200) -> ChangeMap:
    pictures = (np.clip(pixels, 0, 1).astype(np.float32) for pixels in (source, derivative))
    return change_map(*map(Picture.from_array, pictures), width_px=width_px)


def _photograph() -> Pixels:
    """(256, 384) in [0, 1]: a man, grass and sky."""
    pixels: Pixels = data.camera()[64:320, 64:448] / 255
    return pixels


def _damaged(clean: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """The picture with white and black lines of 1 to 4 px and dust, and the mask of the damage."""
    damage = np.zeros(clean.shape, np.bool_)
    damage[:, 40:41] = damage[:, 90:92] = damage[120:123, :] = damage[200:204, :] = True
    rows = np.arange(256)
    damage[rows, rows] = damage[rows, rows + 1] = True
    damage[20:22, 300:303] = damage[60:62, 340:342] = True
    return np.where(damage, np.where(clean > 0.5, 0.0, 1.0), clean), damage


def test_unchanged_pixels_are_not_marked() -> None:
    found = _map(_photograph(), _photograph())

    assert (found.changed_pixels, found.filled_pixels, found.factor) == (0, 0, 1)
    assert not found.filled.any()
    assert not found.change.any()


def test_only_repaired_damage_is_marked_as_filled_in() -> None:
    clean = _photograph()
    damaged, damage = _damaged(clean)
    found = _map(damaged, clean)

    assert (found.filled & damage).sum() > 0.85 * damage.sum()
    assert not (found.filled & ~damage).any()
    assert found.filled_pixels == found.filled.sum()


def test_remaining_damage_is_not_marked_as_filled_in() -> None:
    damaged, _ = _damaged(_photograph())
    softer = 0.9 * damaged + 0.05

    assert _map(damaged, softer).filled_pixels == 0


@pytest.mark.parametrize("noise", [0.02, 0.06, 0.12])
def test_removed_grain_is_changed_but_not_filled_in(noise: float) -> None:
    clean = _photograph()
    noisy = clean + np.random.default_rng(1).normal(0, noise, clean.shape)
    found = _map(noisy, clean)

    assert found.changed_pixels > 0.05 * clean.size
    assert found.filled_pixels < 2e-4 * clean.size


def test_repaired_damage_is_found_in_grain() -> None:
    clean = _photograph()
    damaged, damage = _damaged(clean)
    found = _map(damaged + np.random.default_rng(1).normal(0, 0.04, clean.shape), clean)

    assert (found.filled & damage).sum() > 0.6 * damage.sum()
    assert (found.filled & ~damage).sum() < 0.4 * damage.sum()  # adjacent pixels at a reduced size


def test_a_global_tone_shift_is_changed_but_not_filled_in() -> None:
    clean = _photograph()
    found = _map(0.6 * clean + 0.3, clean)

    assert found.changed_pixels > 0.5 * clean.size
    assert found.filled_pixels < 1e-3 * clean.size


def test_sharpening_is_not_filled_in() -> None:
    clean = _photograph()
    soft = ndimage.gaussian_filter(clean, 1.5)

    for source, derivative in ((soft, clean), (soft, 3 * soft - 2 * ndimage.gaussian_filter(soft, 1.5))):
        found = _map(source, derivative)
        assert found.changed_pixels > 0.02 * clean.size
        assert found.filled_pixels == 0


def test_noise_in_clipped_shadows_is_not_filled_in() -> None:
    black = np.zeros((512, 512))
    found = _map(black + np.random.default_rng(1).normal(0, 0.04, black.shape), black)

    assert found.changed_pixels > 0.1 * black.size
    assert found.filled_pixels < 2e-5 * black.size


def test_changed_pixels_equal_those_of_the_changed_share() -> None:
    rng = np.random.default_rng(2)
    levels = rng.integers(0, 240, (70, 90, 3)).astype(np.uint8)
    moved = (levels + rng.integers(0, 16, levels.shape)).astype(np.uint8)
    source, derivative = Picture.from_array(levels), Picture.from_array(moved)
    (share,) = [each.value for each in score(derivative=derivative, source=source) if each.metric == "changed_share"]

    assert change_map(source, derivative).changed_pixels == round((share or 0) * 70 * 90)


def test_a_thin_scratch_is_visible_at_every_reduction() -> None:
    clean = np.full((300, 1000), 0.4)
    scratched = clean.copy()
    scratched[:, 500] = 0.9
    found = _map(scratched, clean, width_px=70)

    assert (found.factor, found.filled.shape) == (16, (19, 63))
    assert found.filled[:, 500 // 16].all()
    assert found.filled.sum() == 19
    assert found.filled_pixels == 300


def test_wide_damage_is_found_in_large_pictures() -> None:
    clean = np.full((512, 1024), 0.4)
    scratched = clean.copy()
    scratched[:, 500:520] = 0.9

    assert _map(scratched, clean, width_px=1024).filled_pixels == 0
    assert _map(scratched, clean, width_px=128).filled[:, 63].all()


def test_the_map_does_not_depend_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = np.tile(_photograph(), (2, 2))
    damaged, _ = _damaged(clean[:256, :384])
    source = np.tile(damaged, (2, 2)) + np.random.default_rng(1).normal(0, 0.02, clean.shape)
    whole = _map(source, clean, width_px=400)
    monkeypatch.setattr(change_windows, "_WINDOW_ROWS", 128)
    monkeypatch.setattr(change_windows, "_WINDOW_COLUMNS", 128)
    in_windows = _map(source, clean, width_px=400)

    assert (whole.factor, whole.filled_pixels) == (2, in_windows.filled_pixels)
    assert whole.filled_pixels > 0
    for name in ("luma", "change", "filled"):
        assert np.array_equal(getattr(whole, name), getattr(in_windows, name))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (65, 4097), (257, 17, 3)])
def test_a_picture_of_any_shape_has_a_map(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).uniform(size=shape)
    found = _map(pixels, pixels[::-1], width_px=4000)
    factor = 2 if shape[1] > 4000 else 1

    assert found.luma.shape == (-(-shape[0] // factor), -(-shape[1] // factor))
    assert found.image().size == found.luma.shape[::-1]


def test_memory_does_not_grow_with_the_picture() -> None:
    class Tall:
        """A source of any height without pixels in memory."""

        def __init__(self, height: int) -> None:
            self.info = replace(Picture.from_array(np.zeros((1, 100), np.uint8)).info, height=height)

        def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:  # noqa: ARG002
            return np.zeros((1, 1, height, width), np.float32)

        def read_extra(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:  # noqa: ARG002
            return np.empty((height, width, 0), np.uint8)

    peaks = []
    for height in (8_000, 32_000):
        tracemalloc.start()
        change_map(Tall(height), Tall(height), width_px=25)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.2 * peaks[0]


def test_changes_are_averaged_so_that_grain_is_uniform() -> None:
    clean = np.full((200, 300), 0.5)
    noisy = clean + np.random.default_rng(1).choice((-0.06, 0.06), clean.shape)
    found = _map(noisy, clean)

    assert np.allclose(found.change, 0.06, atol=1e-4)
    assert np.allclose(_map(clean, noisy, width_px=100).change, 0.06, atol=1e-4)


def test_colours_show_the_size_of_a_change_and_filled_pixels() -> None:
    derivative = np.full((64, 320), 0.4)
    source = derivative.copy()
    for band, levels in enumerate((0, 2, 6, 12, 24, 48)):
        source[:, 40 * band : 40 * band + 40] += levels / 255
    source[:, 280] = 0.9
    colours = np.asarray(_map(source, derivative).image().convert("RGB"))[32, 20:320:40].astype(int)
    scratch = np.asarray(_map(source, derivative).image().convert("RGB"))[32, 279:282]
    luma = colours @ [0.2125, 0.7154, 0.0721]

    assert len(set(colours[0])) == 1, "no visible change is grey"
    assert (colours[[1, 7]] == colours[0]).all()
    assert (colours[2:6, 2] > colours[2:6, 0]).all(), "changes are blue"
    assert (np.diff(luma[2:6]) < 0).all(), "and darker, the larger they are"
    assert (scratch == (0xE6, 0x61, 0x00)).all(), "a point wider than it is"


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(ImageError, match="4x3 and 4x4"):
        _map(np.zeros((3, 4)), np.zeros((4, 4)))
