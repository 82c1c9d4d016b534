"""Figures of a batch at one moment, read from the catalogue, and their Prometheus text format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.catalogue.throughput import covered_seconds, measure_throughput
from archive.errors import UsageError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_NEWEST_TASKS: Final = 100  # what steps and the device are measured on
_LOCAL: Final = "127.0.0.1"
_OPEN: Final = {TaskStatus.PENDING.value, TaskStatus.RUNNING.value}
_PORT = re.compile(r"(?:(?P<address>[^/]+):)?(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class BatchFigures:
    """How far a batch is, and how fast its newest tasks went, on all machines together."""

    tasks: Mapping[str, int]  # by state
    megapixels_per_second: float
    step_seconds: Mapping[str, float]  # means of a task: read, restore, score, digest; device is a part of these
    task_seconds: float | None  # from the claim to the outcome, the mean; None until a task is done
    device_busy_share: float  # of the time, on the average of the devices in use; from 0 to 1

    @property
    def finished(self) -> int:
        """How many tasks have an outcome."""
        return sum(count for state, count in self.tasks.items() if state not in _OPEN)


def read_figures(session: Session, batch_id: int) -> BatchFigures:
    """The figures of a batch."""
    counted = session.execute(
        select(Task.status, func.count(Task.id)).where(Task.batch_id == batch_id).group_by(Task.status)
    )
    tasks = {status.value: 0 for status in TaskStatus} | {status.value: count for status, count in counted}
    newest = session.execute(
        select(Task.started_at, Task.finished_at, Task.step_seconds)
        .where(Task.batch_id == batch_id, Task.status == TaskStatus.DONE)
        .order_by(Task.finished_at.desc())
        .limit(_NEWEST_TASKS)
    ).all()
    spans = [(began, ended) for began, ended, _ in newest if began and ended]
    steps = [seconds for *_, seconds in newest if seconds]
    rate = measure_throughput(session, Task.batch_id == batch_id)
    return BatchFigures(
        tasks=tasks,
        megapixels_per_second=0.0 if rate is None else rate.megapixels_per_second,
        step_seconds={name: sum(each.get(name, 0.0) for each in steps) / len(steps) for name in sorted(steps[0])}
        if steps
        else {},
        task_seconds=sum((ended - began).total_seconds() for began, ended in spans) / len(spans) if spans else None,
        device_busy_share=_device_busy_share(
            sum(each.get("device", 0.0) for each in steps), spans, _count_devices(session, batch_id)
        ),
    )


def _count_devices(session: Session, batch_id: int) -> int:
    """How many devices the running tasks are on."""
    devices = (
        select(Task.lease_host, Task.lease_device)
        .where(Task.batch_id == batch_id, Task.status == TaskStatus.RUNNING)
        .distinct()
    )
    return len(session.execute(devices).all())


def _device_busy_share(device_seconds: float, spans: list[tuple[datetime, datetime]], devices: int) -> float:
    clock = covered_seconds(spans)
    return min(1.0, device_seconds / (clock * max(1, devices))) if clock else 0.0


class MetricsOutput:
    """Writes figures in Prometheus text format: into a file, or for whoever asks at a port of this machine."""

    def __init__(self, target: str, batch_id: int) -> None:
        """Takes ``PORT``, ``ADDRESS:PORT`` or a file's path; without an address only this machine can ask.

        Raises:
            UsageError: the port can't be opened, or the file's folder doesn't exist.
        """
        from prometheus_client import CollectorRegistry, Gauge, start_http_server

        self._registry: CollectorRegistry = CollectorRegistry()
        self._batch = str(batch_id)
        gauges = {
            "tasks": ("Tasks of the batch by state", ["state"]),
            "megapixels_per_second": ("Megapixels per second of the newest tasks, all workers together", []),
            "step_seconds": ("Mean seconds of each step of the newest tasks", ["step"]),
            "device_busy_ratio": ("Share of the time in which the devices were busy, of the newest tasks", []),
        }
        self._gauges = {
            name: Gauge(f"archive_batch_{name}", text, ["batch", *labels], registry=self._registry)
            for name, (text, labels) in gauges.items()
        }
        self._file: Path | None = None
        if found := _PORT.fullmatch(target):
            address, port = found["address"] or _LOCAL, int(found["port"])
            try:
                self._server, _ = start_http_server(port, addr=address, registry=self._registry)
            except (OSError, OverflowError) as error:
                raise UsageError(f"--metrics {target}: the port can't be opened: {error}") from error
        else:
            self._file = Path(target).absolute()
            if not self._file.parent.is_dir():
                raise UsageError(f"--metrics {target}: the folder {self._file.parent} does not exist")

    def write(self, figures: BatchFigures) -> None:
        """Takes over the figures.

        Raises:
            OSError: the file can't be written.
        """
        from prometheus_client import write_to_textfile

        for state, count in figures.tasks.items():
            self._gauges["tasks"].labels(self._batch, state).set(count)
        for step, seconds in figures.step_seconds.items():
            self._gauges["step_seconds"].labels(self._batch, step).set(seconds)
        self._gauges["megapixels_per_second"].labels(self._batch).set(figures.megapixels_per_second)
        self._gauges["device_busy_ratio"].labels(self._batch).set(figures.device_busy_share)
        if self._file is not None:
            write_to_textfile(str(self._file), self._registry)

    def close(self) -> None:
        """Closes the port; a file stays with the last figures."""
        if self._file is None:
            self._server.shutdown()
            self._server.server_close()
