"""Several worker processes under one supervisor: the work is shared, crashes and Ctrl-C lose nothing."""

from __future__ import annotations

import errno
import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from archive.batches.running import supervised_batch, supervisor, worker_count
from archive.batches.running.claims import reclaim_lost_tasks
from archive.batches.running.runner import BatchResult, run_batch
from archive.batches.running.supervised_batch import SupervisedBatch
from archive.batches.running.worker_count import place_workers
from archive.batches.running.worker_loop import WorkerOptions
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS, WORKER_MEMORY_BYTES
from archive.catalogue.listings import get_batch
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import BatchError, UsageError
from archive.interruption import StopRequest
from archive.progress_reporting import NoProgress
from restoration.pipeline.loaded_models import LoadedModels
from tests.fake_models import FakeModelLoader, StopMarks, wait_until
from tests.worker_kills import WorkerKiller, digest_derivatives, worker_processes

# `workshop` is made in conftest.py.

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
OPTIONS = WorkerOptions(device="cpu", precision="fp32")


@dataclass
class Counted:
    """A progress listener that keeps what it was told."""

    total: int = 0
    advanced: int = 0
    notes: set[str] = field(default_factory=set)
    finished: bool = False

    def start(self, total: int, what: str, *, work: int | None = None) -> None:
        assert (what, work) == ("masters", 256 * total)
        self.total = total

    def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
        assert work == 256 * n
        self.advanced += n
        self.notes.add(note)

    def interrupted(self, by: str) -> None:
        pass

    def finish(self) -> None:
        self.finished = True


def _prepare(workshop: Any, count: int) -> int:
    workshop.model()
    for number in range(count):
        workshop.master(f"N{number:02}", size=(16, 16))
    batch_id: int = workshop.planned()
    return batch_id


@pytest.fixture
def marks(tmp_path: Path) -> StopMarks:
    (folder := tmp_path / "marks").mkdir()
    return StopMarks(folder=folder)


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _run(workshop: Any, batch_id: int, workers: int = 2, **options: Any) -> BatchResult:
    loader = options.pop("loader", FakeModelLoader())
    return run_batch(workshop.catalogue, batch_id, device="cpu", workers=workers, make_models=loader, **options)


@pytest.mark.slow
def test_workers_share_a_batch_and_progress_is_the_catalogue_s(workshop: Any) -> None:
    batch_id = _prepare(workshop, 12)
    told = Counted()
    result = _run(workshop, batch_id, loader=FakeModelLoader(pause_seconds=0.1), progress=told)
    assert (result.done, result.failed, result.interrupted) == (12, 0, False)
    assert (told.total, told.advanced, told.finished) == (12, 12, True)
    assert told.notes & {f"N{number:02}" for number in range(12)}
    workshop.assert_whole(batch_id)
    made_by = {derivative.environment["threads"] for derivative in workshop.derivatives()}
    assert made_by == {1}
    assert not worker_processes()


@SQLITE
def test_progress_is_complete_at_the_end_however_short_before_tasks_were_counted(workshop: Any) -> None:
    batch_id = _prepare(workshop, 3)
    told = Counted()
    batch = SupervisedBatch(workshop.catalogue, batch_id, told, None)
    batch.begin()
    batch.show_progress()
    workshop.run(batch_id)
    batch.end()
    assert (told.total, told.advanced, told.finished) == (3, 3, True)


@pytest.mark.slow
@SQLITE
def test_a_worker_that_is_killed_is_started_again(workshop: Any, tmp_path: Path) -> None:
    batch_id = _prepare(workshop, 6)
    (kill := tmp_path / "kill").touch()
    assert _run(workshop, batch_id, loader=FakeModelLoader(kill=kill)).done == 6
    assert not kill.exists()
    workshop.assert_whole(batch_id)


@pytest.mark.slow
@SQLITE
def test_workers_that_crash_again_and_again_stop_the_batch_and_name_the_masters(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, 2)
    monkeypatch.setattr(supervised_batch, "CRASHES_PER_WORKER", 1)
    with pytest.raises(BatchError, match=rf"SIGKILL.*most often: N0\d \(1\).*batch resume {batch_id}"):
        _run(workshop, batch_id, loader=FakeModelLoader(always_kill=True))
    assert workshop.statuses(batch_id) == [TaskStatus.PENDING] * 2
    assert _run(workshop, batch_id).done == 2
    workshop.assert_whole(batch_id)


@SQLITE
def test_masters_on_which_workers_crashed_are_named_whoever_saw_it_first(
    workshop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = _prepare(workshop, 3)
    batch = SupervisedBatch(workshop.catalogue, batch_id, NoProgress(), None)
    process = workshop.worker(batch_id, failpoint="claim")
    process.join()
    assert reclaim_lost_tasks(workshop.catalogue, batch_id) == 1  # as another worker does, before the supervisor
    assert caplog.messages == ["returned to pending, because their worker died or its lease expired: N00 (1)"]
    batch.record_crash("was ended by SIGKILL")
    with pytest.raises(BatchError, match=r"was ended by SIGKILL\. Look at .*masters begun most often: N00 \(1\), then"):
        batch.conclude(StopRequest())


@pytest.mark.slow
@SQLITE
def test_an_error_that_stops_the_batch_comes_from_the_worker_to_the_caller(workshop: Any) -> None:
    batch_id = _prepare(workshop, 4)
    workshop.scans.rename(workshop.scans.with_name("unmounted"))
    with pytest.raises(BatchError, match=r"is absent.*mount or restore it"):
        _run(workshop, batch_id)
    assert workshop.statuses(batch_id) == [TaskStatus.PENDING] * 4


def _unreachable(*_: object) -> LoadedModels:
    raise OSError(errno.ESTALE, "Stale file handle", "/mnt/nas/models")


@SQLITE
def test_an_error_of_the_operating_system_in_a_worker_is_no_crash(workshop: Any) -> None:
    batch_id = _prepare(workshop, 2)
    with pytest.raises(BatchError, match=rf"Stale file handle: '/mnt/nas/models'\. Fix that, then.*resume {batch_id}"):
        _run(workshop, batch_id, loader=_unreachable)
    assert workshop.statuses(batch_id) == [TaskStatus.PENDING] * 2


@pytest.mark.slow
@SQLITE
@pytest.mark.parametrize(("signals", "done"), [(1, 2), (2, 0)])
def test_ctrl_c_once_ends_tasks_in_flight_and_twice_stops_now(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: StopMarks, signals: int, done: int
) -> None:
    batch_id = _prepare(workshop, 9)
    (gate := tmp_path / "gate").mkdir()
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 600)

    def interrupt() -> None:
        wait_until(lambda: len(list(gate.iterdir())) == 2)
        for mark in ("asked", "aborted")[:signals]:
            os.kill(os.getpid(), signal.SIGINT)
            marks.wait_for(mark, processes=2)
        for waiting in gate.iterdir():
            waiting.unlink()

    threading.Thread(target=interrupt, daemon=True).start()
    result = _run(workshop, batch_id, loader=FakeModelLoader(gate=gate), set_up_worker=marks)
    assert result.interrupted
    assert (result.done, result.pending) == (done, 9 - done)
    assert not worker_processes()
    assert not [path for path in workshop.files() if path.name.startswith(".")]
    _run(workshop, batch_id)
    workshop.assert_whole(batch_id)


@pytest.mark.slow
@SQLITE
def test_a_sigterm_to_all_processes_ends_tasks_in_flight(workshop: Any, tmp_path: Path, marks: StopMarks) -> None:
    batch_id = _prepare(workshop, 9)
    (gate := tmp_path / "gate").mkdir()

    def terminate() -> None:
        wait_until(lambda: len(list(gate.iterdir())) == 2)
        for process in (*worker_processes(), psutil.Process()):  # as a service manager does
            process.send_signal(signal.SIGTERM)
        marks.wait_for("asked", processes=2)
        for waiting in gate.iterdir():
            waiting.unlink()

    threading.Thread(target=terminate, daemon=True).start()
    result = _run(workshop, batch_id, loader=FakeModelLoader(gate=gate), set_up_worker=marks)
    assert (result.interrupted, result.done, result.pending) == (True, 2, 7)
    assert not worker_processes()
    with workshop.catalogue.reading() as session:
        assert get_batch(session, batch_id)["last_run"]["reason"] == "SIGTERM"


@pytest.mark.slow
@SQLITE
def test_workers_whose_supervisor_is_killed_finish_what_they_have_and_end(
    workshop: Any, tmp_path: Path, marks: StopMarks
) -> None:
    batch_id = _prepare(workshop, 9)
    (gate := tmp_path / "gate").mkdir()
    process = workshop.worker(batch_id, workers=2, loader=FakeModelLoader(gate=gate), marks=marks)
    wait_until(lambda: len(list(gate.iterdir())) == 2)
    workers = [psutil.Process(int(path.name)) for path in gate.iterdir()]
    process.kill()
    process.join()
    marks.wait_for("asked", processes=2)
    for waiting in gate.iterdir():
        waiting.unlink()
    wait_until(lambda: not any(map(_is_running, workers)))
    statuses = workshop.statuses(batch_id)
    assert (statuses.count(TaskStatus.DONE), statuses.count(TaskStatus.PENDING)) == (2, 7)


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing_and_make_nothing_twice(workshop: Any) -> None:
    batch_ids = [_prepare(workshop, 18)]
    workshop.model("2.0")
    batch_ids.append(workshop.planned(model="mend@2.0"))
    random = Random(3)  # noqa: S311
    for batch_id in batch_ids:
        with WorkerKiller(workshop.catalogue, workers=3, within_seconds=0.5, random=random) as killer:
            result = _run(workshop, batch_id, workers=3, loader=FakeModelLoader(pause_seconds=0.3))
        assert killer.kills
        assert result.done == 18
    workshop.assert_whole(*batch_ids)


def test_auto_is_one_worker_on_a_processor() -> None:
    assert place_workers("auto", OPTIONS, 1000) == [OPTIONS]


def test_workers_share_gpus_in_turn_and_cores_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_count, "_gpus", lambda _device: ["cuda:0", "cuda:1"])
    monkeypatch.setattr(worker_count, "count_cores", lambda: 12)
    monkeypatch.setattr(worker_count, "machine_memory", lambda: 5 * WORKER_MEMORY_BYTES)
    placed = place_workers("auto", OPTIONS, 1000)
    assert [worker.device for worker in placed] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]
    assert {worker.threads for worker in placed} == {2}
    assert len(place_workers("auto", OPTIONS, 2 * MAX_IN_FLIGHT_TASKS)) == 2
    assert len(place_workers(4, OPTIONS, 3)) == 3


def test_more_workers_than_the_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_count, "machine_memory", lambda: 7 * 1024**3)
    with pytest.raises(UsageError, match=r"3 workers may need 9 GiB.*has 7 GiB. Give --workers 2 at most"):
        place_workers(3, OPTIONS, 1000)


@pytest.mark.slow
def test_two_workers_make_the_same_files_as_one(tmp_path: Path) -> None:
    from tests.small_archive import SmallArchive, command, write_model, write_scan

    made = []
    for workers in (1, 2):
        home, scans = tmp_path / f"home-{workers}", tmp_path / "scans"
        if workers == 1:
            write_model(tmp_path / "model")
            for number in range(6):
                write_scan(scans / f"N{number}.tif", seed=number, width=200, height=150, bits=16)
        assert command("init", home).code == 0
        small = SmallArchive(home=home, scans=scans)
        small.done("ingest", scans)
        small.done("model", "add", tmp_path / "model")
        restored = small.done("restore", "--model", "denoise-deblur@9.0", "--device", "cpu", "--workers", str(workers))
        assert "6 done, 0 failed" in restored.output
        made.append(digest_derivatives(home))
    assert len(made[0]) == 6
    assert made[0] == made[1]
