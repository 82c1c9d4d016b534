"""A worker process: runs the worker loop, reports to the supervisor through a pipe and handles its stop requests."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import Connection
from typing import Final, Protocol

from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.batches.running.model_preflight import ModelLoader
from archive.batches.running.worker_loop import WorkerOptions, work_on_batch
from archive.catalogue import Catalogue
from archive.errors import ArchiveError, BatchError
from archive.interruption import StopRequest
from archive.settings import Settings

IGNORED_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})  # by workers


class Report(Enum):
    """Types of reports to the supervisor, each with one value."""

    WORKING = "working"  # pre-flight checks passed
    SETTLED = "settled"  # a task has ended; with the accession number
    FAILED = "failed"  # with the error that stops the batch
    ENDED = "ended"  # the batch is done, or it was asked to stop
    STARTED = "started"  # on another machine; with its lease holder
    LOGGED = "logged"  # on another machine; with a line of its standard error


@dataclass(frozen=True, kw_only=True)
class WorkerJob:
    """Everything that a worker process needs; picklable."""

    settings: Settings
    batch_id: int
    options: WorkerOptions
    make_models: ModelLoader
    set_up: Callable[[], None]


def no_setup() -> None:
    """Does nothing; the default setup of a worker process."""


def run_worker(job: WorkerJob, supervisor: Connection) -> None:
    """The main function of a worker process.

    Ctrl-C and SIGHUP of a terminal, and SIGTERM of a service manager, reach every process of the group; only the
    supervisor handles them. If the supervisor dies, the worker finishes its in-flight tasks and ends.
    """
    for ignored in IGNORED_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    job.set_up()
    stop = StopRequest()
    threading.Thread(target=_listen, args=(supervisor, stop), name="supervisor", daemon=True).start()
    reports = ReportingProgress(supervisor)
    try:
        with stopping_batch_on_os_errors(job.batch_id):
            catalogue = Catalogue.open(job.settings)
            work_on_batch(
                catalogue, job.batch_id, job.options, stop=stop, progress=reports, make_models=job.make_models
            )
    except ArchiveError as error:
        reports.send(Report.FAILED, error)
    else:
        reports.send(Report.ENDED)


@contextmanager
def stopping_batch_on_os_errors(batch_id: int) -> Iterator[None]:
    """Turns errors of the operating system and the database into a BatchError, which says how to continue.

    A supervisor would count others as crashes, and restart the worker.
    """
    try:
        yield
    except (OSError, *DATABASE_UNAVAILABLE) as error:
        cause = error if isinstance(error, OSError) else error.orig
        raise BatchError(
            f"batch {batch_id} stopped: {cause}. Fix that, then run `archive batch resume {batch_id}`"
        ) from error


def _listen(supervisor: Connection, stop: StopRequest) -> None:
    """Treats each message, and the supervisor's end, as a stop request."""
    while not stop.immediate:
        try:
            supervisor.recv()
        except (EOFError, OSError):
            if not stop.requested:
                stop.ask()
            return
        stop.ask()


class ReportChannel(Protocol):
    """The worker's end of what leads to the supervisor."""

    def send(self, obj: tuple[Report, object], /) -> None: ...


class ReportingProgress:
    """Progress of one worker, as reports to the supervisor."""

    def __init__(self, supervisor: ReportChannel) -> None:
        self._supervisor = supervisor

    def send(self, report: Report, value: object = None) -> None:
        """Sends a report, with its value if it has one, unless the supervisor is gone."""
        with suppress(OSError):
            self._supervisor.send((report, value))

    def start(self, total: int, what: str, *, work: int | None = None) -> None:
        del total, what, work
        self.send(Report.WORKING)

    def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
        del n, work
        self.send(Report.SETTLED, note)

    def interrupted(self, by: str) -> None:
        pass

    def finish(self) -> None:
        pass
