"""Previews of pictures for pages: reduced, and in the colours that their profile means."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms

from archive.report.preview_images import PREVIEW_WIDTH_PX, jpeg_data_url, preview
from restoration.image import Picture
from tests.small_archive import write_scan


def _decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def _preview(path: Path) -> Image.Image:
    with Picture.open(path) as picture:
        return _decoded(jpeg_data_url(preview(picture)))


def test_a_preview_is_reduced_to_the_average_of_what_it_stands_for(tmp_path: Path) -> None:
    width, height = 3 * PREVIEW_WIDTH_PX + 1, 700
    ramp = np.linspace(0, 65535, width).astype(np.uint16)
    tifffile.imwrite(tmp_path / "wide.tif", np.broadcast_to(ramp, (height, width)))
    with _preview(tmp_path / "wide.tif") as small:
        assert small.size == (PREVIEW_WIDTH_PX, 233)
        values = np.asarray(small, dtype=float)

    expected = np.linspace(0, 255, PREVIEW_WIDTH_PX)
    assert np.abs(values.mean(axis=0) - expected).max() < 2


def test_a_preview_of_a_small_picture_keeps_its_size(tmp_path: Path) -> None:
    write_scan(tmp_path / "small.tif")
    with _preview(tmp_path / "small.tif") as small:
        assert small.size == (48, 40)


def test_a_preview_shows_colours_as_their_profile_means_them(tmp_path: Path) -> None:
    standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A colour space in which the first channel means sRGB's green and the second its red.
    swapped = standard.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    pixels = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    expected = {standard: (200, 100, 50), swapped: (100, 200, 50), b"no profile": (200, 100, 50)}
    for profile, colour in expected.items():
        tifffile.imwrite(tmp_path / "colour.tif", pixels, iccprofile=profile, photometric="rgb")
        with _preview(tmp_path / "colour.tif") as small:
            assert np.abs(np.asarray(small, dtype=float).mean(axis=(0, 1)) - colour).max() < 3
