"""Batches beside each other and watched from outside: priority, notifications, metrics."""

from __future__ import annotations

import json
import shlex
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from archive.batches.priority import find_more_urgent_batch, set_priority
from archive.batches.running import metrics_and_notifications
from archive.batches.running.batch_metrics import BatchFigures, read_figures
from archive.batches.running.last_run import record_begin
from archive.batches.running.metrics_and_notifications import BatchMonitor
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import UsageError
from tests.fake_models import FakeStage, raising, wait_until

# `workshop` is made in conftest.py.

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def _two_batches(workshop: Any) -> tuple[int, int]:
    first = workshop.prepared(*(f"A{number}" for number in range(4)))
    for number in range(4):
        workshop.master(f"B{number}", size=(16, 16))
    return first, workshop.planned("accession_number:B*")


def test_an_urgent_batch_that_was_begun_goes_first(workshop: Any) -> None:
    first, urgent = _two_batches(workshop)
    set_priority(workshop.catalogue, urgent, 5)
    record_begin(workshop.catalogue, urgent)
    assert workshop.run(first).done == 4
    assert workshop.statuses(urgent) == [TaskStatus.DONE] * 4
    before, after = (workshop.tasks(batch_id) for batch_id in (urgent, first))
    assert max(task.started_at for task in before) <= min(task.started_at for task in after)
    workshop.assert_whole(first, urgent)


def test_only_batches_that_are_more_urgent_begun_and_not_finished_are_helped(workshop: Any) -> None:
    first, other = _two_batches(workshop)
    assert find_more_urgent_batch(workshop.catalogue, first) is None
    set_priority(workshop.catalogue, other, 1)
    assert find_more_urgent_batch(workshop.catalogue, first) is None
    record_begin(workshop.catalogue, other)
    assert find_more_urgent_batch(workshop.catalogue, first) == other
    assert find_more_urgent_batch(workshop.catalogue, other) is None
    set_priority(workshop.catalogue, first, 1)
    assert find_more_urgent_batch(workshop.catalogue, first) is None
    set_priority(workshop.catalogue, first, 0)
    workshop.run(other)
    assert find_more_urgent_batch(workshop.catalogue, first) is None


@SQLITE
def test_an_urgent_batch_that_can_not_be_run_does_not_hold_up_the_others(
    workshop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = workshop.prepared("A0", "A1")
    version = workshop.model(name="other")
    urgent = workshop.planned(model="other")
    set_priority(workshop.catalogue, urgent, 9)
    record_begin(workshop.catalogue, urgent)
    (workshop.catalogue.settings.home / "models/other" / version.version / "weights.safetensors").write_bytes(b"x")
    assert workshop.run(first).done == 2
    assert workshop.statuses(urgent) == [TaskStatus.PENDING] * 2
    assert f"batch {urgent} is more urgent, but can't be helped" in caplog.text


def _noting(file: Path) -> str:
    """A command that appends each notification to the file, one per line."""
    code = f"import sys; open({str(file)!r}, 'a').write(sys.stdin.read() + '\\n')"
    return shlex.join([sys.executable, "-c", code])


def _told(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_and_notifications, "_PERIOD_SECONDS", 0.05)
    monkeypatch.setattr(metrics_and_notifications, "_SHARE_OF_POLLING", 1.0)


@SQLITE
@pytest.mark.usefixtures("_often")
def test_the_first_of_many_failures_and_the_end_are_notified(workshop: Any, tmp_path: Path) -> None:
    batch_id = workshop.prepared(*(f"A{number}" for number in range(5)))
    told = tmp_path / "told"

    def wait_for_the_notification(calls: int) -> None:
        if calls == 4:
            wait_until(told.exists)
        raising(ValueError("broken"))(calls)

    with BatchMonitor(workshop.catalogue, batch_id, notify=_noting(told), metrics=None):
        result = workshop.run(batch_id, FakeStage(wait_for_the_notification))
    assert result.failed == 5
    failure, ended = _told(told)
    assert (failure["event"], failure["batch"], failure["home"]) == (
        "failure",
        batch_id,
        str(workshop.catalogue.settings.home),
    )
    assert failure["detail"].startswith("A")
    assert "broken" in failure["detail"]
    assert (ended["event"], ended["outcome"], ended["tasks"]["failed"]) == ("ended", "failures", 5)


@SQLITE
@pytest.mark.usefixtures("_often")
def test_the_first_failure_is_notified_also_if_it_comes_before_the_thread_reads_the_catalogue(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A0", "A1")
    told = tmp_path / "told"

    def read_late(*arguments: Any) -> BatchFigures:
        if threading.current_thread().name == "monitor":
            wait_until(lambda: TaskStatus.FAILED in workshop.statuses(batch_id))
        return read_figures(*arguments)

    def fail_then_wait(calls: int) -> None:
        if calls == 0:
            raise ValueError("broken")
        wait_until(told.exists)

    monkeypatch.setattr(metrics_and_notifications, "read_figures", read_late)
    with BatchMonitor(workshop.catalogue, batch_id, notify=_noting(told), metrics=None):
        assert workshop.run(batch_id, FakeStage(fail_then_wait)).done == 1
    assert [each["event"] for each in _told(told)] == ["failure", "ended"]


@SQLITE
@pytest.mark.usefixtures("_often")
def test_a_stall_is_notified_once(workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_and_notifications, "_STALL_WITHOUT_EXPERIENCE_SECONDS", 0.2)
    batch_id = workshop.prepared("A0")
    told = tmp_path / "told"
    with BatchMonitor(workshop.catalogue, batch_id, notify=_noting(told), metrics=None):
        workshop.run(batch_id, FakeStage(lambda _calls: wait_until(told.exists)))
    stalled, ended = _told(told)
    assert stalled["event"] == "stalled"
    assert stalled["detail"].startswith("no task has finished for")
    assert (ended["event"], ended["outcome"]) == ("ended", "done")


@SQLITE
def test_a_batch_that_stops_and_a_command_that_fails_do_not_hide_the_error(
    workshop: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = workshop.prepared("A0")
    told = tmp_path / "told"

    def run(notify: str) -> None:
        with BatchMonitor(workshop.catalogue, batch_id, notify=notify, metrics=None):
            raise UsageError("it stopped")

    with pytest.raises(UsageError, match="it stopped"):
        run(_noting(told))
    (ended,) = _told(told)
    assert (ended["outcome"], ended["detail"]) == ("error", "it stopped")
    with pytest.raises(UsageError, match="it stopped"):
        run(str(tmp_path / "absent"))
    assert "the command of --notify failed" in caplog.text


def _values(text: str) -> dict[tuple[str, str], float]:
    """The metrics by name and state or step."""
    return {
        (sample.name, sample.labels.get("state") or sample.labels.get("step") or ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_written_into_a_file(workshop: Any, tmp_path: Path) -> None:
    batch_id = workshop.prepared("A0", "A1")
    file = tmp_path / "archive.prom"
    with BatchMonitor(workshop.catalogue, batch_id, notify=None, metrics=str(file)):
        workshop.run(batch_id)
    values = _values(file.read_text())
    assert values["archive_batch_tasks", "done"] == 2
    assert values["archive_batch_tasks", "pending"] == 0
    assert values["archive_batch_megapixels_per_second", ""] > 0
    assert 0 < values["archive_batch_device_busy_ratio", ""] <= 1
    steps = {step for name, step in values if name == "archive_batch_step_seconds"}
    assert steps == {"read", "restore", "device", "score", "digest"}
    assert (
        values["archive_batch_step_seconds", "device"] <= values["archive_batch_step_seconds", "restore"]
    )  # it is a part of it


@pytest.fixture
def reserved_port() -> Iterator[int]:
    """A free port, kept from other programs until the end of the test. The metrics server can still open it."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@SQLITE
@pytest.mark.usefixtures("_often")
def test_metrics_are_served_at_a_port_while_the_batch_runs(workshop: Any, reserved_port: int) -> None:
    batch_id = workshop.prepared("A0")
    port = reserved_port

    def read() -> dict[tuple[str, str], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            return _values(answer.read().decode())

    with BatchMonitor(workshop.catalogue, batch_id, notify=None, metrics=str(port)):
        assert read()["archive_batch_tasks", "pending"] == 1
        workshop.run(batch_id)
        wait_until(lambda: read()["archive_batch_tasks", "done"] == 1)
        with pytest.raises(UsageError, match="can't be opened"):
            BatchMonitor(workshop.catalogue, batch_id, notify=None, metrics=str(port))


@SQLITE
def test_metrics_and_commands_that_can_not_be_used_are_refused(workshop: Any, tmp_path: Path) -> None:
    batch_id = workshop.prepared("A0")
    for notify, metrics, message in (
        (None, str(tmp_path / "absent" / "file"), "does not exist"),
        ("'unbalanced", None, "not a command line"),
        (" ", None, "needs a command"),
    ):
        with pytest.raises(UsageError, match=message):
            BatchMonitor(workshop.catalogue, batch_id, notify=notify, metrics=metrics)
