"""``archive remove``: the undo of an ingest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from archive import removal
from archive.failpoints import FAILPOINT_VARIABLE
from archive.settings import Settings
from tests.small_archive import Answer, SmallArchive, write_scan

WRONG = ("W1", "W2", "W3")


@pytest.fixture
def mistaken(settings: Settings, tmp_path: Path) -> SmallArchive:
    """The items A and B; besides, a copy in the home of each scan of a wrong folder, W1, W2 and W3."""
    archive = SmallArchive(home=settings.home, scans=tmp_path / "scans")
    for seed, name in enumerate(("right/A", "right/B", *(f"wrong/{name}" for name in WRONG))):
        write_scan(archive.scans / f"{name}.tif", seed=seed)
    archive.done("ingest", archive.scans / "right")
    archive.done("ingest", "--copy", archive.scans / "wrong")
    return archive


def wrong(archive: SmallArchive, *options: str) -> list[str]:
    return ["remove", "--from", str(archive.scans / "wrong"), "--reason", "wrong folder", *options]


def numbers(archive: SmallArchive) -> list[str]:
    return [row["accession_number"] for row in archive.done("list", "--format", "json").json()]


def test_a_master_that_only_moved_into_the_folder_is_not_removed_with_it(mistaken: SmallArchive) -> None:
    (mistaken.scans / "right" / "A.tif").rename(mistaken.scans / "wrong" / "A.tif")
    mistaken.done("ingest", mistaken.scans / "wrong")
    assert mistaken.show("A")["masters"][0]["path"] == str(mistaken.scans / "wrong" / "A.tif")
    answer = mistaken.done(*wrong(mistaken), "--yes")
    assert answer.output == "removed: 3 masters, 3 items, 0 derivatives\n"
    assert "1 master that lies there was ingested from elsewhere before" in answer.errors
    assert numbers(mistaken) == ["A", "B"]
    again = mistaken.run(*wrong(mistaken), "--yes")
    assert (again.code, "select them with a QUERY" in again.errors) == (2, True)


def test_a_wrong_folder_is_removed_and_can_be_ingested_again(mistaken: SmallArchive) -> None:
    before = mistaken.show("W3")
    answer = mistaken.done(*wrong(mistaken), "--yes")
    assert answer.output == "removed: 3 masters, 3 items, 0 derivatives\n"
    assert "backups, reports, exports and packages that were made before still hold what was deleted" in answer.errors
    assert numbers(mistaken) == ["A", "B"]
    assert not any((mistaken.home / "masters").iterdir())
    assert (mistaken.scans / "wrong" / "W1.tif").exists()
    assert mistaken.run("show", "W1").code == 2
    assert mistaken.done("status", "--format", "json").json()["masters"]["total"] == 2
    assert "0 broken" in mistaken.done("verify").errors
    mistaken.done("db", "check")
    listed = mistaken.done("remove", "--list").output.splitlines()
    assert len(listed) == 3
    assert "  An Operator  W1 (1), " in listed[0]
    assert listed[2].endswith(f"{before['masters'][0]['path']}, SHA-256 {before['masters'][0]['sha256']}: wrong folder")
    assert mistaken.run(*wrong(mistaken), "--yes").code == 2
    assert mistaken.done("ingest", mistaken.scans / "wrong").output.splitlines()[-1].startswith("3 added")
    assert mistaken.show("W1")["id"] > before["id"]


def test_a_dry_run_shows_the_plan_and_removes_nothing(mistaken: SmallArchive) -> None:
    output = mistaken.done("remove", "--from", mistaken.scans / "wrong", "--dry-run").output
    assert "To remove: 3 masters: W1 (1), W2 (1), W3 (1)" in output
    assert "with 3 items that have no other master" in output
    assert "Scans outside the home are not touched" in output
    one = mistaken.done("remove", "accession_number:W2", "--dry-run").output
    assert one.startswith("To remove: 1 master: W2 (1)\n  with 1 item that has no other master\n  with 0 derivatives\n")
    assert len(numbers(mistaken)) == 5


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ([], "give a QUERY, or --from PATH"),
        (["--reason", "why", "--yes"], "give a QUERY, or --from PATH"),
        ([" ", "--reason", "why", "--yes"], "the QUERY is empty"),
        (["--from", "", "--reason", "why", "--yes"], "the PATH of --from is empty"),
        (["accession_number:A", "--yes"], "give --reason TEXT"),
        (["accession_number:A", "--reason", " ", "--yes"], "give --reason TEXT"),
        (["accession_number:A", "--reason", "why"], "add --yes"),
        (["accession_number:N", "--reason", "why", "--yes"], "no master matches the query"),
        (["--from", "/nowhere", "--reason", "why", "--yes"], "no master lies in /nowhere"),
        (["accession_number:A", "--list"], "give it alone"),
    ],
)
def test_wrong_usage_removes_nothing(mistaken: SmallArchive, arguments: list[str], advice: str) -> None:
    answer = mistaken.run("remove", *arguments)
    assert answer.code == 2
    assert advice in answer.errors
    assert len(numbers(mistaken)) == 5


@pytest.mark.parametrize("answered", [True, False])
def test_a_terminal_asks(mistaken: SmallArchive, monkeypatch: pytest.MonkeyPatch, answered: bool) -> None:
    monkeypatch.setattr("archive.cli.remove.is_interactive", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_arguments, **_options: answered)
    assert ("nothing was removed" in mistaken.done(*wrong(mistaken)).errors) is not answered
    assert len(numbers(mistaken)) == (2 if answered else 5)


def test_ctrl_c_ends_it_between_two_portions(mistaken: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting:
        """A progress during which somebody presses Ctrl-C."""

        def start(self, total: int, what: str) -> None:
            assert (total, what) == (3, "masters")

        def advance(self, _n: int) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        def interrupted(self, by: str) -> None:
            assert by == "Ctrl-C"

        def finish(self) -> None:
            pass

    monkeypatch.setattr(removal, "_PORTION", 1)
    with monkeypatch.context() as patched:
        patched.setattr("archive.cli.remove.make_progress", Interrupting)
        answer = mistaken.run(*wrong(mistaken), "--yes")
    assert (answer.code, answer.output) == (130, "removed: 1 master, 1 item, 0 derivatives\n")
    assert "run the same command again" in answer.errors
    mistaken.done("db", "check")
    assert mistaken.done(*wrong(mistaken), "--yes").output == "removed: 2 masters, 2 items, 0 derivatives\n"


def test_a_file_that_cannot_be_deleted_stops_it_with_what_was_done(
    mistaken: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("W2"):
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(removal, "_PORTION", 1)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        answer = mistaken.run(*wrong(mistaken), "--yes")
    assert (answer.code, answer.output) == (1, "removed: 1 master, 1 item, 0 derivatives\n")
    assert "Permission denied" in answer.errors
    assert numbers(mistaken) == ["A", "B", "W2", "W3"]
    mistaken.done(*wrong(mistaken), "--yes")
    assert not any((mistaken.home / "masters").iterdir())


def test_a_killed_removal_is_completed_by_the_same_command(mistaken: SmallArchive) -> None:
    arguments = [*wrong(mistaken), "--yes"]
    killed = subprocess.run(
        [sys.executable, "-m", "archive", "--home", str(mistaken.home), *arguments],
        check=False,
        cwd=Path(__file__).parents[3],
        env=os.environ | {FAILPOINT_VARIABLE: "removal_files"},
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert not any((mistaken.home / "masters").iterdir())
    assert len(numbers(mistaken)) == 5
    listed = mistaken.done("remove", "--list")
    assert (listed.output, "no master was ever removed" in listed.errors) == ("", True)
    mistaken.done(*arguments)
    assert numbers(mistaken) == ["A", "B"]
    assert len(mistaken.done("remove", "--list").output.splitlines()) == 3


def remove_a(archive: SmallArchive, *options: str) -> Answer:
    return archive.run("remove", "accession_number:A", "--reason", "the family asked for it", "--yes", *options)


def test_a_restored_master_goes_with_its_derivative_and_its_views(museum: SmallArchive) -> None:
    derivative = Path(museum.show("A")["derivatives"][0]["path"])
    moved_aside = derivative.with_name(f"{derivative.stem}.changed-7.tif")
    moved_aside.write_bytes(b"a changed file")
    view = museum.home / "views" / "ab" / "abcdef.1.tif"
    view.parent.mkdir(parents=True)
    view.write_bytes(b"a view")
    sheet = museum.home / "samples" / "batch-1_crops.html"
    sheet.parent.mkdir(exist_ok=True)
    sheet.write_text("a contact sheet", encoding="utf-8")
    refused = remove_a(museum)
    assert refused.code == 2
    assert "--with-derivatives" in refused.errors
    assert derivative.exists()
    answer = remove_a(museum, "--with-derivatives")
    assert answer.output == "removed: 1 master, 1 item, 1 derivative\n"
    assert f"this contact sheet may still show parts: {sheet}" in answer.errors
    assert not derivative.parent.exists()
    assert not view.exists()
    assert numbers(museum) == ["B", "C"]
    assert museum.done("batch", "show", "1", "--format", "json").json()["done"] == 2
    museum.done("remove", "batch:1", "--reason", "all of it", "--yes", "--with-derivatives")
    assert museum.done("batch", "list", "--format", "json").json()[0]["tasks"] == 0
    museum.done("batch", "show", "1")
    museum.done("status")
    museum.done("db", "check")


def test_an_open_batch_refuses_it_until_it_is_cancelled(museum: SmallArchive) -> None:
    museum.done("restore", "--strength", "0.5", "--plan")
    refused = remove_a(museum, "--with-derivatives")
    assert refused.code == 1
    assert "`archive batch cancel 2`" in refused.errors
    assert numbers(museum) == ["A", "B", "C"]
    museum.done("batch", "cancel", "2")
    assert remove_a(museum, "--with-derivatives").code == 0


def test_exports_of_an_item_that_stays_tell_of_the_removal(mistaken: SmallArchive, tmp_path: Path) -> None:
    write_scan(mistaken.scans / "verso.tif", seed=9)
    (mistaken.scans / "verso.csv").write_text("filename,accession_number,view\nverso.tif,A,verso\n", encoding="utf-8")
    mistaken.done("ingest", mistaken.scans / "verso.tif", "--metadata", mistaken.scans / "verso.csv")
    mistaken.done("remove", "view:verso", "--reason", "not its back", "--yes")
    shown = mistaken.show("A")
    assert [master["view"] for master in shown["masters"]] == ["recto"]
    assert (shown["events"][-1]["type"], shown["events"][-1]["agent"]["name"]) == ("deaccession", "An Operator")
    assert "not its back" in shown["events"][-1]["detail"]
    mistaken.done("export", "--format", "premis", "--output", tmp_path / "premis.xml")
    written = (tmp_path / "premis.xml").read_text(encoding="utf-8")
    assert 'eventType/dea">deaccession<' in written
    mistaken.done("export", "--format", "prov", "--output", tmp_path / "prov.json")
    mistaken.done("package", "--layout", "bagit", "--contents", "masters", "--output", tmp_path / "bag")
