"""Reproduces derivatives: selects and orders them, and records an event for each.

The oldest reproduction comes first; derivatives that were never reproduced precede all others. Each result is committed
at once, so that a run can be interrupted and continued.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Select, func, select

from archive.catalogue import Catalogue
from archive.catalogue.events import record_event
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Derivative, Event, Item, Master
from archive.catalogue.schema.vocabularies import EventType, Outcome
from archive.errors import ArchiveError, BatchError, NotFoundError, StorageError
from archive.progress_reporting import NoProgress, Progress
from archive.reproduction.comparison import Comparison, Result, compare
from archive.reproduction.derivative_record import DerivativeRecord, read_record
from archive.reproduction.remaking import Remaker
from archive.storage import is_full
from restoration.errors import DeviceError, RestorationError

_FAILURES = (Result.DIFFERENT, Result.NOT_MADE)


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """One derivative and the result of its reproduction."""

    record: DerivativeRecord
    comparison: Comparison


@dataclass(kw_only=True)
class ReproductionReport:
    """The counts of a run."""

    counts: Counter[Result] = field(default_factory=Counter)
    absent_folders: Counter[Path] = field(default_factory=Counter)
    """Folders of masters that are gone, as of an unmounted share, with the number of derivatives left out for it."""

    @property
    def failed(self) -> bool:
        """Whether a derivative is different, can't be recreated, or was omitted."""
        return bool(self.absent_folders) or any(self.counts[result] for result in _FAILURES)


def reproduce_derivatives(
    catalogue: Catalogue,
    query: str | None,
    report: ReproductionReport,
    *,
    limit: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Iterator[Reproduction]:
    """Recreates derivatives one after the other, compares each with its record and records an event.

    The files are written to a temporary folder (``TMPDIR``) and removed after the comparison.

    Args:
        catalogue: whose derivatives are recreated.
        query: only the derivatives of the masters that it matches; without it all.
        report: counts the results.
        limit: at most so many.
        device: where networks run; by default each derivative's recorded kind of device.
        progress: receives each derivative.

    Raises:
        QueryError: the query has a mistake.
        BatchError: the device is not available or fails.
        StorageError: the temporary folder is full.
    """
    with catalogue.reading() as session:
        ids = session.scalars(_oldest_first(query).limit(limit)).all()
    remaker = Remaker(catalogue, device=device)
    progress = progress or NoProgress()
    progress.start(len(ids), "derivatives")
    try:
        for derivative_id in ids:
            try:
                with catalogue.reading() as session:
                    record = read_record(catalogue, session, derivative_id)
            except NotFoundError:  # removed from the catalogue meanwhile
                progress.advance()
                continue
            if (absent := _absent_folder(record)) is not None:
                report.absent_folders[absent] += 1
            else:
                comparison = _reproduce(remaker, record)
                _record(catalogue, record, comparison)
                report.counts[comparison.result] += 1
                yield Reproduction(record=record, comparison=comparison)
            progress.advance(note=record.accession_number)
    finally:
        progress.finish()


def _oldest_first(query: str | None) -> Select[int]:
    """The ids of the derivatives, by their last reproduction and in the order of lists."""
    last = (
        select(func.max(Event.at))
        .where(Event.derivative_id == Derivative.id, Event.type == EventType.REPRODUCTION)
        .scalar_subquery()
    )
    return (
        select(Derivative.id)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(parse_condition(query), Derivative.withdrawn_at.is_(None))
        .order_by(last.nulls_first(), Item.accession_number, Master.sequence, Derivative.id)
    )


def _absent_folder(record: DerivativeRecord) -> Path | None:
    """The folder of the master, if it is gone as a whole."""
    folder = record.master_folder
    # os.path, because an unreachable share raises errors that Path's methods let through.
    return folder if folder is not None and not os.path.isdir(folder) else None  # noqa: PTH112


def _reproduce(remaker: Remaker, record: DerivativeRecord) -> Comparison:
    with tempfile.TemporaryDirectory(prefix="archive-reproduce-") as folder:
        try:
            return compare(record, remaker.remake(record, Path(folder) / record.path.name))
        except DeviceError as error:
            raise BatchError(f"nothing more was reproduced: {error}") from error
        except FileNotFoundError as error:
            return Comparison(result=Result.NOT_MADE, detail=f"{error.filename} is missing: bring it back")
        except (RestorationError, ArchiveError) as error:
            return Comparison(result=Result.NOT_MADE, detail=str(error))
        except OSError as error:
            if is_full(error):
                raise StorageError(
                    f"nothing more can be written to {tempfile.gettempdir()}: {error.strerror}. Make room, or set "
                    "TMPDIR to a folder with room, then run `archive reproduce` again: it goes on where it stopped"
                ) from error
            return Comparison(result=Result.NOT_MADE, detail=str(error))


def _record(catalogue: Catalogue, record: DerivativeRecord, comparison: Comparison) -> None:
    with catalogue.session() as session:
        if (derivative := session.get(Derivative, record.id)) is None:  # removed from the catalogue meanwhile
            return
        record_event(
            session,
            EventType.REPRODUCTION,
            outcome=Outcome.FAILURE if comparison.result in _FAILURES else Outcome.SUCCESS,
            detail=f"{comparison.as_text}: {comparison.detail}",
            derivative=derivative,
            at=catalogue.now(session),
        )
