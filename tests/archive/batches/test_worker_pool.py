"""Several in-flight masters: while the device works on one, the next is read and the last is scored."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import update
from structlog.contextvars import get_contextvars

from archive.batches.running import task_outcomes, task_processing, task_thread_pool
from archive.batches.running.inference_queue import InferenceScheduler
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS
from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import BatchError
from archive.progress_reporting import NoProgress
from restoration.errors import DeviceError
from restoration.quality import gpu_measurement, score
from restoration.quality.gpu_window_metrics import UploadedWindow
from tests.fake_models import FakeStage, once, raising, wait_until

# `workshop` is made in conftest.py.

CANCELLED, DONE, PENDING = TaskStatus.CANCELLED, TaskStatus.DONE, TaskStatus.PENDING


def all_are_in_flight() -> bool:
    """Whether as many tasks are worked on as may be."""
    return sum(thread.name.startswith("task-") for thread in threading.enumerate()) == MAX_IN_FLIGHT_TASKS


def then(*actions: Callable[[], object]) -> Callable[[int], object]:
    """For a :class:`FakeStage`: at its first call waits until all tasks are in flight, then does ``actions``."""
    return once(lambda: [action() for action in (lambda: wait_until(all_are_in_flight), *actions)])


def test_masters_are_read_while_the_device_works_on_another(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = workshop.prepared("A", "B", "C")
    read: list[str] = []

    class Noted(task_processing.Picture):  # type: ignore[name-defined, misc]
        @classmethod
        def open(cls, path: Any, **options: Any) -> Any:
            opened = super().open(path, **options)
            read.append(Path(path).name)
            return opened

    monkeypatch.setattr(task_processing, "Picture", Noted)
    result = workshop.run(batch_id, FakeStage(once(lambda: wait_until(lambda: len(read) == 3))))
    assert result.done == 3
    workshop.assert_whole(batch_id)


def test_one_is_scored_while_the_device_works_on_another(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = workshop.prepared("A", "B")
    scoring = threading.Event()

    def noted(**pictures: Any) -> Any:
        scoring.set()
        return score(**pictures)

    monkeypatch.setattr(task_processing, "score", noted)
    stage = FakeStage(lambda calls: wait_until(scoring.is_set) if calls == 1 else None)
    assert workshop.run(batch_id, stage).done == 2
    assert stage.calls == 2
    workshop.assert_whole(batch_id)


def test_with_a_gpu_the_scores_are_computed_in_the_device_thread(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.model()
    workshop.master("A", size=(40, 60))
    threads: set[str] = set()

    def noted(*arguments: Any) -> UploadedWindow:
        threads.add(threading.current_thread().name)
        return UploadedWindow(*arguments)

    monkeypatch.setattr(gpu_measurement, "UploadedWindow", noted)
    assert workshop.run(workshop.planned(), scores_device="cpu").done == 1
    assert threads == {"device"}
    (master,) = workshop.masters()
    assert None not in (master.psnr_source, master.ssim_source)


def test_a_gpu_that_fails_while_it_computes_scores_stops_the_batch_and_marks_nothing(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A", "B")

    def fail(*_arguments: object) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(gpu_measurement, "UploadedWindow", fail)
    with pytest.raises(BatchError, match=r"the device failed.*Nothing was marked as failed"):
        workshop.run(batch_id, scores_device="cpu")
    assert workshop.statuses(batch_id) == [PENDING, PENDING]
    assert workshop.files() == []


def test_a_restored_master_that_needs_the_device_only_for_its_scores_is_finished_after_an_interrupt(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.model()
    workshop.master("A")
    batch_id = workshop.planned(parameters={"strength": 0})
    noticed = threading.Event()
    compute_scores = task_processing._compute_scores

    class Noticed(NoProgress):
        def interrupted(self, _by: str) -> None:
            noticed.set()

    def interrupt(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        assert noticed.wait(600)
        return compute_scores(*arguments)

    monkeypatch.setattr(task_processing, "_compute_scores", interrupt)
    stage = FakeStage()
    result = workshop.run(batch_id, stage, scores_device="cpu", progress=Noticed())
    assert (result.done, result.pending, stage.calls) == (1, 0, 0)  # so the run was not interrupted


def test_an_error_in_one_task_does_not_touch_those_beside_it(workshop: Any) -> None:
    batch_id = workshop.prepared(*"ABCDE")
    result = workshop.run(batch_id, FakeStage(then(lambda: raising(RuntimeError("broken"))(0))))
    assert (result.done, result.failed) == (4, 1)
    assert len(workshop.files()) == 4


def test_a_device_that_fails_puts_back_in_flight_tasks(workshop: Any) -> None:
    batch_id = workshop.prepared(*"ABCDE")
    with pytest.raises(BatchError, match="the cable fell out"):
        workshop.run(batch_id, FakeStage(then(lambda: raising(DeviceError("the cable fell out"))(0))))
    assert set(workshop.statuses(batch_id)) <= {DONE, PENDING}
    assert workshop.statuses(batch_id).count(PENDING) >= 5 - MAX_IN_FLIGHT_TASKS + 1
    assert all(task.lease_token is None for task in workshop.tasks(batch_id))
    assert len(workshop.files()) == len(workshop.derivatives())
    assert workshop.run(batch_id).done == 5
    workshop.assert_whole(batch_id)


def test_a_lost_lease_does_not_touch_the_tasks_beside_it(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B", "C", "D")
    lost = workshop.tasks(batch_id)[1]

    def lose() -> None:
        with workshop.catalogue.session() as session:
            session.execute(update(Task).where(Task.id == lost.id).values(status=CANCELLED, lease_token="0" * 32))

    result = workshop.run(batch_id, FakeStage(then(lose)))
    assert (result.done, result.failed, result.cancelled) == (3, 0, 1)
    assert workshop.statuses(batch_id) == [DONE, CANCELLED, DONE, DONE]
    assert len(workshop.files()) == 3


@pytest.mark.parametrize(
    ("most_pixels", "most_at_once"), [(16 * 16 * MAX_IN_FLIGHT_TASKS, MAX_IN_FLIGHT_TASKS), (16 * 16 * 2 - 1, 1)]
)
def test_no_more_pictures_are_held_than_there_is_to_be_memory_for(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, most_pixels: int, most_at_once: int
) -> None:
    batch_id = workshop.prepared(*"ABCDEF")
    monkeypatch.setattr(task_thread_pool, "MAX_IN_FLIGHT_PIXELS", most_pixels)
    held: list[int] = []

    def hold(_calls: int) -> None:
        if not held:
            with suppress(TimeoutError):
                wait_until(all_are_in_flight, seconds=600 if most_at_once == MAX_IN_FLIGHT_TASKS else 0.2)
        held.append(sum(thread.name.startswith("task-") for thread in threading.enumerate()))

    assert workshop.run(batch_id, FakeStage(hold)).done == 6
    assert max(held) == most_at_once


def test_log_lines_tell_the_task_that_they_are_about(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = workshop.prepared(*"ABCDE")
    items = {task.id: name for task, name in zip(workshop.tasks(batch_id), "ABCDE", strict=True)}
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(task_processing._log, "info", lambda event, **_: told.append((event, get_contextvars())))
    monkeypatch.setattr(task_outcomes._log, "info", lambda event, **_: told.append((event, get_contextvars())))
    assert workshop.run(batch_id, FakeStage(then())).done == 5
    for event, stage in (("stage done", "mend@1.0"), ("task ended", "record")):
        lines = [about for name, about in told if name == event]
        assert {about["task"]: about["item"] for about in lines} == items
        assert {(about["batch"], about["stage"]) for about in lines} == {(batch_id, stage)}


def _waits(device: InferenceScheduler, count: int) -> bool:
    return device._waiting.qsize() == count


def test_the_device_takes_what_came_first_and_works_in_one_thread() -> None:
    began, go_on = threading.Event(), threading.Event()
    done: list[tuple[int, str]] = []

    def work_on(place: int) -> None:
        if place == 9:
            began.set()
            assert go_on.wait(600)
        done.append((place, threading.current_thread().name))

    with InferenceScheduler() as device:
        threads = [threading.Thread(target=device.run, args=(9, partial(work_on, 9)))]
        threads[0].start()
        assert began.wait(600)
        for waiting, place in enumerate((3, 1, 2), 1):
            threads.append(threading.Thread(target=device.run, args=(place, partial(work_on, place))))
            threads[-1].start()
            wait_until(partial(_waits, device, waiting))
        go_on.set()
        for thread in threads:
            thread.join()
    assert done == [(9, "device"), (1, "device"), (2, "device"), (3, "device")]


def test_what_fails_on_the_device_is_raised_where_it_was_asked_for() -> None:
    def broken() -> None:
        raise DeviceError("no memory")

    with InferenceScheduler() as device:
        with pytest.raises(DeviceError, match="no memory"):
            device.run(0, broken)
        device.run(0, lambda: None)
