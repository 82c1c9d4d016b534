"""Signals stop a batch: Ctrl-C, SIGTERM, and SIGHUP from a closed terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from archive.batches.running.runner import run_batch
from archive.batches.running.task_thread_pool import InFlightTask
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS
from archive.catalogue.listings import get_batch
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.interruption import Interruption
from archive.progress_reporting import NoProgress
from tests.fake_models import FakeModels, FakeStage, once, wait_until

PENDING = TaskStatus.PENDING


@pytest.fixture(autouse=True)
def _without_nohup() -> Iterator[None]:
    """SIGHUP has its default effect, as in a terminal, also where the tests run under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Told(NoProgress):
    """Progress that knows when the batch has noticed a Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self._noticed = threading.Event()
        self.by = ""

    def interrupt(self, how: signal.Signals = signal.SIGINT) -> None:
        os.kill(os.getpid(), how)
        assert self._noticed.wait(600)

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
    workshop.assert_interrupted(batch_id, re.escape(reason))
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
    workshop.assert_interrupted(batch_id, "Ctrl-C")


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
    workshop.assert_interrupted(batch_id, "SIGTERM")


_STOPS_WITH_ITS_TERMINAL = """
import fcntl, pathlib, sys, termios, time
from archive.interruption import Interruption
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # its controlling terminal, as a shell's
with Interruption() as stop, stop.deferred():
    print("ready", flush=True)
    while not stop.requested:
        time.sleep(0.01)
    print("the terminal is gone", flush=True)
    print("the terminal is gone", file=sys.stderr, flush=True)
    pathlib.Path(sys.argv[1]).write_text(stop.reason)
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
    said = b""
    while b"ready" not in said:  # one read can return a part of it
        said += os.read(ours, 100)
    os.close(ours)
    assert process.wait(600) == 0
    assert (tmp_path / "reason").read_text() == "SIGHUP (closed terminal)"


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (signal.SIGHUP, [signal.SIGHUP]),  # a closed terminal sends one, and its shell another
        (signal.SIGHUP, [signal.SIGTERM]),  # the end of a session sends both
        (signal.SIGTERM, [signal.SIGHUP]),
        (signal.SIGINT, [signal.SIGHUP, signal.SIGTERM]),
    ],
)
def test_a_sighup_and_another_signal_do_not_stop_at_once(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, first: signal.Signals, others: list[signal.Signals]
) -> None:
    batch_id = workshop.prepared("A", "B", "C", "D")
    told = Told()
    handle, handled = Interruption._handle, list[int]()

    def handle_and_note(stop: Interruption, number: int, frame: FrameType | None) -> None:
        try:
            handle(stop, number, frame)
        finally:
            handled.append(number)

    monkeypatch.setattr(Interruption, "_handle", handle_and_note)

    def interrupt() -> None:
        wait_until(all_are_in_flight)
        told.interrupt(first)
        wait_until(lambda: first in handled)
        for other in others:
            before = len(handled)
            os.kill(os.getpid(), other)
            wait_until(lambda: len(handled) > before)  # noqa: B023

    result = workshop.run(batch_id, FakeStage(once(interrupt)), progress=told)
    assert (result.interrupted, result.done, result.pending) == (True, 1, 3)
    workshop.assert_interrupted(batch_id, re.escape(told.by))  # the first signal is the reason


def test_a_stop_after_which_nothing_is_left_needs_no_resuming(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    told = Told()
    result = workshop.run(batch_id, FakeStage(once(told.interrupt)), progress=told)
    assert (result.interrupted, result.done, result.pending) == (False, 1, 0)


def test_a_sighup_stays_ignored_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_interrupt_stops_at_once_and_leaves_no_temporary_file(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A", "B", "C", "D")
    told, aborted = Told(), threading.Event()
    remove_file = InFlightTask.remove_file

    def note_and_remove_file(task: InFlightTask) -> None:
        aborted.set()  # an aborted pool waits here for the task's thread
        remove_file(task)

    monkeypatch.setattr(InFlightTask, "remove_file", note_and_remove_file)

    def twice() -> None:
        wait_until(all_are_in_flight)
        told.interrupt()
        os.kill(os.getpid(), signal.SIGINT)
        assert aborted.wait(600)

    result = workshop.run(batch_id, FakeStage(once(twice)), progress=told)
    assert (result.interrupted, result.done, result.pending) == (True, 0, 4)
    assert workshop.files() == []
    assert workshop.statuses(batch_id) == [PENDING] * 4
    assert workshop.run(batch_id).done == 4
