"""Reviews: a person's decision about one derivative's exact bytes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import newest_decision, update_current_derivatives
from archive.catalogue.events import person_agent, record_event
from archive.catalogue.schema.tables import Derivative, Item, Master, Review
from archive.catalogue.schema.vocabularies import Decision, DerivativeKind, EventType
from archive.errors import FixityError, NotFoundError, UsageError
from archive.storage import digest_file


def record_decision(
    catalogue: Catalogue,
    accession_number: str,
    *,
    decision: Decision,
    derivative_id: int | None = None,
    reason: str | None = None,
    reviewer: str,
) -> Review:
    """Accepts or rejects a derivative of the item, the named one or else the current one, or undoes its decision.

    The file's bytes are checked first, so that the decision is about the bytes that the reviewer has seen.

    Raises:
        UsageError: a rejection without a reason, nothing to take back, no reviewer, or several masters have a current
            restored derivative.
        NotFoundError: no such item, or it has no such derivative.
        FixityError: the derivative's file is missing or its bytes are not those that were recorded.
    """
    reason = (reason or "").strip() or None
    if decision is Decision.REJECTED and reason is None:
        raise UsageError("a rejection needs a reason, so that it can be understood later: give --reason TEXT")
    if not reviewer.strip():
        raise UsageError("a review is a person's decision: name who decides with --reviewer NAME")
    with catalogue.reading() as session:
        derivative = _find(catalogue, session, accession_number, derivative_id)
    if derivative.withdrawn_at is not None:
        raise UsageError(f"derivative {derivative.id} is withdrawn, so it can't be reviewed: `archive withdraw --lift`")
    _check_bytes(catalogue, derivative)
    with catalogue.session() as session:
        master = session.scalar(select(Master).where(Master.id == derivative.master_id).with_for_update())
        if master is None:
            raise NotFoundError(f"derivative {derivative.id} was removed from the catalogue meanwhile")
        newest = select(newest_decision(Derivative.id).label("decision")).where(Derivative.id == derivative.id)
        if decision is Decision.UNDONE and session.scalar(newest) is None:
            raise UsageError(f"derivative {derivative.id} has no decision that could be taken back")
        at = catalogue.now(session)
        agent = person_agent(session, reviewer.strip())
        review = Review(
            derivative_id=derivative.id, sha256=derivative.sha256, decision=decision, reason=reason, agent=agent, at=at
        )
        session.add(review)
        session.flush()
        detail = f"{decision}, SHA-256 {derivative.sha256}" + (f": {reason}" if reason else "")
        record_event(session, EventType.REVIEW, at=at, detail=detail, agent=agent, master=master, derivative=derivative)
        update_current_derivatives(session, master)
    return review


def current_derivative_id(catalogue: Catalogue, derivative_id: int) -> int | None:
    """The current derivative of the same master and kind (restored or styled) as this derivative."""
    with catalogue.reading() as session:
        derivative = session.get_one(Derivative, derivative_id)
        master = session.get_one(Master, derivative.master_id)
        is_styled = derivative.kind is DerivativeKind.STYLED
        return master.current_styled_id if is_styled else master.current_restored_id


def _find(catalogue: Catalogue, session: Session, accession_number: str, derivative_id: int | None) -> Derivative:
    item_id = session.scalar(select(Item.id).where(Item.accession_number == accession_number))
    if item_id is None:
        raise NotFoundError(f"No item {accession_number!r}. Run `archive list` to see the items.")
    rows = session.execute(
        select(Derivative, Master.sequence, Derivative.id == Master.current_restored_id)
        .join(Master, Derivative.master_id == Master.id)
        .where(Master.item_id == item_id)
        .order_by(Master.sequence, Derivative.id)
    ).all()
    all_of_item = [(derivative, sequence) for derivative, sequence, _ in rows]
    if derivative_id is not None:
        chosen = [each for each in all_of_item if each[0].id == derivative_id]
        wanted = f"derivative {derivative_id}"
    else:
        chosen = [(derivative, sequence) for derivative, sequence, is_current in rows if is_current]
        wanted = "current restored derivative"
    if not chosen:
        known = _listed(catalogue, all_of_item) or ": restore it first"
        raise NotFoundError(f"the item {accession_number!r} has no {wanted}{known}")
    if len(chosen) > 1:
        raise UsageError(
            f"several masters of the item {accession_number!r} have a current restored derivative, "
            f"name one with --derivative ID{_listed(catalogue, chosen)}"
        )
    return chosen[0][0]


def _listed(catalogue: Catalogue, rows: Sequence[tuple[Derivative, int]]) -> str:
    return "".join(
        f"\n  derivative {derivative.id} of master {sequence}{_state(derivative)}: {catalogue.path_of(derivative.path)}"
        for derivative, sequence in rows
    )


def _state(derivative: Derivative) -> str:
    """Why there is no file to review, if there is none."""
    if derivative.withdrawn_at is not None:
        return ", withdrawn"
    return "" if derivative.file_fault is None else f", file {derivative.file_fault}"


def _check_bytes(catalogue: Catalogue, derivative: Derivative) -> None:
    path = catalogue.path_of(derivative.path)
    try:
        found, _ = digest_file(path)
    except FileNotFoundError as error:
        raise FixityError(
            f"file missing: {path} can't be reviewed. Bring it back from a copy, or let `archive verify --repair` make "
            "it again"
        ) from error
    except OSError as error:
        raise FixityError(f"{path} can't be read, so it can't be reviewed: {error.strerror}") from error
    if found != derivative.sha256:
        raise FixityError(
            f"{path} does not hold the bytes that were recorded (SHA-256 {found}, not {derivative.sha256}), "
            "so it can't be reviewed: bring it back from a copy, or let `archive verify --repair` make it again"
        )
