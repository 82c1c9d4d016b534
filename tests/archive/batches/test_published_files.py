"""The files that a batch publishes and those on the way: none is written over, lost or left behind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from archive.batches.running import commit, task_processing, task_thread_pool
from archive.catalogue.schema.tables import Derivative, Event, Master, QualityScore, Task
from archive.catalogue.schema.vocabularies import FileFault, TaskStatus
from tests.fake_models import FakeStage, once

CANCELLED, RUNNING = TaskStatus.CANCELLED, TaskStatus.RUNNING

ANOTHER = "0" * 32  # another holder's token


def test_the_temporary_file_lies_beside_the_final_one_and_bears_the_token(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A")
    seen: list[tuple[Path, str | None]] = []
    make = task_processing.process_task

    def watched(claim: Any, models: Any, *, temporary: Path, **options: Any) -> Any:
        seen.append((temporary, workshop.tasks(batch_id)[0].lease_token))
        return make(claim, models, temporary=temporary, **options)

    monkeypatch.setattr(task_thread_pool, "process_task", watched)
    workshop.run(batch_id)
    ((temporary, token),) = seen
    assert token is not None
    assert token in temporary.name
    assert temporary.parent == workshop.files()[0].parent


def _taken_over(workshop: Any) -> None:
    with workshop.catalogue.session() as session:
        session.execute(update(Task).values(status=CANCELLED, lease_token=ANOTHER))


def test_a_lost_lease_publishes_nothing(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    result = workshop.run(batch_id, FakeStage(once(lambda: _taken_over(workshop))))
    assert (result.done, result.failed) == (0, 0)
    assert (workshop.files(), workshop.derivatives()) == ([], [])
    (task,) = workshop.tasks(batch_id)
    assert (task.status, task.lease_token) == (CANCELLED, ANOTHER)


def test_a_failure_after_a_lost_lease_marks_nothing(workshop: Any) -> None:
    batch_id = workshop.prepared("A")

    def taken() -> None:
        _taken_over(workshop)
        raise RuntimeError("broken as well")

    assert workshop.run(batch_id, FakeStage(once(taken))).failed == 0
    assert workshop.statuses(batch_id) == [CANCELLED]


def test_a_task_of_a_dead_run_is_taken_back_and_its_temporary_file_swept(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    workshop.run(batch_id)
    # As a run leaves it that is killed: the task running, its file half written.
    (derivative,) = workshop.derivatives()
    final = workshop.catalogue.settings.home / derivative.path
    with workshop.catalogue.session() as session:
        session.execute(update(Task).values(status=RUNNING, lease_token=ANOTHER, derivative_id=None))
        session.execute(update(Master).values(current_restored_id=None))
        for table in (QualityScore, Event, Derivative):
            for row in session.scalars(select(table)):
                session.delete(row)
    final.unlink()
    leftover = final.with_name(f".{final.name}.{ANOTHER}.partial")
    leftover.write_bytes(b"half")
    assert workshop.run(batch_id).done == 1
    assert workshop.files() == [final]


def test_temporary_files_of_living_holders_are_left_alone(workshop: Any) -> None:
    first = workshop.prepared("A")
    second = workshop.planned()
    seen: list[list[str]] = []

    def second_holder() -> None:
        workshop.run(first)
        seen.append([path.name for path in workshop.files() if path.name.startswith(".")])

    workshop.run(second, FakeStage(once(second_holder)))
    assert [len(names) for names in seen] == [1]
    assert len(workshop.files()) == 1


def test_a_file_published_by_a_run_that_died_before_its_commit_is_replaced(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commit, "_write_rows", killed)
    assert workshop.run(batch_id).interrupted
    (orphan,) = workshop.files()
    assert workshop.derivatives() == []
    orphan.write_bytes(b"what a run of another version may have made")
    monkeypatch.undo()
    assert workshop.run(batch_id).done == 1
    (derivative,) = workshop.derivatives()
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in workshop.files()] == [derivative.sha256]


def test_where_a_renumbered_master_left_its_derivative_the_next_one_gets_another_name(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    workshop.run(batch_id)
    workshop.master("B", size=(16, 16))
    second = workshop.planned()
    with workshop.catalogue.session() as session:
        # As where B's name and sequence were A's before: A's file has the name that B's is to have.
        (derivative,) = session.scalars(select(Derivative))
        taken = derivative.path.replace("A/A_", "B/B_")
        home = workshop.catalogue.settings.home
        (home / taken).parent.mkdir()
        (home / derivative.path).rename(home / taken)
        derivative.path = taken
    data = (home / taken).read_bytes()
    result = workshop.run(second)
    assert (result.done, result.failed) == (1, 0)
    assert (home / taken).read_bytes() == data
    path = workshop.derivatives()[1].path
    assert path == taken.replace(".tif", f"-{workshop.masters()[1].sha256[:8]}.tif")
    assert (home / path).is_file()


def test_the_bytes_of_another_derivative_are_never_written_over(workshop: Any) -> None:
    workshop.run(workshop.prepared("A"))
    workshop.master("B", size=(16, 16))

    def take() -> None:  # while B is made, A's row gets the name that B's is to have
        with workshop.catalogue.session() as session:
            (derivative,) = session.scalars(select(Derivative))
            derivative.path = derivative.path.replace("A/A_", "B/B_")

    result = workshop.run(workshop.planned(), FakeStage(once(take)))
    assert "another derivative" in result.failures[0].reason


def test_a_name_that_differs_in_case_alone_is_not_written_over(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    workshop.run(batch_id)
    workshop.master("a", size=(16, 16))
    second = workshop.planned()
    home = workshop.catalogue.settings.home
    (first,) = workshop.derivatives()
    taken = home / first.path.replace("A/A_", "a/a_")
    # As on a file system that takes the one name for the other.
    taken.parent.mkdir()
    taken.hardlink_to(home / first.path)
    data = taken.read_bytes()
    result = workshop.run(second)
    assert f"the same file as {first.path}" in result.failures[0].reason
    assert taken.read_bytes() == data


def test_a_lost_derivative_without_a_provenance_is_made_only_once(workshop: Any) -> None:
    batch_id, stage = workshop.prepared("A"), FakeStage()
    workshop.run(batch_id, stage)
    (path,) = workshop.files()
    path.unlink()
    with workshop.catalogue.session() as session:
        derivative = session.scalars(select(Derivative)).one()
        derivative.file_fault = FileFault.MISSING
        derivative.environment = {key: value for key, value in derivative.environment.items() if key != "provenance"}
    again = FakeStage()

    assert workshop.run(workshop.planned(), again).done == 1

    assert again.calls == stage.calls
