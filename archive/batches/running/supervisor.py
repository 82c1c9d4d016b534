"""Supervisor of worker processes: starts and restarts them, shows their common progress and passes Ctrl-C on.

Workers claim tasks from the catalogue themselves. The supervisor hands out no tasks, so none is lost if it dies.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from types import TracebackType
from typing import Final, Self

from sqlalchemy import select

from archive.batches.running.claims import reclaim_lost_tasks
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.batches.running.interruption import Interruption
from archive.batches.running.leases import LeaseHolder
from archive.batches.running.log_context import batch_context
from archive.batches.running.preflight import ModelLoader
from archive.batches.running.worker_loop import WorkerOptions, count_open_tasks
from archive.batches.running.worker_process import Report, WorkerJob, run_worker
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Item, Master, Task
from archive.catalogue.throughput import measure_open_work
from archive.errors import ArchiveError, BatchError
from archive.progress_reporting import Progress

_log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.5
_SHARE_OF_POLLING: Final = 0.05  # of the time, at most, goes into counting open tasks
_GRACE_SECONDS: Final = 10.0  # from the request to stop at once until a worker is killed
_CRASHES_PER_WORKER: Final = 3  # without a task done in between

_processes = multiprocessing.get_context("spawn")  # threads and CUDA contexts do not survive a fork


def supervise(
    catalogue: Catalogue,
    batch_id: int,
    workers: Sequence[WorkerOptions],
    *,
    progress: Progress,
    make_models: ModelLoader,
    set_up_worker: Callable[[], None],
) -> bool:
    """Runs a worker process for each of ``workers`` until the batch is done or has to stop.

    A worker that crashes is restarted, unless workers crash repeatedly without any task done in between.

    Returns:
        Whether Ctrl-C ended the run.

    Raises:
        ArchiveError: the error of the first worker that failed; the others have finished their in-flight tasks.
        BatchError: workers crashed too often.
    """
    jobs = [
        WorkerJob(
            settings=catalogue.settings,
            batch_id=batch_id,
            options=options,
            make_models=make_models,
            set_up=set_up_worker,
        )
        for options in workers
    ]
    with batch_context(batch_id), _Supervision(catalogue, jobs, progress) as supervision:
        return supervision.run()


class _Worker:
    """One worker process and the supervisor's end of its pipe."""

    def __init__(self, job: WorkerJob) -> None:
        self.job = job
        self.working = False  # whether it may hold tasks
        self.ended = False  # whether it reported its end
        self.asked = 0  # how often it was asked to stop
        self.connection, theirs = _processes.Pipe()
        name = f"worker-{job.options.name}"
        self.process: SpawnProcess = _processes.Process(target=run_worker, args=(job, theirs), name=name, daemon=True)
        resource_tracker.ensure_running()  # else the first start does it, and unblocks the signal
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:  # the mask is inherited: no Ctrl-C can reach the worker before it ignores them
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()

    def ask_to_stop(self, times: int) -> None:
        """Asks until it was asked ``times`` times; terminates a worker that holds no tasks yet."""
        if not self.working:
            self.ended = True
            self.process.terminate()
        while self.asked < times:
            self.asked += 1
            with suppress(OSError):
                self.connection.send(None)

    def end(self, until: float) -> None:
        """Waits for the process to end, and kills it at the monotonic time ``until``."""
        self.process.join(max(0.0, until - monotonic()))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


class _Supervision:
    """The run of one batch by several worker processes. None of them outlives the context."""

    def __init__(self, catalogue: Catalogue, jobs: Sequence[WorkerJob], progress: Progress) -> None:
        self._catalogue = catalogue
        self._batch_id = jobs[0].batch_id
        self._jobs = jobs
        self._progress = progress
        self._workers: list[_Worker] = []
        with catalogue.reading() as session:
            self._open = measure_open_work(session, self._batch_id)
        self._next_count = 0.0
        self._note = ""
        self._crashes = 0  # since a task was last done
        self._last_crash = ""
        self._error: ArchiveError | None = None

    def __enter__(self) -> Self:
        self._progress.start(self._open.tasks, "masters", work=self._open.pixels)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.ask_to_stop(2)
        until = monotonic() + _GRACE_SECONDS
        for worker in self._workers:
            worker.end(until)
        # If the database is unavailable, the next run sees that the holders are dead.
        with suppress(*DATABASE_UNAVAILABLE):
            reclaim_lost_tasks(self._catalogue, self._batch_id)
        self._progress.finish()

    def run(self) -> bool:
        """Starts the workers and monitors them until the last has ended; returns whether Ctrl-C ended the run."""
        _log.info("workers started", extra={"workers": len(self._jobs)})
        try:
            with Interruption(self._progress.interrupted) as stop:
                for job in self._jobs:
                    if not stop.requested:
                        self._workers.append(_Worker(job))
                while self._workers:
                    self._monitor(stop)
        except KeyboardInterrupt:
            return True
        if self._error is not None:
            raise self._error
        if stop.requested:
            return True
        if self._crashes and not self._is_time_up() and count_open_tasks(self._catalogue, self._batch_id):
            raise BatchError(
                f"batch {self._batch_id} stopped, because its workers crashed {self._crashes} times in a row; the last "
                f"one {self._last_crash}. Look at those masters and at the memory, then run "
                f"`archive batch resume {self._batch_id}`, with fewer --workers where memory was full"
            )
        return False

    def _monitor(self, stop: Interruption) -> None:
        """Waits for a report, the end of a worker or a timeout, and handles it."""
        for worker in self._workers:
            if stop.requested or self._error is not None:
                worker.ask_to_stop(1)
        watched = [each for worker in self._workers for each in (worker.connection, worker.process.sentinel)]
        ready = wait(watched, timeout=_POLL_SECONDS)
        for worker in [*self._workers]:
            if worker.connection in ready:
                self._read_reports(worker)
            if worker.process.sentinel in ready:
                self._read_reports(worker)
                worker.end(monotonic() + _GRACE_SECONDS)
                self._workers.remove(worker)
                if not worker.ended:
                    self._after_crash(worker, stop)
        self._show_progress()

    def _read_reports(self, worker: _Worker) -> None:
        connection = worker.connection
        with suppress(EOFError, OSError):
            while connection.poll():
                report, value = connection.recv()
                if report is Report.WORKING:
                    worker.working = True
                elif report is Report.SETTLED:
                    self._note, self._crashes = value, 0
                else:
                    worker.ended = True
                    if report is Report.FAILED:
                        self._error = self._error or value

    def _after_crash(self, worker: _Worker, stop: Interruption) -> None:
        """Restarts a crashed worker, unless the run ends or workers crashed too often."""
        self._crashes += 1
        self._last_crash = f"{_exit_reason(worker.process.exitcode)}{self._describe_tasks(worker)}"
        _log.warning("worker %s %s", worker.job.options.name, self._last_crash)
        with suppress(*DATABASE_UNAVAILABLE):
            reclaim_lost_tasks(self._catalogue, self._batch_id)
        may_restart = self._crashes <= _CRASHES_PER_WORKER * len(self._jobs)
        if may_restart and not stop.requested and self._error is None and not self._is_time_up():
            self._workers.append(_Worker(worker.job))

    def _is_time_up(self) -> bool:
        stop_at = self._jobs[0].options.stop_at
        return stop_at is not None and datetime.now(stop_at.tzinfo) >= stop_at

    def _describe_tasks(self, worker: _Worker) -> str:
        """The masters that the worker had in flight, as the end of a sentence."""
        of_worker = (Task.lease_host == LeaseHolder.this_process().host, Task.lease_pid == worker.process.pid)
        statement = (
            select(Item.accession_number, Master.sequence)
            .select_from(Task)
            .join(Master, Task.master_id == Master.id)
            .join(Item, Master.item_id == Item.id)
            .where(Task.batch_id == self._batch_id, *of_worker)
            .order_by(Item.accession_number, Master.sequence)
        )
        with suppress(*DATABASE_UNAVAILABLE), self._catalogue.reading() as session:
            names = [f"{number} ({sequence})" for number, sequence in session.execute(statement)]
            return f" while it worked on {', '.join(names)}" if names else ""
        return ""

    def _show_progress(self) -> None:
        """Counts the open tasks at intervals, because other machines may work on the batch, too."""
        began = monotonic()
        if began < self._next_count:
            return
        with suppress(*DATABASE_UNAVAILABLE):
            with self._catalogue.reading() as session:
                still_open = measure_open_work(session, self._batch_id)
            self._progress.advance(
                self._open.tasks - still_open.tasks, self._note, work=self._open.pixels - still_open.pixels
            )
            self._open = still_open
        seconds = monotonic() - began
        self._next_count = began + max(_POLL_SECONDS, seconds / _SHARE_OF_POLLING)


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended unexpectedly with exit code {code}"
