"""Reading and writing pictures: stored samples are read upright, and derivatives preserve all properties."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from restoration.errors import ChangedImageError, ImageError, ImageTooLargeError
from restoration.image import (
    Area,
    ArraySink,
    Crop,
    ImageInfo,
    Limits,
    Picture,
    Resolution,
    TiffSink,
    inspect,
    looks_like_image,
    pixel_sha256,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(*, height: int = 37, width: int = 29, samples: int = 3, bits: int = 16) -> NDArray[Any]:
    values = np.random.default_rng(bits + samples).integers(0, 1 << bits, (height, width, samples))
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def save_tiff(path: Path, samples: NDArray[Any], **options: Any) -> Path:
    photometric = "rgb" if samples.ndim == 3 and samples.shape[2] >= 3 else "minisblack"
    tifffile.imwrite(path, samples, **({"photometric": photometric, "metadata": None} | options))
    return path


def stored(picture: Picture) -> NDArray[Any]:
    """All samples of a picture, (H, W, samples), as integers."""
    info = picture.info
    colours = picture.read(0, 0, info.width, info.height)[0].transpose(1, 2, 0).astype(np.float64)
    extra = picture.read_extra(0, 0, info.width, info.height)
    return np.concatenate([np.rint(colours * info.largest_sample).astype(extra.dtype), extra], axis=2)


def copy(source: Picture, sink: ArraySink | TiffSink, *, rows: int = 10) -> None:
    info = source.info
    for y in range(0, info.height, rows):
        window = (0, y, info.width, min(rows, info.height - y))
        sink.write(y, source.read(*window), source.read_extra(*window))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"rowsperstrip": 5},
        {"compression": "lzw", "predictor": True, "rowsperstrip": 7},
        {"compression": "zlib", "tile": (16, 16)},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"tile": (32, 16)},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_every_tiff_layout_gives_the_same_pixels(
    tmp_path: Path, bits: int, samples: int, options: dict[str, Any]
) -> None:
    expected = pixels(samples=samples, bits=bits)
    path = save_tiff(tmp_path / "scan.tif", expected[..., 0] if samples == 1 else expected, **options)
    with Picture.open(path) as picture:
        assert (picture.info.format, picture.info.bits_per_sample) == ("TIFF", bits)
        assert (picture.info.width, picture.info.height, picture.info.samples_per_pixel) == (29, 37, samples)
        np.testing.assert_array_equal(stored(picture), expected)
        window = picture.read(11, 6, 13, 21)[0].transpose(1, 2, 0)
        np.testing.assert_array_equal(
            np.rint(window * np.float32(picture.info.largest_sample)), expected[6:27, 11:24, :]
        )


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 5}, {"compression": "zlib", "tile": (16, 16)}], ids=str)
def test_separate_planes_are_read_together(tmp_path: Path, options: dict[str, Any]) -> None:
    expected = pixels()
    path = tmp_path / "scan.tif"
    save_tiff(path, expected.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", **options)
    with Picture.open(path) as picture:
        np.testing.assert_array_equal(stored(picture), expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [2, 4, 5])
def test_alpha_and_infrared_are_separate_and_copied_unchanged(tmp_path: Path, bits: int, samples: int) -> None:
    expected = pixels(samples=samples, bits=bits)
    kinds = {2: ["unassalpha"], 4: ["assocalpha"], 5: ["unassalpha", "unspecified"]}[samples]
    photometric = "minisblack" if samples == 2 else "rgb"
    path = save_tiff(
        tmp_path / "scan.tif", expected, photometric=photometric, extrasamples=kinds, planarconfig="contig"
    )
    with Picture.open(path) as picture:
        assert picture.info.colour_channels == (1 if samples == 2 else 3)
        assert picture.read(0, 0, 2, 2).shape[1] == picture.info.colour_channels
        with TiffSink(tmp_path / "out.tif", picture.info) as sink:
            copy(picture, sink)
    with tifffile.TiffFile(tmp_path / "out.tif") as written:
        np.testing.assert_array_equal(written.asarray(), expected)
        assert [tifffile.EXTRASAMPLE(kind).name.lower() for kind in written.pages.first.extrasamples] == kinds


def test_white_stored_as_zero_is_read_as_white(tmp_path: Path) -> None:
    expected = pixels(samples=1)[..., 0]
    with Picture.open(save_tiff(tmp_path / "scan.tif", 65535 - expected, photometric="miniswhite")) as picture:
        np.testing.assert_array_equal(stored(picture)[..., 0], expected)


def test_a_jpeg_compressed_tiff_is_read_as_rgb(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (64, 64, 3)).copy()
    path = save_tiff(tmp_path / "scan.tif", smooth, compression="jpeg", compressionargs={"level": 95}, rowsperstrip=16)
    with Picture.open(path) as picture:
        assert np.abs(stored(picture).astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_a_png_keeps_its_bits_and_its_alpha(tmp_path: Path, bits: int, samples: int) -> None:
    expected = pixels(samples=samples, bits=bits)
    path = tmp_path / "scan.png"
    path.write_bytes(imagecodecs.png_encode(expected[..., 0] if samples == 1 else expected))
    with Picture.open(path) as picture:
        assert (picture.info.format, picture.info.bits_per_sample) == ("PNG", bits)
        assert picture.info.extra_samples == (("unassociated alpha",) if samples in (2, 4) else ())
        np.testing.assert_array_equal(stored(picture), expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_gives_the_pixels_that_pillow_decodes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "scan.jpg"
    Image.fromarray(pixels(bits=8)).convert(mode).save(path, quality=90, dpi=(300, 300), icc_profile=SRGB)
    with Picture.open(path) as picture, Image.open(path) as expected:
        assert picture.info.format == "JPEG"
        assert picture.info.colour_channels == len(mode)
        assert picture.info.resolution == Resolution(x=300, y=300, unit="inch")
        assert picture.info.icc_profile == SRGB
        np.testing.assert_array_equal(stored(picture).squeeze(), np.asarray(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["plain.tif", "tiled.tif", "scan.jpg", "scan.png"])
def test_a_picture_is_read_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    samples = pixels(height=21, width=33, samples=1, bits=8)[..., 0]
    path = tmp_path / kind
    if path.suffix == ".tif":
        layout = {"compression": "zlib", "tile": (16, 16)} if kind == "tiled.tif" else {}
        save_tiff(path, samples, extratags=[(274, 3, 1, orientation, True)], resolution=(300, 600), **layout)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(samples).save(path, exif=exif, dpi=(300, 600), quality=100)
    with Image.open(path) as image:
        # Pillow rotates some TIFFs when it loads them, so the expected pixels come from the array.
        as_stored = Image.fromarray(samples) if path.suffix == ".tif" else image
        as_stored.getexif()[274] = orientation
        expected = np.asarray(ImageOps.exif_transpose(as_stored))
    with Picture.open(path) as picture:
        assert (picture.info.height, picture.info.width) == expected.shape
        np.testing.assert_array_equal(stored(picture)[..., 0], expected)
        window = np.rint(picture.read(4, 7, 9, 5)[0, 0] * 255)
        np.testing.assert_array_equal(window, expected[7:12, 4:13])
        assert picture.info.resolution is not None
        assert picture.info.resolution.ppi == pytest.approx(600 if orientation >= 5 else 300, abs=0.01)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_derivative_preserves_depth_profile_and_resolution(tmp_path: Path, bits: int, samples: int) -> None:
    expected = pixels(samples=samples, bits=bits)
    path = save_tiff(
        tmp_path / "scan.tif",
        expected[..., 0] if samples == 1 else expected,
        iccprofile=SRGB,
        resolution=((118110, 1000), (23622, 200)),
        resolutionunit="centimeter",
    )
    with Picture.open(path) as source, TiffSink(tmp_path / "out.tif", source.info, description="été") as sink:
        copy(source, sink)
    assert inspect(tmp_path / "out.tif") == inspect(path)
    assert inspect(path).icc_profile == SRGB
    with tifffile.TiffFile(tmp_path / "out.tif") as written:
        page = written.pages.first
        np.testing.assert_array_equal(written.asarray().reshape(expected.shape), expected)
        assert (page.compression, page.planarconfig) == (1, 1)
        assert page.description == "été"
    assert sink.pixel_sha256 == hashlib.sha256(expected.astype(f"<u{bits // 8}").tobytes()).hexdigest()
    with Picture.open(tmp_path / "out.tif") as again:
        assert pixel_sha256(again) == sink.pixel_sha256


def test_a_derivative_larger_than_four_gigabytes_is_a_bigtiff(tmp_path: Path) -> None:
    info = ImageInfo(
        format="array", width=40_000, height=20_000, bits_per_sample=16, samples_per_pixel=3, colour_channels=3
    )
    sink = TiffSink(tmp_path / "large.tif", info)  # a sparse file that takes hardly any disk space
    with (tmp_path / "large.tif").open("rb") as file:
        assert file.read(4) == b"II+\0"
    sink.abort()


def test_a_tiff_sink_leaves_no_file_after_an_error_or_with_rows_missing(tmp_path: Path) -> None:
    source = Picture.from_array(pixels())
    with pytest.raises(KeyError), TiffSink(tmp_path / "out.tif", source.info):
        raise KeyError
    with pytest.raises(ImageError, match="not all rows"), TiffSink(tmp_path / "out.tif", source.info) as sink:
        sink.write(0, source.read(0, 0, 29, 5), source.read_extra(0, 0, 29, 5))
    assert list(tmp_path.iterdir()) == []


def test_a_tiff_sink_never_overwrites_a_file(tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_text("mine")
    with pytest.raises(ImageError, match="exists already"):
        TiffSink(tmp_path / "out.tif", Picture.from_array(pixels()).info)
    assert (tmp_path / "out.tif").read_text() == "mine"


def test_a_sink_takes_rows_once_and_in_order() -> None:
    source = Picture.from_array(pixels())
    band, extra = source.read(0, 5, 29, 5), source.read_extra(0, 5, 29, 5)
    sink = ArraySink(source.info)
    with pytest.raises(ImageError, match="row 0"):
        sink.write(5, band, extra)
    with pytest.raises(ImageError, match="a band of"):
        sink.write(0, band[..., 1:], extra)
    with pytest.raises(ImageError, match="isn't whole"):
        _ = sink.pixel_sha256


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3])
def test_every_value_of_an_array_is_written_exactly(dtype: type[np.unsignedinteger[Any]], samples: int) -> None:
    every = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    array = np.stack([np.roll(every, 7 * k) for k in range(samples)], axis=1).reshape(-1, 16, samples)
    array = array[..., 0] if samples == 1 else array
    source = Picture.from_array(array)
    sink = ArraySink(source.info)
    copy(source, sink, rows=100)
    np.testing.assert_array_equal(sink.array, array)
    assert sink.array.dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_is_read_from_an_array_can_be_changed_without_changing_the_array(dtype: type[np.generic]) -> None:
    array = np.ones((4, 5), dtype)
    picture = Picture.from_array(array)
    before = picture.read(0, 0, 5, 4).copy()
    picture.read(0, 0, 5, 4)[:] = 0
    assert np.array_equal(picture.read(0, 0, 5, 4), before)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 4), np.int32),
        np.full((4, 4), 1.5),
        np.full((4, 4), np.nan),
        np.zeros(4, np.uint8),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_an_array_that_is_not_a_picture_is_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="array"):
        Picture.from_array(array)


def test_a_crop_is_a_window_of_its_source() -> None:
    source = Picture.from_array(pixels())
    crop = Crop(source, Area(x=3, y=4, width=10, height=11))
    np.testing.assert_array_equal(crop.read(1, 2, 5, 6), source.read(4, 6, 5, 6))
    assert (crop.info.width, crop.info.height) == (10, 11)
    with pytest.raises(ImageError, match="isn't inside"):
        Crop(source, Area(x=25, y=0, width=10, height=1))


@pytest.mark.parametrize("kind", ["scan.tif", "scan.png", "scan.jpg"])
def test_too_many_pixels_are_refused_before_any_is_decoded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    Image.fromarray(pixels(bits=8)).save(path)
    assert inspect(path, limits=Limits(max_pixels=29 * 37)).width == 29
    for read in (inspect, Picture.open):
        with pytest.raises(ImageTooLargeError, match=r"29x37 px has more than 1072 pixels"):
            read(path, limits=Limits(max_pixels=29 * 37 - 1))


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    body = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + struct.pack(">I4sI", 0, b"IEND", 0xAE426082))
    with pytest.raises(ImageTooLargeError):
        inspect(tmp_path / "bomb.png")


def test_a_file_is_opened_only_if_its_digest_is_the_expected_one(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "scan.tif", pixels())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with Picture.open(path, expected_sha256=digest) as picture:
        np.testing.assert_array_equal(stored(picture), pixels())
        picture.verify_unchanged()
    with path.open("r+b") as file:
        file.seek(-1, io.SEEK_END)
        file.write(b"\x07")
    with pytest.raises(ChangedImageError, match=digest):
        Picture.open(path, expected_sha256=digest)


def test_a_change_of_the_file_during_reading_is_detected(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "scan.tif", pixels())
    with Picture.open(path) as picture:
        with path.open("r+b") as file:
            file.seek(-1, io.SEEK_END)
            file.write(b"\x07")
        os.utime(path, ns=(1, 1))
        with pytest.raises(ChangedImageError, match="was changed"):
            picture.verify_unchanged()


def test_a_closed_picture_is_never_read(tmp_path: Path) -> None:
    picture = Picture.open(save_tiff(tmp_path / "scan.tif", pixels()))
    picture.close()
    with pytest.raises(ValueError, match="closed"):
        picture.read(0, 0, 1, 1)


def test_a_read_only_master_is_read(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "scan.tif", pixels())
    before = path.stat().st_mtime_ns
    path.chmod(0o400)
    with Picture.open(path) as picture:
        stored(picture)
    assert path.stat().st_mtime_ns == before


def test_images_are_recognised_by_their_bytes_or_else_by_their_name(tmp_path: Path) -> None:
    def made(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    assert looks_like_image(save_tiff(tmp_path / "no extension", pixels()))
    assert looks_like_image(made("broken.TIF", b"nonsense"))
    assert looks_like_image(made("empty.jpg", b""))
    assert looks_like_image(made("picture", b"GIF89a"))
    assert looks_like_image(made("bitmap", b"BM\x9a\0\0\0\0\0\0\0" + bytes(20)))
    assert not looks_like_image(made("BMW.txt", b"BMW, 1931, with two ladies in the front seats"))
    assert not looks_like_image(made("items.csv", b"filename,title\n"))
    assert not looks_like_image(made(".DS_Store", b"\0\0\0\x01Bud1"))
    assert not looks_like_image(made("._scan.tif", b"\0\x05\x16\x07"))


def test_inspecting_files_does_not_load_torch(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "scan.tif", pixels())
    program = (
        "import sys, restoration, restoration.image, restoration.model_folders, restoration.recipe\n"
        "from restoration import Picture, restore, score\n"
        f"assert restoration.image.inspect({str(path)!r}).width == 29\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
