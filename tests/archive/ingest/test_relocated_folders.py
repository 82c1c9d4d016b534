"""Scans of a folder that has another path on this machine than in the catalogue (``[roots]`` of its settings)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Item, Master, Root
from archive.ingest import ingest
from tests.small_archive import change_one_byte

MakeScan = Callable[..., Path]
RECORDED = "/scans/2024"


def _on_machine(catalogue: Catalogue, *roots: tuple[str, str]) -> Catalogue:
    return dataclasses.replace(catalogue, settings=dataclasses.replace(catalogue.settings, roots=roots))


@pytest.fixture
def here(catalogue: Catalogue, scans: Path) -> Catalogue:
    """The catalogue on a machine that has the folder :data:`RECORDED` at ``scans``."""
    return _on_machine(catalogue, (RECORDED, str(scans)))


def _recorded(catalogue: Catalogue) -> dict[str, tuple[str, str]]:
    """The path and the root of each master, as they are in the catalogue, by accession number."""
    with catalogue.reading() as session:
        wanted = select(Item.accession_number, Master.path, Root.path).join(Master.item).join(Master.root)
        return {number: (path, root) for number, path, root in session.execute(wanted)}


def test_scans_are_recorded_and_found_again_under_their_recorded_paths(
    here: Catalogue, scans: Path, make_scan: MakeScan, write_rows: Callable[[str], Path]
) -> None:
    make_scan("box/a.tif", 1)
    make_scan("clean.tif", 2)
    write_rows("filename,reference\nbox/a.tif,clean.tif\n")
    assert ingest(here, [scans]).added == 1
    assert _recorded(here) == {"a": (f"{RECORDED}/box/a.tif", RECORDED)}
    with here.reading() as session:
        assert session.scalars(select(Master.reference_path)).one() == f"{RECORDED}/clean.tif"

    write_rows("filename,title,reference\nbox/a.tif,A street,clean.tif\n")
    again = ingest(here, [scans])
    assert (again.updated, again.duplicates, list(again.failures)) == (1, 0, [])
    with here.reading() as session:
        assert session.scalars(select(Item.title)).one() == "A street"


def test_sequences_can_be_swapped(here: Catalogue, scans: Path, make_scan: MakeScan) -> None:
    make_scan("a.tif", 1)
    make_scan("b.tif", 2)
    for rows in ("a.tif,x,1\nb.tif,x,2\n", "a.tif,x,2\nb.tif,x,1\n"):
        (scans / "items.csv").write_text(f"filename,accession_number,sequence\n{rows}")
        assert list(ingest(here, [scans]).problems) == []
    with here.reading() as session:
        sequences = {master.path: master.sequence for master in session.scalars(select(Master))}
    assert sequences == {f"{RECORDED}/a.tif": 2, f"{RECORDED}/b.tif": 1}


def test_changed_bytes_at_a_recorded_path_are_refused(
    catalogue: Catalogue, tmp_path: Path, scans: Path, make_scan: MakeScan
) -> None:
    make_scan("a.tif")
    ingest(catalogue, [scans])
    elsewhere = scans.rename(tmp_path / "elsewhere")
    change_one_byte(elsewhere / "a.tif")
    ((path, reason),) = ingest(_on_machine(catalogue, (str(scans), str(elsewhere))), [elsewhere]).failures
    assert path == str(elsewhere / "a.tif")
    assert "its bytes are not those that were ingested from this path" in reason


def test_masters_recorded_before_the_folder_was_relocated_get_its_recorded_path(
    catalogue: Catalogue, here: Catalogue, scans: Path, make_scan: MakeScan, write_rows: Callable[[str], Path]
) -> None:
    make_scan("a.tif")
    ingest(catalogue, [scans])
    write_rows("filename,accession_number,title\na.tif,a,A street\n")
    assert ingest(here, [scans]).updated == 1
    with here.reading() as session:
        assert session.execute(select(Master.path, Item.title).join(Master.item)).all() == [
            (f"{RECORDED}/a.tif", "A street")
        ]
    change_one_byte(scans / "a.tif")
    ((_, reason),) = ingest(here, [scans]).failures
    assert "its bytes are not those that were ingested from this path" in reason


def test_a_second_file_is_a_duplicate_and_a_moved_one_moves_its_record(
    here: Catalogue, scans: Path, make_scan: MakeScan
) -> None:
    make_scan("a.tif", 1)
    ingest(here, [scans])
    make_scan("copy.tif", 1)
    assert ingest(here, [scans]).duplicates == 1
    (scans / "a.tif").unlink()
    assert ingest(here, [scans]).moved == 1
    assert _recorded(here) == {"a": (f"{RECORDED}/copy.tif", RECORDED)}


def test_a_folder_around_the_relocated_one_is_not_recorded_for_its_scans(
    here: Catalogue, scans: Path, make_scan: MakeScan
) -> None:
    make_scan("a.tif", 1)
    make_scan("../other/b.tif", 2)
    ingest(here, [scans.parent])
    assert _recorded(here) == {
        "a": (f"{RECORDED}/a.tif", RECORDED),
        "b": (str(scans.parent / "other" / "b.tif"), str(scans.parent)),
    }


def test_a_stored_path_leads_back_to_its_file(catalogue: Catalogue) -> None:
    catalogue = _on_machine(catalogue, ("/scans/new", "/mnt/new"), ("/scans", "/mnt/nas"))
    for path, stored in (
        ("/mnt/new/a.tif", "/scans/new/a.tif"),
        ("/mnt/nas/a.tif", "/scans/a.tif"),
        ("/mnt/nas/new/a.tif", "/mnt/nas/new/a.tif"),  # /scans/new/a.tif is another file here
        ("/mnt/nas-2/a.tif", "/mnt/nas-2/a.tif"),
    ):
        assert catalogue.stored_path(Path(path)) == stored
        assert catalogue.path_of(stored) == Path(path)
