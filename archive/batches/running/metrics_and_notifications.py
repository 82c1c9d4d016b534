"""Monitoring of a batch while it runs: metrics for Prometheus, and a command for notifications."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import select

from archive.batches.running.batch_metrics import BatchFigures, MetricsOutput, read_figures
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Item, Master, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import UsageError

_log = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 5.0
_SHARE_OF_POLLING: Final = 0.05  # of the time, at most, goes into reading the figures
_STALL_FACTOR: Final = 10  # times the usual time of a task
_SHORTEST_STALL_SECONDS: Final = 60.0
_STALL_WITHOUT_EXPERIENCE_SECONDS: Final = 1800.0  # until the batch's first task is done
_LONGEST_COMMAND_SECONDS: Final = 60.0


class BatchMonitor:
    """Context manager around the run of a batch, with a thread that reads the catalogue now and then.

    The command ``notify`` gets a JSON object on its standard input: at the first failed task of the run
    (``"event": "failure"``), when no task has finished for ten times the usual time (``"stalled"``), and at the end
    (``"ended"``, with ``outcome``). Its failure is only a warning.
    """

    def __init__(self, catalogue: Catalogue, batch_id: int, *, notify: str | None, metrics: str | None) -> None:
        """Opens the output of the metrics.

        Raises:
            UsageError: ``notify`` is not a command line, or ``metrics`` is not a file or port that can be used.
        """
        self._catalogue = catalogue
        self._batch_id = batch_id
        self._command = _split_command(notify)
        self._metrics = None if metrics is None else MetricsOutput(metrics, batch_id)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._failed_before: int | None = None
        self._finished = -1
        self._finished_at = monotonic()
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._look()  # in this thread, so that every failure of the run comes after it
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        figures = self._look()
        if self._command and figures is not None:
            self._notify(
                "ended", figures, outcome=_outcome(figures, error), detail=None if error is None else str(error)
            )
        if self._metrics is not None:
            self._metrics.close()

    def _run(self) -> None:
        pause = _PERIOD_SECONDS
        while not self._ended.wait(pause):
            began = monotonic()
            self._look()
            pause = max(_PERIOD_SECONDS, (monotonic() - began) / _SHARE_OF_POLLING)

    def _look(self) -> BatchFigures | None:
        """Reads the figures and acts on them; None while the database is unavailable."""
        try:
            with self._catalogue.reading() as session:
                figures = read_figures(session, self._batch_id)
        except DATABASE_UNAVAILABLE:
            return None
        if self._metrics is not None:
            try:
                self._metrics.write(figures)
            except OSError as error:
                _log.warning("the metrics can't be written: %s", error)
        if self._command and not self._ended.is_set():
            self._check_failures(figures)
            self._check_stall(figures)
        return figures

    def _check_failures(self, figures: BatchFigures) -> None:
        failed = figures.tasks[TaskStatus.FAILED]
        if self._failed_before is None:
            self._failed_before = failed
        elif failed > self._failed_before and "failure" not in self._said:
            self._notify("failure", figures, detail=self._newest_failure())

    def _check_stall(self, figures: BatchFigures) -> None:
        now = monotonic()
        if figures.finished != self._finished:
            self._finished, self._finished_at = figures.finished, now
            self._said.discard("stalled")
            return
        longest = _STALL_WITHOUT_EXPERIENCE_SECONDS
        if figures.task_seconds is not None:
            longest = max(_SHORTEST_STALL_SECONDS, _STALL_FACTOR * figures.task_seconds)
        if now - self._finished_at > longest and "stalled" not in self._said:
            waited = now - self._finished_at
            self._notify("stalled", figures, detail=f"no task has finished for {waited:.0f} seconds")

    def _newest_failure(self) -> str | None:
        statement = (
            select(Item.accession_number, Master.sequence, Task.error)
            .select_from(Task)
            .join(Master, Task.master_id == Master.id)
            .join(Item, Master.item_id == Item.id)
            .where(Task.batch_id == self._batch_id, Task.status == TaskStatus.FAILED)
            .order_by(Task.finished_at.desc())
            .limit(1)
        )
        with suppress(*DATABASE_UNAVAILABLE), self._catalogue.reading() as session:
            for accession_number, sequence, error in session.execute(statement):
                return f"{accession_number} ({sequence}): {error}"
        return None

    def _notify(self, event: str, figures: BatchFigures, **facts: Any) -> None:
        """Runs the command with a description of what happened."""
        self._said.add(event)
        told = {
            "event": event,
            "batch": self._batch_id,
            "home": str(self._catalogue.settings.home),
            "tasks": dict(figures.tasks),
            "megapixels_per_second": round(figures.megapixels_per_second, 3),
            **facts,
        }
        try:
            done = subprocess.run(  # noqa: S603
                self._command,
                input=json.dumps(told, ensure_ascii=False).encode(),
                timeout=_LONGEST_COMMAND_SECONDS,
                stdout=subprocess.DEVNULL,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.warning("the command of --notify failed: %s", error)
        else:
            if done.returncode:
                _log.warning("the command of --notify ended with exit code %d", done.returncode)


def check_monitoring(*, notify: str | None, metrics: str | None) -> None:
    """Checks before a batch is written that it can be monitored. A port is opened and closed again.

    Raises:
        UsageError: as from :class:`BatchMonitor`.
    """
    _split_command(notify)
    if metrics is not None:
        MetricsOutput(metrics, batch_id=0).close()


def monitor_batch(
    catalogue: Catalogue, batch_id: int, *, notify: str | None, metrics: str | None
) -> AbstractContextManager[object]:
    """A :class:`BatchMonitor`, or nothing where neither is wanted."""
    if notify is None and metrics is None:
        return nullcontext()
    return BatchMonitor(catalogue, batch_id, notify=notify, metrics=metrics)


def _split_command(notify: str | None) -> list[str]:
    """The words of the command line; none without a command."""
    try:
        words = [] if notify is None else shlex.split(notify)
    except ValueError as error:
        raise UsageError(f"--notify: {notify!r} is not a command line: {error}") from error
    if notify is not None and not words:
        raise UsageError("--notify needs a command")
    return words


def _outcome(figures: BatchFigures, error: BaseException | None) -> str:
    """``done``, ``failures`` (done, but some failed), ``unfinished`` (tasks are left) or ``error`` (it had to stop)."""
    if error is not None:
        return "error"
    if figures.tasks[TaskStatus.PENDING] or figures.tasks[TaskStatus.RUNNING]:
        return "unfinished"
    return "failures" if figures.tasks[TaskStatus.FAILED] else "done"
