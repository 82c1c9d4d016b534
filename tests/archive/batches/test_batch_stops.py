"""What ends a whole batch before its last task: trouble that is not one scan's, signals, the time of day."""

from __future__ import annotations

import errno
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from archive import storage
from archive.batches.running import commit, model_preflight, runner
from archive.batches.running.interruption import Termination
from archive.batches.running.last_run import is_run_lost, record_begin, record_end
from archive.batches.running.leases import LeaseHolder
from archive.batches.running.runner import run_batch
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS
from archive.catalogue.listings import get_batch
from archive.catalogue.schema.tables import Batch, Recipe, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import BatchError, ModelRegistryError, NotFoundError
from archive.progress_reporting import NoProgress
from restoration.errors import DeviceError
from restoration.image import TiffSink
from restoration.pipeline.loaded_models import LoadedModels
from tests.fake_models import FakeModels, FakeStage, once, raising, wait_until

DONE, PENDING = TaskStatus.DONE, TaskStatus.PENDING


def assert_interrupted(workshop: Any, batch_id: int, reason: str) -> None:
    """Lists show that the batch was begun and waits to be resumed, and why its last run stopped."""
    with workshop.catalogue.reading() as session:
        found = get_batch(session, batch_id)
    assert found["status"] == "interrupted"
    assert re.search(reason, found["last_run"]["reason"])
    assert found["last_run"]["begun_at"] <= found["last_run"]["ended_at"] == found["last_worked_at"]


@pytest.mark.parametrize("leave_an_empty_folder", [False, True])
def test_an_absent_or_empty_root_stops_the_batch_and_marks_nothing(workshop: Any, leave_an_empty_folder: bool) -> None:
    workshop.model()
    workshop.master("A")
    workshop.master("B", root="share")
    workshop.master("C", root="share")
    batch_id = workshop.planned()
    shutil.rmtree(workshop.scans / "share")
    if leave_an_empty_folder:
        (workshop.scans / "share").mkdir()
    with pytest.raises(BatchError, match=r"share.*batch resume"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING, PENDING, PENDING]
    assert workshop.masters()[1].last_task_status is None
    assert_interrupted(workshop, batch_id, r"share.*batch resume")


def test_one_missing_file_is_not_a_folder_that_is_gone(workshop: Any) -> None:
    workshop.model()
    workshop.master("A")
    Path(workshop.masters()[0].path).unlink()
    result = workshop.run(workshop.planned())
    assert "is missing" in result.failures[0].reason


def test_the_last_files_missing_are_not_a_folder_that_is_gone(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B", "C")
    for number in (1, 2):
        Path(workshop.masters()[number].path).unlink()
    result = workshop.run(batch_id)
    assert (result.done, result.failed) == (1, 2)


def test_the_folder_of_masters_that_are_done_may_be_away(workshop: Any) -> None:
    workshop.model()
    for accession_number, root in (("A", "done"), ("B", "done"), ("C", "open")):
        workshop.master(accession_number, root=root)
    batch_id = workshop.planned()
    with workshop.catalogue.session() as session:
        session.execute(update(Task).where(Task.id != workshop.tasks(batch_id)[2].id).values(status=DONE))
    shutil.rmtree(workshop.scans / "done")
    assert workshop.run(batch_id).done == 3


def test_a_root_that_goes_away_in_mid_batch_stops_it_and_marks_nothing(workshop: Any) -> None:
    batch_id = workshop.prepared(*"ABCDEFGH")
    unmount = workshop.scans.rename
    with pytest.raises(BatchError, match="absent"):
        workshop.run(batch_id, FakeStage(once(lambda: unmount(workshop.scans.with_name("elsewhere")))))
    # Those that were open are safe; the next was not found, and waits with those behind it.
    statuses = workshop.statuses(batch_id)
    assert set(statuses) <= {DONE, PENDING}
    assert statuses.count(PENDING) >= 8 - MAX_IN_FLIGHT_TASKS
    assert len(workshop.files()) == statuses.count(DONE)
    workshop.scans.with_name("elsewhere").rename(workshop.scans)
    assert workshop.run(batch_id).done == 8


@pytest.mark.parametrize(("where", "step"), [(storage, "make_folder"), (TiffSink, "write"), (commit, "publish")])
def test_a_full_disk_stops_the_batch_and_marks_nothing(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, where: Any, step: str
) -> None:
    batch_id = workshop.prepared("A", "B")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, step, full)
    with pytest.raises(BatchError, match=r"No space left.*Make room"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING, PENDING]
    assert workshop.files() == []
    monkeypatch.undo()
    assert workshop.run(batch_id).done == 2


def test_derivatives_that_can_t_be_written_stop_the_batch_and_mark_nothing(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A", "B")
    folder = workshop.catalogue.settings.home / "derivatives" / "A"

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(storage, "make_folder", denied)
    with pytest.raises(BatchError, match=r"Permission denied.*Make .*derivatives writable.*batch resume 1"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING, PENDING]


def test_changed_weights_stop_the_batch_before_its_first_task(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    kept = workshop.catalogue.settings.home / "models" / "mend" / "1.0" / "weights.safetensors"
    kept.write_bytes(kept.read_bytes() + b"?")
    with pytest.raises(ModelRegistryError, match="not those registered"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING]
    assert workshop.tasks(batch_id)[0].attempts == 0


def test_a_device_that_is_not_there_stops_the_batch_before_its_first_task(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    with pytest.raises(BatchError, match="cuda:77"):
        run_batch(workshop.catalogue, batch_id, device="cuda:77", make_models=LoadedModels)
    assert workshop.statuses(batch_id) == [PENDING]


def test_a_failing_device_stops_the_batch_and_marks_nothing(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B")
    with pytest.raises(BatchError, match=r"no CUDA device.*resume.*--device cpu"):
        workshop.run(batch_id, FakeStage(raising(DeviceError("no CUDA device"))))
    assert workshop.statuses(batch_id) == [PENDING, PENDING]
    assert workshop.files() == []
    assert workshop.run(batch_id).done == 2


def test_a_batch_planned_for_another_pipeline_is_refused(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = workshop.prepared("A")
    monkeypatch.setattr(model_preflight, "PIPELINE_VERSION", 99)
    with pytest.raises(BatchError, match="plan it again"):
        workshop.run(batch_id)


def test_a_recipe_that_can_not_be_read_stops_the_batch_and_marks_nothing(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    with workshop.catalogue.session() as session:
        session.execute(update(Recipe).values(canonical_json="{}"))
    with pytest.raises(BatchError, match=r"recipe 1, .* can't be read.*backup"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING]


def test_a_batch_that_is_not_there_is_not_found(workshop: Any) -> None:
    with pytest.raises(NotFoundError, match="No batch 7"):
        workshop.run(7)


def test_a_database_that_fails_in_mid_batch_stops_it_and_the_batch_can_be_resumed(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A", "B")

    def lost(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the connection is gone"))

    monkeypatch.setattr(commit, "_write_rows", lost)
    with pytest.raises(BatchError, match=f"connection is gone.*batch resume {batch_id}"):
        workshop.run(batch_id)
    assert not [path for path in workshop.files() if path.name.startswith(".")]
    assert_interrupted(workshop, batch_id, "connection is gone")
    monkeypatch.undo()
    assert workshop.run(batch_id).done == 2


class Told(NoProgress):
    """Progress that knows when the batch has noticed a Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self._noticed = threading.Event()
        self.by = ""

    def interrupt(self, how: signal.Signals = signal.SIGINT) -> None:
        os.kill(os.getpid(), how)
        assert self._noticed.wait(60)

    def interrupted(self, by: str) -> None:
        self.by = by
        self._noticed.set()


def all_are_in_flight() -> bool:
    """Whether as many tasks are worked on as may be."""
    return sum(thread.name.startswith("task-") for thread in threading.enumerate()) == MAX_IN_FLIGHT_TASKS


@pytest.mark.parametrize(
    ("how", "reason"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP (closed terminal)")],
)
def test_the_first_interrupt_ends_what_the_device_has_begun_and_the_rest_can_be_resumed(
    workshop: Any, how: signal.Signals, reason: str
) -> None:
    batch_id = workshop.prepared("A", "B", "C", "D")
    before = signal.getsignal(how)
    told = Told()

    def interrupt() -> None:
        wait_until(all_are_in_flight)
        told.interrupt(how)

    result = workshop.run(batch_id, FakeStage(once(interrupt)), progress=told)
    assert (result.interrupted, result.done, result.pending) == (True, 1, 3)
    assert told.by == reason
    assert workshop.statuses(batch_id).count(PENDING) == 3
    assert len(workshop.files()) == 1
    assert signal.getsignal(how) is before
    assert_interrupted(workshop, batch_id, re.escape(reason))
    resumed = workshop.run(batch_id)
    assert (resumed.interrupted, resumed.done, resumed.pending) == (False, 4, 0)
    with workshop.catalogue.reading() as session:
        found = get_batch(session, batch_id)
    assert (found["status"], found["last_run"]["reason"]) == ("done", None)


def test_a_ctrl_c_while_models_are_loaded_is_recorded(workshop: Any) -> None:
    batch_id = workshop.prepared("A")

    def interrupted(*_: object) -> FakeModels:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(workshop.catalogue, batch_id, make_models=interrupted)
    assert workshop.tasks(batch_id)[0].attempts == 0
    assert_interrupted(workshop, batch_id, "Ctrl-C")


@pytest.mark.parametrize("on_ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_a_sigterm_while_models_are_loaded_is_recorded(workshop: Any, on_ctrl_c: Any) -> None:
    batch_id = workshop.prepared("A")

    def terminated(*_: object) -> FakeModels:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it was not ended")

    before = signal.signal(signal.SIGINT, on_ctrl_c)  # a background job of a shell ignores Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            run_batch(workshop.catalogue, batch_id, make_models=terminated)
    finally:
        signal.signal(signal.SIGINT, before)
    assert_interrupted(workshop, batch_id, "SIGTERM")


_STOPS_WITH_ITS_TERMINAL = """
import fcntl, pathlib, sys, termios, time
from archive.batches.running.interruption import Interruption, Termination
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # its controlling terminal, as a shell's
with Termination() as termination, Interruption() as stop:
    print("ready", flush=True)
    while not stop.requested:
        time.sleep(0.01)
    print("the terminal is gone", flush=True)
    print("the terminal is gone", file=sys.stderr, flush=True)
    pathlib.Path(sys.argv[1]).write_text(termination.reason)
"""


def test_a_run_whose_terminal_is_closed_stops_in_order(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _STOPS_WITH_ITS_TERMINAL, str(tmp_path / "reason")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    assert os.read(ours, 5) == b"ready"
    os.close(ours)
    assert process.wait(60) == 0
    assert (tmp_path / "reason").read_text() == "SIGHUP (closed terminal)"


def test_a_second_sighup_does_not_stop_at_once(workshop: Any) -> None:
    """A closed terminal sends one, and its shell another."""
    batch_id = workshop.prepared("A", "B", "C", "D")
    told = Told()

    def twice() -> None:
        wait_until(all_are_in_flight)
        told.interrupt(signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)

    result = workshop.run(batch_id, FakeStage(once(twice)), progress=told)
    assert (result.interrupted, result.done, result.pending) == (True, 1, 3)


def test_a_stop_after_which_nothing_is_left_needs_no_resuming(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    told = Told()
    result = workshop.run(batch_id, FakeStage(once(told.interrupt)), progress=told)
    assert (result.interrupted, result.done, result.pending) == (False, 1, 0)


def test_a_sighup_stays_ignored_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Termination():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_interrupt_stops_at_once_and_leaves_no_temporary_file(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B", "C", "D")
    told = Told()

    def twice() -> None:
        wait_until(all_are_in_flight)
        told.interrupt()
        os.kill(os.getpid(), signal.SIGINT)

    result = workshop.run(batch_id, FakeStage(once(twice)), progress=told)
    assert (result.interrupted, result.done, result.pending) == (True, 0, 4)
    assert workshop.files() == []
    assert workshop.statuses(batch_id) == [PENDING] * 4
    assert workshop.run(batch_id).done == 4


def test_a_lost_run_is_known_on_its_machine_also_after_a_restart(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    record_begin(workshop.catalogue, batch_id)

    def is_lost(**changes: Any) -> bool:
        with workshop.catalogue.session() as session:
            batch = session.get_one(Batch, batch_id)
            assert batch.last_run is not None
            process = {**asdict(LeaseHolder.this_process()), **changes}
            batch.last_run = {**batch.last_run, "process": process}
            return is_run_lost(session, batch_id)

    here = LeaseHolder.this_process()
    name, _, numbers = here.host.split()
    assert not is_lost()
    assert is_lost(started=here.started - 1)  # its process id was given to another process
    assert is_lost(host=f"{name} another-boot {numbers}")
    assert not is_lost(host=f"elsewhere another-boot {numbers}")
    record_end(workshop.catalogue, batch_id, datetime(2026, 5, 1), "Ctrl-C")
    with workshop.catalogue.reading() as session:
        assert not is_run_lost(session, batch_id)


def test_no_more_tasks_are_taken_at_the_time_of_day(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B", "C")
    moments = iter([datetime(2026, 5, 1, 22, 0), datetime(2026, 5, 2, 5, 59), datetime(2026, 5, 2, 6, 0)])
    result = workshop.run(batch_id, until=time(6, 0), clock=lambda: next(moments))
    assert (result.done, result.pending, result.interrupted) == (1, 2, False)
    assert_interrupted(workshop, batch_id, "--until")


def test_a_time_of_day_is_the_next_one() -> None:
    now = datetime(2026, 5, 1, 22, 0)
    assert runner.next_occurrence(time(23, 0), now) - now == timedelta(hours=1)
    assert runner.next_occurrence(time(22, 0), now) - now == timedelta(days=1)
    assert runner.next_occurrence(time(6, 0), now) == datetime(2026, 5, 2, 6, 0)
