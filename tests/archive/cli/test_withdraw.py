"""``archive withdraw``: the bytes go, the record stays, and nothing makes the derivative again but a person."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Access
from archive.errors import NotFoundError
from archive.failpoints import FAILPOINT_VARIABLE
from archive.settings import load_settings
from archive.views.subjects import find_subject
from tests.small_archive import SmallArchive, change_one_byte

REASON = "the family asked for it"


@pytest.fixture
def withdrawn(restored: SmallArchive) -> SmallArchive:
    """The derivative of 1906.1 is withdrawn."""
    restored.done(*withdraw(restored), "--reason", REASON, "--reviewer", "A. Curator")
    return restored


def derivative(archive: SmallArchive) -> Any:
    return archive.show("1906.1")["derivatives"][0]


def withdraw(archive: SmallArchive) -> list[str]:
    return ["withdraw", "1906.1", "--derivative", str(derivative(archive)["id"])]


def test_the_bytes_go_and_the_record_stays(restored: SmallArchive) -> None:
    before = derivative(restored)
    view = restored.home / "views" / "ab" / "abcdef.1.tif"
    view.parent.mkdir(parents=True)
    view.write_bytes(b"a view")
    assert before["withdrawn"] is None
    answer = restored.done(*withdraw(restored), "--reason", REASON, "--reviewer", "A. Curator")
    assert "backups, reports, exports and packages that were made before still hold what was deleted" in answer.errors
    after = derivative(restored)
    assert not Path(before["path"]).exists()
    assert not view.exists()
    tombstone = after.pop("withdrawn")
    assert (tombstone["reason"], tombstone["person"]) == (REASON, "A. Curator")
    assert after.pop("current") is False
    assert after == {name: value for name, value in before.items() if name not in ("withdrawn", "current")}
    event = restored.show("1906.1")["events"][-1]
    assert (event["type"], event["agent"]["name"]) == ("deletion", "A. Curator")
    assert before["sha256"] in event["detail"]
    assert REASON in event["detail"]
    assert (restored.scans / "a.tif").exists()


def test_lists_checks_and_exports_say_so(withdrawn: SmallArchive, tmp_path: Path) -> None:
    (row,) = withdrawn.done("list", "status:withdrawn", "--format", "json").json()
    assert (row["accession_number"], row["status"], row["path"]) == ("1906.1", "withdrawn", None)
    assert "WITHDRAWN" in withdrawn.done("show", "1906.1").output
    verified = withdrawn.done("verify")
    assert "0 broken" in verified.errors
    assert "1906.1" not in withdrawn.done("reproduce").output
    withdrawn_id = str(derivative(withdrawn)["id"])
    assert withdrawn.run("review", "1906.1", "--accept", "--derivative", withdrawn_id).code == 2
    table = tmp_path / "derivatives.jsonl"
    withdrawn.done("export", "--format", "jsonl", "--rows", "derivatives", "--output", table)
    assert REASON in table.read_text()
    withdrawn.done("export", "--format", "premis", "--output", tmp_path / "premis.xml")
    assert ">deletion<" in (tmp_path / "premis.xml").read_text()
    withdrawn.done("package", "--layout", "bagit", "--output", tmp_path / "bag")
    assert list((tmp_path / "bag").rglob("*restored*.tif")) == []
    with pytest.raises(NotFoundError):
        find_subject(Catalogue.open(load_settings(withdrawn.home)), f"derivative-{withdrawn_id}", tuple(Access))


def test_an_interrupted_withdrawal_is_completed_with_its_views(
    restored: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(derivative(restored)["path"])
    with monkeypatch.context() as patched:
        patched.setattr("archive.withdrawal.remove_views", _interrupt)
        with pytest.raises(_InterruptedError):
            restored.run(*withdraw(restored), "--reason", REASON, "--reviewer", "A. Curator")
    view = restored.home / "views" / "ab" / "abcdef.1.tif"
    view.parent.mkdir(parents=True)
    view.write_bytes(b"a view")
    restored.done(*withdraw(restored), "--reason", REASON, "--reviewer", "A. Curator")
    assert not view.exists()
    assert not path.exists()
    assert restored.show("1906.1")["events"][-1]["type"] == "deletion"


def test_a_withdrawn_derivative_no_longer_counts_as_accepted(restored: SmallArchive, tmp_path: Path) -> None:
    accepted = derivative(restored)["id"]
    restored.done("review", "1906.1", "--accept", "--reviewer", "A. Curator")
    restored.done("restore", "accession_number:1906.1", "--strength", "0.5")
    assert len(restored.done("list", "review:accepted", "--format", "json").json()) == 1

    restored.done(*withdraw(restored), "--reason", REASON, "--reviewer", "A. Curator")

    for query in ("review:accepted", "decision:accepted", "decision:*", "batch:1 AND review:accepted"):
        assert restored.done("list", query, "--format", "json").json() == []
        assert restored.done("list", query, "--rows", "derivatives", "--format", "json").json() == []
    (row,) = restored.done("list", "review:none AND accession_number:1906.1", "--format", "json").json()
    assert (row["status"], row["review"]) == ("restored", None)
    (unseen,) = restored.done(
        "list", "decision:none AND accession_number:1906.1", "--rows", "derivatives", "--format", "json"
    ).json()
    assert unseen["derivative"] != accepted
    exported = tmp_path / "iiif"
    restored.done(
        "export", "review:accepted", "--format", "iiif", "--base-url", "https://example.org", "--output", exported
    )
    assert list(exported.rglob("*manifest*.json")) == []
    # What was withdrawn still belongs to the records of its batch and its reviewer.
    by_reviewer = restored.done("list", 'reviewer:"A. Curator"', "--rows", "derivatives", "--format", "json").json()
    assert [each["derivative"] for each in by_reviewer] == [accepted]


def test_a_rejection_of_a_withdrawn_derivative_is_not_shown_as_its_masters(restored: SmallArchive) -> None:
    restored.done("review", "1906.1", "--reject", "--reason", "dull", "--reviewer", "A. Curator")
    restored.done(*withdraw(restored), "--reason", REASON, "--reviewer", "A. Curator")
    assert restored.done("list", "review:rejected", "--format", "json").json() == []
    (row,) = restored.done("list", "status:withdrawn", "--format", "json").json()
    assert row["review"] is None


def test_a_package_advises_no_restore_of_what_was_withdrawn(withdrawn: SmallArchive, tmp_path: Path) -> None:
    package = ("package", "accession_number:1906.1", "--layout", "bagit")
    packaged = withdrawn.done(*package, "--output", tmp_path / "bag")
    assert "Withdrawn, and so not restored again: 1" in packaged.errors
    assert "archive restore" not in packaged.errors
    refused = withdrawn.run(*package, "--contents", "derivatives", "--output", tmp_path / "derivatives")
    assert refused.code == 2
    assert "because it was withdrawn" in refused.errors
    assert "archive restore" not in refused.errors


class _InterruptedError(Exception):
    """The process dies."""


def _interrupt(_settings: object) -> None:
    raise _InterruptedError


@pytest.mark.slow
@pytest.mark.parametrize("place", ["withdrawal_tombstone", "withdrawal_file"])
@pytest.mark.parametrize("completed_by", ["withdraw", "verify"])
def test_a_killed_withdrawal_is_completed_with_its_event(restored: SmallArchive, place: str, completed_by: str) -> None:
    path = Path(derivative(restored)["path"])
    arguments = [*withdraw(restored), "--reason", REASON, "--reviewer", "A. Curator"]
    killed = subprocess.run(
        [sys.executable, "-m", "archive", "--home", str(restored.home), *arguments],
        check=False,
        cwd=Path(__file__).parents[3],
        env=os.environ | {FAILPOINT_VARIABLE: place},
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert path.exists() == (place == "withdrawal_tombstone")
    if completed_by == "verify":
        assert f"an interrupted withdrawal is completed: {path}" in restored.done("verify").errors
        assert "interrupted" not in restored.done("verify").errors
    else:
        restored.done(*withdraw(restored), "--reason", "another reason")
    assert not path.exists()
    (event,) = (each for each in restored.show("1906.1")["events"] if each["type"] == "deletion")
    assert event["agent"]["name"] == "A. Curator"
    assert REASON in event["detail"]
    assert restored.run(*withdraw(restored), "--reason", "again").code == 2


def test_a_second_withdrawal_is_recorded_too(withdrawn: SmallArchive) -> None:
    withdrawn.done(*withdraw(withdrawn), "--lift", "--reason", "they agreed")
    withdrawn.done(*withdraw(withdrawn), "--reason", "they changed their minds")
    events = [each["type"] for each in withdrawn.show("1906.1")["events"]]
    assert events.count("deletion") == 2
    assert "interrupted" not in withdrawn.done("verify").errors


def test_no_batch_makes_it_again(withdrawn: SmallArchive) -> None:
    for command in (["restore"], ["restore", "accession_number:1906.1"], ["rerun", "accession_number:1906.1"]):
        withdrawn.done(*command)
    (shown,) = withdrawn.show("1906.1")["derivatives"]
    assert not Path(shown["path"]).exists()


def test_an_earlier_derivative_becomes_current_again(restored: SmallArchive) -> None:
    restored.done("restore", "accession_number:1906.1", "--strength", "0.5")
    newer = restored.show("1906.1")["derivatives"][1]
    assert newer["current"]
    restored.done("withdraw", "1906.1", "--derivative", str(newer["id"]), "--reason", REASON)
    assert derivative(restored)["current"]


def test_lifting_makes_the_same_bytes_again(withdrawn: SmallArchive) -> None:
    withdrawn.done(*withdraw(withdrawn), "--lift", "--reason", "they agreed", "--reviewer", "B. Head")
    shown = derivative(withdrawn)
    assert (shown["withdrawn"], shown["current"]) == (None, True)
    assert "0 broken" in withdrawn.done("verify").errors
    event = withdrawn.show("1906.1")["events"]
    lifted = next(each for each in event if each["type"] == "withdrawal lifted")
    assert lifted["agent"]["name"] == "B. Head"
    assert "they agreed" in lifted["detail"]
    assert REASON in lifted["detail"]
    again = withdrawn.run(*withdraw(withdrawn), "--lift", "--reason", "twice")
    assert again.code == 2


def test_what_cannot_be_made_again_stays_withdrawn_until_its_file_is_brought_back(
    restored: SmallArchive, tmp_path: Path
) -> None:
    path = Path(derivative(restored)["path"])
    backup = shutil.copy(path, tmp_path / "backup.tif")
    restored.done(*withdraw(restored), "--reason", REASON)
    change_one_byte(restored.scans / "a.tif")
    lift = [*withdraw(restored), "--lift", "--reason", "they agreed"]
    answer = restored.run(*lift)
    assert answer.code == 1
    assert "is not lifted, because it can't be recreated" in answer.errors
    assert derivative(restored)["withdrawn"] is not None
    assert list(path.parent.iterdir()) == []
    shutil.copy(backup, path)
    restored.done(*lift)
    assert derivative(restored)["current"]


def test_an_interrupted_withdrawal_is_completed(withdrawn: SmallArchive) -> None:
    path = Path(derivative(withdrawn)["path"])
    again = [*withdraw(withdrawn), "--reason", "again"]
    assert withdrawn.run(*again).code == 2
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"left by a crash before the file was removed")
    withdrawn.done(*again)
    assert not path.exists()
    assert derivative(withdrawn)["withdrawn"]["reason"] == REASON


def test_the_wrong_derivative_is_refused(restored: SmallArchive) -> None:
    other = restored.show("1906.2")["derivatives"][0]["id"]
    answer = restored.run("withdraw", "1906.1", "--derivative", str(other), "--reason", REASON)
    assert answer.code == 2
    assert f"has no derivative {other}" in answer.errors
    assert restored.run(*withdraw(restored), "--reason", " ").code == 2
