"""A bounded worker pool: each in-flight task is read, restored, written and scored in its own thread.

While the device processes one task, the next one is read and the previous one is scored. Only the thread that submits
the tasks accesses the catalogue, for one task at a time.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from archive.batches.running.claims import Claim, LeaseLostError, release_claims
from archive.batches.running.commit import TaskResult
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.batches.running.inference_queue import InferenceScheduler
from archive.batches.running.leases import Heartbeat
from archive.batches.running.log_context import set_task_context
from archive.batches.running.task_processing import process_task
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_PIXELS, MAX_IN_FLIGHT_TASKS
from archive.catalogue import Catalogue
from archive.errors import BatchError
from archive.image_limits import image_limits
from archive.interruption import StopRequest
from archive.storage import temporary_path
from restoration.pipeline.loaded_models import LoadedModels

_POLL_SECONDS = 0.5

Result = TypeVar("Result")


class TaskReleasedError(BatchError):
    """The batch stops before the task is processed. The task is valid and returns to pending."""


class InFlightTask:
    """A task that a :class:`WorkerPool` processes."""

    def __init__(self, claim: Claim, priority: int) -> None:
        self.claim = claim
        self.priority = priority
        self.submitted_at = monotonic()
        self.is_begun = False  # whether the device has processed a part of it, or it is restored without the device
        self.context = contextvars.copy_context()
        """The context of its log lines in every thread; one thread at a time may use it."""
        self.context.run(set_task_context, claim)
        self._result: TaskResult | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[InFlightTask], TaskResult], finished: SimpleQueue[InFlightTask]) -> None:
        """Starts a thread that runs ``work`` and then puts the task into ``finished``."""

        def run() -> None:
            try:
                self._result = self.context.run(work, self)
            except BaseException as error:  # raised again by result()
                self._error = error
            finished.put(self)

        self._thread = threading.Thread(target=run, name=f"task-{self.claim.task_id}", daemon=True)
        self._thread.start()

    def mark_begun(self) -> None:
        """Lets the task be finished even if the batch is asked to stop."""
        self.is_begun = True

    @property
    def started(self) -> bool:
        return self._thread is not None

    def result(self) -> TaskResult:
        """Waits for the thread; returns its result or raises its error."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise TaskReleasedError(f"task {self.claim.task_id} was not started")
        return self._result

    def remove_file(self) -> None:
        """Waits for the thread and removes the temporary file if it still exists."""
        with suppress(Exception):
            self.result().temporary.unlink(missing_ok=True)


class WorkerPool:
    """Context manager that processes claimed tasks, within the limits of :mod:`archive.batches.worker_memory_limits`.

    The heartbeat extends the lease of each task from :meth:`submit` to :meth:`remove`. On exit the remaining tasks are
    aborted: their threads stop, their temporary files are removed, and they return to pending.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        models: LoadedModels,
        heartbeat: Heartbeat,
        *,
        stop: StopRequest,
        threads: int | None = None,
    ) -> None:
        """Creates a pool.

        Args:
            catalogue: the catalogue of the tasks.
            models: the loaded models of the tasks' recipes.
            heartbeat: extends the leases of the in-flight tasks.
            stop: after a stop request, tasks that wait for their first call on the device return to pending.
            threads: the number of threads that compute the scores if no GPU does.
        """
        self._catalogue = catalogue
        self._models = models
        self._heartbeat = heartbeat
        self._stop = stop
        self._threads = threads
        self._aborted = False
        self._priorities = itertools.count()
        self._tasks: list[InFlightTask] = []
        self._finished: SimpleQueue[InFlightTask] = SimpleQueue()
        self._device = InferenceScheduler()

    def __enter__(self) -> Self:
        self._device.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._aborted = True
        # Before their release: only the files of running tasks are searched for later.
        for task in self._tasks:
            task.remove_file()
        # If the database is unavailable, others see that this process has ended, or its leases expire.
        with suppress(*DATABASE_UNAVAILABLE):
            release_claims(self._catalogue, *(task.claim for task in self._tasks))
        for task in [*self._tasks]:
            self.remove(task)
        self._device.__exit__(kind, error, trace)

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def full(self) -> bool:
        """Whether the pool accepts no more tasks at the moment."""
        return len(self) >= MAX_IN_FLIGHT_TASKS or any(not task.started for task in self._tasks)

    def submit(self, claim: Claim) -> None:
        """Adds a claimed task; it starts as soon as the limits allow."""
        self._heartbeat.register(claim.token)
        self._tasks.append(InFlightTask(claim, next(self._priorities)))
        self._start_tasks_that_fit()

    def next_finished(self) -> InFlightTask:
        """Waits until one of the tasks has finished, with or without an error."""
        while True:
            self._stop.raise_if_immediate()
            # With a timeout, because a Ctrl-C just before an unlimited wait would only be handled after that wait.
            with suppress(Empty):
                return self._finished.get(timeout=_POLL_SECONDS)

    def remove(self, task: InFlightTask) -> None:
        """Removes a task whose outcome has been recorded."""
        self._tasks.remove(task)
        self._heartbeat.unregister(task.claim.token)
        if not self._aborted:
            self._start_tasks_that_fit()

    def _start_tasks_that_fit(self) -> None:
        for task in self._tasks:
            others = sum(other.claim.pixels for other in self._tasks if other.started)
            if not task.started and (others == 0 or others + task.claim.pixels <= MAX_IN_FLIGHT_PIXELS):
                task.start(self._process, self._finished)

    def _process(self, task: InFlightTask) -> TaskResult:
        path = temporary_path(task.claim.final, task.claim.token)
        try:
            return process_task(
                task.claim,
                self._models,
                temporary=path,
                limits=image_limits(self._catalogue.settings),
                threads=self._threads,
                check_still_wanted=lambda: self._check_still_wanted(task),
                on_restored=task.mark_begun,
                scheduler=partial(self._schedule, task),
            )
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _schedule(self, task: InFlightTask, call: Callable[[], Result], /) -> Result:
        return self._device.run(task.priority, lambda: self._run_on_device(task, call))

    def _run_on_device(self, task: InFlightTask, call: Callable[[], Result]) -> Result:
        """Runs ``call`` in the inference thread.

        Raises:
            TaskReleasedError: the batch stops before the task's inference has begun, or stops immediately.
            LeaseLostError: the lease was lost.
        """
        if self._stop.requested and not task.is_begun:
            raise TaskReleasedError(f"task {task.claim.task_id} returns to pending: the batch was asked to stop")
        self._check_still_wanted(task)
        task.mark_begun()
        return call()

    def _check_still_wanted(self, task: InFlightTask) -> None:
        """Checks that the task should still be processed; called regularly.

        Raises:
            TaskReleasedError: the batch stops immediately.
            LeaseLostError: the lease was lost.
        """
        claim = task.claim
        if self._aborted:
            raise TaskReleasedError(f"task {claim.task_id} returns to pending: the batch stops immediately")
        if self._heartbeat.is_lost(claim.token):
            raise LeaseLostError(f"the lease of task {claim.task_id} ({claim.accession_number}) was lost meanwhile")
