"""Derivatives that are compressed without loss: the same pixels in smaller files, and the same bytes every time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import tifffile

from restoration.image import ImageInfo, Picture, Provenance, Samples, TiffSink, inspect
from restoration.image.image_info import Metadata
from restoration.image.provenance_metadata import Compression
from restoration.image.xmp import TIFF, Packet
from restoration.recipe import Recipe, RecipeStage

MASTER_XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Compression="5"/></rdf:RDF></x:xmpmeta>"""


def provenance(compression: Compression) -> Provenance:
    stage = RecipeStage(task="restoration", model="m", version="1.0", weights_sha256="a" * 64, parameters={})
    return Provenance(
        master_name="scan.tif",
        master_sha256="b" * 64,
        recipe=Recipe(stages=(stage,)),
        made_at=datetime(2026, 1, 2, tzinfo=UTC),
        software="archive-restoration 1.2.3",
        compression=compression,
    )


def write(
    path: Path, picture: Picture, compression: Compression, *, rows: int = 37, restart_after: int | None = None
) -> TiffSink:
    """Writes a picture in bands, once more from the start where a restart is wanted."""
    info: ImageInfo = replace(picture.info, metadata=Metadata(xmp=MASTER_XMP))
    with TiffSink(path, info, provenance=provenance(compression)) as sink:
        for last in (restart_after, info.height):
            for y in range(0, last or 0, rows):
                window = (0, y, info.width, min(rows, info.height - y))
                sink.write(y, picture.read(*window), picture.read_extra(*window))
            if last is not info.height:
                sink.restart()
    return sink


def samples(bits: int, channels: int) -> Samples:
    ramp = np.linspace(0, 2**bits - 1, 900)[None, :, None] + np.arange(700)[:, None, None]
    values = np.broadcast_to(ramp, (700, 900, channels)) % 2**bits
    found: Samples = values.astype(np.uint8 if bits == 8 else np.uint16).squeeze()
    return found


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_pixels_are_the_same_and_the_file_is_smaller(tmp_path: Path, bits: int, channels: int) -> None:
    values = samples(bits, channels)
    extra = ["unassalpha"] if channels == 4 else None
    photometric = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(tmp_path / "scan.tif", values, photometric=photometric, extrasamples=extra, metadata=None)
    with Picture.open(tmp_path / "scan.tif") as picture:
        plain = write(tmp_path / "plain.tif", picture, "none")
        deflated = write(tmp_path / "deflated.tif", picture, "deflate")
        write(tmp_path / "again.tif", picture, "deflate", rows=256, restart_after=200)

    assert plain.pixel_sha256 == deflated.pixel_sha256
    with tifffile.TiffFile(tmp_path / "deflated.tif") as file:
        page = file.pages.first
        assert (page.compression, page.predictor, len(page.dataoffsets) > 1 or bits * channels < 16) == (8, 2, True)
        assert np.array_equal(page.asarray(), values)
    with Picture.open(tmp_path / "deflated.tif") as written, Picture.open(tmp_path / "scan.tif") as picture:
        window = (100, 333, 50, 300)
        assert np.array_equal(written.read(*window), picture.read(*window))
        assert np.array_equal(written.read_extra(*window), picture.read_extra(*window))
    sizes = [(tmp_path / f"{name}.tif").stat().st_size for name in ("plain", "deflated")]
    assert sizes[1] < sizes[0] / 2
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "deflated.tif").read_bytes()


def test_the_metadata_says_how_the_file_is_compressed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", samples(8, 1), photometric="minisblack", metadata=None)
    for compression, tag in (("none", "1"), ("deflate", "8")):
        with Picture.open(tmp_path / "scan.tif") as picture:
            write(tmp_path / f"{compression}.tif", picture, compression)  # type: ignore[arg-type]
        xmp = inspect(tmp_path / f"{compression}.tif").metadata.xmp
        assert xmp is not None
        assert Packet.parse(xmp).text(TIFF + "Compression") == tag


def test_the_record_keeps_the_compression_and_older_records_mean_none() -> None:
    made = provenance("deflate")
    record = made.as_record()
    given = {"master_sha256": made.master_sha256, "recipe": made.recipe}
    assert Provenance.from_record(record, **given).compression == "deflate"  # type: ignore[arg-type]
    del record["compression"], record["description"]
    older = Provenance.from_record(record, **given)  # type: ignore[arg-type]
    assert (older.compression, older.description) == ("none", None)
