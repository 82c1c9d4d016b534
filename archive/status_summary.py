"""The state of a whole archive in numbers: progress, disk use, and the last verification."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from archive.batches.running.last_run import list_interrupted_batches
from archive.catalogue.approved_versions import unapplied_versions
from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.listings import get_batch
from archive.catalogue.query.file_predicates import FIRST_OF_FILE, HAS_FILE
from archive.catalogue.query.status_predicates import REVIEW, STATUS, STATUSES
from archive.catalogue.schema.tables import Batch, Derivative, Event, Item, Master, Review
from archive.catalogue.schema.vocabularies import Decision, EventType
from archive.catalogue.sessions import Catalogue
from archive.storage import MASTERS, MODELS, SAMPLES, VIEWS

_IS_FOUND = Derivative.file_fault.is_(None)
_NO_STATUS = "restored only on request"


def summarise_archive(catalogue: Catalogue, session: Session) -> dict[str, Any]:
    """Counts by state, disk use in bytes, the last verify and the last batch.

    ``masters`` counts each master once, by the status that lists show; ``found_by_query`` counts what ``status:``
    finds, where a master may count several times. ``reviews`` counts masters by the review of their current derivative;
    rejected derivatives, which are never current, are ``rejected_derivatives``, by their newest decision.
    ``unapplied_versions`` are approved versions by which not all masters are judged yet. ``interrupted_batches`` are
    begun batches with open tasks that no process works on, newest first. Sizes of masters and derivatives are those
    recorded; the others are read from the disk.
    """
    home = catalogue.settings.home
    last_batch = session.scalar(select(func.max(Batch.id)))
    status = func.coalesce(STATUS, _NO_STATUS)
    review = func.coalesce(REVIEW, "none")
    return {
        "home": str(home),
        "items": session.scalar(select(func.count(Item.id))) or 0,
        "masters": {
            "total": session.scalar(select(func.count(Master.id))) or 0,
            **dict(session.execute(select(status.label("status"), func.count(Master.id)).group_by("status")).all()),
        },
        "found_by_query": {name: _count(session, condition) for name, condition in STATUSES.items()},
        "reviews": dict(
            session.execute(
                select(review.label("review"), func.count(Master.id))
                .where(Master.current_restored_id.is_not(None))
                .group_by("review")
            ).all()
        ),
        "rejected_derivatives": _count_rejected(session),
        "derivatives": session.scalar(select(func.count(Derivative.id))) or 0,
        "lost": {
            "masters": _count(session, Master.file_fault.is_not(None)),
            "derivatives": session.scalar(select(func.count(Derivative.id)).where(HAS_FILE, ~_IS_FOUND)) or 0,
        },
        "disk": {
            "masters": _master_bytes(session),
            "derivatives": int(session.scalar(select(func.sum(Derivative.size)).where(HAS_FILE, _IS_FOUND)) or 0),
            "models": folder_bytes(home / MODELS),
            "copied_masters": folder_bytes(home / MASTERS),
            "samples": folder_bytes(home / SAMPLES),
            "views": folder_bytes(home / VIEWS),
            "home": folder_bytes(home),
        },
        "unapplied_versions": unapplied_versions(session),
        "last_verify": _last_verify(session),
        "interrupted_batches": [asdict(each) for each in list_interrupted_batches(session)],
        "last_batch": None if last_batch is None else _batch(get_batch(session, last_batch)),
    }


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count(Master.id)).where(condition)) or 0


def _count_rejected(session: Session) -> int:
    rejected = aliased(Review)
    newest = newest_decision(rejected.derivative_id)
    return (
        session.scalar(
            select(func.count(rejected.derivative_id.distinct())).where(
                rejected.decision == Decision.REJECTED, newest == Decision.REJECTED
            )
        )
        or 0
    )


def _master_bytes(session: Session) -> int:
    """The size of all files of masters; a file with several pictures counts once."""
    return int(session.scalar(select(func.sum(Master.size)).where(or_(Master.page == 1, FIRST_OF_FILE))) or 0)


def _last_verify(session: Session) -> dict[str, Any]:
    """The time of the last check, the age of the oldest one in days, and the number of files never checked."""
    at = session.scalar(select(func.max(Event.at)).where(Event.type == EventType.FIXITY_CHECK))
    expected = ((Master, true()), (Derivative, HAS_FILE))
    oldest = [session.scalar(select(func.min(table.verified_at)).where(which)) for table, which in expected]
    known = [each for each in oldest if each is not None]
    never = sum(
        session.scalar(select(func.count(table.id)).where(table.verified_at.is_(None), which)) or 0
        for table, which in expected
    )
    return {
        "at": None if at is None else at.isoformat(timespec="seconds"),
        "oldest_check": min(known).isoformat(timespec="seconds") if known else None,
        "never_checked": never,
    }


def _batch(found: dict[str, Any]) -> dict[str, Any]:
    counts = ("done", "failed", "cancelled", "pending", "running", "seconds_left")
    names = ("id", "created_at", "status", "operator", "query", *counts)
    return {name: found[name] for name in names}


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder and its subfolders; unreadable files count as nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total
