"""Every row of the table of formats: supported kinds are preserved, others are refused with reason and remedy."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from benchmarks.fuzz_images import run
from restoration.errors import ImageError, ImageTooLargeError, UnreadableImageError, UnsupportedImageError
from restoration.image import ImageInfo, Limits, Picture, Resolution, TiffSink, inspect, inspect_all
from tests.sample_images import CARRIED, COLOURS, HEIGHT, REFUSED, SRGB, WIDTH, cdef, icc, jp2, pixels, tiff, with_chunk

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "formats.md"
# Samples and bits of the first picture; by default RGB with 8 bits.
KINDS = {
    "TIFF 8-bit grey": (1, 8),
    "TIFF 16-bit grey": (1, 16),
    "TIFF 16-bit RGB": (3, 16),
    "TIFF grey with alpha": (2, 8),
    "TIFF RGB with infrared": (4, 16),
    "TIFF planar": (3, 16),
    "TIFF tiled": (3, 16),
    "TIFF ZIP with predictor": (3, 16),
    "TIFF ZSTD": (3, 16),
    "TIFF big endian": (3, 16),
    "BigTIFF": (3, 16),
    "TIFF min-is-white": (1, 8),
    "TIFF pyramid": (1, 8),
    "JPEG grey": (1, 8),
    "PNG 16-bit": (3, 16),
    "PNG 16-bit grey with alpha": (2, 16),
    "JP2 8-bit grey": (1, 8),
    "JP2 16-bit RGB": (3, 16),
    "JP2 with alpha": (4, 8),
}


def all_of(picture: Picture) -> NDArray[Any]:
    """All samples of a picture, (H, W, samples), as they are stored."""
    info = picture.info
    colours = picture.read(0, 0, info.width, info.height)[0].transpose(1, 2, 0).astype(np.float64)
    extra = picture.read_extra(0, 0, info.width, info.height)
    return np.concatenate([np.rint(colours * info.largest_sample).astype(extra.dtype), extra], axis=2)


def expected(name: str) -> NDArray[Any]:
    """The upright picture from which the file of this row was made."""
    if "palette" in name:
        colours: NDArray[Any] = COLOURS.astype(np.uint8)[pixels(1)]
        return colours
    samples, bits = KINDS.get(name, (3, 8))
    made = pixels(samples, bits).reshape(HEIGHT, WIDTH, samples)
    if name == "TIFF min-is-white":
        made = 255 - made
    is_turned = name.startswith("JPEG") or name == "PNG 8-bit"  # with EXIF orientation 6
    return np.rot90(made, -1) if is_turned else made


@pytest.mark.parametrize("name", CARRIED)
def test_supported_kinds_are_preserved_in_a_derivative(tmp_path: Path, name: str) -> None:
    (tmp_path / "scan").write_bytes(CARRIED[name]())
    wanted = expected(name)
    with Picture.open(tmp_path / "scan") as picture:
        with TiffSink(tmp_path / "out.tif", picture.info) as sink:
            height, width = wanted.shape[:2]
            sink.write(0, picture.read(0, 0, width, height), picture.read_extra(0, 0, width, height))
        found = all_of(picture)
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype
        if "JPEG" in name:
            assert np.abs(found.astype(int) - wanted).mean() < 8  # the gradient, without the grain that JPEG blurs
        else:
            np.testing.assert_array_equal(found, wanted)
        made = inspect(tmp_path / "out.tif")
        for fact in ("width", "height", "bits_per_sample", "samples_per_pixel", "colour_channels", "extra_samples"):
            assert getattr(made, fact) == getattr(picture.info, fact)
        assert made.icc_profile == picture.info.icc_profile
        if picture.info.resolution is not None:
            assert made.resolution is not None
            assert made.resolution.ppi == pytest.approx(picture.info.resolution.ppi)
        with tifffile.TiffFile(tmp_path / "out.tif") as written:
            np.testing.assert_array_equal(written.pages.first.asarray().reshape(found.shape), found)


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_kinds_are_reported_and_refused_with_reason_and_remedy(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scan"
    path.write_bytes(REFUSED[name]())
    (info,) = inspect_all(path)
    assert {info.width, info.height} == {WIDTH, HEIGHT}
    assert info.refusal is not None
    assert re.search(r": (save|convert) ", info.refusal)
    for read in (inspect, Picture.open):
        with pytest.raises(UnsupportedImageError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: {info.refusal}"


def test_the_documentation_has_a_row_for_every_kind() -> None:
    rows = re.findall(r"^\| ([^|]+) \| (read|refused)", DOCS.read_text(), re.MULTILINE)
    assert dict(rows) == dict.fromkeys(CARRIED, "read") | dict.fromkeys(REFUSED, "refused")


def test_each_full_size_page_of_a_tiff_is_a_separate_picture(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    recto, verso = pixels(3), pixels(1, 16)
    path.write_bytes(tiff(recto[::4, ::4], recto, verso[::8, ::8], verso))
    first, second = inspect_all(path)
    assert (first.page, first.bits_per_sample, first.colour_channels) == (1, 8, 3)
    assert (second.page, second.bits_per_sample, second.colour_channels) == (2, 16, 1)
    assert sum("preview" in problem for problem in first.problems) == 2
    for page, wanted in ((1, recto), (2, verso[..., None])):
        with Picture.open(path, page=page) as picture:
            np.testing.assert_array_equal(all_of(picture), wanted)
    for missing in (0, 3):
        with pytest.raises(UnreadableImageError, match=f"no picture {missing}, only 2"):
            Picture.open(path, page=missing)


def test_an_unsupported_page_does_not_affect_other_pages(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels(1) > 100, photometric="minisblack", metadata=None)
        writer.write(pixels(1), photometric="minisblack", metadata=None)
    assert [info.refusal is None for info in inspect_all(path)] == [False, True]
    with Picture.open(path, page=2) as picture:
        np.testing.assert_array_equal(all_of(picture)[..., 0], pixels(1))


def test_marked_thumbnails_and_masks_are_not_pictures(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels(1), photometric="minisblack", metadata=None)
        writer.write(pixels(1)[:20, :50], photometric="minisblack", metadata=None, subfiletype=1)
        writer.write(pixels(1) > 9, photometric="minisblack", metadata=None, subfiletype=4)
    (info,) = inspect_all(path)
    assert set(info.problems) == {
        "a preview of 50x20 px in the file isn't carried",
        "a transparency mask in the file isn't carried",
    }


def test_resolution_profile_and_orientation_are_read_from_a_jp2(tmp_path: Path) -> None:
    path = tmp_path / "scan.jp2"
    path.write_bytes(jp2(pixels(), colour=icc(SRGB), orientation=6))
    with Picture.open(path) as picture:
        info = picture.info
        assert (info.format, info.width, info.height) == ("JP2", HEIGHT, WIDTH)
        assert info.resolution == Resolution(x=118.11, y=118.11, unit="centimetre")
        assert info.icc_profile == SRGB
        assert info.title == "Fishermen"
        np.testing.assert_array_equal(all_of(picture), np.rot90(pixels(), -1))


def test_a_jp2_written_by_pillow_has_the_pixels_that_pillow_reads(tmp_path: Path) -> None:
    path = tmp_path / "scan.jp2"
    Image.fromarray(pixels()).save(path, irreversible=True, quality_layers=[40], tile_size=(32, 32))
    with Picture.open(path) as picture, Image.open(path) as wanted:
        np.testing.assert_array_equal(all_of(picture), np.asarray(wanted))


def test_alpha_in_a_jp2_is_recognised_by_its_channel_definition(tmp_path: Path) -> None:
    path = tmp_path / "scan.jp2"
    path.write_bytes(jp2(pixels(2), extra=cdef((0, 0, 1), (1, 2, 0))))
    assert inspect(path).extra_samples == ("associated alpha",)
    path.write_bytes(jp2(pixels(), extra=cdef((0, 0, 3), (1, 0, 2), (2, 0, 1))))
    with pytest.raises(UnsupportedImageError, match="another order than R G B"):
        inspect(path)


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9, 0.99])
def test_a_truncated_jp2_is_unreadable(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "scan.jp2"
    data = CARRIED["JP2 16-bit RGB"]()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UnreadableImageError, match=r"scan\.jp2"), Picture.open(path) as picture:
        all_of(picture)


@pytest.mark.parametrize("packed", [False, True])
def test_exif_stored_as_text_in_a_png_sets_the_orientation(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "scan.png"
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 1, 274, 3, 1, 6, 0) + bytes(4)
    text = f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()
    keyword = b"Raw profile type exif\0"
    body = keyword + b"\0" + zlib.compress(text) if packed else keyword + text
    path.write_bytes(with_chunk(CARRIED["PNG 16-bit"](), b"zTXt" if packed else b"tEXt", body))
    with Picture.open(path) as picture:
        np.testing.assert_array_equal(all_of(picture), np.rot90(pixels(3, 16), -1))
    path.write_bytes(with_chunk(CARRIED["PNG 16-bit"](), b"tEXt", keyword + b"\nexif\n 8\nxyz\n"))
    assert any("EXIF" in problem for problem in inspect(path).problems)


WHOLE: dict[str, Callable[[], bytes]] = {
    "PNG": CARRIED["PNG 16-bit"],
    "JPEG": CARRIED["JPEG progressive"],
    "JP2": CARRIED["JP2 16-bit RGB"],
    "row of the TIFF's strips": lambda: tiff(pixels(3, 16), compression="lzw", rowsperstrip=HEIGHT),
    "row of the TIFF's tiles": lambda: tiff(pixels(3, 16), compression="lzw", tile=(48, 64)),
}


@pytest.mark.parametrize("what", WHOLE)
def test_pictures_that_must_be_decoded_whole_have_a_memory_limit(tmp_path: Path, what: str) -> None:
    path = tmp_path / "scan"
    path.write_bytes(WHOLE[what]())
    decoded_bytes = HEIGHT * WIDTH * 3
    for read in (inspect, Picture.open):
        with pytest.raises(
            ImageTooLargeError,
            match=rf"scan: a {what}.* decoded whole.* raise max_decoding_bytes in archive.toml, or save",
        ):
            read(path, limits=Limits(max_decoding_bytes=decoded_bytes))
    assert inspect(path, limits=Limits(max_decoding_bytes=1_000_000)).refusal is None


@pytest.mark.parametrize("name", ["TIFF 16-bit RGB", "TIFF striped", "TIFF big endian", "TIFF planar", "BigTIFF"])
def test_an_uncompressed_tiff_has_no_decoding_limit(tmp_path: Path, name: str) -> None:
    (tmp_path / "scan").write_bytes(CARRIED[name]())
    assert inspect(tmp_path / "scan", limits=Limits(max_decoding_bytes=1)).refusal is None


def test_rows_of_small_strips_need_little_memory(tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(tiff(pixels(3, 16), compression="zlib", rowsperstrip=1))
    assert inspect(tmp_path / "scan", limits=Limits(max_decoding_bytes=8 * WIDTH * 6)).refusal is None


def test_a_jp2_with_an_impossible_size_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "scan.jp2"
    data = bytearray(jp2(pixels(1)))
    at = data.index(b"\xff\x4f\xff\x51") + 8
    struct.pack_into(">II", data, at, 60_000, 60_000)
    struct.pack_into(">II", data, at + 16, 60_000, 60_000)
    path.write_bytes(data)
    with pytest.raises(ImageTooLargeError, match="raise max_pixels"):
        inspect(path)
    struct.pack_into(">II", data, at, 30_000, 30_000)
    path.write_bytes(data)
    with pytest.raises(ImageTooLargeError, match="max_decoding_bytes"):
        inspect(path)
    struct.pack_into(">II", data, at + 16, 10, 10)
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match="9000000 tiles"):
        inspect(path)


def rewired(data: bytes, target: int) -> bytes:
    """The little-endian classic TIFF with the end of its last directory pointing to ``target``."""
    changed = bytearray(data)
    at = 4
    while (offset := struct.unpack_from("<I", changed, at)[0]) != 0:
        (count,) = struct.unpack_from("<H", changed, offset)
        at = offset + 2 + 12 * count
    struct.pack_into("<I", changed, at, target)
    return bytes(changed)


def test_a_loop_of_directories_is_read_once_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    data = tiff(pixels(1), pixels(1, 16))
    path.write_bytes(rewired(data, struct.unpack_from("<I", data, 4)[0]))
    first, second = inspect_all(path)
    assert (first.bits_per_sample, second.bits_per_sample) == (8, 16)
    assert "the TIFF's directories lead round in a circle: each was read once" in first.problems


@pytest.mark.parametrize("target", [10_000_000, 0xFFFFFFFF])
def test_a_directory_outside_the_file_is_an_error(tmp_path: Path, target: int) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(rewired(tiff(pixels(1)), target))
    with pytest.raises(UnreadableImageError, match="ends before its directories do"):
        inspect(path)


def test_a_metadata_block_outside_the_file_is_left_out_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    data = bytearray(tiff(pixels()))
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    entries = [offset + 2 + 12 * index for index in range(count)]
    (profile,) = (entry for entry in entries if struct.unpack_from("<H", data, entry)[0] == 34675)
    struct.pack_into("<I", data, profile + 8, 0x7FFFFFFF)
    path.write_bytes(data)
    with Picture.open(path) as picture:
        assert picture.info.icc_profile is None
        assert "the blocks InterColorProfile of the TIFF are corrupt and were left out" in picture.info.problems
        np.testing.assert_array_equal(all_of(picture), pixels())


@pytest.mark.parametrize("name", ["été 1906.tif", "two\nlines.tif", " spaces  .tif", "照片.jpg", "scan.txt", "scan"])
def test_the_format_is_detected_by_bytes_and_not_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CARRIED["PNG 8-bit"]())
    assert inspect(path).format == "PNG"


def test_damaged_files_of_every_format_raise_only_image_errors() -> None:
    outcomes, troubles = run(seed=7, count=300, timeout_seconds=600)
    assert troubles == []
    assert sum(outcomes.values()) == 300
    assert outcomes["derivative"] > 20


@pytest.fixture
def real_scans() -> Path:
    folder = os.environ.get("ARCHIVE_TEST_SCANS")
    if folder is None:
        pytest.skip("ARCHIVE_TEST_SCANS names no folder of real scans")
    return Path(folder)


def facts(info: ImageInfo) -> tuple[int, int, int, int]:
    return info.width, info.height, info.bits_per_sample, info.samples_per_pixel


def test_real_scans_of_a_library_are_read_or_refused_correctly(real_scans: Path) -> None:
    assert facts(inspect(real_scans / "standard_adobe.tif")) == (1350, 1020, 8, 3)
    adobe = inspect(real_scans / "standard_adobe.tif")
    assert adobe.icc_description == "Adobe RGB (1998)"
    assert adobe.problems[0] == "a preview of 140x110 px in the file isn't carried"
    grey = inspect(real_scans / "greyscale_gamma.tif")
    assert facts(grey) == (1350, 1020, 8, 1)
    assert grey.icc_profile is not None
    assert inspect(real_scans / "greyscale_without_profile.tif").icc_profile is None
    assert facts(inspect(real_scans / "no_profile.tif")) == (135, 102, 8, 3)
    (bilevel,) = inspect_all(real_scans / "bilevel.tif")
    assert bilevel.refusal is not None
    assert "bilevel" in bilevel.refusal
    with pytest.raises(UnreadableImageError, match=r"invalid\.tif: "):
        inspect(real_scans / "invalid.tif")


def test_every_real_file_is_read_or_raises_an_image_error(real_scans: Path) -> None:
    for path in filter(Path.is_file, real_scans.rglob("*")):
        with contextlib.suppress(ImageError):
            for info in inspect_all(path):
                if info.refusal is None:
                    with Picture.open(path, page=info.page) as picture:
                        for y in range(0, info.height, 512):
                            picture.read(0, y, info.width, min(512, info.height - y))


@pytest.mark.parametrize("name", ["standard_adobe.tif", "greyscale_gamma.tif", "no_profile.tif"])
def test_the_pixels_of_real_scans_equal_those_of_another_program(real_scans: Path, name: str) -> None:
    with Picture.open(real_scans / name) as picture, Image.open(real_scans / name) as wanted:
        np.testing.assert_array_equal(all_of(picture).squeeze(), np.asarray(wanted))


def test_pictures_of_other_programs_from_a_dependency_are_read() -> None:
    skimage = pytest.importorskip("skimage")
    folder = Path(skimage.__file__).parent / "data"
    for name in ("rocket.jpg", "chelsea.png", "moon.png", "camera.png"):
        if not (folder / name).is_file():
            continue
        with Picture.open(folder / name) as picture, Image.open(folder / name) as wanted:
            np.testing.assert_array_equal(all_of(picture).squeeze(), np.asarray(wanted))
