"""Pictures of unsupported kinds as viewers show them: their values, and the memory that decoding takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from restoration.errors import ImageTooLargeError, UnreadableImageError, UnsupportedImageError
from restoration.image import Limits, inspect_all, open_for_display
from tests.sample_images import REFUSED, by_pillow, tiff


def shown(path: Path, content: bytes) -> NDArray[Any]:
    """What a viewer shows, (h, w, c), of 0 to 255."""
    path.write_bytes(content)
    with open_for_display(path, limits=Limits()) as picture:
        values: NDArray[Any] = picture.read(0, 0, picture.info.width, picture.info.height)[0].transpose(1, 2, 0)
        rounded: NDArray[Any] = np.rint(values * 255)
    return rounded


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_kinds_are_decoded_for_display(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scan"
    path.write_bytes(REFUSED[name]())
    (info,) = inspect_all(path)
    with open_for_display(path, limits=Limits()) as picture:
        assert (picture.info.width, picture.info.height) == (info.width, info.height)
        shown = picture.read(0, 0, info.width, info.height)
    assert shown.std() > 0.1 or "floating" in name  # which holds nothing but NaN
    with pytest.raises(ImageTooLargeError):
        open_for_display(path, limits=Limits(max_decoding_bytes=1000))


# sRGB's primaries and white in CIELab of D50, by Bradford adaptation: http://www.brucelindbloom.com/?ColorCalculator.html
LAB = {
    (255, 0, 0): (54.29, 80.81, 69.89),
    (0, 255, 0): (87.82, -79.27, 80.99),
    (0, 0, 255): (29.57, 68.30, -112.03),
    (255, 255, 255): (100, 0, 0),
    (119, 119, 119): (50.03, 0, 0),
}


@pytest.mark.parametrize("bits", [8, 16])
def test_cielab_is_shown_by_its_definition(tmp_path: Path, bits: int) -> None:
    lightness, a, b = np.array(list(LAB.values())).T
    scale = 1 if bits == 8 else 256
    stored = np.stack([lightness / 100 * (2**bits - 1), a * scale, b * scale], axis=-1)
    samples = np.rint(stored).astype(np.int64).astype(np.uint8 if bits == 8 else np.uint16).reshape(1, -1, 3)
    (tmp_path / "lab.tif").write_bytes(tiff(samples, photometric="cielab"))
    with open_for_display(tmp_path / "lab.tif", limits=Limits()) as picture:
        shown = picture.read(0, 0, len(LAB), 1)[0, :, 0].T * 255
    np.testing.assert_allclose(shown, list(LAB), atol=24)  # at the edge of sRGB, a step of a* or b* is this much
    np.testing.assert_allclose(shown[3:], list(LAB)[3:], atol=3)  # white and neutral grey


def test_a_kind_without_a_decoder_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(b"GIF89a" + bytes(40))
    with pytest.raises(UnsupportedImageError, match="a GIF file: save a copy as"):
        open_for_display(tmp_path / "scan", limits=Limits())


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).random(shape, np.float32)


SIDE = 700
# Big enough that bands and fixed costs are small.
LARGE: dict[str, Callable[[], bytes]] = {
    "float32 RGB": lambda: tiff(noise(SIDE, SIDE, 3) * 2),
    "float32 RGB in one strip": lambda: tiff(
        noise(SIDE, SIDE, 3) * 2, byteorder=">", compression="zlib", rowsperstrip=SIDE
    ),
    "float64 RGB": lambda: tiff(noise(SIDE, SIDE, 3).astype(np.float64) * 2, compression="zlib"),
    "float32 planar": lambda: tiff(noise(3, SIDE, SIDE), photometric="rgb", planarconfig="separate"),
    "float32 of 8 samples": lambda: tiff(noise(SIDE, SIDE, 8), photometric="minisblack", planarconfig="contig"),
    "uint32 RGB in tiles": lambda: tiff((noise(SIDE, SIDE, 3) * 1e9).astype(np.uint32), tile=(256, 256)),
    "CMYK": lambda: tiff((noise(SIDE, SIDE, 4) * 65535).astype(np.uint16), photometric="separated"),
    "CIELab": lambda: tiff((noise(SIDE, SIDE, 3) * 65535).astype(np.uint16), photometric="cielab"),
    "YCbCr": lambda: tiff((noise(SIDE, SIDE, 3) * 255).astype(np.uint8), photometric="ycbcr"),
    "JPEG CMYK": lambda: by_pillow("JPEG", (noise(SIDE, SIDE, 3) * 255).astype(np.uint8), "CMYK"),
}


@pytest.mark.parametrize("kind", LARGE)
def test_decoding_takes_no_more_memory_than_the_limit_that_permits_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scan"
    path.write_bytes(LARGE[kind]())
    tracemalloc.start()
    try:
        open_for_display(path, limits=Limits()).close()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with pytest.raises(
            ImageTooLargeError, match=r"raise max_decoding_bytes in archive\.toml, or convert it to RGB"
        ):
            open_for_display(path, limits=Limits(max_decoding_bytes=peak))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


UNCLEAR: dict[str, tuple[Callable[[], bytes], str]] = {
    "float32 CIELab": (lambda: tiff(noise(8, 8, 3), photometric="cielab"), "a CIELab picture: convert it"),
    "200 samples": (
        lambda: tiff(noise(8, 8, 200), photometric="minisblack", planarconfig="contig"),
        "a floating point picture of 32 bits a sample: save it",
    ),
    "CMYK of 4 bits": (
        lambda: tiff(np.full((8, 8, 4), 15, np.uint8), photometric="separated", bitspersample=4),
        "a CMYK picture: convert it",
    ),
}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_a_kind_without_a_defined_conversion_is_not_shown_and_the_remedy_is_named(tmp_path: Path, kind: str) -> None:
    write, remedy = UNCLEAR[kind]
    (tmp_path / "scan").write_bytes(write())
    with pytest.raises(UnsupportedImageError, match=remedy):
        open_for_display(tmp_path / "scan", limits=Limits())


def test_damaged_pixels_of_an_unsupported_kind_name_the_next_step(tmp_path: Path) -> None:
    content = bytearray(tiff(noise(64, 64, 3), compression="zlib", rowsperstrip=64))
    content[-1000:-500] = bytes(500)
    (tmp_path / "scan").write_bytes(content)
    with pytest.raises(
        UnreadableImageError, match=r"can't be decoded for display: .* convert it to RGB .* from a backup"
    ):
        open_for_display(tmp_path / "scan", limits=Limits())


def test_one_bright_pixel_does_not_darken_a_floating_point_scan(tmp_path: Path) -> None:
    values = np.ones((64, 64), np.float32)
    values[0, 0], values[1, 1], values[2, :] = 8, np.nan, 0.5
    found = shown(tmp_path / "scan", tiff(values))[..., 0]
    assert (found[0, 0], found[1, 1], found[5, 5]) == (255, 0, 255)
    assert found[2, 5] == pytest.approx(127.5, abs=0.5)


@pytest.mark.parametrize(
    ("values", "grey"),
    [
        (np.full((8, 8), 0.25, np.float32), 64),
        (np.full((8, 8), 5, np.float32), 255),
        (np.full((8, 8), 2**32 - 1, np.uint32), 255),
        (np.full((8, 8), 0, np.int16), 128),
    ],
)
def test_a_constant_page_is_shown_within_the_range_of_its_type(tmp_path: Path, values: NDArray[Any], grey: int) -> None:
    assert set(shown(tmp_path / "scan", tiff(values)).ravel()) == {grey}
