"""Running a batch: its pending tasks one after the other, each with its outcome recorded, whatever happens."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Text, cast, func, select

from archive import models
from archive.batches.claims import (
    Claim,
    LeaseLostError,
    claim_next,
    count_running,
    release,
    sweep,
    sweep_batch,
    take_back,
)
from archive.batches.interruption import Interruption
from archive.batches.leases import Heartbeat
from archive.batches.log import at_stage, in_batch, in_task
from archive.batches.patience import DATABASE_IS_AWAY, patiently
from archive.batches.recipes import read_recipe
from archive.batches.record import record_failure, record_made
from archive.batches.roots import require_roots
from archive.batches.space import require_room
from archive.batches.work import make
from archive.catalogue import Catalogue
from archive.catalogue.tables import Batch, Derivative, Item, Master, ModelVersion, Recipe, RecipeStage, Task
from archive.catalogue.vocabulary import TaskStatus
from archive.errors import ArchiveError, BatchError, ModelRegistryError, NotFoundError
from archive.failpoints import reach
from archive.progress import Progress, Silent
from archive.storage import temporary
from restoration.errors import ChangedImageError, DeviceError, ModelError, RecipeError, RestorationError
from restoration.image import Limits
from restoration.models import ModelFolder
from restoration.pipeline import LoadedModels
from restoration.recipe import PIPELINE_VERSION
from restoration.recipe import RecipeStage as Stage

if TYPE_CHECKING:
    from restoration.hardware import Execution

MakeModels = Callable[[Callable[[Stage], ModelFolder], "Execution"], LoadedModels]

_log = logging.getLogger(__name__)

# A disk that takes no more is not a bad scan: every task after it would fail too.
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

_LOST = "lost"

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
    make_models: MakeModels = LoadedModels,
    clock: Callable[[], datetime] = datetime.now,
) -> BatchResult:
    """Works through the pending tasks of a batch, new or resumed, alone or beside other processes.

    A task that fails is marked with its reason and the next one is taken. Tasks that other processes hold are waited
    for at the end, and taken over from a holder that died. The first Ctrl-C lets the task in hand end, the second
    stops at once; either way the rest stays pending. ``until`` is a local time of day, at or after which no
    more task is taken. ``device`` and ``precision`` take the place of what the batch was planned with.

    Raises:
        NotFoundError: there is no such batch.
        ModelRegistryError: weights are missing or changed; no task was begun.
        BatchError: the masters' folder, the device, the disk or the database can't be used, or the derivatives would
            not fit on the disk; nothing is marked for it.
    """
    with catalogue.reading() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            raise NotFoundError(f"there is no batch {batch_id}: `archive batch list` shows those there are")
        device = device or batch.options["device"]
        precision = precision or batch.options["precision"]
    interrupted = False
    if open_tasks := _count_open(catalogue, batch_id):
        ready = _ready_models(catalogue, batch_id, _execution(catalogue, device, precision), make_models)
        require_roots(catalogue, batch_id)
        require_room(catalogue, batch_id, _open(batch_id))
        run = _Run(catalogue=catalogue, batch_id=batch_id, models=ready, progress=progress or Silent())
        stop_at = None if until is None else next_moment(until, clock())
        with in_batch(batch_id):
            interrupted = run.work(open_tasks, lambda: stop_at is not None and clock() >= stop_at)
    result = patiently(catalogue, lambda: _result(catalogue, batch_id, interrupted=interrupted))
    return replace(result, was_over=not open_tasks)


def check_device(catalogue: Catalogue, device: str, precision: str) -> None:
    """Finds out, before a batch is written, whether a device that is asked for by name is there.

    Raises:
        BatchError: it is not.
    """
    if device in ("auto", "cpu"):  # always there: not worth the time to load torch
        return
    try:
        _execution(catalogue, device, precision).resolved()
    except DeviceError as error:
        raise BatchError(f"nothing was planned: {error}") from error


def next_moment(of_day: time, now: datetime) -> datetime:
    """The next time that it is ``of_day``, after ``now``."""
    moment = datetime.combine(now.date(), of_day, now.tzinfo)
    return moment if moment > now else moment + timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class _Run:
    catalogue: Catalogue
    batch_id: int
    models: LoadedModels
    progress: Progress

    def work(self, tasks: int, time_is_up: Callable[[], bool]) -> bool:
        """Takes tasks until none is left or it is to stop; whether it was interrupted."""
        _log.info("batch begun", extra={"tasks": tasks})
        self.progress.start(tasks, "masters")
        try:
            with Interruption(self.progress.interrupted) as interruption, Heartbeat(self.catalogue) as heartbeat:
                # At once, so that what the dead held does not look as if it were in hand until the end.
                patiently(self.catalogue, lambda: take_back(self.catalogue, self.batch_id))
                while not interruption.asked and not time_is_up():
                    if not self._work_on_next(heartbeat):
                        patiently(self.catalogue, lambda: sweep_batch(self.catalogue, self.batch_id))
                        return False
                return interruption.asked
        except KeyboardInterrupt:
            return True
        except DATABASE_IS_AWAY as error:
            raise BatchError(
                f"batch {self.batch_id} stopped, because the catalogue's database failed: {error.orig}. "
                f"When it is back, run `archive batch resume {self.batch_id}`"
            ) from error
        finally:
            self.progress.finish()
            _log.info("batch left")

    def _work_on_next(self, heartbeat: Heartbeat) -> bool:
        """Works on one task, or waits a little for those that others hold; False where the batch is at its end."""
        claim = patiently(self.catalogue, lambda: claim_next(self.catalogue, self.batch_id))
        if claim is None:
            if not patiently(self.catalogue, lambda: count_running(self.catalogue, self.batch_id)):
                return False
            sleep(min(_LONGEST_WAIT_SECONDS, self.catalogue.settings.lease_seconds / 10))
            return True
        reach("claim")
        with in_task(claim), heartbeat.kept(claim.token):
            began = monotonic()
            outcome, reason = self._work_on(claim, heartbeat)
            told = {"outcome": outcome, "reason": reason, "seconds": monotonic() - began}
            _log.info("task ended", extra=told)
        if outcome != _LOST:  # else it comes again, here or elsewhere
            self.progress.advance(1, claim.accession_number)
        return True

    def _work_on(self, claim: Claim, heartbeat: Heartbeat) -> tuple[str, str | None]:
        """Ends the task, or puts it back and raises where going on makes no sense; the outcome, and its reason."""
        try:
            return self._restore(claim, heartbeat), None
        except LeaseLostError as error:
            _log.warning("%s", error)
            return _LOST, str(error)
        except ModelError as error:
            self._release(claim)
            raise BatchError(f"batch {self.batch_id} stopped: {error}") from error
        except DeviceError as error:
            self._release(claim)
            raise BatchError(
                f"batch {self.batch_id} stopped: {error}. When that is mended, run "
                f"`archive batch resume {self.batch_id}`, or give it `--device cpu`. Nothing was marked as failed"
            ) from error
        except (KeyboardInterrupt, *DATABASE_IS_AWAY):
            self._release(claim)
            raise
        except Exception as error:
            return self._fail(claim, error)

    def _restore(self, claim: Claim, heartbeat: Heartbeat) -> str:
        path = temporary(claim.final, claim.token)
        patiently(self.catalogue, lambda: sweep(self.catalogue, claim.final))
        if claim.already_made:
            return TaskStatus.SKIPPED
        try:
            settings = self.catalogue.settings
            made = make(
                claim,
                self.models,
                temporary=path,
                limits=Limits(max_pixels=settings.max_pixels, max_decoding_bytes=settings.max_decoding_bytes),
                is_lost=lambda: heartbeat.is_lost(claim.token),
            )
            at_stage("record")
            return patiently(self.catalogue, lambda: record_made(self.catalogue, claim, made))
        finally:
            # Before the task is put back or failed: only the file of a running task is looked for afterwards.
            path.unlink(missing_ok=True)

    def _release(self, claim: Claim) -> None:
        # Where the database can't be told, the end of this process will be seen, or its lease expires.
        with suppress(*DATABASE_IS_AWAY):
            release(self.catalogue, claim)

    def _fail(self, claim: Claim, error: Exception) -> tuple[str, str | None]:
        if _is_disk_trouble(error):
            self._release(claim)
            raise BatchError(
                f"batch {self.batch_id} stopped, because nothing more can be written: {error}. "
                f"Make room on the disk of {self.catalogue.settings.home}, then run "
                f"`archive batch resume {self.batch_id}`"
            ) from error
        # os.path.exists, because an unreachable share raises errors that Path.exists lets through.
        if os.path.exists(claim.master_path):  # noqa: PTH110
            reason = _reason(error)
        else:
            try:
                require_roots(self.catalogue, self.batch_id)
            except BatchError:
                self._release(claim)
                raise
            reason = f"the master {claim.master_path} is missing: bring it back, or ingest the place it was moved to"
        try:
            patiently(self.catalogue, lambda: record_failure(self.catalogue, claim, reason))
        except LeaseLostError as lost:
            _log.warning("%s", lost)
            return _LOST, str(lost)
        return TaskStatus.FAILED, reason


def _reason(error: Exception) -> str:
    if isinstance(error, ChangedImageError):
        text = f"{error}. Bring back what was ingested; the next `archive restore` tries it again"
    elif isinstance(error, RestorationError | ArchiveError | OSError):
        text = str(error)
    else:
        _log.error("an unexpected error", exc_info=error)
        text = f"unexpected {type(error).__name__}: {error}"
    # Databases take neither NUL nor the stand-ins for undecodable bytes of file names.
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _is_disk_trouble(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_TROUBLE:
            return True
        error = error.__cause__
    return False


def _execution(catalogue: Catalogue, device: str, precision: str) -> Execution:
    from restoration.hardware import Execution  # brings torch, which a batch with nothing to do does not need

    return Execution(device=device, precision=precision, tile_size=catalogue.settings.tile_size)


def _ready_models(catalogue: Catalogue, batch_id: int, execution: Execution, make_models: MakeModels) -> LoadedModels:
    """The models of the batch's open tasks, their weights checked and loaded before the first task begins."""
    with catalogue.reading() as session:
        open_recipes = select(Task.recipe_id).where(*_open(batch_id))
        versions = session.scalars(
            select(ModelVersion)
            .where(ModelVersion.id.in_(select(RecipeStage.version_id).where(RecipeStage.recipe_id.in_(open_recipes))))
            .order_by(ModelVersion.id)
        ).all()
        rows = session.scalars(select(Recipe).where(Recipe.id.in_(open_recipes))).all()
    wanted = [read_recipe(row) for row in rows]
    if any(recipe.pipeline_version != PIPELINE_VERSION for recipe in wanted):
        raise BatchError(
            f"batch {batch_id} was planned for another pipeline than this software's, version {PIPELINE_VERSION}: "
            f"give it up with `archive batch cancel {batch_id}`, and plan it again with `archive restore` or "
            "`archive rerun`"
        )
    folders: dict[tuple[str, str], ModelFolder] = {}
    for version in versions:
        try:
            folder = models.folder_for(catalogue, version)
        except ModelRegistryError as error:
            raise ModelRegistryError(f"batch {batch_id} can't be run: {error}. {_waits(batch_id)}") from error
        folders[folder.card.name, folder.card.version] = folder
    try:
        ready = make_models(lambda stage: folders[stage.model, stage.version], execution)
        for recipe in wanted:
            for stage in recipe.stages:
                ready.stage(stage)
    except (DeviceError, RecipeError) as error:
        raise BatchError(f"batch {batch_id} can't be run: {error}. {_waits(batch_id)}") from error
    except ModelError as error:
        raise ModelRegistryError(f"batch {batch_id} can't be run: {error}. {_waits(batch_id)}") from error
    return ready


def _waits(batch_id: int) -> str:
    return (
        f"The batch waits: `archive batch resume {batch_id}` goes on with it, "
        f"`archive batch cancel {batch_id}` gives it up"
    )


def _open(batch_id: int) -> tuple[ColumnElement[bool], ...]:
    """Tasks that are not ended: pending, or in somebody's hands."""
    return Task.batch_id == batch_id, Task.status.in_((TaskStatus.PENDING, TaskStatus.RUNNING))


def _count_open(catalogue: Catalogue, batch_id: int) -> int:
    with catalogue.reading() as session:
        return session.scalar(select(func.count(Task.id)).where(*_open(batch_id))) or 0


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
