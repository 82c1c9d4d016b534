"""The loop of one worker: claims a task, processes it and commits its outcome, until the batch is done or must stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, sleep

from sqlalchemy import func, select

from archive.batches.planning.disk_space import require_disk_space
from archive.batches.priority import find_more_urgent_batch
from archive.batches.running.abandoned_files import remove_abandoned_batch_files, remove_abandoned_files
from archive.batches.running.claims import Claim, claim_next, reclaim_lost_tasks
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE, retry_while_unavailable
from archive.batches.running.leases import Heartbeat
from archive.batches.running.log_context import batch_context
from archive.batches.running.model_preflight import ModelLoader, load_batch_models, make_execution
from archive.batches.running.source_folders import require_source_folders
from archive.batches.running.task_outcomes import LOST, RELEASED, TaskOutcomes
from archive.batches.running.task_thread_pool import WorkerPool
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import open_tasks
from archive.catalogue.schema.tables import Task
from archive.catalogue.throughput import measure_open_work
from archive.errors import ArchiveError, BatchError
from archive.failpoints import failpoint
from archive.interruption import StopRequest
from archive.progress_reporting import NoProgress, Progress
from restoration.pipeline.loaded_models import LoadedModels

_log = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 1.0  # between two checks of the tasks that other processes hold
_SECONDS_BETWEEN_LOOKS = 1.0  # for more urgent batches


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How one worker runs: its device, its threads, and its stop time."""

    device: str  # as in ``Execution``
    precision: str
    threads: int | None = None  # of torch and of the scores; None for the default of one worker per machine
    stop_at: datetime | None = None  # with its zone; from then on no task is claimed
    name: str | None = None  # for log lines, if there are several workers,
    node: str | None = None  # on several machines


def work_on_batch(
    catalogue: Catalogue,
    batch_id: int,
    options: WorkerOptions,
    *,
    stop: StopRequest,
    progress: Progress,
    make_models: ModelLoader = LoadedModels,
    is_help: bool = False,
) -> bool:
    """Runs the pre-flight checks, then works on the batch's tasks; returns whether ``stop`` ended the run.

    While a more urgent batch that somebody has begun has pending tasks, it works on those first. With ``is_help`` it
    was begun for that: it leaves as soon as no task is pending.

    Raises:
        ModelRegistryError: weights are missing or changed; no task was started.
        BatchError: the masters' folder, the device, the disk or the database can't be used, or the derivatives would
            not fit on the disk; no task is marked as failed.
    """
    with catalogue.keeping_connection() as connected:
        return _work_on_batch(connected, batch_id, options, stop, progress, make_models, is_help=is_help)


def _work_on_batch(
    catalogue: Catalogue,
    batch_id: int,
    options: WorkerOptions,
    stop: StopRequest,
    progress: Progress,
    make_models: ModelLoader,
    *,
    is_help: bool,
) -> bool:
    execution = make_execution(catalogue, options.device, options.precision, options.threads)
    models = load_batch_models(catalogue, batch_id, execution, make_models)
    require_source_folders(catalogue, batch_id)
    require_disk_space(catalogue, batch_id, open_tasks(batch_id))
    stop_at = options.stop_at

    def time_is_up() -> bool:
        return stop_at is not None and datetime.now(UTC) >= stop_at

    def help_batch(more_urgent: int) -> None:
        work_on_batch(
            catalogue,
            more_urgent,
            options,
            stop=stop,
            progress=NoProgress(),
            make_models=make_models,
            is_help=True,
        )

    loop = _WorkerLoop(
        catalogue=catalogue,
        batch_id=batch_id,
        models=models,
        outcomes=TaskOutcomes(catalogue=catalogue, batch_id=batch_id),
        progress=progress,
        stop=stop,
        threads=options.threads,
        device=_describe_device(options.device, models),
        help_batch=help_batch,
        is_help=is_help,
    )
    with batch_context(batch_id, worker=options.name, node=options.node):
        return loop.run(time_is_up)


def _describe_device(requested: str, models: LoadedModels) -> str:
    """The device's name, with its number if a particular GPU was requested."""
    named = models.environment.device
    return f"{requested} {named.removeprefix('cuda ')}" if requested.startswith("cuda:") else named


@dataclass(kw_only=True)
class _MoreUrgentBatches:
    """Looks now and then for a batch to help."""

    cannot_be_helped: set[int] = field(default_factory=set)
    found: int | None = None
    next_look: float = 0.0

    def find(self, catalogue: Catalogue, batch_id: int) -> int | None:
        """The batch to help, as of the last look."""
        if monotonic() >= self.next_look:
            found = retry_while_unavailable(catalogue, lambda: find_more_urgent_batch(catalogue, batch_id))
            self.found = None if found in self.cannot_be_helped else found
            self.next_look = monotonic() + _SECONDS_BETWEEN_LOOKS
        return self.found


@dataclass(frozen=True, kw_only=True)
class _WorkerLoop:
    """Submits the batch's tasks to the pool and records their outcomes, all from one thread."""

    catalogue: Catalogue
    batch_id: int
    models: LoadedModels
    outcomes: TaskOutcomes
    progress: Progress
    stop: StopRequest
    threads: int | None
    device: str  # for `archive batch show`
    help_batch: Callable[[int], None]
    is_help: bool
    urgent: _MoreUrgentBatches = field(default_factory=_MoreUrgentBatches)

    def run(self, time_is_up: Callable[[], bool]) -> bool:
        """Processes tasks until none is left or the run should stop; returns whether it was interrupted."""
        with self.catalogue.reading() as session:
            tasks, pixels = measure_open_work(session, self.batch_id)
        _log.info("batch begun", extra={"tasks": tasks})
        self.progress.start(tasks, "masters", work=pixels)
        stop = self.stop
        try:
            with (
                stop.deferred(),
                Heartbeat(self.catalogue) as heartbeat,
                WorkerPool(self.catalogue, self.models, heartbeat, stop=stop, threads=self.threads) as pool,
            ):
                # First, so that tasks of dead processes do not appear as running until the end.
                retry_while_unavailable(self.catalogue, lambda: reclaim_lost_tasks(self.catalogue, self.batch_id))
                while not stop.requested and not time_is_up():
                    if not self._step(pool):
                        retry_while_unavailable(
                            self.catalogue, lambda: remove_abandoned_batch_files(self.catalogue, self.batch_id)
                        )
                        return False
                while len(pool):
                    self._record_next_outcome(pool)
                return stop.requested
        except KeyboardInterrupt:
            return True
        except DATABASE_UNAVAILABLE as error:
            raise BatchError(
                f"batch {self.batch_id} stopped, because the catalogue's database failed: {error.orig}. "
                f"When it is back, run `archive batch resume {self.batch_id}`"
            ) from error
        finally:
            self.progress.finish()
            _log.info("batch left")

    def _step(self, pool: WorkerPool) -> bool:
        """Starts a task, records an outcome, or waits for other processes; returns False when the batch is finished."""
        claim = None
        urgent = self.urgent.find(self.catalogue, self.batch_id)
        if urgent is not None and not len(pool):
            self._help(urgent)
            return True
        if urgent is None and not pool.full:
            claim = retry_while_unavailable(self.catalogue, self._claim)
        if claim is not None:
            self._start_task(claim, pool)
        elif len(pool):
            self._record_next_outcome(pool)
        elif self.is_help:
            return False
        elif retry_while_unavailable(self.catalogue, lambda: count_open_tasks(self.catalogue, self.batch_id)):
            # Other processes hold them, or are about to claim them.
            sleep(min(_LONGEST_WAIT_SECONDS, self.catalogue.settings.lease_seconds / 10))
        else:
            return False
        return True

    def _help(self, urgent: int) -> None:
        """Works on a more urgent batch. What is wrong with that one does not concern this one."""
        _log.info("helping a more urgent batch", extra={"helped": urgent})
        self.urgent.next_look = 0.0
        try:
            self.help_batch(urgent)
        except ArchiveError as error:
            _log.warning("batch %d is more urgent, but can't be helped: %s", urgent, error)
            self.urgent.cannot_be_helped.add(urgent)

    def _claim(self) -> Claim | None:
        return claim_next(self.catalogue, self.batch_id, device=self.device)

    def _start_task(self, claim: Claim, pool: WorkerPool) -> None:
        failpoint("claim")
        if not claim.already_made:
            pool.submit(claim)
        retry_while_unavailable(self.catalogue, lambda: remove_abandoned_files(self.catalogue, claim.final))
        if claim.already_made:
            self.outcomes.log_skipped(claim)
            self.progress.advance(1, claim.accession_number, work=claim.pixels)

    def _record_next_outcome(self, pool: WorkerPool) -> None:
        """Waits for one task to finish and records its outcome."""
        task = pool.next_finished()
        outcome = self.outcomes.record(task)
        pool.remove(task)
        if outcome not in (LOST, RELEASED):  # otherwise it is processed again, here or elsewhere
            self.progress.advance(1, task.claim.accession_number, work=task.claim.pixels)


def count_open_tasks(catalogue: Catalogue, batch_id: int) -> int:
    """The number of pending and running tasks in the batch."""
    with catalogue.reading() as session:
        return session.scalar(select(func.count(Task.id)).where(*open_tasks(batch_id))) or 0
