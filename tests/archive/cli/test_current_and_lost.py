"""What is current, what a batch made, and what is lost, as a museum meets it, on SQLite and PostgreSQL."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from archive.catalogue import approved_versions
from tests.small_archive import MODEL, SmallArchive, change_one_byte, write_model, write_scan


def current(museum: SmallArchive) -> dict[str, int]:
    """The batch that made each item's current restored derivative."""
    return {name: next(each["batch"] for each in museum.show(name)["derivatives"] if each["current"]) for name in "ABC"}


def statuses(museum: SmallArchive) -> dict[str, str]:
    rows: list[dict[str, Any]] = museum.done("list", "--format", "json").json()
    return {row["accession_number"]: row["status"] for row in rows}


def path_of(museum: SmallArchive, accession_number: str) -> Path:
    return Path(museum.show(accession_number)["derivatives"][0]["path"])


def test_a_lost_derivative_is_marked_and_made_again_with_the_same_bytes(museum: SmallArchive) -> None:
    museum.done("review", "A", "--accept")
    lost = path_of(museum, "A")
    before = lost.read_bytes()
    lost.unlink()

    verified = museum.run("verify")
    assert (verified.code, verified.output) == (3, f"derivative  missing  {lost}\n")
    assert statuses(museum) == {"A": "file missing", "B": "restored", "C": "restored"}
    assert "file missing" in museum.done("list").output
    refused = museum.run("review", "A", "--reject", "--reason", "too smooth")
    assert " of master 1, file missing: " in refused.errors
    assert [row["accession_number"] for row in museum.done("list", "status:lost", "--format", "json").json()] == ["A"]

    planned = museum.done("restore")
    assert "1 derivative recreated" in planned.errors
    assert lost.read_bytes() == before
    shown = museum.show("A")
    assert (len(shown["derivatives"]), shown["derivatives"][0]["current"]) == (1, True)
    assert shown["derivatives"][0]["review"]["decision"] == "accepted"
    assert "same bytes" in shown["events"][-1]["detail"]
    assert museum.done("verify").output == ""


def test_a_changed_derivative_is_repaired_and_the_changed_file_kept(museum: SmallArchive) -> None:
    changed = path_of(museum, "B")
    before = changed.read_bytes()
    change_one_byte(changed)

    repaired = museum.done("verify", "--repair")

    assert repaired.output.startswith(f"derivative  changed  {changed}\n")
    assert repaired.output.endswith(f"derivative  repaired  {changed}\n")
    assert "1 of 1 derivative recreated" in repaired.errors
    assert changed.read_bytes() == before
    aside = [path for path in changed.parent.iterdir() if path != changed]
    assert [path.name.partition(".changed-")[0] for path in aside] == [changed.stem]
    assert statuses(museum)["B"] == "restored"
    assert museum.done("verify").output == ""


def test_other_bytes_become_a_new_derivative_and_the_lost_one_is_no_longer_expected(museum: SmallArchive) -> None:
    museum.done("review", "A", "--accept")
    path_of(museum, "A").unlink()
    museum.run("verify")
    with pytest.MonkeyPatch.context() as patch:  # as after a change of the software
        patch.setattr(
            "archive.batches.running.task_processing.image_description", lambda _provenance: "made by another software"
        )
        repaired = museum.done("verify", "--repair")

    lost, made = museum.show("A")["derivatives"]
    assert repaired.output.endswith(f"derivative  replaced  {made['path']}\n")
    assert "is a new derivative: review it again" in repaired.errors

    assert (lost["current"], lost["file"], made["current"], made["file"]) == (False, "lost", True, None)
    assert lost["recipe"] == made["recipe"]
    assert (lost["review"]["decision"], made["review"]) == ("accepted", None)
    assert museum.done("verify").output == ""


def test_a_repair_names_what_it_could_not_put_right(museum: SmallArchive) -> None:
    for name in "AB":
        path_of(museum, name).unlink()
    repaired_path = path_of(museum, "B")
    change_one_byte(museum.scans / "A.tif")  # so that A's derivative can't be recreated

    repaired = museum.run("verify", "--repair")

    assert repaired.code == 3
    assert repaired.output.endswith(f"\nderivative  repaired  {repaired_path}\n")
    assert "1 of 2 derivatives recreated" in repaired.errors
    assert "A (1)" in repaired.errors
    assert "1 derivative still broken. Remove the cause and run `archive verify --repair` again" in repaired.errors
    assert "1 broken file can't be recreated from records. Restore them from a backup" in repaired.errors
    assert museum.run("verify", "--repair").code == 3


def test_a_report_says_that_a_file_is_missing(museum: SmallArchive, tmp_path: Path) -> None:
    path_of(museum, "A").unlink()
    museum.done("report", "--output", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "file missing: " in text
    assert "Errno" not in text


def test_a_master_is_missing_and_found_again(museum: SmallArchive) -> None:
    scan = museum.scans / "A.tif"
    content = scan.read_bytes()
    scan.unlink()
    assert museum.run("verify").output == f"master  missing  {scan}\n"
    assert museum.show("A")["masters"][0]["file"] == "missing"
    rows = museum.done("list", "--rows", "masters", "--fields", "accession_number,file").output.splitlines()[2:]
    assert [row.split() for row in rows] == [["A", "missing"], ["B", "–"], ["C", "–"]]
    assert [row["accession_number"] for row in museum.done("list", "status:lost", "--format", "json").json()] == ["A"]
    assert "– means no fault, or not checked yet" in " ".join(museum.done("list", "--help").output.split())
    scan.write_bytes(content)
    museum.done("ingest", museum.scans)
    assert museum.show("A")["masters"][0]["file"] is None
    assert museum.done("list", "status:lost", "--format", "json").json() == []


def test_masters_known_to_be_lost_are_left_out_so_that_their_absent_folder_stops_nothing(museum: SmallArchive) -> None:
    gone, changed = museum.scans.parent / "other" / "D.tif", museum.scans / "B.tif"
    write_scan(gone, seed=4)
    museum.done("ingest", gone.parent)
    gone.unlink()
    write_scan(changed, seed=5)
    assert museum.run("verify").code == 3
    gone.parent.rmdir()

    answer = museum.done("restore", "--strength", "0.5", "--device", "cpu")

    assert "To do: 2 masters" in answer.errors
    assert "1  file missing: bring it back, then run `archive verify`: D (1)" in answer.errors
    assert "1  file changed: bring it back, then run `archive verify`: B (1)" in answer.errors
    assert "1  file changed: bring it back" in museum.done("rerun", "--model", f"{MODEL}@1.1", "--dry-run").output

    write_scan(gone, seed=4)
    write_scan(changed, seed=1)
    museum.done("verify")
    assert "To do: 2 masters" in museum.done("restore", "--strength", "0.5", "--dry-run").output


def test_a_trial_is_not_current_until_it_is_accepted_or_promoted(museum: SmallArchive) -> None:
    museum.done("restore", "accession_number:A", "--strength", "0.5", "--trial")
    museum.done("restore", "--sample", "1", "--strength", "0.25")
    assert current(museum) == {"A": 1, "B": 1, "C": 1}

    tried = next(each["id"] for each in museum.show("A")["derivatives"] if each["batch"] == 2)
    museum.done("review", "A", "--accept", "--derivative", str(tried))
    assert current(museum)["A"] == 2

    museum.done("restore", "accession_number:B", "--strength", "0.75", "--trial")
    promoted = museum.done("promote", "--batch", "4", "--reviewer", "A. Curator")
    assert promoted.output == "batch 4: 1 derivative made current\n"
    assert current(museum)["B"] == 4
    event = museum.show("B")["events"][-1]
    assert (event["type"], event["agent"]["name"]) == ("metadata modification", "A. Curator")


def test_a_full_run_of_a_trials_settings_lets_the_trial_count(museum: SmallArchive) -> None:
    museum.done("restore", "accession_number:A", "--strength", "0.5", "--trial")
    full = museum.done("restore", "--strength", "0.5")
    assert "1 made by a trial" in full.errors
    assert current(museum) == {"A": 2, "B": 3, "C": 3}


def test_approving_an_earlier_version_again_makes_its_results_current_at_once(
    museum: SmallArchive, tmp_path: Path
) -> None:
    museum.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))
    museum.done("restore", "--model", f"{MODEL}@9.1")
    assert set(current(museum).values()) == {1}  # not approved yet
    museum.done("model", "alias", MODEL, "9.1", "approved")
    assert set(current(museum).values()) == {2}
    museum.done("model", "alias", MODEL, "9.0", "approved")
    assert set(current(museum).values()) == {1}
    assert set(statuses(museum).values()) == {"restored"}
    assert (
        f"Nothing to do: no derivative is stale. Current derivatives: 3 by {MODEL}@9.0. To use another version, add "
        "`--model NAME@VERSION`"
    ) in museum.done("rerun").output
    newer = next(each["id"] for each in museum.show("A")["derivatives"] if each["batch"] == 2)
    museum.done("review", "A", "--accept", "--derivative", str(newer))
    asked = museum.done("rerun", "--model", f"{MODEL}@9.1").output
    assert f"every master found has a result by {MODEL}@9.1. Current derivatives: 2 by {MODEL}@9.0, 1 by" in asked
    assert "Already done: 2 masters" in asked


def test_a_batch_means_what_it_made(museum: SmallArchive, tmp_path: Path) -> None:
    museum.done("restore", "accession_number:A OR accession_number:B", "--strength", "0.5", "--trial")
    made = {name: museum.show(name)["derivatives"][-1] for name in "AB"}

    rows: list[dict[str, Any]] = museum.done("list", "batch:2", "--format", "json").json()
    assert [(row["accession_number"], row["path"], row["batch"], row["current"]) for row in rows] == [
        (name, made[name]["path"], 2, False) for name in "AB"
    ]
    report = museum.done("report", "batch:2", "--output", tmp_path / "report.html")
    assert "2 items" in report.output
    page = (tmp_path / "report.html").read_text()
    assert page.count("Not the current derivative") == 2
    assert all(each["path"] in page for each in made.values())

    of_first = museum.done("list", "batch:1 AND decision:none", "--rows", "derivatives", "--format", "json").json()
    assert [(row["accession_number"], row["batch"], row["strength"]) for row in of_first] == [
        (name, 1, 1.0) for name in "ABC"
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('operator:"N. Night"', [("B", 2)]),
        ("strength:[* TO 0.6]", [("B", 2)]),
        ("reviewer:*Curator AND batch:1", [("A", 1)]),
        ("decision:accepted", [("A", 1)]),
        ("decision:none AND batch:1", [("B", 1), ("C", 1)]),
        ("batch:1 AND NOT decision:accepted", [("B", 1), ("C", 1)]),
        ("reviewed:[2020-01-01 TO *]", [("A", 1)]),
        ("made:[2020-01-01 TO *] AND accession_number:B", [("B", 1), ("B", 2)]),
        ("made:[* TO 2020-01-01]", []),
        ("batch:2 AND decision:accepted", []),
    ],
)
def test_queries_are_about_derivatives(museum: SmallArchive, query: str, expected: list[tuple[str, int]]) -> None:
    museum.done("--operator", "N. Night", "restore", "accession_number:B", "--strength", "0.5", "--trial")
    museum.done("review", "A", "--accept", "--reviewer", "A. Curator")

    rows = museum.done("list", query, "--rows", "derivatives", "--format", "json").json()

    assert [(row["accession_number"], row["batch"]) for row in rows] == expected
    items = museum.done("list", query, "--format", "json").json()
    assert [row["accession_number"] for row in items] == list(dict.fromkeys(name for name, _ in expected))


def test_an_item_is_as_far_as_its_least_far_master(museum: SmallArchive) -> None:
    write_scan(museum.scans / "D1.tif", seed=7)
    write_scan(museum.scans / "D2.tif", seed=8)
    write_scan(museum.scans / "D3.tif", seed=9)
    (museum.scans / "items.csv").write_text(
        "filename,accession_number,sequence,view\nD1.tif,D,1,recto\nD2.tif,D,2,detail\nD3.tif,D,3,verso\n"
    )
    museum.done("ingest", museum.scans)
    museum.done("restore", "view:recto")
    assert statuses(museum)["D"] == "unrestored"
    museum.done("restore")
    first = museum.show("D")["derivatives"][0]["id"]
    museum.done("review", "D", "--accept", "--derivative", str(first))
    row = museum.done("list", "accession_number:D", "--format", "json").json()[0]
    assert (row["status"], row["review"]) == ("restored", None)
    masters = museum.done("list", "accession_number:D", "--rows", "masters", "--format", "json").json()
    assert [(each["sequence"], each["status"], each["review"]) for each in masters] == [
        (1, "restored", "accepted"),
        (2, "restored", None),
        (3, None, None),
    ]
    assert museum.done("list", "status:unrestored", "--format", "json").json() == []


def test_many_decisions_at_once_by_query_and_from_the_file_that_list_writes(
    museum: SmallArchive, tmp_path: Path
) -> None:
    museum.done("review", "A", "--accept")
    planned = museum.done("review", "batch:1", "--accept", "--dry-run")
    assert planned.output == ("To decide: 2 derivatives accepted\n  of batch 1: 2\nDecided so before, left alone: 1\n")
    museum.done("review", "batch:1", "--accept", "--reviewer", "A. Curator")
    listed = museum.done("list", "batch:1", "--rows", "derivatives", "--format", "csv")
    decisions = tmp_path / "decisions.csv"
    header, *rows = listed.output.splitlines()
    decisions.write_text("\n".join([header, rows[0], rows[1].replace("accepted,,", "rejected,too smooth,"), rows[2]]))

    done = museum.done("review", "--from", decisions)

    assert done.output == "1 decision recorded\n"
    review = museum.show("B")["derivatives"][0]["review"]
    assert (review["decision"], review["reason"], review["reviewer"]) == ("rejected", "too smooth", "A. Curator")

    decisions.write_text("accession_number,decision,reason\nA,rejected,\nX,accepted,\nC,maybe,\n")
    refused = museum.run("review", "--from", decisions)
    assert refused.code == 2
    assert [f"line {number}" in refused.errors for number in (2, 3, 4)] == [True, True, True]
    assert museum.show("A")["derivatives"][0]["review"]["decision"] == "accepted"
    assert museum.run("review", "nobody", "--accept").code == 2


def test_status_answers_how_far_what_is_lost_how_much_disk_and_what_was_last(museum: SmallArchive) -> None:
    museum.done("review", "A", "--accept")
    path_of(museum, "B").unlink()
    museum.run("verify")

    found = museum.done("status", "--format", "json").json()

    assert found["masters"] == {"total": 3, "restored": 2, "file missing": 1}
    assert found["found_by_query"]["lost"] == 1
    assert found["lost"] == {"masters": 0, "derivatives": 1}
    assert found["reviews"] == {"accepted": 1, "none": 1}
    left = [museum.show(name)["derivatives"][0] for name in "AC"]
    assert found["disk"]["derivatives"] == sum(Path(each["path"]).stat().st_size for each in left)
    assert found["disk"]["home"] > found["disk"]["models"] > 0
    assert found["disk"]["views"] == 0
    assert found["last_verify"]["never_checked"] == 0
    assert (found["last_batch"]["id"], found["last_batch"]["status"]) == (1, "done")
    text = museum.done("status").output
    assert "1 derivative (`archive list status:lost`)" in text
    assert "last batch:   1, done: 3 done" in text
    assert "rejected" not in text


def test_status_counts_rejected_derivatives_by_their_newest_decision(museum: SmallArchive) -> None:
    for name in "AB":
        museum.done("review", name, "--reject", "--reason", "too smooth")
    assert "; 2 derivatives rejected\n" in museum.done("status").output
    rejected = museum.show("A")["derivatives"][0]["id"]
    museum.done("review", "A", "--accept", "--derivative", rejected)
    assert museum.done("status", "--format", "json").json()["rejected_derivatives"] == 1
    assert "; 1 derivative rejected\n" in museum.done("status").output


def test_an_interrupted_approval_is_named_by_status_and_completed_by_the_same_command(
    museum: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    museum.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(approved_versions, "_update_masters", interrupt)
        assert museum.run("model", "alias", MODEL, "9.1", "approved").code == 130
    assert museum.done("status", "--format", "json").json()["unapplied_versions"] == [
        {"model": MODEL, "version": "9.1"}
    ]
    advice = f"repeat `archive model alias {MODEL} 9.1 approved`"
    assert advice in museum.done("status").output
    assert advice in museum.done("rerun", "--dry-run").errors
    assert set(statuses(museum).values()) == {"restored"}

    with monkeypatch.context() as patched:
        patched.setattr(approved_versions, "_wait_for_writers", lambda _: False)
        assert museum.run("model", "alias", MODEL, "9.1", "approved").code == 3
    assert set(statuses(museum).values()) == {"stale"}
    assert advice in museum.done("status").output

    museum.done("model", "alias", MODEL, "9.1", "approved")

    assert "unfinished" not in museum.done("status").output
    assert set(statuses(museum).values()) == {"stale"}


def test_a_museums_questions_are_answered_by_the_documented_commands(
    museum: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    museum.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))
    museum.done("rerun", "--model", f"{MODEL}@9.1")
    museum.done("review", "A", "--accept", "--reviewer", "A. Curator")
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[3] / "docs" / "how-to" / "answer-questions.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) > 15
    for line in commands:
        answer = museum.done(*shlex.split(line)[1:])
        assert answer.output or answer.errors, line


def test_an_archive_can_be_moved_to_another_machine(museum: SmallArchive, tmp_path: Path) -> None:
    before = statuses(museum)
    home = (tmp_path / "new disk" / "museum").resolve()
    home.parent.mkdir()
    museum.home.rename(home)
    scans = tmp_path / "new disk" / "scans"
    museum.scans.rename(scans)
    moved = SmallArchive(home=home, scans=scans)

    assert "0 added, 3 moved" in moved.done("ingest", scans).output
    moved.done("db", "check")
    assert "0 broken" in moved.done("verify").errors
    assert "Nothing to do" in moved.done("restore").output
    assert statuses(moved) == before
    shown = moved.show("A")
    assert (Path(shown["masters"][0]["path"]).parent, path_of(moved, "A").is_relative_to(home)) == (scans, True)
