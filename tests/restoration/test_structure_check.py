"""Damaged files are found: truncated at many positions, or with changed bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restoration.errors import UnreadableImageError
from restoration.image import Limits, Picture, find_damage
from tests.sample_images import CARRIED, REFUSED

PLACES = 20


@pytest.mark.parametrize("name", [*CARRIED, *REFUSED])
def test_complete_files_pass_both_checks(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scan"
    path.write_bytes({**CARRIED, **REFUSED}[name]())
    assert find_damage(path, depth="structure", limits=Limits()) is None
    if name not in ("JP2 palette", "JP2 YCbCr"):  # synthetic files for a test of their headers
        assert find_damage(path, depth="pixels", limits=Limits()) is None


@pytest.mark.parametrize("name", [name for name in CARRIED if name != "TIFF pyramid"])
def test_a_truncated_file_is_found_by_the_structure_check(tmp_path: Path, name: str) -> None:
    whole = CARRIED[name]()
    missed = []
    for place in range(PLACES):
        length = 16 + (len(whole) - 17) * place // (PLACES - 1)  # up to the second last byte
        path = tmp_path / f"{place}"
        path.write_bytes(whole[:length])
        if find_damage(path, depth="structure", limits=Limits()) is None:
            missed.append((length, len(whole)))
    assert missed == []


@pytest.mark.parametrize("name", ["PNG 8-bit", "TIFF Deflate", "TIFF ZSTD"])
def test_changed_pixels_are_found_by_one_of_the_checks(tmp_path: Path, name: str) -> None:
    content = bytearray(CARRIED[name]())
    middle = len(content) * 2 // 3
    content[middle : middle + 40] = bytes(40)
    path = tmp_path / "scan"
    path.write_bytes(content)
    assert find_damage(path, depth="pixels", limits=Limits()) is not None


def test_a_broken_metadata_block_is_not_damage(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    Image.new("RGB", (8, 8)).save(path, dpi=(300, 300))
    content = path.read_bytes()
    at = content.index(b"pHYs") + 5
    path.write_bytes(content[:at] + b"\x55" + content[at + 1 :])
    assert find_damage(path, depth="pixels", limits=Limits()) is None


def test_a_file_that_is_not_an_image_is_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("words")
    assert find_damage(path, depth="pixels", limits=Limits()) is None


def noise_jpeg(**options: Any) -> bytes:
    values = np.random.default_rng(0).normal(128, 40, (256, 256, 3)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def half_with_end_marker(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\xff\xd9"


def zeroed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(2000) + data[middle + 2000 :]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
@pytest.mark.parametrize("damage", [half_with_end_marker, zeroed])
def test_damage_that_decoders_fill_in_is_found_in_a_jpeg(
    tmp_path: Path, damage: Callable[[bytes], bytes], options: dict[str, Any]
) -> None:
    path = tmp_path / "scan.jpg"
    path.write_bytes(noise_jpeg(**options))
    assert find_damage(path, depth="pixels", limits=Limits()) is None
    path.write_bytes(damage(noise_jpeg(**options)))
    found = find_damage(path, depth="pixels", limits=Limits())
    assert found is not None
    assert found.startswith("the JPEG's pixel data is damaged: ")


@pytest.mark.parametrize("padding", [1, 16, 5000])
def test_zeros_before_the_end_marker_are_no_damage(tmp_path: Path, padding: int) -> None:
    path = tmp_path / "scan.jpg"
    path.write_bytes(noise_jpeg()[:-2] + bytes(padding) + b"\xff\xd9")
    assert find_damage(path, depth="pixels", limits=Limits()) is None
    path.write_bytes(noise_jpeg()[: -2 - padding] + bytes(padding) + b"\xff\xd9")
    assert (find_damage(path, depth="pixels", limits=Limits()) is None) is (padding == 1)


@pytest.mark.parametrize("photometric", ["ycbcr", "rgb"])
def test_damage_that_decoders_fill_in_is_found_in_a_jpeg_tile(tmp_path: Path, photometric: str) -> None:
    path = tmp_path / "scan.tif"
    values = np.random.default_rng(0).normal(128, 40, (512, 512, 3)).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(path, values, photometric=photometric, compression="jpeg", tile=(256, 256), metadata=None)
    assert find_damage(path, depth="pixels", limits=Limits()) is None
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, count = page.dataoffsets[1], page.databytecounts[1]
    content = path.read_bytes()
    path.write_bytes(content[:start] + zeroed(content[start : start + count]) + content[start + count :])
    found = find_damage(path, depth="pixels", limits=Limits())
    assert found is not None
    assert found.startswith("tile 2 of picture 1 is damaged: ")


def test_an_uncompressed_strip_that_is_too_small_for_the_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, np.zeros((100, 64), np.uint8), photometric="minisblack", rowsperstrip=100, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["StripByteCounts"].overwrite(120)
    reason = "picture 1 of the TIFF holds 120 bytes of pixels and needs 6400"
    assert find_damage(path, depth="structure", limits=Limits()) == reason
    with pytest.raises(UnreadableImageError, match=reason):
        Picture.open(path)
