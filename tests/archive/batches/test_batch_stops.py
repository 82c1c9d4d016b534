"""What ends a whole batch before its last task: trouble that is not one scan's, the time of day."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from time import tzset
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from archive import storage
from archive.batches.running import commit, model_preflight, runner, worker_loop
from archive.batches.running.last_run import is_run_lost, record_begin, record_end
from archive.batches.running.leases import LeaseHolder
from archive.batches.running.runner import run_batch
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS
from archive.catalogue.schema.tables import Batch, Recipe, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import BatchError, ModelRegistryError, NotFoundError
from restoration.errors import DeviceError
from restoration.image import TiffSink
from restoration.pipeline.loaded_models import LoadedModels
from tests.fake_models import FakeStage, once, raising

DONE, PENDING = TaskStatus.DONE, TaskStatus.PENDING


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
    workshop.assert_interrupted(batch_id, r"share.*batch resume")


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
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
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
    workshop.assert_interrupted(batch_id, "connection is gone")
    monkeypatch.undo()
    assert workshop.run(batch_id).done == 2


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


def test_no_more_tasks_are_taken_at_the_stop_time_of_another_zone(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A", "B", "C")
    moments = iter([datetime(2026, 5, 2, 3, 59, tzinfo=UTC), datetime(2026, 5, 2, 4, 0, tzinfo=UTC)])
    monkeypatch.setattr(worker_loop, "datetime", SimpleNamespace(now=lambda _zone: next(moments)))
    result = workshop.run(batch_id, stop_at=datetime(2026, 5, 2, 6, 0, tzinfo=timezone(timedelta(hours=2))))
    assert (result.done, result.pending, result.interrupted) == (1, 2, False)
    workshop.assert_interrupted(batch_id, "--until")


def test_a_time_of_day_is_the_next_one_on_this_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "GMT0IST,M3.5.0/1,M10.5.0/2")  # Dublin
        tzset()
        now = datetime(2026, 5, 1, 21, 0, tzinfo=UTC)  # 22:00 in Dublin
        assert runner.next_occurrence(time(23, 0), now) - now == timedelta(hours=1)
        assert runner.next_occurrence(time(22, 0), now) - now == timedelta(days=1)
        assert runner.next_occurrence(time(6, 0), now) == datetime(2026, 5, 2, 5, 0, tzinfo=UTC)
        before_summer_time = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
        assert runner.next_occurrence(time(6, 0), before_summer_time) == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)
    tzset()
