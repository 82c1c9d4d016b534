"""What becomes of scans that the catalogue knows: again, changed, moved, renamed, described otherwise."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from archive import failpoints, storage
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Event, Item, Master, Root
from archive.catalogue.schema.vocabularies import EventType
from archive.errors import IngestError
from archive.file_locks import hold_path
from archive.ingest import IngestReport, ingest
from archive.progress_reporting import NoProgress
from archive.storage import digest_file, master_copy_path

Take = Callable[..., IngestReport]
WriteRows = Callable[[str], Path]
MakeScan = Callable[..., Path]


def paths(catalogue: Catalogue) -> dict[str, str]:
    """Each accession number's first master's stored path."""
    with catalogue.reading() as session:
        rows = session.execute(select(Item.accession_number, Master.path).join(Master).order_by(Master.id))
        return {row.accession_number: row.path for row in rows}


def details(catalogue: Catalogue, event_type: EventType) -> list[str]:
    with catalogue.reading() as session:
        found = session.scalars(select(Event.detail).where(Event.type == event_type).order_by(Event.id))
        return [str(detail) for detail in found]


def reasons(report: IngestReport) -> dict[str, str]:
    return {Path(path).name: reason for path, reason in report.failures}


@pytest.mark.parametrize("copy", [False, True])
def test_a_second_run_does_nothing_new(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take, copy: bool
) -> None:
    make_scan("a.tif", 1)
    make_scan("b.tif", 2)
    write_rows("filename,accession_number,title,date,sequence,view,access\na.tif,x,Mill,1906~,1,verso,open\n")
    assert take(copy=copy).added == 2
    with catalogue.reading() as session:
        events = session.scalar(select(func.count()).select_from(Event))
    report = take(copy=copy)
    assert (report.added, report.unchanged, report.updated, report.moved) == (0, 2, 0, 0)
    assert (list(report.failures), list(report.notes)) == ([], [])
    with catalogue.reading() as session:
        assert session.scalar(select(func.count()).select_from(Event)) == events


@pytest.mark.parametrize("copy", [False, True])
def test_changed_rows_update_the_record_and_leave_an_event(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take, copy: bool
) -> None:
    make_scan("a.tif", 1)
    write_rows("filename,accession_number,title,creator,date,Box\na.tif,x,Mill,Lange,1906,7\n")
    take(copy=copy)
    table = write_rows(
        "filename,accession_number,title,creator,date,Box,view,picture_area,sequence\n"
        "a.tif,x,Hill,,1907,8,verso,1 2 3 4,5\n"
    )
    report = take(copy=copy)
    assert (report.updated, report.unchanged, list(report.failures)) == (1, 0, [])
    assert details(catalogue, EventType.METADATA_MODIFICATION) == [
        f"{table} line 2: title: Mill -> Hill; date: 1906 -> 1907; Box: 7 -> 8",
        f"{table} line 2: sequence: 1 -> 5; view: recto -> verso; picture_area: (empty) -> 1 2 3 4",
    ]
    with catalogue.reading() as session:
        master = session.scalars(select(Master)).one()
        assert (master.sequence, master.view, master.area_height) == (5, "verso", 4)
        assert (master.item.title, master.item.creator, master.item.extra) == ("Hill", "Lange", {"Box": "8"})
        assert (master.item.date_earliest, master.item.date_latest) == (19070101, 19071231)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("order", ["2,1", "2,3", "2,3,1", "3,1,2"])
def test_sequences_can_be_changed_round(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take, order: str, copy: bool
) -> None:
    wanted = {f"{name}.tif": int(number) for name, number in zip("abc", order.split(","), strict=False)}
    digests = {digest_file(make_scan(name, seed))[0]: name for seed, name in enumerate(wanted)}
    header = "filename,accession_number,sequence\n"
    write_rows(header + "".join(f"{name},x,{number}\n" for number, name in enumerate(wanted, start=1)))
    take(copy=copy)
    write_rows(header + "".join(f"{name},x,{number}\n" for name, number in wanted.items()))
    for dry_run in (True, False):
        report = take(copy=copy, dry_run=dry_run)
        assert (list(report.failures), list(report.problems)) == ([], [])
    with catalogue.reading() as session:
        masters = session.execute(select(Master.sha256, Master.sequence)).all()
        assert {digests[sha256]: sequence for sha256, sequence in masters} == wanted
    # Each master's history leads from its old number to its new one.
    for number, (sha256, name) in enumerate(digests.items(), start=1):
        steps = sequences_told(catalogue, sha256)
        assert steps[0][0] == number
        assert all(step[1] == following[0] for step, following in itertools.pairwise(steps))
        assert steps[-1][1] == wanted[name]
    assert take(copy=copy).unchanged == len(wanted)


def sequences_told(catalogue: Catalogue, sha256: str) -> list[tuple[int, int]]:
    """Each change of a master's number that its events tell: before and after."""
    with catalogue.reading() as session:
        found = session.scalars(
            select(Event.detail)
            .join(Master, Master.id == Event.master_id)
            .where(Event.type == EventType.METADATA_MODIFICATION, Master.sha256 == sha256)
            .order_by(Event.id)
        )
        changes = [re.search(r"sequence: (\d+) -> (\d+)", str(detail)) for detail in found]
    return [(int(change[1]), int(change[2])) for change in changes if change]


def test_a_new_scan_takes_the_number_of_one_that_moves_up(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("old.tif", 1)
    write_rows("filename,accession_number,sequence\nold.tif,x,1\n")
    take()
    make_scan("new.tif", 2)
    write_rows("filename,accession_number,sequence\nnew.tif,x,1\nold.tif,x,2\n")
    assert not take().failures
    with catalogue.reading() as session:
        masters = session.execute(select(Master.path, Master.sequence)).all()
        assert {Path(path).name: sequence for path, sequence in masters} == {"old.tif": 2, "new.tif": 1}


def test_a_cell_that_cannot_be_applied_is_left_out(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    write_rows("filename,accession_number,title\na.tif,x,Mill\n")
    take()
    write_rows("filename,accession_number,title,picture_area\na.tif,x,Hill,0 0 999 999\n")
    report = take()
    assert [problem.column for problem in report.problems] == ["picture_area"]
    with catalogue.reading() as session:
        assert session.scalars(select(Item.title)).one() == "Hill"
        assert session.scalars(select(Master.area_x)).one() is None


def test_a_changed_accession_number_renames_the_item(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    make_scan("b.tif", 2)
    make_scan("c.tif", 3)
    write_rows("filename,accession_number\na.tif,old\nb.tif,old\nc.tif,other\n")
    take()
    with catalogue.reading() as session:
        before = session.scalars(select(Item.id).where(Item.accession_number == "old")).one()
    table = write_rows("filename,accession_number\na.tif,new\nb.tif,new\nc.tif,other\n")
    report = take()
    assert (report.updated, report.unchanged, list(report.failures)) == (1, 2, [])
    with catalogue.reading() as session:
        assert session.scalars(select(Item.id).where(Item.accession_number == "new")).one() == before
        assert session.scalar(select(func.count()).select_from(Item)) == 2
    assert details(catalogue, EventType.METADATA_MODIFICATION) == [f"{table} line 2: accession_number: old -> new"]


def test_a_scan_is_not_given_to_another_item(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    make_scan("b.tif", 2)
    make_scan("c.tif", 3)
    write_rows("filename,accession_number\na.tif,x\nb.tif,x\nc.tif,y\n")
    take()
    write_rows("filename,accession_number\na.tif,x\nb.tif,z\nc.tif,x\n")
    report = take()
    assert "which other rows still name" in reasons(report)["b.tif"]
    assert "'x' is another item" in reasons(report)["c.tif"]


def test_changed_bytes_at_a_recorded_path_are_refused(
    catalogue: Catalogue, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    take()
    make_scan("a.tif", 2)
    write_rows("filename,title\na.tif,Hill\n")
    report = take()
    assert (report.added, report.updated) == (0, 0)
    assert "not those that were ingested from this path as 'a'" in reasons(report)["a.tif"]


def test_the_same_bytes_elsewhere_move_the_record(
    catalogue: Catalogue, tmp_path: Path, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    make_scan("a.tif", 1)
    take()
    elsewhere = tmp_path / "elsewhere"
    scans.rename(elsewhere)
    report = take(elsewhere)
    assert (report.moved, report.added, list(report.failures)) == (1, 0, [])
    assert paths(catalogue) == {"a": str(elsewhere / "a.tif")}
    (detail,) = details(catalogue, EventType.RELOCATION)
    assert detail == f"from {scans}/a.tif (it is not there) to {elsewhere}/a.tif"
    with catalogue.reading() as session:
        assert session.scalars(select(Master)).one().root.path == str(elsewhere)


def test_a_duplicate_takes_over_when_the_recorded_file_was_changed(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    make_scan("a.tif", 1)
    make_scan("z/b.tif", 1)
    assert take().duplicates == 1
    make_scan("a.tif", 2)
    report = take()
    assert report.moved == 1
    assert "not those that were ingested" in reasons(report)["a.tif"]
    assert paths(catalogue) == {"a": str(scans / "z" / "b.tif")}


def test_a_renumbered_folder_is_followed(catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take) -> None:
    for number in (1, 2, 3):
        make_scan(f"00{number}.tif", number)
    take()
    for number in (3, 2, 1):
        (scans / f"00{number}.tif").rename(scans / f"00{number + 1}.tif")
    report = take()
    assert (report.moved, list(report.failures)) == (3, [])
    assert {number: Path(path).name for number, path in paths(catalogue).items()} == {
        "001": "002.tif",
        "002": "003.tif",
        "003": "004.tif",
    }


def test_exchanged_files_are_refused(catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take) -> None:
    make_scan("a.tif", 1)
    make_scan("b.tif", 2)
    take()
    (scans / "a.tif").rename(scans / "c")
    (scans / "b.tif").rename(scans / "a.tif")
    (scans / "c").rename(scans / "b.tif")
    assert sorted(reasons(take())) == ["a.tif", "b.tif"]


def test_a_copy_outlives_its_source_and_its_loss_is_made_good(
    catalogue: Catalogue, tmp_path: Path, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    make_scan("a.tif", 1)
    take(copy=True)
    backup = shutil.copytree(scans, tmp_path / "backup")
    shutil.rmtree(scans)
    assert take(backup, copy=True).unchanged == 1
    copy = catalogue.path_of(paths(catalogue)["a"])
    copy.unlink()
    assert take(backup, copy=True).moved == 1
    assert copy.exists()
    assert paths(catalogue)["a"].startswith("masters/a/")


def test_an_interrupted_ingest_keeps_what_is_done_and_goes_on(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan
) -> None:
    class Interrupting(NoProgress):
        def start(self, total: int, what: str, *, work: int | None = None) -> None:  # noqa: ARG002
            assert (total, what) == (3, "files")

        def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:  # noqa: ARG002
            if note == "b.tif":
                raise KeyboardInterrupt

        def finish(self) -> None:
            pass

    for seed, name in enumerate("abc"):
        make_scan(f"{name}.tif", seed)
    with pytest.raises(KeyboardInterrupt):
        ingest(catalogue, [scans], progress=Interrupting(), copy=True)
    assert sorted(paths(catalogue)) == ["a", "b"]
    report = ingest(catalogue, [scans], copy=True)
    assert (report.added, report.unchanged) == (1, 2)


def test_a_copy_that_was_published_without_its_row_is_adopted(
    catalogue: Catalogue, make_scan: MakeScan, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    make_scan("a.tif", 1)
    with monkeypatch.context() as patch:
        patch.setattr("archive.ingest.recorder.Recorder._root", fail)
        with pytest.raises(KeyboardInterrupt):
            take(copy=True)
    assert paths(catalogue) == {}
    assert take(copy=True).added == 1
    copy = catalogue.path_of(paths(catalogue)["a"])
    assert list(copy.parent.iterdir()) == [copy]


def test_a_half_copy_of_a_killed_ingest_is_removed_by_the_next_one(
    catalogue: Catalogue, make_scan: MakeScan, take: Take
) -> None:
    final = catalogue.path_of(master_copy_path("a", digest_file(make_scan("a.tif", 1))[0], ".tif"))
    final.parent.mkdir(parents=True)
    final.with_name(f".{final.name}.{'0' * 32}.partial").write_bytes(b"half")
    with hold_path(final):  # another ingest copies the same scan
        assert f"another process is writing {final}. Wait until it ends" in reasons(take(copy=True))["a.tif"]
    assert take(copy=True).added == 1
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EROFS"])
def test_a_full_disk_stops_the_ingest_and_the_next_one_goes_on(
    catalogue: Catalogue, make_scan: MakeScan, take: Take, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    for seed, name in enumerate("abc"):
        make_scan(f"{name}.tif", seed)
    copy = storage.copy_to_temporary
    with monkeypatch.context() as patch:

        def fill_disk(source: Path, *arguments: Any, **options: Any) -> tuple[Path, str]:
            if source.name != "a.tif":
                patch.setattr(failpoints, "armed", failpoints.Failpoint(f"fsync:error={error}"))
            return copy(source, *arguments, **options)

        patch.setattr("archive.ingest.ingest_run.copy_to_temporary", fill_disk)
        with pytest.raises(IngestError, match=f"disk of {catalogue.settings.home}: .*Make room, then ingest again"):
            take(copy=True)
    assert sorted(paths(catalogue)) == ["a"]
    report = take(copy=True)
    assert (report.added, report.unchanged, list(report.failures)) == (2, 1, [])


def test_a_dry_run_reports_what_would_happen_and_writes_nothing(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("known.tif", 0)
    make_scan("lost.tif", 1)
    take()
    (scans / "lost.tif").rename(scans / "found.tif")
    make_scan("box/new.tif", 2)
    make_scan("box/same.tif", 2)
    make_scan("other/new.tif", 3)
    (scans / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_rows("filename,title,sequence\nknown.tif,Mill,\ngone.tif,,\n")
    with catalogue.reading() as session:
        events = session.scalar(select(func.count()).select_from(Event))
    before = paths(catalogue)
    dry = take(dry_run=True, copy=True)
    assert paths(catalogue) == before
    assert not (catalogue.settings.home / "masters").exists()
    with catalogue.reading() as session:
        assert session.scalar(select(func.count()).select_from(Event)) == events
    said = [line.removeprefix(f"{scans}/").split(": ", 2)[:2] for line in dry.lines]
    assert said == [
        ["box/new.tif", "added"],
        ["box/same.tif", "duplicate"],
        ["broken.png", "refused"],
        ["found.tif", "moved"],
        ["items.csv", "passed over"],
        ["known.tif", "updated"],
        ["other/new.tif", "refused"],
    ]
    done = take(copy=True)
    for count in ("added", "unchanged", "duplicates", "moved", "updated"):
        assert getattr(done, count) == getattr(dry, count), count
    for listed in ("passed_over", "rows_without_files", "files_without_rows", "failures"):
        assert list(getattr(done, listed)) == list(getattr(dry, listed)), listed


def test_a_dry_run_waits_for_no_writer_and_keeps_none_waiting(
    catalogue: Catalogue, make_scan: MakeScan, take: Take
) -> None:
    make_scan("a.tif", 0)
    with catalogue.session() as session:
        session.add(Root(path="/elsewhere"))
        session.flush()
        assert take(dry_run=True).added == 1
    assert paths(catalogue) == {}
