"""The result of a batch run: counts by state and the failures with their reasons."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Text, cast, func, select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Batch, Derivative, Item, Master, Task
from archive.catalogue.schema.vocabularies import TaskStatus


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A master that the batch could not restore, and why."""

    accession_number: str
    sequence: int
    path: str  # of the master, absolute
    reason: str


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """The state of the whole batch after a run, earlier runs included."""

    batch_id: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    pending: int  # unfinished, including tasks that other processes hold
    with_notes: int  # derivatives with notes, such as metadata that could not be carried
    failures: tuple[Failure, ...]
    interrupted: bool  # by Ctrl-C; the pending tasks can be resumed
    was_over: bool = False  # no task was open when the run began
    is_sample: bool = False  # a contact sheet is written at the end


def load_batch_result(catalogue: Catalogue, batch_id: int, *, interrupted: bool) -> BatchResult:
    """Reads the state of a batch; ``interrupted`` is whether Ctrl-C ended the run."""
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
