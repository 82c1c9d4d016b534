"""The loop of one worker: claim a task, process it, commit its outcome, until the batch is done or has to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import sleep

from sqlalchemy import func, select

from archive.batches.planning.disk_space import require_disk_space
from archive.batches.running.claims import (
    Claim,
    claim_next,
    reclaim_lost_tasks,
    remove_abandoned_batch_files,
    remove_abandoned_files,
)
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE, retry_while_unavailable
from archive.batches.running.interruption import StopRequest
from archive.batches.running.leases import Heartbeat
from archive.batches.running.log_context import batch_context
from archive.batches.running.preflight import ModelLoader, load_batch_models, make_execution, open_tasks
from archive.batches.running.source_folders import require_source_folders
from archive.batches.running.task_outcomes import LOST, RELEASED, TaskOutcomes
from archive.batches.running.worker_pool import WorkerPool
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Task
from archive.errors import BatchError
from archive.failpoints import failpoint
from archive.progress import Progress
from restoration.pipeline.loaded_models import LoadedModels

_log = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 1.0  # between two looks at what other processes still hold


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How one worker runs: on which device, with how many threads, until when."""

    device: str  # as in ``Execution``
    precision: str
    threads: int | None = None  # of torch and of the scores; None for the default of one worker per machine
    stop_at: datetime | None = None  # local time; from then on no task is claimed
    name: str | None = None  # in log lines, where several workers write them


def work_on_batch(
    catalogue: Catalogue,
    batch_id: int,
    options: WorkerOptions,
    *,
    stop: StopRequest,
    progress: Progress,
    make_models: ModelLoader = LoadedModels,
    clock: Callable[[], datetime] = datetime.now,
) -> bool:
    """Runs the pre-flight checks, then works on the batch's tasks; returns whether ``stop`` ended it.

    Raises:
        ModelRegistryError: weights are missing or changed; no task was begun.
        BatchError: the masters' folder, the device, the disk or the database can't be used, or the derivatives would
            not fit on the disk; nothing is marked for it.
    """
    execution = make_execution(catalogue, options.device, options.precision, options.threads)
    models = load_batch_models(catalogue, batch_id, execution, make_models)
    require_source_folders(catalogue, batch_id)
    require_disk_space(catalogue, batch_id, open_tasks(batch_id))
    loop = _WorkerLoop(
        catalogue=catalogue,
        batch_id=batch_id,
        models=models,
        outcomes=TaskOutcomes(catalogue=catalogue, batch_id=batch_id),
        progress=progress,
        stop=stop,
        threads=options.threads,
        device=_describe_device(options.device, models),
    )
    stop_at = options.stop_at
    with batch_context(batch_id, worker=options.name):
        return loop.work(count_open_tasks(catalogue, batch_id), lambda: stop_at is not None and clock() >= stop_at)


def _describe_device(requested: str, models: LoadedModels) -> str:
    """The device's name, with its number where one of several GPUs was asked for."""
    named = models.environment.device
    return f"{requested} {named.removeprefix('cuda ')}" if requested.startswith("cuda:") else named


@dataclass(frozen=True, kw_only=True)
class _WorkerLoop:
    """Hands out the batch's tasks and settles what comes of them, all from one thread."""

    catalogue: Catalogue
    batch_id: int
    models: LoadedModels
    outcomes: TaskOutcomes
    progress: Progress
    stop: StopRequest
    threads: int | None
    device: str  # for `archive batch show`

    def work(self, tasks: int, time_is_up: Callable[[], bool]) -> bool:
        """Takes tasks until none is left or it is to stop; whether it was interrupted."""
        _log.info("batch begun", extra={"tasks": tasks})
        self.progress.start(tasks, "masters")
        try:
            with (
                self.stop as stop,
                Heartbeat(self.catalogue) as heartbeat,
                WorkerPool(self.catalogue, self.models, heartbeat, stop=stop, threads=self.threads) as in_hand,
            ):
                # Immediately, so that tasks of dead processes are not shown as in flight until the end.
                retry_while_unavailable(self.catalogue, lambda: reclaim_lost_tasks(self.catalogue, self.batch_id))
                while not stop.asked and not time_is_up():
                    if not self._go_on(in_hand):
                        retry_while_unavailable(
                            self.catalogue, lambda: remove_abandoned_batch_files(self.catalogue, self.batch_id)
                        )
                        return False
                while len(in_hand):
                    self._settle_next(in_hand)
                return stop.asked
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

    def _go_on(self, in_hand: WorkerPool) -> bool:
        """Takes a task, settles one, or waits a little for those of others; False where the batch is at its end."""
        claim = None
        if not in_hand.full:
            claim = retry_while_unavailable(self.catalogue, self._claim)
        if claim is not None:
            self._take(claim, in_hand)
        elif len(in_hand):
            self._settle_next(in_hand)
        elif retry_while_unavailable(self.catalogue, lambda: count_open_tasks(self.catalogue, self.batch_id)):
            # Other processes hold them, or are about to.
            sleep(min(_LONGEST_WAIT_SECONDS, self.catalogue.settings.lease_seconds / 10))
        else:
            return False
        return True

    def _claim(self) -> Claim | None:
        return claim_next(self.catalogue, self.batch_id, device=self.device)

    def _take(self, claim: Claim, in_hand: WorkerPool) -> None:
        failpoint("claim")
        if not claim.already_made:
            in_hand.take(claim)
        retry_while_unavailable(self.catalogue, lambda: remove_abandoned_files(self.catalogue, claim.final))
        if claim.already_made:
            self.outcomes.skipped(claim)
            self.progress.advance(1, claim.accession_number)

    def _settle_next(self, in_hand: WorkerPool) -> None:
        """Waits for the work on one task to end, and records what came of it."""
        task = in_hand.next_ended()
        outcome = self.outcomes.settle(task)
        in_hand.let_go(task)
        if outcome not in (LOST, RELEASED):  # else it comes again, here or elsewhere
            self.progress.advance(1, task.claim.accession_number)


def count_open_tasks(catalogue: Catalogue, batch_id: int) -> int:
    """How many tasks of the batch are pending or running."""
    with catalogue.reading() as session:
        return session.scalar(select(func.count(Task.id)).where(*open_tasks(batch_id))) or 0
