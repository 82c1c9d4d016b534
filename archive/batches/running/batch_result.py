"""The result of a batch run: counts by state and the failures with their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Text, cast, func, select, true
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import Failure, list_failures
from archive.catalogue.current_derivative import image_score, is_current
from archive.catalogue.schema.tables import Batch, Derivative, Item, Master, Task
from archive.catalogue.schema.vocabularies import DerivativeKind, TaskStatus
from archive.message_groups import MessageGroup, group_messages

HARDLY_CHANGED: Final = 0.01
"""Up to this share of visibly changed pixels a restoration has hardly changed its master, as with a clean scan."""

SMOOTHED: Final = 0.02
"""Above this share of smoothed blocks texture may have been taken for grain: a person should look at the result."""

_ROWS_AT_A_TIME = 500


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
    notes: tuple[MessageGroup, ...]  # these notes by kind
    failures: tuple[Failure, ...]
    interrupted: bool  # by a request to stop that left tasks pending; they can be resumed
    smoothed: int = 0  # restored derivatives with more than :data:`SMOOTHED` as their smoothed_share
    hardly_changed: int = 0  # the others with at most :data:`HARDLY_CHANGED` as their changed_share
    not_current: int = 0  # derivatives of a full run that are not their masters' current ones
    was_over: bool = False  # no task was open when the run began
    is_sample: bool = False  # a contact sheet is written at the end


def load_batch_result(catalogue: Catalogue, batch_id: int, *, interrupted: bool) -> BatchResult:
    """Reads the state of a batch; ``interrupted`` is whether the run was asked to stop."""
    with catalogue.reading() as session:
        batch = session.get_one(Batch, batch_id)
        is_sample = "sample" in batch.options
        counts = dict(
            session.execute(
                select(Task.status, func.count(Task.id)).where(Task.batch_id == batch_id).group_by(Task.status)
            ).all()
        )
        failures = tuple(list_failures(session, batch_id))
        has_notes = (Derivative.batch_id == batch_id, cast(Derivative.notes, Text) != "[]")
        with_notes = session.scalar(select(func.count(Derivative.id)).where(*has_notes)) or 0
        notes = group_messages(_read_notes(session, *has_notes))
        is_smoothed = image_score(Derivative.id, "smoothed_share") > SMOOTHED
        is_hardly_changed = image_score(Derivative.id, "changed_share") <= HARDLY_CHANGED
        smoothed = _count_restored(session, batch_id, is_smoothed)
        hardly_changed = _count_restored(session, batch_id, is_hardly_changed, func.coalesce(~is_smoothed, true()))
        not_current = 0 if batch.is_trial else _count_not_current(session, batch_id)
    pending = counts.get(TaskStatus.PENDING, 0) + counts.get(TaskStatus.RUNNING, 0)
    return BatchResult(
        batch_id=batch_id,
        done=counts.get(TaskStatus.DONE, 0),
        failed=counts.get(TaskStatus.FAILED, 0),
        skipped=counts.get(TaskStatus.SKIPPED, 0),
        cancelled=counts.get(TaskStatus.CANCELLED, 0),
        pending=pending,
        with_notes=with_notes,
        notes=tuple(notes),
        failures=failures,
        interrupted=interrupted and pending > 0,
        smoothed=smoothed,
        hardly_changed=hardly_changed,
        not_current=not_current,
        is_sample=is_sample,
    )


def _count_restored(session: Session, batch_id: int, *which: ColumnElement[bool]) -> int:
    statement = select(func.count(Derivative.id)).where(
        Derivative.batch_id == batch_id, Derivative.kind == DerivativeKind.RESTORED, *which
    )
    return session.scalar(statement) or 0


def _count_not_current(session: Session, batch_id: int) -> int:
    statement = (
        select(func.count(Derivative.id))
        .join(Master, Master.id == Derivative.master_id)
        .where(Derivative.batch_id == batch_id, ~is_current(Derivative))
    )
    return session.scalar(statement) or 0


def _read_notes(session: Session, *which: ColumnElement[bool]) -> Iterator[tuple[str, str]]:
    """The notes of derivatives, each after the name of its master."""
    rows = session.execute(
        select(Item.accession_number, Master.sequence, Derivative.notes)
        .select_from(Derivative)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(*which)
        .order_by(Item.accession_number, Master.sequence),
        execution_options={"yield_per": _ROWS_AT_A_TIME},
    )
    for accession_number, sequence, notes in rows:
        for note in notes:
            yield f"{accession_number} ({sequence})", str(note)
