"""The grain profile: measures known grain correctly despite texture, clipping and retouching."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from restoration.grain_profile import (
    GRAIN_NAMES,
    LIGHTNESSES,
    WINDOW_PX,
    encode_grain,
    measure_array_grain,
    measure_grain,
)
from restoration.image import Picture

Array = NDArray[np.float32]


def photograph() -> Array:
    """A sharp photograph with texture (grass and clothes) and flat places, grey, (H, W)."""
    return np.asarray(data.camera() / 255, np.float32)


def with_noise(picture: Array, level: float, *, size_px: float = 0.0, seed: int = 0) -> Array:
    field = np.random.default_rng(seed).standard_normal(picture.shape, dtype=np.float32)
    if size_px:
        field = ndimage.gaussian_filter(field, size_px)
        field /= field.std()
    noisy: Array = np.clip(picture + np.float32(level) * field, 0, 1)
    return noisy


def levels(picture: NDArray[Any], scale: int) -> Array:
    """The luma levels of (H, W), in 1/255, dark to light."""
    profile = measure_array_grain(picture[None])
    names = [f"grain_{scale}px_{round(100 * lightness)}" for lightness in LIGHTNESSES]
    return np.asarray([profile[name] for name in names], np.float32) * 255


@pytest.mark.parametrize("level", [2, 5, 10, 25, 50])
def test_white_noise_on_a_photograph_is_measured_within_fifteen_per_cent(level: int) -> None:
    measured = levels(with_noise(photograph(), level / 255), 1)
    np.testing.assert_allclose(measured, level, rtol=0.15, atol=0.3)


def test_coarse_grain_has_high_levels_at_coarse_scales() -> None:
    flat = np.full((512, 512), 0.5, np.float32)
    white, coarse = with_noise(flat, 10 / 255), with_noise(flat, 10 / 255, size_px=1.5)
    np.testing.assert_allclose(levels(white, 4), levels(white, 1), rtol=0.15)
    assert (levels(coarse, 4) > 2.5 * levels(coarse, 1)).all()


def test_texture_without_a_flat_place_in_one_lightness_does_not_raise_it() -> None:
    picture = np.concatenate([np.full((256, 512), 0.3, np.float32), 0.6 + 0.5 * with_texture((256, 512))])
    measured = levels(with_noise(picture, 4 / 255), 1)
    assert (measured < 6).all()
    assert (measured > 3).all()


def with_texture(shape: tuple[int, int]) -> Array:
    """Gravel: a dense random texture of some pixels' size, about -0.3 to 0.3."""
    field = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(shape), 1.0)
    texture: Array = np.clip(0.12 * field / field.std(), -0.3, 0.3).astype(np.float32)
    return texture


def test_clipped_and_retouched_places_do_not_lower_it() -> None:
    picture = np.full((768, 512), 0.5, np.float32)
    picture[:256] = 0.95
    noisy = with_noise(picture, 15 / 255)
    retouched = noisy.copy()
    retouched[300:420] = 0.62
    for one in (noisy, retouched):
        np.testing.assert_allclose(levels(one, 1), 15, rtol=0.15)


def test_drawn_and_tiny_pictures_have_no_grain() -> None:
    drawn = np.full((300, 300), 0.2, np.float32)
    drawn[100:200, 50:150] = 0.8
    assert set(measure_array_grain(drawn[None]).values()) == {0.0}
    assert set(measure_array_grain(np.full((1, 9, 7), 0.4, np.float32)).values()) == {0.0}


def test_colour_noise_has_chroma_levels_and_grey_noise_has_none() -> None:
    flat = np.full((3, 256, 256), 0.5, np.float32)
    noise = np.random.default_rng(0).standard_normal(flat.shape).astype(np.float32) * np.float32(8 / 255)
    coloured, grey = measure_array_grain(flat + noise), measure_array_grain(flat + noise[:1])
    assert coloured["grain_chroma_1px"] * 255 > 4
    assert grey["grain_chroma_1px"] == 0


def test_sources_and_arrays_are_measured_alike_and_large_ones_in_bounded_windows() -> None:
    noisy = np.rint(with_noise(photograph(), 6 / 255) * 65535).astype(np.uint16)
    profile = measure_grain(Picture.from_array(noisy))
    assert profile == measure_array_grain((noisy / np.float32(65535))[None])
    assert tuple(profile) == GRAIN_NAMES
    encoded = encode_grain(profile)
    assert encoded.shape == (len(GRAIN_NAMES),)
    assert ((encoded >= 0) & (encoded <= 1)).all()

    wide = np.tile(noisy, (5, 8))
    reads: list[tuple[int, int]] = []
    picture = Picture.from_array(wide)
    read = picture.read

    def counted(x: int, y: int, width: int, height: int) -> Array:
        reads.append((width, height))
        return read(x, y, width, height)

    picture.read = counted  # type: ignore[method-assign]
    large = measure_grain(picture)
    assert len(reads) <= 256
    assert max(max(size) for size in reads) <= WINDOW_PX
    np.testing.assert_allclose(list(large.values()), list(profile.values()), rtol=0.1, atol=1e-3)
