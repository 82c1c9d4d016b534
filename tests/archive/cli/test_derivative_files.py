"""What the file of a derivative holds besides pixels, and how it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile

from restoration.image import inspect
from restoration.image.xmp import DC, PHOTOSHOP, XMP_MM, Packet
from tests.small_archive import SmallArchive, write_scan


def packet_of(path: Path) -> Packet:
    xmp = inspect(path).metadata.xmp
    assert xmp is not None
    return Packet.parse(xmp)


def derivative(archive: SmallArchive, accession_number: str, number: int = 0) -> Any:
    return archive.show(accession_number)["derivatives"][number]


def test_the_spreadsheets_words_are_in_the_file(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif", seed=1)
    write_scan(small.scans / "b.tif", seed=2)
    (small.scans / "items.csv").write_text(
        "filename,accession_number,title,rights,Credit line\n"
        "a.tif,1906.1,A street <in summer>,CC0 & free,City Museum\nb.tif,1906.2,,,\n"
    )
    small.done("ingest", small.scans)
    small.done("restore")

    told = packet_of(Path(derivative(small, "1906.1")["path"]))
    assert told.get(DC + "title") == ["A street <in summer>"]
    assert told.text(DC + "identifier") == "1906.1"
    assert told.get(DC + "rights") == ["CC0 & free"]
    assert told.text(PHOTOSHOP + "Credit") == "City Museum"
    untold = packet_of(Path(derivative(small, "1906.2")["path"]))
    assert untold.text(DC + "identifier") == "1906.2"
    assert [untold.get(name) for name in (DC + "title", DC + "rights", PHOTOSHOP + "Credit")] == [None] * 3


def test_a_corrected_title_changes_no_file_that_was_made_before(restored: SmallArchive) -> None:
    path = Path(derivative(restored, "1906.1")["path"])
    before = path.read_bytes()
    table = restored.scans / "items.csv"
    table.write_text(table.read_text().replace("A street <in summer>", "A lane"))
    restored.done("ingest", restored.scans)
    path.unlink()
    restored.run("verify")

    restored.done("verify", "--repair")

    assert path.read_bytes() == before
    assert packet_of(path).get(DC + "title") == ["A street <in summer>"]


def test_compressed_derivatives_hold_the_same_pixels_and_can_be_reproduced(restored: SmallArchive) -> None:
    plain = derivative(restored, "1906.2")
    with (restored.home / "archive.toml").open("a") as settings:
        settings.write('compression = "deflate"\n')
    restored.done("restore", "accession_number:1906.2", "--strength", "0.5")
    compressed = derivative(restored, "1906.2", 1)

    with tifffile.TiffFile(compressed["path"]) as file:
        assert file.pages.first.compression == 8
    with tifffile.TiffFile(plain["path"]) as file:
        assert file.pages.first.compression == 1
    assert packet_of(Path(compressed["path"])).get(XMP_MM + "History") is not None
    reproduced = restored.done("reproduce")
    assert "differ" not in reproduced.output
    restored.done("verify", "--pixels")


def test_an_unknown_compression_is_refused(small: SmallArchive) -> None:
    (small.home / "archive.toml").write_text('compression = "lzw"\n')
    answer = small.run("list")
    assert answer.code != 0
    assert "compression must be 'none' or 'deflate', not 'lzw'" in answer.errors
