"""The supervisor of worker processes: starts and restarts them, shows their progress and forwards requests to stop.

Workers claim tasks from the catalogue themselves. The supervisor assigns no tasks, so nothing is lost if it dies.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from types import TracebackType
from typing import Self

from archive.batches.running.log_context import batch_context
from archive.batches.running.model_preflight import ModelLoader
from archive.batches.running.supervised_batch import GRACE_SECONDS, POLL_SECONDS, SupervisedBatch
from archive.batches.running.worker_loop import WorkerOptions
from archive.batches.running.worker_process import IGNORED_SIGNALS, Report, WorkerJob, run_worker
from archive.catalogue import Catalogue
from archive.interruption import StopRequest
from archive.progress_reporting import Progress

_log = logging.getLogger(__name__)

_processes = multiprocessing.get_context("spawn")  # threads and CUDA contexts do not survive a fork


def supervise(
    catalogue: Catalogue,
    batch_id: int,
    workers: Sequence[WorkerOptions],
    *,
    stop: StopRequest,
    progress: Progress,
    make_models: ModelLoader,
    set_up_worker: Callable[[], None],
) -> bool:
    """Runs ``workers`` until the batch is done or must stop; returns whether Ctrl-C ended the run.

    A crashed worker is restarted, unless workers crash repeatedly without a finished task in between.

    Raises:
        ArchiveError: raised by a worker; the others have finished their in-flight tasks.
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
    with batch_context(batch_id), _Supervision(catalogue, jobs, stop, progress) as supervision:
        return supervision.run()


class _Worker:
    """One worker process and the supervisor's end of its pipe."""

    def __init__(self, job: WorkerJob) -> None:
        self.job = job
        self.working = False  # whether it may hold tasks
        self.ended = False  # whether it has reported its end
        self.asked = 0  # the number of stop requests sent to it
        self.connection, theirs = _processes.Pipe()
        name = f"worker-{job.options.name}"
        self.process: SpawnProcess = _processes.Process(target=run_worker, args=(job, theirs), name=name, daemon=True)
        resource_tracker.ensure_running()  # otherwise the first start does it, and unblocks the signals
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
        try:  # the mask is inherited, so no signal can reach the worker before it ignores it
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()

    def ask_to_stop(self, times: int) -> None:
        """Ensures that this number of stop requests was sent; a worker that holds no tasks yet is ended."""
        if not self.working:
            self.ended = True
            self.process.kill()
        while self.asked < times:
            self.asked += 1
            with suppress(OSError):
                self.connection.send(None)

    def end(self, until: float) -> None:
        """Waits for the process, and kills it at the time ``until``."""
        self.process.join(max(0.0, until - monotonic()))
        self.kill()
        self.connection.close()

    def kill(self) -> None:
        """Kills the process, unless it has ended."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class _Supervision:
    """Runs one batch with several worker processes. None of them outlives the context."""

    def __init__(self, catalogue: Catalogue, jobs: Sequence[WorkerJob], stop: StopRequest, progress: Progress) -> None:
        self._jobs = jobs
        self._stop = stop
        self._workers: list[_Worker] = []
        self._batch = SupervisedBatch(catalogue, jobs[0].batch_id, progress, jobs[0].options.stop_at)

    def __enter__(self) -> Self:
        self._batch.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for worker in self._workers:
                worker.ask_to_stop(2)
            until = monotonic() + GRACE_SECONDS
            for worker in self._workers:
                worker.end(until)
        finally:  # another Ctrl-C while they end
            for worker in self._workers:
                worker.kill()
        self._batch.end()

    def run(self) -> bool:
        """Starts the workers and supervises them until the last one has ended; returns whether Ctrl-C ended the run."""
        _log.info("workers started", extra={"workers": len(self._jobs)})
        try:
            with self._stop.deferred():
                for job in self._jobs:
                    if not self._stop.requested:
                        self._workers.append(_Worker(job))
                while self._workers:
                    self._monitor()
        except KeyboardInterrupt:
            return True
        return self._batch.conclude(self._stop)

    def _monitor(self) -> None:
        """Waits for a report, the end of a worker or a timeout, and handles it."""
        for worker in self._workers:
            if self._stop.requested or self._batch.error is not None:
                worker.ask_to_stop(1)
        watched = [each for worker in self._workers for each in (worker.connection, worker.process.sentinel)]
        ready = wait(watched, timeout=POLL_SECONDS)
        for worker in [*self._workers]:
            if worker.connection in ready:
                self._read_reports(worker)
            if worker.process.sentinel in ready:
                self._read_reports(worker)
                worker.end(monotonic() + GRACE_SECONDS)
                self._workers.remove(worker)
                if not worker.ended:
                    self._after_crash(worker)
        self._batch.show_progress()

    def _read_reports(self, worker: _Worker) -> None:
        connection = worker.connection
        with suppress(EOFError, OSError):
            while connection.poll():
                report, value = connection.recv()
                if report is Report.WORKING:
                    worker.working = True
                elif report is Report.SETTLED:
                    self._batch.settle_task(value)
                else:
                    worker.ended = True
                    if report is Report.FAILED:
                        self._batch.record_error(value)

    def _after_crash(self, worker: _Worker) -> None:
        """Restarts a crashed worker, unless the run ends or workers crashed too often."""
        how = _exit_reason(worker.process.exitcode)
        _log.warning("worker %s %s", worker.job.options.name, how)
        self._batch.record_crash(how)
        if self._batch.may_restart(len(self._jobs), self._stop):
            self._workers.append(_Worker(worker.job))


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended unexpectedly with exit code {code}"
