"""Descriptions of the master's file layout are not copied to derivatives, which every reader opens."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from restoration.image import Picture, TiffSink
from tests.sample_images import CARRIED, pixels

HARMLESS = (
    "Validate                        : 1 Warning\nWarning                         : "
    "Invalid value for IFD0 tag 0x0115 SamplesPerPixel\n",
)
"""ExifTool 12.57 takes the value 0 of ExtraSamples, which TIFF calls unspecified, for no extra samples."""
READERS = (("vipsheader",), ("identify", "-regard-warnings"), ("exiftool", "-validate", "-warning"))


def derive(path: Path, out: Path) -> tuple[str, ...]:
    """Writes the first picture of ``path`` to ``out``; returns descriptions of the metadata that wasn't copied."""
    with Picture.open(path) as picture, TiffSink(out, picture.info) as sink:
        info = picture.info
        sink.write(0, picture.read(0, 0, info.width, info.height), picture.read_extra(0, 0, info.width, info.height))
        return info.problems


def check_readers(
    path: Path, expected: tuple[int, ...], caplog: pytest.LogCaptureFixture, *, by_pillow: bool = True
) -> None:
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="tifffile"):
        assert tifffile.imread(path).shape == expected
        with tifffile.TiffFile(path) as file:
            assert [len(series.pages) for series in file.series] == [1]
    assert caplog.records == []
    if by_pillow:
        with Image.open(path) as image:
            assert image.size == (expected[1], expected[0])
            image.load()
    for program, *options in READERS:
        if shutil.which(program):
            done = subprocess.run([program, *options, path], capture_output=True, text=True, check=True)
            said = f"{done.stderr}{done.stdout}\n"
            for harmless in HARMLESS:
                said = said.replace(harmless, "")
            assert "warning" not in said.lower().replace("warning                         : [minor]", "")


def write_tifffile(path: Path) -> None:
    tifffile.imwrite(path, np.stack([pixels(1), 255 - pixels(1)]), photometric="minisblack", shaped=True)


def write_imagej(path: Path) -> None:
    stack = np.stack([pixels(1), 255 - pixels(1)])
    labels = {"axes": "ZYX", "Labels": ["recto", "verso"], "Info": "scanned"}
    tifffile.imwrite(path, stack, imagej=True, metadata=labels)


def write_ome(path: Path) -> None:
    stack = np.stack([pixels(1), 255 - pixels(1)])
    tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})


def write_gdal(path: Path) -> None:
    tags = [(42112, 2, 0, "<GDALMetadata></GDALMetadata>", True), (42113, 2, 0, "0", True)]
    tifffile.imwrite(path, pixels(1), photometric="minisblack", metadata=None, extratags=tags)


def write_pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels(), subifds=1, photometric="rgb", metadata=None)
        writer.write(pixels()[::2, ::2], subfiletype=1, photometric="rgb", metadata=None)


@pytest.mark.parametrize("write", [write_tifffile, write_imagej, write_ome, write_gdal, write_pyramid])
def test_layout_descriptions_are_reported_and_not_copied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "master.tif")
    problems = derive(tmp_path / "master.tif", tmp_path / "out.tif")
    assert any("carried" in problem for problem in problems)
    with Picture.open(tmp_path / "out.tif") as picture:
        expected = (picture.info.height, picture.info.width, *([3] if picture.info.colour_channels == 3 else []))
    check_readers(tmp_path / "out.tif", expected, caplog)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        tags = {tag.code for tag in file.pages.first.tags}
    assert not tags & {270, 330, 42112, 42113, 50838, 50839}


@pytest.mark.parametrize("name", CARRIED)
def test_derivatives_of_every_kind_open_in_every_reader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (tmp_path / "master").write_bytes(CARRIED[name]())
    derive(tmp_path / "master", tmp_path / "out.tif")
    with Picture.open(tmp_path / "out.tif") as picture:
        info = picture.info
    samples = [] if info.samples_per_pixel == 1 else [info.samples_per_pixel]
    by_pillow = info.bits_per_sample == 8 or info.samples_per_pixel == 1  # it doesn't read colour of 16 bits
    check_readers(tmp_path / "out.tif", (info.height, info.width, *samples), caplog, by_pillow=by_pillow)


def test_a_description_of_the_picture_is_copied(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "master.tif", pixels(), photometric="rgb", description="Shapes of ImageJ", metadata=None
    )
    derive(tmp_path / "master.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages.first.tags[270].value == "Shapes of ImageJ"
