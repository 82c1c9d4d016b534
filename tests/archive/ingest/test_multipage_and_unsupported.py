"""Files of several pictures, kinds that can't be restored, and files that no program could read."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tifffile
from sqlalchemy import select

from archive import storage
from archive.catalogue import Catalogue
from archive.catalogue.listings import get_item_details
from archive.catalogue.schema.tables import Event, Item, Master
from archive.catalogue.schema.vocabularies import EventType
from archive.fixity import verify_files
from archive.ingest import Check, IngestReport
from archive.ingest.file_inspection import find_pixel_damage
from archive.settings import SETTINGS_NAME, load_settings
from tests.sample_images import CARRIED, REFUSED, pixels, tiff

Take = Callable[..., IngestReport]
WriteRows = Callable[[str], Path]
MakeScan = Callable[..., Path]


def reasons(report: IngestReport) -> dict[str, str]:
    return {Path(path).name: reason for path, reason in report.failures}


def masters(catalogue: Catalogue, number: str) -> list[dict[str, Any]]:
    with catalogue.reading() as session:
        found: list[dict[str, Any]] = get_item_details(catalogue, session, number)["masters"]
        return found


@pytest.fixture
def two_pages(scans: Path) -> Path:
    """A TIFF of two pictures, with a thumbnail between them."""
    path = scans / "x.tif"
    path.write_bytes(tiff(pixels(), pixels()[::8, ::8], pixels(1, 16)))
    return path


@pytest.mark.parametrize("copy", [False, True])
def test_each_picture_of_a_file_is_a_master_of_its_item(
    catalogue: Catalogue, two_pages: Path, write_rows: WriteRows, take: Take, copy: bool
) -> None:
    write_rows("filename,accession_number,sequence,view,picture_area\nx.tif,A,4,verso,1 2 3 4\n")
    report = take(copy=copy)
    assert (report.added, list(report.failures)) == (1, [])
    first, second = sorted(masters(catalogue, "A"), key=lambda master: master["page"])
    assert [first[name] for name in ("page", "sequence", "view", "bits_per_sample")] == [1, 4, "verso", 8]
    assert [second[name] for name in ("page", "sequence", "view", "bits_per_sample")] == [2, 1, "verso", 16]
    assert first["picture_area"] == {"x": 1, "y": 2, "width": 3, "height": 4}
    assert second["picture_area"] is None
    assert (first["path"], first["sha256"]) == (second["path"], second["sha256"])
    again = take(copy=copy)
    assert (again.added, again.unchanged, list(again.failures)) == (0, 1, [])


def test_pictures_of_a_file_move_together(catalogue: Catalogue, two_pages: Path, take: Take) -> None:
    take()
    moved = two_pages.with_name("y.tif")
    two_pages.rename(moved)
    assert take().moved == 1
    assert {master["path"] for master in masters(catalogue, "x")} == {str(moved)}
    shutil.copyfile(moved, two_pages)
    again = take()
    assert (again.unchanged, again.duplicates) == (1, 1)


def test_other_bytes_under_the_path_of_several_pictures_are_refused(
    catalogue: Catalogue, two_pages: Path, take: Take
) -> None:
    take()
    two_pages.write_bytes(tiff(pixels(1)))
    assert "its bytes are not those" in reasons(take())["x.tif"]
    assert len(masters(catalogue, "x")) == 2


def test_the_pictures_of_a_file_are_verified_by_one_reading(
    catalogue: Catalogue, two_pages: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    take()
    read: list[Path] = []
    digest_file = storage.digest_file

    def watched(path: Path) -> tuple[str, int]:
        read.append(path)
        return digest_file(path)

    monkeypatch.setattr(storage, "digest_file", watched)
    assert verify_files(catalogue).checked == 1
    assert len(read) == 1
    two_pages.unlink()
    two_pages.with_name("other.tif").touch()
    assert [broken.problem for broken in verify_files(catalogue).broken] == ["missing"]
    with catalogue.reading() as session:
        checks = session.scalars(select(Event.master_id).where(Event.type == EventType.FIXITY_CHECK)).all()
        assert Counter(checks) == dict.fromkeys(session.scalars(select(Master.id)), 2)
        assert None not in session.scalars(select(Master.verified_at)).all()


@pytest.mark.parametrize("name", ["TIFF bilevel", "TIFF floating point", "TIFF CMYK", "JPEG CMYK", "PNG 1-bit"])
def test_a_kind_that_cannot_be_carried_is_catalogued_with_the_reason(
    catalogue: Catalogue, scans: Path, take: Take, name: str
) -> None:
    (scans / "x.tif").write_bytes(REFUSED[name]())
    report = take()
    assert (report.added, list(report.failures)) == (1, [])
    assert any("it won't be restored: a" in note for _, note in report.notes)
    with catalogue.reading() as session:
        assert get_item_details(catalogue, session, "x")["status"] == "refused"
        master = session.scalars(select(Master)).one()
        assert master.unsupported is not None
        assert master.refusal == master.unsupported


def test_a_kind_that_newer_software_can_carry_is_taken_in_by_the_next_ingest(
    catalogue: Catalogue, scans: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scans / "x.tif").write_bytes(REFUSED["TIFF CMYK"]())
    with monkeypatch.context() as older:
        older.setattr("restoration.image.tiff_reader.unsupported_reason", lambda _page: "of a kind unknown then")
        take()
    assert take().updated == 1
    assert (take().updated, take().unchanged) == (0, 1)
    with catalogue.reading() as session:
        master = session.scalars(select(Master)).one()
        assert "CMYK" in str(master.unsupported)
        changes = session.scalars(select(Event.detail).where(Event.type == EventType.METADATA_MODIFICATION)).all()
        assert changes == [f"kind: of a kind unknown then -> {master.unsupported}"]


def test_a_decoding_limit_is_reported_with_its_setting(catalogue: Catalogue, scans: Path, take: Take) -> None:
    home = catalogue.settings.home
    settings = home / SETTINGS_NAME
    settings.write_text(settings.read_text() + "max_decoding_bytes = 1000\n")
    limited = Catalogue.open(load_settings(home))
    tifffile.imwrite(scans / "packed.tif", pixels(3, 16), photometric="rgb", compression="zlib", rowsperstrip=48)
    tifffile.imwrite(scans / "plain.tif", pixels(3, 16), photometric="rgb")
    from archive.ingest import ingest

    report = ingest(limited, [scans])
    assert report.added == 1
    assert "raise max_decoding_bytes" in reasons(report)["packed.tif"]


def test_names_with_spaces_lines_and_any_letters_are_taken(
    catalogue: Catalogue, make_scan: MakeScan, take: Take
) -> None:
    names = ["été 1906.tif", "two\nlines.tif", " spaces  .tif", "照片.tif", "a'b\"c;d.tif"]
    for seed, name in enumerate(names):
        make_scan(name, seed)
    assert (take().added, take().unchanged) == (5, 5)
    with catalogue.reading() as session:
        assert set(session.scalars(select(Item.accession_number))) == {name.removesuffix(".tif") for name in names}


def test_each_file_that_cannot_be_read_has_a_reason_of_its_own(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = make_scan("good.tif", 1).read_bytes()
    make_scan("secret.tif", 2)
    (scans / "empty.tif").touch()
    (scans / "cut.tif").write_bytes(good[:-300])
    (scans / "text.tif").write_text("This is not a picture.")
    (scans / "gif.tif").write_bytes(b"GIF89a" + bytes(20))
    (scans / "gone.tif").symlink_to(scans / "nowhere.tif")
    (scans / "round.tif").symlink_to(scans / "round.tif")
    opened = Path.open

    def guarded(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "secret.tif":  # the tests may run as root, who may read everything
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", guarded)
    report = take()
    assert report.added == 1
    found = reasons(report)
    assert found == {
        "secret.tif": "Permission denied",
        "empty.tif": "it is empty",
        "cut.tif": found["cut.tif"],
        "text.tif": "its first bytes aren't those of an image",
        "gif.tif": "a GIF file: save a copy as PNG, which keeps every pixel",
        "gone.tif": "it is a link to a file that isn't there",
        "round.tif": "it is a link to itself. Replace or remove it",
    }
    assert "it is truncated" in found["cut.tif"]


@pytest.mark.parametrize("name", ["JPEG YCbCr", "TIFF striped", "PNG 8-bit", "JP2 8-bit RGB"])
def test_a_damaged_scan_is_kept_out_until_it_is_accepted(
    catalogue: Catalogue, scans: Path, take: Take, name: str
) -> None:
    whole = CARRIED[name]()
    path = scans / f"a{'.jpg' if name.startswith('JPEG') else '.tif'}"
    path.write_bytes(whole[: len(whole) - 40])
    report = take()
    assert (report.added, len(report.failures)) == (0, 1)
    assert "take it in with --accept-damaged" in report.failures[0][1]
    report = take(check=Check(accept_damaged=True))
    assert (report.added, list(report.failures)) == (1, [])
    assert any("it won't be restored: damaged: " in note for _, note in report.notes)
    with catalogue.reading() as session:
        assert "truncated" in str(session.scalars(select(Master.refusal)).one())
        assert "damaged" in str(session.scalars(select(Event.detail).where(Event.type == "ingestion")).one())
    assert take().unchanged == 1


def test_pixels_that_cannot_be_decoded_are_found_where_asked(scans: Path, take: Take) -> None:
    content = bytearray(CARRIED["TIFF Deflate"]())
    content[len(content) * 2 // 3 : len(content) * 2 // 3 + 40] = bytes(40)
    (scans / "a.tif").write_bytes(content)
    assert "can't be decoded" in take(check=Check(depth="pixels"), dry_run=True).failures[0][1]
    assert not take(dry_run=True).failures


def test_the_history_tells_how_thoroughly_a_scan_was_checked(catalogue: Catalogue, scans: Path, take: Take) -> None:
    (scans / "a.tif").write_bytes(CARRIED["TIFF Deflate"]())
    take()
    (scans / "b.tif").write_bytes(CARRIED["TIFF striped"]())
    take(check=Check(depth="pixels"))
    with catalogue.reading() as session:
        told = session.scalars(select(Event.detail).where(Event.type == EventType.INGESTION).order_by(Event.id)).all()
    assert ["checked: structure" in str(told[0]), "checked: pixels" in str(told[1])] == [True, True]


def test_verify_decodes_pixels_where_asked(catalogue: Catalogue, scans: Path, take: Take) -> None:
    content = bytearray(CARRIED["TIFF Deflate"]())
    content[len(content) * 2 // 3 : len(content) * 2 // 3 + 40] = bytes(40)
    (scans / "a.tif").write_bytes(content)
    (scans / "b.tif").write_bytes(CARRIED["TIFF striped"]())
    take()
    assert verify_files(catalogue).broken == []
    (broken,) = verify_files(catalogue, find_damage=partial(find_pixel_damage, catalogue)).broken
    assert (broken.path.name, broken.problem) == ("a.tif", "damaged")
