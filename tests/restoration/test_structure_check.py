"""Damaged files are found: truncated at many positions, or with changed bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from restoration.image import Limits, find_damage
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
