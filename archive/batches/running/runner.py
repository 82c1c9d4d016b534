"""Running a batch: its pending tasks, a few at a time, each with its outcome recorded, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from time import sleep

from sqlalchemy import Text, cast, func, select

from archive.batches.planning.disk_space import require_disk_space
from archive.batches.running.claims import (
    Claim,
    claim_next,
    reclaim_lost_tasks,
    remove_abandoned_batch_files,
    remove_abandoned_files,
)
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE, retry_while_unavailable
from archive.batches.running.interruption import Interruption
from archive.batches.running.leases import Heartbeat
from archive.batches.running.log_context import batch_context
from archive.batches.running.preflight import ModelLoader, load_batch_models, make_execution, open_tasks
from archive.batches.running.source_folders import require_source_folders
from archive.batches.running.task_outcomes import LOST, RELEASED, TaskOutcomes
from archive.batches.running.worker_pool import WorkerPool
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Batch, Derivative, Item, Master, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import BatchError, NotFoundError
from archive.failpoints import failpoint
from archive.progress import NoProgress, Progress
from restoration.errors import DeviceError
from restoration.pipeline.loaded_models import LoadedModels

_log = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 1.0  # between two looks at what other processes still hold


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A master that the batch could not restore, and why."""

    accession_number: str
    sequence: int
    path: str  # of the master, absolute
    reason: str


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """How the whole batch stands after a run, earlier runs of it included."""

    batch_id: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    pending: int  # not ended yet, those that another process holds included
    with_notes: int  # derivatives that could not carry all that their masters hold, or that have other notes
    failures: tuple[Failure, ...]
    interrupted: bool  # by Ctrl-C; what is pending can be resumed
    was_over: bool = False  # nothing was pending when the run began
    is_sample: bool = False  # of which a contact sheet is made in the end


def run_batch(
    catalogue: Catalogue,
    batch_id: int,
    *,
    device: str | None = None,
    precision: str | None = None,
    until: time | None = None,
    progress: Progress | None = None,
    make_models: ModelLoader = LoadedModels,
    clock: Callable[[], datetime] = datetime.now,
) -> BatchResult:
    """Works through the pending tasks of a batch, new or resumed, alone or beside other processes.

    A task that fails is marked with its reason and the next one is taken. Tasks that other processes hold are waited
    for at the end, and taken over from a holder that died. The first Ctrl-C lets the tasks end that the device has
    begun with, the second stops at once; either way the rest stays pending. ``until`` is a local time of day, at or
    after which no more task is taken. ``device`` and ``precision`` take the place of what the batch was planned with.

    Raises:
        NotFoundError: there is no such batch.
        ModelRegistryError: weights are missing or changed; no task was begun.
        BatchError: the masters' folder, the device, the disk or the database can't be used, or the derivatives would
            not fit on the disk; nothing is marked for it.
    """
    with catalogue.reading() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            raise NotFoundError(f"No batch {batch_id}. Run `archive batch list` to see the batches.")
        device = device or batch.options["device"]
        precision = precision or batch.options["precision"]
    interrupted = False
    if open_count := _count_open(catalogue, batch_id):
        ready = load_batch_models(catalogue, batch_id, make_execution(catalogue, device, precision), make_models)
        require_source_folders(catalogue, batch_id)
        require_disk_space(catalogue, batch_id, open_tasks(batch_id))
        run = _Run(
            catalogue=catalogue,
            batch_id=batch_id,
            models=ready,
            outcomes=TaskOutcomes(catalogue=catalogue, batch_id=batch_id),
            progress=progress or NoProgress(),
        )
        stop_at = None if until is None else next_occurrence(until, clock())
        with batch_context(batch_id):
            interrupted = run.work(open_count, lambda: stop_at is not None and clock() >= stop_at)
    result = retry_while_unavailable(catalogue, lambda: _result(catalogue, batch_id, interrupted=interrupted))
    return replace(result, was_over=not open_count)


def check_device(catalogue: Catalogue, device: str, precision: str) -> None:
    """Finds out, before a batch is written, whether a device that is asked for by name is there.

    Raises:
        BatchError: it is not.
    """
    if device in ("auto", "cpu"):  # always there: not worth the time to load torch
        return
    try:
        make_execution(catalogue, device, precision).resolved()
    except DeviceError as error:
        raise BatchError(f"nothing was planned: {error}") from error


def next_occurrence(of_day: time, now: datetime) -> datetime:
    """The next time that it is ``of_day``, after ``now``."""
    moment = datetime.combine(now.date(), of_day, now.tzinfo)
    return moment if moment > now else moment + timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Hands out the batch's tasks and settles what comes of them, all from one thread."""

    catalogue: Catalogue
    batch_id: int
    models: LoadedModels
    outcomes: TaskOutcomes
    progress: Progress

    def work(self, tasks: int, time_is_up: Callable[[], bool]) -> bool:
        """Takes tasks until none is left or it is to stop; whether it was interrupted."""
        _log.info("batch begun", extra={"tasks": tasks})
        self.progress.start(tasks, "masters")
        try:
            with (
                Interruption(self.progress.interrupted) as interruption,
                Heartbeat(self.catalogue) as heartbeat,
                WorkerPool(self.catalogue, self.models, heartbeat, stops=lambda: interruption.asked) as in_hand,
            ):
                # Immediately, so that tasks of dead processes are not shown as in flight until the end.
                retry_while_unavailable(self.catalogue, lambda: reclaim_lost_tasks(self.catalogue, self.batch_id))
                while not interruption.asked and not time_is_up():
                    if not self._go_on(in_hand):
                        retry_while_unavailable(
                            self.catalogue, lambda: remove_abandoned_batch_files(self.catalogue, self.batch_id)
                        )
                        return False
                while len(in_hand):
                    self._settle_next(in_hand)
                return interruption.asked
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
            claim = retry_while_unavailable(self.catalogue, lambda: claim_next(self.catalogue, self.batch_id))
        if claim is not None:
            self._take(claim, in_hand)
        elif len(in_hand):
            self._settle_next(in_hand)
        elif retry_while_unavailable(self.catalogue, lambda: _count_open(self.catalogue, self.batch_id)):
            # Other processes hold them, or are about to.
            sleep(min(_LONGEST_WAIT_SECONDS, self.catalogue.settings.lease_seconds / 10))
        else:
            return False
        return True

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


def _count_open(catalogue: Catalogue, batch_id: int) -> int:
    with catalogue.reading() as session:
        return session.scalar(select(func.count(Task.id)).where(*open_tasks(batch_id))) or 0


def _result(catalogue: Catalogue, batch_id: int, *, interrupted: bool) -> BatchResult:
    with catalogue.reading() as session:
        is_sample = "sample" in session.get_one(Batch, batch_id).options
        counts = dict(
            session.execute(
                select(Task.status, func.count(Task.id)).where(Task.batch_id == batch_id).group_by(Task.status)
            ).all()
        )
        failed = session.execute(
            select(Item.accession_number, Master.sequence, Master.path, Task.error)
            .select_from(Task)
            .join(Master, Task.master_id == Master.id)
            .join(Item, Master.item_id == Item.id)
            .where(Task.batch_id == batch_id, Task.status == TaskStatus.FAILED)
            .order_by(Item.accession_number, Master.sequence)
        ).all()
        with_notes = (
            session.scalar(
                select(func.count(Derivative.id)).where(
                    Derivative.batch_id == batch_id, cast(Derivative.notes, Text) != "[]"
                )
            )
            or 0
        )
    return BatchResult(
        batch_id=batch_id,
        done=counts.get(TaskStatus.DONE, 0),
        failed=counts.get(TaskStatus.FAILED, 0),
        skipped=counts.get(TaskStatus.SKIPPED, 0),
        cancelled=counts.get(TaskStatus.CANCELLED, 0),
        pending=counts.get(TaskStatus.PENDING, 0) + counts.get(TaskStatus.RUNNING, 0),
        with_notes=with_notes,
        failures=tuple(
            Failure(accession_number=number, sequence=sequence, path=str(catalogue.path_of(path)), reason=error or "")
            for number, sequence, path, error in failed
        ),
        interrupted=interrupted,
        is_sample=is_sample,
    )
