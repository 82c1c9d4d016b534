"""Withdrawn, lost and trial derivatives meet, on SQLite and PostgreSQL: a withdrawn one is never recreated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archive import failpoints, fixity
from archive.catalogue import Catalogue
from archive.failpoints import Failpoint
from archive.report import write_contact_sheets
from archive.settings import load_settings
from archive.storage import check_file
from archive.withdrawal import lift_withdrawal, withdraw_derivative
from tests.small_archive import SmallArchive, write_scan

REASON = "the family asked for it"


def derivatives(museum: SmallArchive, accession_number: str = "A") -> list[Any]:
    shown: list[Any] = museum.show(accession_number)["derivatives"]
    return shown


def lose(museum: SmallArchive, accession_number: str, number: int = 0) -> Path:
    path = Path(derivatives(museum, accession_number)[number]["path"])
    path.unlink()
    assert museum.run("verify").code == 3
    return path


def withdraw(museum: SmallArchive, accession_number: str = "A") -> None:
    derivative = derivatives(museum, accession_number)[0]["id"]
    museum.done("withdraw", accession_number, "--derivative", str(derivative), "--reason", REASON)


def test_a_withdrawn_derivative_counts_neither_as_disk_use_nor_as_unchecked(museum: SmallArchive) -> None:
    sizes = {name: Path(derivatives(museum, name)[0]["path"]).stat().st_size for name in "BC"}
    withdraw(museum)

    found = museum.done("status", "--format", "json").json()

    assert found["disk"]["derivatives"] == sum(sizes.values())
    assert found["last_verify"]["never_checked"] == 5  # three masters and two derivatives
    assert found["lost"]["derivatives"] == 0


def test_a_report_and_a_review_of_a_batch_leave_withdrawn_derivatives_out(museum: SmallArchive, tmp_path: Path) -> None:
    withdraw(museum)
    report = tmp_path / "report.html"

    written = museum.done("report", "batch:1", "--output", report)

    assert "2 items, 2 restored masters" in written.output
    assert "file missing" not in report.read_text(encoding="utf-8")
    museum.done("review", "batch:1", "--accept", "--yes")
    assert [derivatives(museum, name)[0]["review"] is not None for name in "ABC"] == [False, True, True]


def test_a_contact_sheet_that_is_written_again_says_what_was_withdrawn(museum: SmallArchive) -> None:
    museum.done("restore", "accession_number:A", "--sample", "1", "--strength", "0.5")
    tried = derivatives(museum)[1]["id"]
    museum.done("withdraw", "A", "--derivative", str(tried), "--reason", REASON)

    (sheet,) = write_contact_sheets(Catalogue.open(load_settings(museum.home)), 2)

    page = sheet.path.read_text(encoding="utf-8")
    assert "It was withdrawn." in page
    assert "file missing" not in page


@pytest.mark.parametrize("command", [["verify", "--repair"], ["restore"], ["rerun", "accession_number:A"]])
def test_a_lost_derivative_that_was_withdrawn_is_not_made_again(museum: SmallArchive, command: list[str]) -> None:
    path = lose(museum, "A")
    withdraw(museum)
    assert museum.done("list", "status:lost", "--format", "json").json() == []

    museum.done(*command)

    assert not path.exists()
    (shown,) = derivatives(museum)
    assert (shown["current"], shown["withdrawn"]["reason"], shown["file"]) == (False, REASON, None)


def test_a_derivative_that_is_withdrawn_while_it_is_checked_is_not_marked_as_lost(
    museum: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue, derivative = Catalogue.open(load_settings(museum.home)), derivatives(museum)[0]
    check = check_file

    def withdrawn_meanwhile(path: Path, sha256: str) -> Any:
        if path == Path(derivative["path"]):
            withdraw_derivative(catalogue, "A", derivative["id"], reason=REASON, person="A. Curator")
        return check(path, sha256)

    monkeypatch.setattr(fixity, "check_file", withdrawn_meanwhile)
    assert "0 broken" in museum.done("verify").errors

    museum.done("verify", "--repair")

    assert not Path(derivative["path"]).exists()
    assert derivatives(museum)[0]["file"] is None


def test_a_derivative_whose_withdrawal_is_lifted_while_verify_completes_it_keeps_its_file(
    museum: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue, (derivative,) = Catalogue.open(load_settings(museum.home)), derivatives(museum)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(failpoints, "armed", Failpoint("withdrawal_tombstone:error=EIO"))
        withdrawal = ["withdraw", "A", "--derivative", str(derivative["id"]), "--reason", REASON]
        assert museum.run(*withdrawal).code == 1

    def lifted_meanwhile(_settings: object) -> None:
        lift_withdrawal(catalogue, "A", derivative["id"], reason="they agreed", person="A. Curator")

    monkeypatch.setattr("archive.withdrawal.remove_views", lifted_meanwhile)
    verified = museum.done("verify")

    assert "0 broken" in verified.errors
    assert "interrupted withdrawal" not in verified.errors
    assert Path(derivative["path"]).exists()
    assert derivatives(museum)[0]["current"]
    assert "deletion" not in [event["type"] for event in museum.show("A")["events"]]


def test_verify_removes_the_file_that_a_killed_lifting_left(museum: SmallArchive) -> None:
    path = Path(derivatives(museum)[0]["path"])
    content = path.read_bytes()
    withdraw(museum)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)  # recreated, and then the process was killed before it recorded the lifting

    assert f"an interrupted withdrawal is completed: {path}" in museum.done("verify").errors

    assert not path.exists()
    assert derivatives(museum)[0]["withdrawn"]["reason"] == REASON


def test_an_item_with_a_withdrawn_and_a_restored_master_is_withdrawn_as_a_whole(museum: SmallArchive) -> None:
    for seed, name in enumerate(("D1", "D2")):
        write_scan(museum.scans / f"{name}.tif", seed=7 + seed)
    (museum.scans / "items.csv").write_text("filename,accession_number,sequence\nD1.tif,D,1\nD2.tif,D,2\n")
    museum.done("ingest", museum.scans)
    museum.done("restore")
    withdraw(museum, "D")
    (row,) = museum.done("list", "accession_number:D", "--format", "json").json()
    assert row["status"] == "withdrawn"


@pytest.mark.parametrize("view", ["recto", "verso"])
def test_a_package_advises_to_restore_a_master_that_is_not_withdrawn(
    museum: SmallArchive, tmp_path: Path, view: str
) -> None:
    withdraw(museum)
    write_scan(museum.scans / "A2.tif", seed=9)
    (museum.scans / "items.csv").write_text(f"filename,accession_number,sequence,view\nA2.tif,A,2,{view}\n")
    museum.done("ingest", museum.scans)
    refused = museum.run(
        *(
            "package",
            "accession_number:A",
            "--layout",
            "bagit",
            "--contents",
            "derivatives",
            "--output",
            tmp_path / "bag",
        )
    )
    assert refused.code == 2
    assert ("archive restore accession_number:A" in refused.errors) is (view == "recto")
    assert ("because it was withdrawn" in refused.errors) is (view == "verso")  # no batch restores a verso


def test_a_full_run_that_makes_a_lost_trial_again_lets_it_count(museum: SmallArchive) -> None:
    museum.done("restore", "accession_number:A", "--strength", "0.5", "--trial")
    lose(museum, "A", 1)

    museum.done("restore", "accession_number:A", "--strength", "0.5")

    _, tried = derivatives(museum)
    assert (tried["current"], tried["trial"]) == (True, False)
    assert "full run asked for its recipe" in " ".join(str(event["detail"]) for event in museum.show("A")["events"])


def test_a_repair_of_a_lost_trial_leaves_it_a_trial(museum: SmallArchive) -> None:
    museum.done("restore", "accession_number:A", "--strength", "0.5", "--trial")
    path = lose(museum, "A", 1)

    museum.done("verify", "--repair")

    assert path.exists()
    restored, tried = derivatives(museum)
    assert (restored["current"], tried["current"], tried["trial"]) == (True, False, True)


def test_a_full_run_with_other_bytes_than_the_lost_trial_counts(
    museum: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    museum.done("restore", "accession_number:A", "--strength", "0.5", "--trial")
    lose(museum, "A", 1)
    # As after a change of the software.
    monkeypatch.setattr("archive.batches.running.task_processing.image_description", lambda _: "another software")

    museum.done("restore", "accession_number:A", "--strength", "0.5")

    _, lost, made = derivatives(museum)
    assert (lost["file"], made["current"], made["trial"]) == ("lost", True, False)


def test_lists_and_batches_name_the_paths_of_this_machine(
    museum: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = museum.scans / "C.tif"
    scan.unlink()
    assert museum.run("restore", "accession_number:C", "--strength", "0.25").code == 3
    here = tmp_path / "mounted-here"
    machine = tmp_path / "machine.toml"
    machine.write_text(f'[roots]\n"{museum.scans}" = "{here}"\n')
    monkeypatch.setenv("ARCHIVE_MACHINE_SETTINGS", str(machine))

    masters = museum.done("list", "--rows", "masters", "--format", "json").json()
    (item,) = museum.done("list", "accession_number:C", "--format", "json", "--fields", "master_path").json()
    (failure,) = museum.done("batch", "show", "2", "--format", "json").json()["failures"]

    assert {Path(row["path"]).parent for row in masters} == {here}
    assert item["master_path"] == failure["path"] == str(here / "C.tif")
