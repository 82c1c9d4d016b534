"""Damaged and unsupported files: valid pixels are read, and everything else is reported."""

from __future__ import annotations

import contextlib
import io
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from restoration.errors import ImageError, UnreadableImageError, UnsupportedImageError
from restoration.image import Limits, Picture, inspect

GREY = np.random.default_rng(3).integers(0, 256, (40, 50), np.uint8)
COLOUR = np.random.default_rng(4).integers(0, 256, (40, 50, 3), np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tiff(path: Path, data: Any, **options: Any) -> None:
    tifffile.imwrite(path, data, **({"metadata": None} | options))


def animated_png(path: Path) -> None:
    Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.fromarray(255 - GREY)])


def bare_codestream(path: Path) -> None:
    data = imagecodecs.jpeg2k_encode(COLOUR)
    path.write_bytes(data[data.index(b"\xff\x4f\xff\x51") :])


DNG_VERSION = (50706, "B", 4, b"\x01\x04\0\0", True)


def raw_below_a_preview(path: Path) -> None:
    """As cameras write NEF: the first picture is a small preview, and the raw one is below it."""
    with tifffile.TiffWriter(path) as writer:
        writer.write(COLOUR[::2, ::2], photometric="rgb", subifds=1, subfiletype=1, metadata=None)
        writer.write(GREY.astype(np.uint16), photometric="cfa", metadata=None)


UNSUPPORTED: dict[str, Callable[[Path], object]] = {
    "bilevel": lambda path: tiff(path, GREY > 100, photometric="minisblack"),
    "floating point": lambda path: tiff(path, GREY.astype(np.float32), photometric="minisblack"),
    "32 bits": lambda path: tiff(path, GREY.astype(np.uint32), photometric="minisblack"),
    "palette": lambda path: tiff(
        path, GREY, photometric="palette", colormap=np.arange(768, dtype=np.uint16).reshape(3, 256)
    ),
    "CMYK": lambda path: tiff(path, np.dstack([COLOUR, GREY]), photometric="separated"),
    "CIELab": lambda path: tiff(path, COLOUR, photometric="cielab"),
    "1 bits": lambda path: Image.fromarray(GREY > 100).save(path, "PNG"),
    "transparent colour": lambda path: Image.fromarray(GREY).save(path, "PNG", transparency=3),
    "animated": lambda path: animated_png(path.with_suffix(".png")),
    "CMYK JPEG": lambda path: Image.fromarray(COLOUR).convert("CMYK").save(path, "JPEG"),
    "GIF": lambda path: Image.fromarray(GREY).save(path, "GIF"),
    "BMP": lambda path: Image.fromarray(GREY).save(path, "BMP"),
    "WebP": lambda path: Image.fromarray(COLOUR).save(path, "WEBP"),
    "AVIF": lambda path: path.write_bytes(imagecodecs.avif_encode(COLOUR)),
    "HEIC": lambda path: path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)),
    "JPEG XL": lambda path: path.write_bytes(imagecodecs.jpegxl_encode(COLOUR)),
    "JPEG XR": lambda path: path.write_bytes(imagecodecs.jpegxr_encode(COLOUR)),
    "bare JPEG 2000": bare_codestream,
    "DNG": lambda path: tiff(path, GREY.astype(np.uint16), photometric="cfa", extratags=[DNG_VERSION]),
    "raw": raw_below_a_preview,
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported_kinds_are_refused_with_reason_and_remedy(tmp_path: Path, kind: str) -> None:
    UNSUPPORTED[kind](tmp_path / "scan")
    (path,) = tmp_path.iterdir()
    for read in (inspect, Picture.open):
        with pytest.raises(UnsupportedImageError, match=rf"scan.*{kind}.*: (save|convert|develop) ") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def damaged(kind: str, path: Path) -> None:
    """Writes a file whose pixels can't all be decoded."""
    picture = Image.fromarray(COLOUR)
    form = {"t": "TIFF", "j": "JPEG", "p": "PNG"}[kind[0]]
    options = {"compression": "tiff_lzw"} if kind == "tiff, compressed" else {}
    picture.save(path, form, **options)
    data = bytearray(path.read_bytes())
    if kind.endswith("cut"):
        path.write_bytes(data[: len(data) * 2 // 3])
    else:
        middle = len(data) // 2
        data[middle : middle + 400] = b"\xff" * 400
        path.write_bytes(data)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), form=st.sampled_from(["TIFF", "JPEG", "PNG"]))
def test_any_changed_byte_gives_a_picture_or_an_image_error(data: st.DataObject, form: str) -> None:
    """One damaged scan must not stop a batch: only an ImageError may be raised."""
    scan = bytearray(encoded(form))
    for _ in range(data.draw(st.integers(1, 4))):
        scan[data.draw(st.integers(0, min(len(scan), 700) - 1))] = data.draw(st.sampled_from([0, 1, 2, 127, 255]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scan")
        path.write_bytes(scan)
        with contextlib.suppress(ImageError), Picture.open(path, limits=Limits(max_pixels=100_000)) as picture:
            values = picture.read(0, 0, picture.info.width, picture.info.height)
            assert values.shape == (1, picture.info.colour_channels, picture.info.height, picture.info.width)


@cache
def encoded(form: str) -> bytes:
    """A small scan with a profile and EXIF."""
    exif = Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, form, exif=exif, icc_profile=SRGB, dpi=(300, 300))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["tiff, cut", "jpeg, cut", "png, cut", "tiff, compressed", "png, overwritten"])
def test_damaged_pixels_raise_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scan"
    damaged(kind, path)
    with pytest.raises(UnreadableImageError, match="scan: "), Picture.open(path) as picture:
        picture.read(0, 0, 50, 40)


@pytest.mark.parametrize(
    "data",
    [b"", b"II*\0", b"II*\0\xff\xff\xff\x7f", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"MM\0*" + bytes(400), b"no"],
)
def test_a_file_with_only_an_image_signature_is_unreadable(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match=r"scan\.tif: "):
        inspect(path)


def jpeg_with(path: Path, *, exif: bytes | None = None, profile: bytes | None = None) -> None:
    Image.fromarray(COLOUR).save(path, "JPEG", exif=b"Exif\0\0" + exif if exif else b"", icc_profile=profile)


@pytest.mark.parametrize(
    "exif",
    [
        b"\xff\xff\xbeZ\x17#\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\0\0\0\x08",
        b"II*\0\x08\0\0\0\x01\0\x1a\x01\x05\0\x01\0\0\0\xff\xff\xff\x0f",
    ],
)
def test_corrupt_exif_is_left_out_and_reported(tmp_path: Path, exif: bytes) -> None:
    jpeg_with(tmp_path / "scan.jpg", exif=exif)
    jpeg_with(tmp_path / "clean.jpg")
    with Picture.open(tmp_path / "scan.jpg") as picture, Picture.open(tmp_path / "clean.jpg") as clean:
        assert any("EXIF" in problem for problem in picture.info.problems)
        np.testing.assert_array_equal(picture.read(0, 0, 50, 40), clean.read(0, 0, 50, 40))


@pytest.mark.parametrize("form", ["TIFF", "JPEG", "PNG"])
@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:200]])
def test_a_corrupt_profile_is_left_out_and_reported(tmp_path: Path, form: str, profile: bytes) -> None:
    path = tmp_path / "scan"
    Image.fromarray(COLOUR).save(path, form, icc_profile=profile)
    with Picture.open(path) as picture:
        assert picture.info.icc_profile is None
        assert any("ICC profile" in problem for problem in picture.info.problems)
        assert picture.read(0, 0, 50, 40).shape == (1, 3, 40, 50)


def test_a_profile_in_several_parts_is_joined_and_one_with_a_part_missing_is_left_out(tmp_path: Path) -> None:
    whole = SRGB + bytes(70_000)
    whole = struct.pack(">I", len(whole)) + whole[4:]
    jpeg_with(tmp_path / "scan.jpg", profile=whole)
    assert inspect(tmp_path / "scan.jpg").icc_profile == whole
    data = (tmp_path / "scan.jpg").read_bytes()
    (tmp_path / "scan.jpg").write_bytes(data.replace(b"ICC_PROFILE\0\x02\x02", b"ICC_PROFIX_\0\x02\x02"))
    found = inspect(tmp_path / "scan.jpg")
    assert found.icc_profile is None
    assert any("ICC profile" in problem for problem in found.problems)


def test_a_png_chunk_with_a_wrong_checksum_is_left_out_and_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scan.png"
    Image.fromarray(COLOUR).save(path, icc_profile=SRGB, dpi=(300, 300))
    data = path.read_bytes()
    at = data.index(b"pHYs") + 5
    path.write_bytes(data[:at] + b"\x55" + data[at + 1 :])
    found = inspect(path)
    assert found.resolution is None
    assert found.icc_profile == SRGB
    assert any("pHYs" in problem for problem in found.problems)
    with Picture.open(path) as picture:
        picture.read(0, 0, 50, 40)
    assert capfd.readouterr() == ("", "")


def test_an_invalid_orientation_is_reported_and_ignored(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    tiff(path, GREY, photometric="minisblack", extratags=[(274, 3, 1, 9, True)])
    found = inspect(path)
    assert (found.width, found.height) == (50, 40)
    assert any("orientation" in problem for problem in found.problems)


def test_a_preview_is_reported_and_is_not_a_second_picture(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(GREY[::5, ::5], photometric="minisblack", metadata=None)
        writer.write(GREY, photometric="minisblack", metadata=None)
    with Picture.open(path) as picture:
        np.testing.assert_array_equal(np.rint(picture.read(0, 0, 50, 40)[0, 0] * 255), GREY)
        assert picture.info.problems == ("a preview of 10x8 px in the file isn't carried",)


def test_colour_tags_of_a_tiff_without_a_profile_are_copied(tmp_path: Path) -> None:
    tiff(tmp_path / "scan.tif", GREY, photometric="minisblack", extratags=[(318, 5, 2, (3127, 10000, 329, 1000), True)])
    info = inspect(tmp_path / "scan.tif")
    assert info.problems == ()
    assert [entry.tag for entry in info.metadata.exif.image if entry.tag == 318] == [318]


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Fishermen, \xc3\xa9t\xc3\xa9 1906</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>Scanning team</rdf:li></rdf:Seq></dc:creator>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def iptc(*texts: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in texts)


def test_xmp_iptc_and_exif_are_read_from_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    block = iptc((5, b"Boats"), (120, b"Three boats on the beach"))
    tags = [(700, 7, len(XMP), XMP, True), (33723, 7, len(block), block, True)]
    tiff(path, GREY, photometric="minisblack", extratags=tags, datetime="2011:05:06 07:08:09")
    found = inspect(path)
    assert found.title == "Fishermen, été 1906"
    assert found.description == "Three boats on the beach"
    assert found.captured_by == "Scanning team"
    assert found.captured_at == "2011-05-06T07:08:09"
    assert found.problems == ()


def test_xmp_and_exif_are_read_from_a_jpeg_and_a_png(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[315] = "Repro studio"
    exif.get_ifd(34665)[36867] = "2012:01:02 03:04:05"
    Image.fromarray(GREY).save(tmp_path / "scan.jpg", exif=exif, xmp=XMP)
    Image.fromarray(GREY).save(tmp_path / "scan.png", exif=exif)
    data = (tmp_path / "scan.png").read_bytes()
    text = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + XMP
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "scan.png").write_bytes(data[:33] + chunk + data[33:])
    for name in ("scan.jpg", "scan.png"):
        found = inspect(tmp_path / name)
        assert (found.title, found.captured_by) == ("Fishermen, été 1906", "Repro studio")
        assert found.captured_at == "2012-01-02T03:04:05"
        assert found.problems == ()


@pytest.mark.parametrize("packet", [b"<x:xmpmeta", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
def test_a_corrupt_or_malicious_xmp_block_is_left_out_and_reported(tmp_path: Path, packet: bytes) -> None:
    path = tmp_path / "scan.tif"
    tiff(path, GREY, photometric="minisblack", extratags=[(700, 7, len(packet), packet, True)])
    assert any("XMP" in problem for problem in inspect(path).problems)


def test_a_truncated_iptc_block_is_read_up_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    block = iptc((5, b"Boats")) + b"\x1c\x02\x78\x00\xffThree"
    tiff(path, GREY, photometric="minisblack", extratags=[(33723, 7, len(block), block, True)])
    found = inspect(path)
    assert (found.title, found.description) == ("Boats", None)
    assert any("IPTC" in problem for problem in found.problems)
