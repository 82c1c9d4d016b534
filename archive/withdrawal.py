"""Withdrawal: a derivative's bytes are removed for legal or ethical reasons, and its record is kept as a tombstone.

The tombstone keeps identifiers, digests, recipe, reason, person and time. A withdrawn derivative is never current, and
no batch recreates it. A person can lift the withdrawal; the derivative is then recreated from its record.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import lock_masters, update_current_derivatives
from archive.catalogue.events import person_agent, record_event
from archive.catalogue.schema.tables import Derivative, Event, Item, Master
from archive.catalogue.schema.vocabularies import EventType, FileFault
from archive.derivative_traces import Traces, find_traces
from archive.errors import FixityError, NotFoundError, UsageError
from archive.failpoints import failpoint
from archive.reproduction.derivative_record import read_record
from archive.reproduction.remaking import Remaker
from archive.storage import check_file, flush_file, publish, temporary_path
from archive.views.view_store import remove_views
from restoration.errors import RestorationError

_DELETION = exists().where(
    Event.derivative_id == Derivative.id,
    Event.type == EventType.DELETION,
    Event.at >= Derivative.withdrawn_at,  # not that of an earlier withdrawal, which was lifted
)


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """A withdrawn derivative, and what a person still has to check."""

    path: Path
    """Where its file was."""
    traces: Traces


def withdraw_derivative(
    catalogue: Catalogue, accession_number: str, derivative_id: int, *, reason: str, person: str
) -> Withdrawal:
    """Removes a derivative's file and all of its views, and keeps its record.

    The tombstone comes first. A repeated withdrawal, or :func:`complete_withdrawals`, completes an interrupted one.

    Raises:
        NotFoundError: the item has no such derivative.
        UsageError: the reason or the person is missing, or it is withdrawn already.
        OSError: the file can't be removed.
    """
    if not reason.strip() or not person.strip():
        raise UsageError("a withdrawal is a person's decision and needs a reason: give --reason TEXT")
    with catalogue.session() as session:
        derivative, master = _find(session, accession_number, derivative_id, lock=True)
        path = catalogue.path_of(derivative.path)
        if derivative.withdrawn_at is not None and not path.exists() and _is_recorded(session, derivative):
            raise UsageError(f"derivative {derivative_id} is withdrawn already: `archive show` names the reason")
        if derivative.withdrawn_at is None:
            derivative.withdrawn_at = catalogue.now(session)
            derivative.withdrawn_by = person_agent(session, person.strip())
            derivative.withdrawal_reason = reason.strip()
            if derivative.file_fault is not FileFault.LOST:  # no file is expected any more, so none is missing
                derivative.file_fault = None
            update_current_derivatives(session, master)
    failpoint("withdrawal_tombstone")
    _complete(catalogue, derivative_id)
    with catalogue.reading() as session:
        return Withdrawal(path=path, traces=find_traces(catalogue, session, Derivative.id == derivative_id))


def complete_withdrawals(catalogue: Catalogue) -> list[Path]:
    """Completes the withdrawals whose file exists or whose deletion isn't recorded; the paths of their files.

    An interrupted withdrawal leaves such a file, and so does an interrupted lifting.

    Raises:
        OSError: a file can't be removed.
    """
    with catalogue.reading() as session:
        withdrawn = session.execute(
            select(Derivative.id, Derivative.path, _DELETION)
            .where(Derivative.withdrawn_at.is_not(None))
            .order_by(Derivative.id)
        ).all()
    incomplete = [row for row, path, is_recorded in withdrawn if not is_recorded or catalogue.path_of(path).exists()]
    return [path for row in incomplete if (path := _complete(catalogue, row)) is not None]


def _complete(catalogue: Catalogue, derivative_id: int) -> Path | None:
    """Removes the views and the file of a derivative that has its tombstone, and records the deletion.

    Returns:
        Its path; None if the withdrawal was lifted meanwhile, and its file is kept, or if its master was removed.
    """
    # Views first, because a withdrawal can be repeated as long as the file exists. The file only after the tombstone:
    # one that is gone without it would look lost, and would be recreated.
    remove_views(catalogue.settings)
    with catalogue.session() as session:
        _lock_master(session, derivative_id)
        derivative = session.get(Derivative, derivative_id)
        if derivative is None or derivative.withdrawn_at is None:
            return None
        path = catalogue.path_of(derivative.path)
        was_there = path.exists()
        path.unlink(missing_ok=True)
        with suppress(OSError):  # the item may have other derivatives
            path.parent.rmdir()
        failpoint("withdrawal_file")
        if was_there or not _is_recorded(session, derivative):  # another process may have completed it
            record_event(
                session,
                EventType.DELETION,
                detail=f"withdrawn, SHA-256 {derivative.sha256}: {derivative.withdrawal_reason}",
                agent=derivative.withdrawn_by,
                master=session.get_one(Master, derivative.master_id),
                derivative=derivative,
                at=catalogue.now(session),
            )
    return path


def _is_recorded(session: Session, derivative: Derivative) -> bool:
    """Whether the removal of a withdrawn derivative's file is in the history."""
    return bool(session.scalar(select(_DELETION).where(Derivative.id == derivative.id)))


def lift_withdrawal(
    catalogue: Catalogue, accession_number: str, derivative_id: int, *, reason: str, person: str
) -> Path:
    """Recreates a withdrawn derivative from its record, so that it can be current again; returns its path.

    If its file exists again with the recorded bytes, it is kept.

    Raises:
        NotFoundError: the item has no such derivative.
        UsageError: the reason or the person is missing, or it is not withdrawn.
        FixityError: it can't be recreated with the recorded bytes; it stays withdrawn.
    """
    if not reason.strip() or not person.strip():
        raise UsageError("lifting a withdrawal is a person's decision and needs a reason: give --reason TEXT")
    with catalogue.reading() as session:
        derivative, _ = _find(session, accession_number, derivative_id)
        if derivative.withdrawn_at is None:
            raise UsageError(f"derivative {derivative_id} is not withdrawn")
    path = catalogue.path_of(derivative.path)
    if check_file(path, derivative.sha256) is not None:
        _make_again(catalogue, derivative, path)
    with catalogue.session() as session:
        derivative, master = _find(session, accession_number, derivative_id, lock=True)
        if derivative.withdrawn_at is None:
            raise UsageError(f"derivative {derivative_id} is not withdrawn")
        if check_file(path, derivative.sha256) is not None:  # another process completed the withdrawal
            raise FixityError(
                f"the withdrawal of derivative {derivative_id} is not lifted: {path} was removed. Lift it again"
            )
        before = derivative.withdrawal_reason
        derivative.withdrawn_at, derivative.withdrawn_by, derivative.withdrawal_reason = None, None, None
        record_event(
            session,
            EventType.WITHDRAWAL_LIFTED,
            detail=f"{reason.strip()}; it was withdrawn for this reason: {before}",
            agent=person_agent(session, person.strip()),
            master=master,
            derivative=derivative,
            at=catalogue.now(session),
        )
        update_current_derivatives(session, master)
    return path


def _make_again(catalogue: Catalogue, derivative: Derivative, path: Path) -> None:
    with catalogue.reading() as session:
        record = read_record(catalogue, session, derivative.id)
    temporary = temporary_path(path, uuid4().hex)
    refused = f"the withdrawal of derivative {derivative.id} is not lifted"
    remedy = f"Bring its file back from a backup to {path}, then lift it again; or restore the master by another recipe"
    try:
        remade = Remaker(catalogue).remake(record, temporary)
        if remade.sha256 != derivative.sha256:
            raise FixityError(f"{refused}: recreated, it has other bytes, SHA-256 {remade.sha256}. {remedy}")
        flush_file(temporary)
        publish(temporary, path)
    except RestorationError as error:
        raise FixityError(f"{refused}, because it can't be recreated: {error}. {remedy}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _find(
    session: Session, accession_number: str, derivative_id: int, *, lock: bool = False
) -> tuple[Derivative, Master]:
    """The derivative with its master; ``lock`` keeps other writers from both until the end of the transaction."""
    if lock:
        _lock_master(session, derivative_id)
    row = session.execute(
        select(Derivative, Master)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(Derivative.id == derivative_id, Item.accession_number == accession_number)
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"the item {accession_number!r} has no derivative {derivative_id}: `archive show` lists those that it has"
        )
    return row[0], row[1]


def _lock_master(session: Session, derivative_id: int) -> None:
    lock_masters(session, Master.id.in_(select(Derivative.master_id).where(Derivative.id == derivative_id)))
