"""The last run of a batch: when it began, when it ended, and why it ended before the last task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

from archive.batches.running.database_retry import DATABASE_UNAVAILABLE
from archive.catalogue import Catalogue
from archive.catalogue.batch_workers import format_moment
from archive.catalogue.schema.tables import Batch
from archive.errors import ArchiveError

CTRL_C: Final = "Ctrl-C"
TIME_IS_UP: Final = "the time of --until was reached"


def record_begin(catalogue: Catalogue, batch_id: int) -> datetime:
    """Records that a run of the batch begins; returns the time by the database's clock.

    From the first run on, the workers of less urgent batches help the batch.
    """
    with catalogue.session() as session:
        batch = session.get_one(Batch, batch_id, with_for_update=True)
        now = catalogue.now(session)
        batch.begun_at = batch.begun_at or now
        _set(batch, now, None, None)
        return now


def record_end(catalogue: Catalogue, batch_id: int, begun_at: datetime, reason: str | None) -> None:
    """Records that the run that began at ``begun_at`` has ended, and why, unless no task was left."""
    with catalogue.session() as session:
        batch = session.get_one(Batch, batch_id, with_for_update=True)
        _set(batch, begun_at, catalogue.now(session), reason)


@contextmanager
def recording_error(catalogue: Catalogue, batch_id: int, begun_at: datetime) -> Iterator[None]:
    """Records an error that ends the run, or a Ctrl-C; while the database is unavailable, nothing is recorded."""
    try:
        yield
    except BaseException as error:
        with suppress(*DATABASE_UNAVAILABLE):
            record_end(catalogue, batch_id, begun_at, _describe(error))
        raise


def _describe(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return CTRL_C
    return str(error) if isinstance(error, ArchiveError) else f"unexpected {type(error).__name__}: {error}"


def _set(batch: Batch, begun_at: datetime, ended_at: datetime | None, reason: str | None) -> None:
    batch.last_run = {
        "begun_at": format_moment(begun_at),
        "ended_at": format_moment(ended_at),
        "reason": reason,
    }
