"""Metadata from master to derivative: copied, adapted, reported and added."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restoration.image import Area, ImageInfo, Picture, Provenance, TiffSink, digital_source_type, inspect
from restoration.image.exif import Entry, Exif
from restoration.image.image_info import Metadata
from restoration.image.iptc import left_in_photoshop
from restoration.image.provenance_metadata import COMPOSITE, ENHANCED
from restoration.image.xmp import DC, IPTC_EXT, TIFF, XMP_MM, Packet
from restoration.recipe import Recipe, RecipeStage

COLOUR = np.random.default_rng(4).integers(0, 256, (40, 50, 3), np.uint8)
DIGITAL_CAPTURE = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
XMP = f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
 xmlns:museum="https://example.org/own/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 tiff:Orientation="6" museum:shelf="A &amp; B&#10;C" Iptc4xmpExt:DigitalSourceType="{DIGITAL_CAPTURE}"
 xmpMM:DocumentID="xmp.did:master" xmpMM:InstanceID="xmp.iid:master">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Fishermen, été 1906</rdf:li></rdf:Alt></dc:title>
<xmpMM:History><rdf:Seq><rdf:li stEvt:action="created" stEvt:when="2010-01-01T00:00:00Z"/></rdf:Seq></xmpMM:History>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def stage(**parameters: Any) -> RecipeStage:
    return RecipeStage(
        task="restoration", model="denoise-deblur", version="1.0", weights_sha256="a" * 64, parameters=parameters
    )


def provenance(path: Path, *, stages: tuple[RecipeStage, ...] | None = None, **options: Any) -> Provenance:
    given: dict[str, Any] = {
        "master_name": path.name,
        "master_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "recipe": Recipe(stages=stages or (stage(strength=1.0, texture=0.0, repair=("noise",)),)),
        "made_at": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        "software": "archive-restoration 1.2.3",
    }
    return Provenance(**given | options)


def derive(path: Path, out: Path, **options: Any) -> TiffSink:
    """Copies the picture into a derivative, as if it had been restored."""
    with Picture.open(path) as source:
        info = source.info
        made = options.pop("provenance", None) or provenance(path, **options)
        with TiffSink(out, info, provenance=made, software=made.software, description="restored") as sink:
            for y in range(0, info.height, 16):
                window = (0, y, info.width, min(16, info.height - y))
                sink.write(y, source.read(*window), source.read_extra(*window))
    return sink


def packet_of(path: Path) -> Packet:
    xmp = inspect(path).metadata.xmp
    assert xmp is not None
    return Packet.parse(xmp)


def events(path: Path) -> list[dict[str, Any]]:
    history = packet_of(path).get(XMP_MM + "History")
    assert isinstance(history, list)
    return [event for event in history if isinstance(event, dict)]


def exif_block() -> Image.Exif:
    exif = Image.Exif()
    exif[271], exif[272], exif[274], exif[305], exif[315] = "Phase One", "P45+", 6, "Capture", "Repro studio"
    capture = exif.get_ifd(34665)
    capture[36867], capture[33437], capture[40962], capture[37510] = "2012:01:02 03:04:05", 5.6, 50, b"ASCII\0\0\0ok"
    exif.get_ifd(34853)[1] = "N"
    return exif


@pytest.mark.parametrize("form", ["jpg", "png", "tif"])
def test_exif_is_copied_from_every_format_and_adapted_to_the_upright_file(tmp_path: Path, form: str) -> None:
    path, out = tmp_path / f"scan.{form}", tmp_path / "out.tif"
    if form == "tif":  # Pillow writes no EXIF directory into a TIFF
        Image.fromarray(COLOUR).save(tmp_path / "scan.jpg", exif=exif_block())
        derive(tmp_path / "scan.jpg", path)
    else:
        Image.fromarray(COLOUR).save(path, exif=exif_block())
    sink = derive(path, out)
    assert (inspect(path).problems, sink.notes) == ((), ())
    with tifffile.TiffFile(out) as tiff:
        page = tiff.pages.first
        tags = {tag.code: tag.value for tag in page.tags}
        assert (page.imagewidth, page.imagelength) == (40, 50)
        assert (tags[271], tags[272], tags[274], tags[315]) == ("Phase One", "P45+", 1, "Repro studio")
        assert tags[305] == "archive-restoration 1.2.3"
        assert tags[34665]["DateTimeOriginal"] == "2012:01:02 03:04:05"
        assert tags[34665]["FNumber"] == 5.6
        assert tags[34665]["UserComment"] is not None
        assert "PixelXDimension" not in tags[34665]
        assert tags[34853]["GPSLatitudeRef"] == "N"
    assert json.loads(events(out)[0]["stEvt:parameters"])["master"]["replaced"] == {"tiff:Software": "Capture"}
    assert len(events(out)) == (2 if form == "tif" else 1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tags_of_any_type_and_byte_order_keep_their_values(tmp_path: Path, byteorder: Any, bigtiff: bool) -> None:
    given = [
        (269, 2, 0, "Album 3", True),
        (318, 5, 2, (3127, 10000, 329, 1000), True),
        (65001, 3, 3, (1, 2, 3), True),
        (65002, 12, 2, (1.5, -2.5), True),
        (65003, 8, 2, (-3, 4), True),
        (65004, 7, 5, b"\1\2\3\4\5", True),
    ]
    tifffile.imwrite(
        tmp_path / "scan.tif", COLOUR, photometric="rgb", metadata=None, extratags=given, byteorder=byteorder,
        bigtiff=bigtiff,
    )  # fmt: skip
    derive(tmp_path / "scan.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "scan.tif") as master, tifffile.TiffFile(tmp_path / "out.tif") as out:
        for tag, kind, *_ in given:
            before, after = master.pages.first.tags[tag], out.pages.first.tags[tag]
            assert (after.value, after.dtype, after.count) == (before.value, kind, before.count)


def test_provenance_is_merged_into_the_masters_packet_without_loss(tmp_path: Path) -> None:
    path, out = tmp_path / "Fähre <1>.jpg", tmp_path / "out.tif"
    Image.fromarray(COLOUR).save(path, xmp=XMP)
    derive(path, out)
    packet = packet_of(out)
    assert packet.text(DC + "title") == "Fishermen, été 1906"
    assert packet.text("{https://example.org/own/}shelf") == "A & B\nC"
    assert b"museum:shelf" in (inspect(out).metadata.xmp or b"")
    assert packet.text(TIFF + "Orientation") == "1"
    assert packet.text(XMP_MM + "OriginalDocumentID") == "xmp.did:master"
    assert packet.get(XMP_MM + "DerivedFrom") == {
        "stRef:filePath": "Fähre <1>.jpg",
        "stRef:documentID": "xmp.did:master",
        "stRef:instanceID": "xmp.iid:master",
        "dc:identifier": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
    }
    assert packet.text(IPTC_EXT + "DigitalSourceType") == ENHANCED
    assert packet.text(IPTC_EXT + "AISystemUsed") == "denoise-deblur"
    assert packet.text(IPTC_EXT + "AISystemVersionUsed") == "1.0"
    first, own = events(out)
    assert first["stEvt:action"] == "created"
    assert own["stEvt:when"] == "2026-01-02T03:04:05Z"
    assert own["stEvt:softwareAgent"] == "archive-restoration 1.2.3, denoise-deblur@1.0"
    told = json.loads(own["stEvt:parameters"])
    assert told["master"]["replaced"]["Iptc4xmpExt:DigitalSourceType"] == DIGITAL_CAPTURE
    assert told["parameters"] == {"strength": 1.0, "texture": 0.0, "repair": ["noise"]}
    assert told["values"] == "encoded RGB, no profile"


def test_history_has_one_entry_per_stage(tmp_path: Path) -> None:
    path, out = tmp_path / "scan.png", tmp_path / "out.tif"
    Image.fromarray(COLOUR).save(path)
    derive(path, out, stages=(stage(strength=0.5), stage(strength=1.0)), picture_area=Area(x=1, y=2, width=3, height=4))
    parameters = [json.loads(event["stEvt:parameters"]) for event in events(out)]
    assert [told["parameters"]["strength"] for told in parameters] == [0.5, 1.0]
    assert [told["picture_area"] for told in parameters] == [[1, 2, 3, 4]] * 2
    assert [event["stEvt:changed"] for event in events(out)] == ["/content"] * 2


def test_the_same_record_gives_the_same_file_and_another_time_a_different_one(tmp_path: Path) -> None:
    path = tmp_path / "scan.jpg"
    Image.fromarray(COLOUR).save(path, xmp=XMP, exif=exif_block())
    made = provenance(path, picture_area=Area(x=1, y=2, width=3, height=4))
    record = json.loads(json.dumps(made.as_record()))
    again = Provenance.from_record(record, master_sha256=made.master_sha256, recipe=made.recipe)
    other = provenance(path, made_at=datetime(2027, 1, 1, tzinfo=UTC))
    for name, how in (("one", made), ("two", again), ("three", other)):
        derive(path, tmp_path / name, provenance=how)
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    ids = [packet_of(tmp_path / name).text(XMP_MM + "DocumentID") for name in ("one", "three")]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"texture": 0.0, "repair": ("noise", "softness")}, ENHANCED),
        ({"texture": 0.0, "repair": ("fading",)}, ENHANCED),
        ({"texture": 0.0, "repair": ("noise", "damage")}, COMPOSITE),
        ({"texture": 0.1, "repair": ("noise",)}, COMPOSITE),
        ({"texture": 0.0}, COMPOSITE),
        ({"repair": ("noise",)}, COMPOSITE),
        ({"strength": 1.0}, COMPOSITE),
    ],
)
def test_the_digital_source_type_depends_on_the_models_parameters(parameters: dict[str, Any], expected: str) -> None:
    assert digital_source_type(Recipe(stages=(stage(**parameters),))) == expected
    quiet = stage(texture=0.0, repair=())
    assert digital_source_type(Recipe(stages=(quiet, stage(**parameters)))) == expected


def test_a_styled_picture_is_a_composite() -> None:
    style = RecipeStage(
        task="style", model="paint", version="1.0", weights_sha256="b" * 64, parameters={"texture": 0.0, "repair": ()}
    )
    assert digital_source_type(Recipe(stages=(style,))) == COMPOSITE


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(path: Path, *segments: bytes) -> Path:
    Image.fromarray(COLOUR).save(path, "JPEG")
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"".join(segments) + data[2:])
    return path


def described(properties: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"{properties}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


@pytest.mark.parametrize("whole", [True, False])
def test_a_packet_in_several_segments_is_joined_or_its_loss_reported(tmp_path: Path, whole: bool) -> None:
    second = described("<dc:source>Negative 7</dc:source>")
    guid = hashlib.md5(second).hexdigest().upper()  # noqa: S324
    main = described(f"<xmpNote:HasExtendedXMP>{guid}</xmpNote:HasExtendedXMP><dc:title>Boats</dc:title>")
    extension = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode()
    parts = [
        segment(0xE1, extension + struct.pack(">II", len(second), at) + second[at : at + 100])
        for at in range(0, len(second), 100)
    ]
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main)
    path = with_segments(tmp_path / "scan.jpg", xmp, *(reversed(parts) if whole else parts[1:]))
    derive(path, tmp_path / "out.tif")
    packet = packet_of(tmp_path / "out.tif")
    assert packet.text(DC + "title") == "Boats"
    assert packet.text(DC + "source") == ("Negative 7" if whole else None)
    assert any("second part of the XMP" in problem for problem in inspect(path).problems) is not whole


def iptc(*texts: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in texts)


def resource(number: int, body: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2)


def test_iptc_of_a_jpeg_is_copied_byte_for_byte_and_photoshop_resources_reported(tmp_path: Path) -> None:
    block = iptc((5, b"Boats"), (25, b"sea"), (25, b"sail"), (200, b"\xff\0"))
    photoshop = b"Photoshop 3.0\0" + resource(0x040C, b"thumb") + resource(0x0404, block) + resource(2000, b"path")
    path = with_segments(tmp_path / "scan.jpg", segment(0xED, photoshop), segment(0xFE, b"made by hand"))
    derive(path, tmp_path / "out.tif")
    assert inspect(tmp_path / "out.tif").metadata.iptc == block
    assert inspect(path).problems == (
        "the JPEG's comment of 12 bytes isn't carried",
        "of the Photoshop block, thumbnail, paths aren't carried",
    )
    assert left_in_photoshop(resource(0x0404, block)) == []
    several = resource(1012, b"1") + resource(1015, b"2") + resource(0x040C, b"thumb")
    assert left_in_photoshop(several) == ["thumbnail", "settings of the program (2 blocks)"]


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
        b"<a>" * 100 + b"</a>" * 100,
        b"<a/>",
        b"\xff\xfe<",
        described("<dc:title>")[:-5],
        b"\x80\x81",
    ],
)
def test_a_corrupt_packet_does_not_affect_other_data(tmp_path: Path, packet: bytes) -> None:
    tags = [(700, 7, len(packet), packet, True), (269, 2, 0, "Album 3", True)]
    tifffile.imwrite(tmp_path / "scan.tif", COLOUR, photometric="rgb", metadata=None, extratags=tags)
    (problem,) = inspect(tmp_path / "scan.tif").problems
    assert problem.startswith("the XMP block is corrupt and was left out (")
    derive(tmp_path / "scan.tif", tmp_path / "out.tif")
    assert [event["stEvt:action"] for event in events(tmp_path / "out.tif")] == ["filtered"]
    with tifffile.TiffFile(tmp_path / "out.tif") as out:
        assert out.pages.first.tags[269].value == "Album 3"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_packet_in_any_unicode_encoding_is_read(encoding: str) -> None:
    packet = described("<dc:title>Été</dc:title>").decode().encode(encoding)
    assert Packet.parse(packet).text(DC + "title") == "Été"


def test_a_written_packet_has_the_parsed_properties() -> None:
    packet = Packet.parse(XMP)
    again = Packet.parse(packet.to_bytes())
    assert again.to_bytes() == packet.to_bytes()
    assert again.get(XMP_MM + "History") == packet.get(XMP_MM + "History")


def test_corrupt_exif_tags_do_not_affect_other_tags(tmp_path: Path) -> None:
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 2)
    exif += struct.pack("<HHI4s", 271, 2, 4, b"Ab\0\0") + struct.pack("<HHII", 272, 2, 4000, 1 << 30) + bytes(4)
    Image.fromarray(COLOUR).save(tmp_path / "scan.jpg", exif=b"Exif\0\0" + exif)
    info = inspect(tmp_path / "scan.jpg")
    assert info.problems == ("EXIF tags that are corrupt were left out: 272 (0x0110)",)
    assert [entry.tag for entry in info.metadata.exif.image] == [271]


def test_numbers_too_wide_for_the_file_are_reported(tmp_path: Path) -> None:
    wide = Exif(image=(Entry(tag=65001, kind=16, count=1, data=bytes(8)),))
    info = ImageInfo(
        format="array",
        width=2,
        height=2,
        bits_per_sample=8,
        samples_per_pixel=1,
        colour_channels=1,
        metadata=Metadata(exif=wide),
    )
    sink = TiffSink(tmp_path / "out.tif", info)
    sink.abort()
    assert sink.notes == ("the tag 65001 with 64-bit numbers isn't carried: the file is not a BigTIFF",)


def test_characters_that_xml_cannot_contain_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    Image.fromarray(COLOUR).save(path)
    derive(path, tmp_path / "out.tif", master_name="a\x01b\udce9\n.tif")
    reference = packet_of(tmp_path / "out.tif").get(XMP_MM + "DerivedFrom")
    assert isinstance(reference, dict)
    assert reference["stRef:filePath"] == "a\\x01b\\xdce9\n.tif"


SCANS = os.environ.get("ARCHIVE_TEST_SCANS")


@pytest.mark.skipif(SCANS is None, reason="ARCHIVE_TEST_SCANS is not set")
@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_another_program_finds_all_metadata_of_a_museum_scan(tmp_path: Path) -> None:
    master, out = Path(str(SCANS)) / "standard_adobe.tif", tmp_path / "out.tif"
    derive(master, out)

    def exiftool(*arguments: str | Path) -> bytes:
        return subprocess.run(["exiftool", *arguments], check=True, capture_output=True).stdout

    def told(path: Path, *groups: str) -> dict[str, Any]:
        (tags,) = json.loads(exiftool("-j", "-G1", "-n", "-struct", *groups, path))
        return {name: value for name, value in tags.items() if name != "SourceFile"}

    assert exiftool("-b", "-ICC_Profile", out) == exiftool("-b", "-ICC_Profile", master) != b""
    resolution = ("-XResolution", "-YResolution", "-ResolutionUnit")
    assert told(out, *resolution) == told(master, *resolution) != {}
    assert told(out, "-IPTC:all") == told(master, "-IPTC:all") != {}
    layout = {"ExifIFD:ComponentsConfiguration", "ExifIFD:ExifImageWidth", "ExifIFD:ExifImageHeight"}
    expected = {name: value for name, value in told(master, "-ExifIFD:all").items() if name not in layout}
    assert told(out, "-ExifIFD:all") == expected != {}
    xmp = told(out, "-XMP:all")
    kept = {name: value for name, value in told(master, "-XMP:all").items() if "XMP-tiff" not in name}
    assert {name: xmp[name] for name in kept} == kept != {}
    assert xmp["XMP-iptcExt:DigitalSourceType"] == ENHANCED
    assert xmp["XMP-xmpMM:History"][0]["SoftwareAgent"] == "archive-restoration 1.2.3, denoise-deblur@1.0"
    assert xmp["XMP-xmpMM:DerivedFrom"]["FilePath"] == "standard_adobe.tif"
    faults = exiftool("-validate", "-warning", "-error", "-a", "-s3", out).decode().splitlines()
    # The one fault is in the master itself, in a value that is copied unchanged.
    assert faults == ["1 Warning", "ExifIFD tag 0xa431 SerialNumber requires ExifVersion 0230 or higher"]
