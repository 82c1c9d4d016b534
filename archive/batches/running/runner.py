"""Running a batch, new or resumed, in this process or by several worker processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta

from archive.batches.running.batch_result import BatchResult, load_batch_result
from archive.batches.running.database_retry import retry_while_unavailable
from archive.batches.running.last_run import TIME_IS_UP, record_begin, record_end, recording_error
from archive.batches.running.model_preflight import ModelLoader, make_execution
from archive.batches.running.ray_supervisor import check_ray_usage, supervise_on_ray
from archive.batches.running.supervisor import supervise
from archive.batches.running.worker_count import WorkerCount, place_workers
from archive.batches.running.worker_loop import WorkerOptions, count_open_tasks, work_on_batch
from archive.batches.running.worker_process import no_setup, stopping_batch_on_os_errors
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import find_batch
from archive.errors import BatchError
from archive.interruption import Interruption, StopRequest
from archive.progress_reporting import NoProgress, Progress
from restoration.errors import DeviceError
from restoration.pipeline.loaded_models import LoadedModels

__all__ = ["BatchResult", "check_device", "next_occurrence", "run_batch"]


def run_batch(
    catalogue: Catalogue,
    batch_id: int,
    *,
    device: str | None = None,
    precision: str | None = None,
    stop_at: datetime | None = None,
    workers: WorkerCount = 1,
    ray: str | None = None,
    progress: Progress | None = None,
    set_up_worker: Callable[[], None] = no_setup,
    make_models: ModelLoader = LoadedModels,
) -> BatchResult:
    """Processes the pending tasks of a new or resumed batch, in this process or in several worker processes.

    A failed task is marked with its reason, and the batch continues. At the end it waits for tasks that other processes
    hold, and takes over those of dead processes. The first Ctrl-C, SIGTERM or SIGHUP finishes the tasks that have
    reached the device, the second stops immediately; the other tasks stay pending.

    Args:
        catalogue: the catalogue.
        batch_id: the batch.
        device: overrides the device in the batch's options.
        precision: overrides the precision in the batch's options.
        stop_at: a time with its zone, from which on no more tasks are claimed.
        workers: the number of worker processes; with several, this process only supervises them.
        ray: the address of a Ray cluster whose nodes do the work, each with so many workers.
        progress: is informed of each finished master.
        set_up_worker: the first function that each worker process calls; must be picklable.
        make_models: loads the models; must be picklable if there are several workers.

    Raises:
        NotFoundError: there is no such batch.
        UsageError: this number of workers needs more memory than the machine has.
        ModelRegistryError: weights are missing or changed; no task was started.
        BatchError: the masters' folder, the device, the disk or the database can't be used, or the derivatives would
            not fit on the disk; no task is marked as failed.
    """
    with catalogue.reading() as session:
        batch = find_batch(session, batch_id)
        device = device or batch.options["device"]
        precision = precision or batch.options["precision"]
    if not count_open_tasks(catalogue, batch_id):
        return replace(_load_result(catalogue, batch_id, interrupted=False), was_over=True)
    begun_at = retry_while_unavailable(catalogue, lambda: record_begin(catalogue, batch_id))
    listener = progress or NoProgress()
    with Interruption(listener.interrupted) as stop, recording_error(catalogue, batch_id, begun_at, stop):
        interrupted = _run_workers(
            catalogue,
            batch_id,
            WorkerOptions(device=device, precision=precision, stop_at=stop_at),
            workers=workers,
            ray=ray,
            stop=stop,
            progress=listener,
            set_up_worker=set_up_worker,
            make_models=make_models,
        )
        result = _load_result(catalogue, batch_id, interrupted=interrupted)
        reason = (stop.reason if result.interrupted else TIME_IS_UP) if result.pending else None
        retry_while_unavailable(catalogue, lambda: record_end(catalogue, batch_id, begun_at, reason))
    return result


def _run_workers(
    catalogue: Catalogue,
    batch_id: int,
    options: WorkerOptions,
    *,
    workers: WorkerCount,
    ray: str | None,
    stop: StopRequest,
    progress: Progress,
    set_up_worker: Callable[[], None],
    make_models: ModelLoader,
) -> bool:
    """Runs the workers, on a Ray cluster, in this process or in several; returns whether they were interrupted."""
    if ray is not None:
        return supervise_on_ray(
            catalogue,
            batch_id,
            options,
            address=ray,
            workers=workers,
            stop=stop,
            progress=progress,
            make_models=make_models,
            set_up_worker=set_up_worker,
        )
    placed = place_workers(workers, options, count_open_tasks(catalogue, batch_id))
    if len(placed) == 1:
        with stopping_batch_on_os_errors(batch_id):
            return work_on_batch(catalogue, batch_id, placed[0], stop=stop, progress=progress, make_models=make_models)
    return supervise(
        catalogue,
        batch_id,
        placed,
        stop=stop,
        progress=progress,
        make_models=make_models,
        set_up_worker=set_up_worker,
    )


def _load_result(catalogue: Catalogue, batch_id: int, *, interrupted: bool) -> BatchResult:
    return retry_while_unavailable(catalogue, lambda: load_batch_result(catalogue, batch_id, interrupted=interrupted))


def check_device(catalogue: Catalogue, device: str, precision: str, *, ray: bool = False) -> None:
    """Checks before a batch is written that it can be run: on a device given by name, or with ``ray`` on a cluster.

    Raises:
        BatchError: the device is not available.
        UsageError: the catalogue can't be used, or the device can't be named, on a cluster.
    """
    if ray:
        check_ray_usage(catalogue, device)
        return
    if device in ("auto", "cpu"):  # always available: loading torch would only cost time
        return
    try:
        make_execution(catalogue, device, precision).resolved()
    except DeviceError as error:
        raise BatchError(f"nothing was planned: {error}") from error


def next_occurrence(time_of_day: time, now: datetime) -> datetime:
    """The first moment after ``now`` at which this machine's clock shows ``time_of_day``, with its zone."""
    today = now.astimezone().date()
    moment = datetime.combine(today, time_of_day).astimezone()  # a local time
    if moment > now:
        return moment
    return datetime.combine(today + timedelta(days=1), time_of_day).astimezone()  # also where summer time ends between
