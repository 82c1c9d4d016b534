"""Several processes on one batch, or on one item: leases, how they are lost, and who takes over."""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from archive.batches.running import leases
from archive.batches.running.cancellation import cancel_batch
from archive.batches.running.claims import LeaseLostError, claim_next, reclaim_lost_tasks, release_claims
from archive.batches.running.commit import record_failure
from archive.batches.running.leases import Heartbeat, LeaseHolder
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS
from archive.catalogue.listings import get_batch
from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import NotFoundError
from tests.fake_models import StopMarks, wait_until

# `workshop` is made in conftest.py.


@pytest.fixture
def _beats_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_BEATS_PER_LEASE", 1000)


def _prepare(workshop: Any, count: int) -> int:
    workshop.model()
    for number in range(count):
        workshop.master(f"N{number}", size=(16, 16))
    batch_id: int = workshop.planned()
    return batch_id


def _processes(workshop: Any) -> int:
    return 2 if workshop.catalogue.engine.dialect.name == "sqlite" else 8


def test_many_processes_share_one_batch(workshop: Any) -> None:
    batch_id = _prepare(workshop, 16)
    processes = [workshop.worker(batch_id, pause_seconds=0.05) for _ in range(_processes(workshop))]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)
    tasks = workshop.tasks(batch_id)
    assert [(task.status, task.attempts) for task in tasks] == [(TaskStatus.DONE, 1)] * 16
    workshop.assert_whole(batch_id)


def test_two_batches_on_the_same_items_make_each_derivative_once(workshop: Any) -> None:
    first = _prepare(workshop, 6)
    second = workshop.planned()
    processes = [
        workshop.worker(batch_id, pause_seconds=0.02)
        for _ in range(_processes(workshop) // 2)
        for batch_id in (first, second)
    ]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)
    statuses = [*workshop.statuses(first), *workshop.statuses(second)]
    assert (statuses.count(TaskStatus.DONE), statuses.count(TaskStatus.SKIPPED)) == (6, 6)
    workshop.assert_whole(first, second)


def _held(workshop: Any, batch_id: int, gate: Path) -> Any:
    """A process that is stopped in the middle of its task, until the gate is taken away and it is continued."""
    process = workshop.worker(batch_id, gate=gate)
    wait_until(gate.exists)
    os.kill(process.pid, signal.SIGSTOP)
    return process


def _go_on(process: Any, gate: Path) -> None:
    gate.unlink()
    os.kill(process.pid, signal.SIGCONT)
    process.join()
    assert process.exitcode == 0


def _expire(workshop: Any) -> None:
    """Ends all leases now."""
    with workshop.catalogue.session() as session:
        session.execute(update(Task).values(lease_expires_at=workshop.catalogue.now(session)))


def test_a_process_stopped_past_its_lease_is_taken_over_and_can_not_commit(workshop: Any, tmp_path: Path) -> None:
    batch_id = _prepare(workshop, 2)
    process = _held(workshop, batch_id, tmp_path / "gate")
    _expire(workshop)
    assert workshop.run(batch_id).done == 2
    made = [(derivative.id, derivative.created_at) for derivative in workshop.derivatives()]
    _go_on(process, tmp_path / "gate")
    assert [(derivative.id, derivative.created_at) for derivative in workshop.derivatives()] == made
    assert [task.attempts for task in workshop.tasks(batch_id)] == [2, 2]
    workshop.assert_whole(batch_id)


def test_a_lease_that_ran_out_is_lost_even_if_nobody_took_the_task(workshop: Any, tmp_path: Path) -> None:
    batch_id = _prepare(workshop, 1)
    process = _held(workshop, batch_id, tmp_path / "gate")
    _expire(workshop)
    _go_on(process, tmp_path / "gate")
    assert [task.attempts for task in workshop.tasks(batch_id)] == [2]
    workshop.assert_whole(batch_id)


def test_a_process_stopped_for_less_than_its_lease_goes_on(workshop: Any, tmp_path: Path) -> None:
    batch_id = _prepare(workshop, 1)
    process = _held(workshop, batch_id, tmp_path / "gate")
    _go_on(process, tmp_path / "gate")
    assert [task.attempts for task in workshop.tasks(batch_id)] == [1]
    workshop.assert_whole(batch_id)


def test_work_that_takes_longer_than_a_lease_keeps_it(workshop: Any, tmp_path: Path) -> None:
    batch_id = _prepare(workshop, 1)
    workshop.set(lease_seconds=20)  # four beats; a slow machine may miss some
    gate = tmp_path / "gate"
    process = workshop.worker(batch_id, gate=gate)
    wait_until(gate.exists)
    time.sleep(21)
    assert reclaim_lost_tasks(workshop.catalogue, batch_id) == 0
    gate.unlink()
    process.join()
    assert [task.attempts for task in workshop.tasks(batch_id)] == [1]


def test_the_task_of_a_process_that_died_on_this_machine_is_taken_over_at_once(workshop: Any, tmp_path: Path) -> None:
    batch_id = _prepare(workshop, 1)
    workshop.set(lease_seconds=86400)
    process = workshop.worker(batch_id, gate=tmp_path / "gate")
    wait_until((tmp_path / "gate").exists)
    process.kill()
    wait_until(lambda: reclaim_lost_tasks(workshop.catalogue, batch_id))
    process.join()


def _held_by(workshop: Any) -> LeaseHolder:
    with workshop.catalogue.reading() as session:
        task = session.scalars(select(Task)).one()
    assert task.lease_host is not None
    assert task.lease_pid is not None
    assert task.lease_started is not None
    return LeaseHolder(host=task.lease_host, pid=task.lease_pid, started=task.lease_started)


def test_a_claim_records_its_holder_and_expiry(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    with workshop.catalogue.reading() as session:
        before = workshop.catalogue.now(session)
    claim = claim_next(workshop.catalogue, batch_id)
    assert claim is not None
    with workshop.catalogue.reading() as session:
        after = workshop.catalogue.now(session)
    (task,) = workshop.tasks(batch_id)
    lease = timedelta(seconds=workshop.catalogue.settings.lease_seconds)
    assert before <= task.lease_expires_at - lease <= after
    assert _held_by(workshop) == LeaseHolder.this_process()
    assert task.lease_host.startswith(socket.gethostname())
    release_claims(workshop.catalogue, claim)
    (task,) = workshop.tasks(batch_id)
    assert (task.status, task.lease_token, task.lease_expires_at, task.lease_host, task.lease_pid) == (
        TaskStatus.PENDING,
        None,
        None,
        None,
        None,
    )


@pytest.mark.usefixtures("_beats_often")
def test_a_batch_lists_workers_their_tasks_and_heartbeats(workshop: Any) -> None:
    batch_id = _prepare(workshop, 2)
    claim = claim_next(workshop.catalogue, batch_id, device="cuda:1 NVIDIA H100")
    assert claim is not None

    def worker() -> dict[str, Any]:
        with workshop.catalogue.reading() as session:
            (found,) = get_batch(session, batch_id)["workers"]
        return dict(found)

    first = worker()
    assert first == {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "device": "cuda:1 NVIDIA H100",
        "task": claim.task_id,
        "accession_number": claim.accession_number,
        "sequence": 1,
        "since": claim.started_at.isoformat(timespec="seconds"),
        "last_heartbeat": claim.started_at.isoformat(timespec="seconds"),
    }
    with Heartbeat(workshop.catalogue) as heartbeat:
        heartbeat.register(claim.token)
        wait_until(lambda: worker()["last_heartbeat"] > first["last_heartbeat"])
    assert worker()["since"] == first["since"]
    release_claims(workshop.catalogue, claim)
    with workshop.catalogue.reading() as session:
        assert get_batch(session, batch_id)["workers"] == []


def test_only_what_is_certain_is_taken_for_dead() -> None:
    here = LeaseHolder.this_process()
    assert not here.is_known_dead()
    assert LeaseHolder(host=here.host, pid=here.pid, started=here.started + 1).is_known_dead()  # its number was reused
    assert LeaseHolder(host=here.host, pid=2**22 + 1, started=1).is_known_dead()
    assert not LeaseHolder(host="another machine", pid=2**22 + 1, started=1).is_known_dead()


@pytest.mark.usefixtures("_beats_often")
def test_an_expired_lease_is_not_prolonged_and_records_nothing(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    claim = claim_next(workshop.catalogue, batch_id)
    assert claim is not None
    with Heartbeat(workshop.catalogue) as heartbeat:
        heartbeat.register(claim.token)
        assert not heartbeat.is_lost(claim.token)
        _expire(workshop)
        wait_until(lambda: heartbeat.is_lost(claim.token))
    with pytest.raises(LeaseLostError):
        record_failure(workshop.catalogue, claim, "too late")
    assert reclaim_lost_tasks(workshop.catalogue, batch_id) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_claim_passes_over_a_task_that_another_is_claiming(workshop: Any) -> None:
    batch_id = _prepare(workshop, 2)
    first, second = workshop.tasks(batch_id)
    with workshop.catalogue.session() as session:
        session.execute(select(Task).where(Task.id == first.id).with_for_update())
        claim = claim_next(workshop.catalogue, batch_id)
    assert claim is not None
    assert claim.task_id == second.id


def test_a_claim_looks_at_no_more_tasks_than_it_takes(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    with workshop.catalogue.session() as session:
        sqlite = session.get_bind().dialect.name == "sqlite"
        if not sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            session.execute(text("SET LOCAL enable_sort = off"))
        statement = "SELECT id FROM tasks WHERE batch_id = :id AND status = 'pending' ORDER BY attempts, id LIMIT 1"
        explain = text(f"EXPLAIN {'QUERY PLAN' if sqlite else ''} {statement}")
        plan = str(session.execute(explain, {"id": batch_id}).all())
    assert "ix_tasks_batch_id_status_attempts_id" in plan
    assert "B-TREE" not in plan
    assert "Sort" not in plan


def test_a_claim_takes_few_statements_each_of_which_is_a_round_trip(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(workshop.catalogue.engine, "before_cursor_execute", note)
    assert claim_next(workshop.catalogue, batch_id)
    event.remove(workshop.catalogue.engine, "before_cursor_execute", note)
    assert len([each for each in statements if each.startswith(("SELECT", "UPDATE"))]) == 2, statements


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_commit_but_that_of_a_claim_goes_without_the_disk(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    with workshop.catalogue.keeping_connection() as catalogue:
        with catalogue.session() as session:
            before = session.scalar(text("SHOW synchronous_commit"))
        assert claim_next(catalogue, batch_id)
        with catalogue.session() as session:
            assert session.scalar(text("SHOW synchronous_commit")) == before == "on"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_commit_of_a_skipped_task_waits_for_the_disk(workshop: Any) -> None:
    workshop.run(_prepare(workshop, 1))
    with workshop.catalogue.session() as session:
        session.execute(update(Task).values(status=TaskStatus.PENDING, derivative_id=None))
    told: list[str] = []
    with workshop.catalogue.keeping_connection() as catalogue:
        event.listen(
            catalogue.engine,
            "commit",
            lambda connection: told.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()),
        )
        claim = claim_next(catalogue, 1)
        assert claim is not None
        assert claim.already_made
    assert told == ["on"]


def test_masters_on_which_a_process_died_come_last(workshop: Any) -> None:
    batch_id = _prepare(workshop, 2)
    first = claim_next(workshop.catalogue, batch_id)
    assert first is not None
    _expire(workshop)
    reclaim_lost_tasks(workshop.catalogue, batch_id)
    second = claim_next(workshop.catalogue, batch_id)
    assert second is not None
    assert second.task_id != first.task_id


def test_cancelling_gives_up_what_is_pending_and_lets_a_living_process_finish(workshop: Any, tmp_path: Path) -> None:
    batch_id = _prepare(workshop, MAX_IN_FLIGHT_TASKS + 2)
    gate = tmp_path / "gate"
    process = workshop.worker(batch_id, gate=gate)
    wait_until(gate.exists)
    outcome = cancel_batch(workshop.catalogue, batch_id)
    assert (outcome.cancelled, outcome.running) == (2, MAX_IN_FLIGHT_TASKS)
    gate.unlink()
    process.join()
    assert process.exitcode == 0
    assert workshop.statuses(batch_id) == [TaskStatus.DONE] * MAX_IN_FLIGHT_TASKS + [TaskStatus.CANCELLED] * 2
    assert len(workshop.files()) == len(workshop.derivatives()) == MAX_IN_FLIGHT_TASKS
    assert workshop.run(batch_id).done == MAX_IN_FLIGHT_TASKS  # nothing is taken up again
    assert workshop.plan(dry_run=True).tasks == 2


def test_cancelling_removes_what_a_dead_process_left(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    process = workshop.worker(batch_id, failpoint="restore")
    process.join()
    assert len(workshop.files()) == 1
    outcome = cancel_batch(workshop.catalogue, batch_id)
    assert (outcome.cancelled, outcome.running) == (1, 0)
    assert workshop.files() == []


def test_a_batch_that_is_not_there_can_not_be_cancelled(workshop: Any) -> None:
    with pytest.raises(NotFoundError, match="No batch 7"):
        cancel_batch(workshop.catalogue, 7)


def test_a_second_process_waits_for_the_first_ones_task_and_takes_over_when_it_dies(
    workshop: Any, tmp_path: Path
) -> None:
    batch_id = _prepare(workshop, 1)
    gate = tmp_path / "gate"
    first = workshop.worker(batch_id, gate=gate)
    wait_until(gate.exists)
    second = workshop.worker(batch_id)
    second.join(timeout=0.5)
    assert second.is_alive()
    first.kill()
    first.join()
    second.join()
    assert second.exitcode == 0
    workshop.assert_whole(batch_id)


@pytest.mark.parametrize(("signals", "done"), [(1, 1), (2, 0)])
def test_ctrl_c_once_ends_the_in_flight_task_and_twice_stops_now(
    workshop: Any, tmp_path: Path, signals: int, done: int
) -> None:
    batch_id = _prepare(workshop, 3)
    gate = tmp_path / "gate"
    (tmp_path / "marks").mkdir()
    marks = StopMarks(folder=tmp_path / "marks")
    process = workshop.worker(batch_id, gate=gate, marks=marks)
    wait_until(gate.exists)
    for mark in ("asked", "aborted")[:signals]:
        os.kill(process.pid, signal.SIGINT)
        marks.wait_for(mark)
    gate.unlink()
    process.join()
    assert process.exitcode == 130
    statuses = workshop.statuses(batch_id)
    assert (statuses.count(TaskStatus.DONE), statuses.count(TaskStatus.PENDING)) == (done, 3 - done)
    workshop.run(batch_id)
    workshop.assert_whole(batch_id)
