"""What supervisors of workers share: the progress of the batch, the crashes of its workers, and how the run ends."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from sqlalchemy import func, select

from archive.batches.running.claims import reclaim_lost_tasks
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.batches.running.worker_loop import count_open_tasks
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import open_tasks
from archive.catalogue.schema.tables import Item, Master, Task
from archive.catalogue.throughput import OpenWork, measure_open_work
from archive.errors import ArchiveError, BatchError
from archive.interruption import StopRequest
from archive.progress_reporting import Progress

POLL_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 10.0  # from the request to stop at once until a worker is killed
CRASHES_PER_WORKER: Final = 3  # without a task done in between

_MOST_NAMES: Final = 5  # of masters in a message
_SHARE_OF_POLLING: Final = 0.05  # of the time, at most, goes into counting open tasks


class SupervisedBatch:
    """One batch that several workers process. Its open tasks are counted in the catalogue."""

    def __init__(self, catalogue: Catalogue, batch_id: int, progress: Progress, stop_at: datetime | None) -> None:
        self.error: ArchiveError | None = None  # the first that a worker met
        self._catalogue = catalogue
        self._batch_id = batch_id
        self._progress = progress
        self._stop_at = stop_at
        self._open = OpenWork(tasks=0, pixels=0)
        self._next_count = 0.0
        self._note = ""
        self._crashes = 0  # since a task was last done
        self._last_crash = ""

    def begin(self) -> None:
        """Shows the progress bar."""
        self._open = self._measure()
        self._progress.start(self._open.tasks, "masters", work=self._open.pixels)

    def end(self) -> None:
        """Returns tasks of dead workers to pending, counts for the last time and ends the progress bar."""
        self._reclaim_tasks()
        self._count_open_tasks()
        self._progress.finish()

    def settle_task(self, accession_number: str) -> None:
        """Notes that a worker has finished a task."""
        self._note, self._crashes = accession_number, 0

    def record_error(self, error: ArchiveError) -> None:
        """Notes an error that stops the batch."""
        self.error = self.error or error

    def record_crash(self, how: str) -> None:
        """Notes that a worker crashed; its tasks return to pending where its machine is known to have lost it."""
        self._crashes += 1
        self._last_crash = how
        self._reclaim_tasks()

    def may_restart(self, workers: int, stop: StopRequest) -> bool:
        """Whether a crashed worker, one of so many, is started again."""
        wanted = not stop.requested and self.error is None and not self._is_time_up()
        return wanted and self._crashes <= CRASHES_PER_WORKER * workers

    def show_progress(self) -> None:
        """Counts the open tasks now and then: others may work on the batch, too."""
        began = monotonic()
        if began < self._next_count:
            return
        self._count_open_tasks()
        seconds = monotonic() - began
        self._next_count = began + max(POLL_SECONDS, seconds / _SHARE_OF_POLLING)

    @property
    def open_tasks(self) -> int:
        """How many tasks were open when they were last counted."""
        return self._open.tasks

    def conclude(self, stop: StopRequest) -> bool:
        """After the last worker has ended: whether a request to stop ended the run.

        Raises:
            ArchiveError: as the worker raised it that met it.
            BatchError: workers crashed too often.
        """
        if self.error is not None:
            raise self.error
        if stop.requested:
            return True
        if self._crashes and not self._is_time_up() and count_open_tasks(self._catalogue, self._batch_id):
            raise BatchError(
                f"batch {self._batch_id} stopped, because its workers crashed {self._crashes} times in a row; the last "
                f"one {self._last_crash}. {self._advice()}, then run `archive batch resume {self._batch_id}`, with "
                "fewer --workers where memory was full"
            )
        return False

    def _advice(self) -> str:
        """What to look at: the memory, and the masters whose open tasks were begun most often."""
        of_batch = open_tasks(self._batch_id)
        most = select(func.max(Task.attempts)).where(*of_batch, Task.attempts > 0).scalar_subquery()
        statement = (
            select(Item.accession_number, Master.sequence)
            .select_from(Task)
            .join(Master, Task.master_id == Master.id)
            .join(Item, Master.item_id == Item.id)
            .where(*of_batch, Task.attempts == most)
            .order_by(Item.accession_number, Master.sequence)
            .limit(_MOST_NAMES)
        )
        with self._catalogue.reading() as session:
            names = [f"{number} ({sequence})" for number, sequence in session.execute(statement)]
        masters = f" and at the masters begun most often: {', '.join(names)}" if names else ""
        return f"Look at the memory{masters}"

    def _count_open_tasks(self) -> None:
        with suppress(*DATABASE_UNAVAILABLE):
            before, self._open = self._open, self._measure()
            self._progress.advance(before.tasks - self._open.tasks, self._note, work=before.pixels - self._open.pixels)

    def _measure(self) -> OpenWork:
        with self._catalogue.reading() as session:
            return measure_open_work(session, self._batch_id)

    def _reclaim_tasks(self) -> None:
        # Where the database can't be told, the next run sees that their holders are dead.
        with suppress(*DATABASE_UNAVAILABLE):
            reclaim_lost_tasks(self._catalogue, self._batch_id)

    def _is_time_up(self) -> bool:
        return self._stop_at is not None and datetime.now(UTC) >= self._stop_at
