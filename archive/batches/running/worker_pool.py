"""A bounded worker pool: a few in-flight tasks, each read, restored, written and scored in its own thread.

While the device works on one, the next is read and the last is scored. What concerns the catalogue is not done here,
but by the thread that hands out the tasks, and for one of them at a time.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from archive.batches.limits import MAX_IN_FLIGHT_PIXELS, MAX_IN_FLIGHT_TASKS
from archive.batches.running.claims import Claim, LeaseLostError, release_claims
from archive.batches.running.commit import TaskResult
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.batches.running.device_scheduler import DeviceScheduler
from archive.batches.running.interruption import StopRequest
from archive.batches.running.leases import Heartbeat
from archive.batches.running.log_context import set_task_context
from archive.batches.running.task_processing import process_task
from archive.catalogue import Catalogue
from archive.errors import BatchError
from archive.storage import temporary_path
from restoration.image import Limits
from restoration.pipeline.loaded_models import LoadedModels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_TURN_SECONDS = 0.5


class TaskReleasedError(BatchError):
    """The batch stops before the task is made: nothing is wrong with it, and it is to wait."""


class InFlightTask:
    """A task that is worked on, or was; made by :class:`WorkerPool`."""

    def __init__(self, claim: Claim, place: int) -> None:
        self.claim = claim
        self.place = place
        self.taken_at = monotonic()
        self.begun = False  # whether the device has seen it
        self.context = contextvars.copy_context()
        """What its log lines tell, whichever thread writes them; for one thread at a time."""
        self.context.run(set_task_context, claim)
        self._made: TaskResult | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[InFlightTask], TaskResult], ended: SimpleQueue[InFlightTask]) -> None:
        """Begins with it, in a thread that says so in ``ended`` when it is through."""

        def run() -> None:
            try:
                self._made = self.context.run(work, self)
            except BaseException as error:  # raised where the result is asked for
                self._error = error
            ended.put(self)

        self._thread = threading.Thread(target=run, name=f"task-{self.claim.task_id}", daemon=True)
        self._thread.start()

    @property
    def started(self) -> bool:
        return self._thread is not None

    def result(self) -> TaskResult:
        """What was made, once its thread is through; raises what that raised."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        if self._made is None:
            raise TaskReleasedError(f"task {self.claim.task_id} was not begun")
        return self._made

    def remove_file(self) -> None:
        """Waits until its thread is through, and removes the temporary file, where it is still there."""
        with suppress(Exception):
            self.result().temporary.unlink(missing_ok=True)


class WorkerPool:
    """While it is entered, claimed tasks are worked on: at most three, and at most so many pixels together.

    The lease of each is prolonged from :meth:`take` to :meth:`let_go`. Those that are left at the end are dropped:
    their work is broken off, their temporary files are removed, and they are put back to pending.
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
        """Once ``stop`` asks, tasks that the device has not begun are put back. ``threads`` is for the scores."""
        self._catalogue = catalogue
        self._models = models
        self._heartbeat = heartbeat
        self._stop = stop
        self._threads = threads
        self._dropped = False
        self._places = itertools.count()
        self._tasks: list[InFlightTask] = []
        self._ended: SimpleQueue[InFlightTask] = SimpleQueue()
        self._device: DeviceScheduler[NDArray[np.float32]] = DeviceScheduler()

    def __enter__(self) -> Self:
        self._device.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dropped = True
        # Before they are put back: only the file of a running task is looked for afterwards.
        for task in self._tasks:
            task.remove_file()
        # Where the database can't be told, the end of this process will be seen, or its leases expire.
        with suppress(*DATABASE_UNAVAILABLE):
            release_claims(self._catalogue, *(task.claim for task in self._tasks))
        for task in [*self._tasks]:
            self.let_go(task)
        self._device.__exit__(kind, error, trace)

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def full(self) -> bool:
        """Whether no more tasks are wanted for now."""
        return len(self) >= MAX_IN_FLIGHT_TASKS or any(not task.started for task in self._tasks)

    def take(self, claim: Claim) -> None:
        """Takes a claimed task, and begins with it as soon as those before it leave room."""
        self._heartbeat.keep(claim.token)
        self._tasks.append(InFlightTask(claim, next(self._places)))
        self._start_what_there_is_room_for()

    def next_ended(self) -> InFlightTask:
        """Waits until the work on one of them has ended, well or not."""
        while True:
            self._stop.raise_if_immediate()
            # In turns: a Ctrl-C that comes just before a wait without end isn't seen until that wait is over.
            with suppress(Empty):
                return self._ended.get(timeout=_TURN_SECONDS)

    def let_go(self, task: InFlightTask) -> None:
        """Has nothing more to do with a task whose outcome is known."""
        self._tasks.remove(task)
        self._heartbeat.let_go(task.claim.token)
        if not self._dropped:
            self._start_what_there_is_room_for()

    def _start_what_there_is_room_for(self) -> None:
        for task in self._tasks:
            others = sum(other.claim.pixels for other in self._tasks if other.started)
            if not task.started and (others == 0 or others + task.claim.pixels <= MAX_IN_FLIGHT_PIXELS):
                task.start(self._make, self._ended)

    def _make(self, task: InFlightTask) -> TaskResult:
        settings = self._catalogue.settings
        path = temporary_path(task.claim.final, task.claim.token)
        try:
            return process_task(
                task.claim,
                self._models,
                temporary=path,
                limits=Limits(max_pixels=settings.max_pixels, max_decoding_bytes=settings.max_decoding_bytes),
                threads=self._threads,
                attend=lambda: self._attend(task),
                scheduler=lambda call: self._device.run(task.place, lambda: self._begin(task, call)),
            )
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _begin(self, task: InFlightTask, call: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """In the device's thread, once it is the task's turn."""
        if self._stop.asked and not task.begun:
            raise TaskReleasedError(f"task {task.claim.task_id} is put back: the batch was asked to stop")
        self._attend(task)
        task.begun = True
        return call()

    def _attend(self, task: InFlightTask) -> None:
        """Looks now and then whether going on still makes sense.

        Raises:
            PutBackError: the batch stops at once.
            LeaseLostError: another process has the task now.
        """
        claim = task.claim
        if self._dropped:
            raise TaskReleasedError(f"task {claim.task_id} is put back: the batch stops at once")
        if self._heartbeat.is_lost(claim.token):
            raise LeaseLostError(f"the lease of task {claim.task_id} ({claim.accession_number}) was lost meanwhile")
