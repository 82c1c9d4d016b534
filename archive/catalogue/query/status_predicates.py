"""Predicates on masters: the only definition of each status, used by queries, lists and plans.

A predicate is true or false for every row of ``masters``, never NULL, so that its negation selects exactly the others.
"""

from __future__ import annotations

from sqlalchemy import Case, ColumnElement, and_, case, or_, select, true
from sqlalchemy.orm import aliased

from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.vocabularies import (
    RESTORABLE_VIEWS,
    Decision,
    DerivativeKind,
    FileFault,
    TaskStatus,
)

_MISSING = (FileFault.MISSING, FileFault.CHANGED)
LOST_MASTER: ColumnElement[bool] = and_(Master.file_fault.is_not(None), Master.file_fault.in_(_MISSING))
"""True if the last check did not find the master's own file with its recorded bytes."""


def _lost() -> ColumnElement[bool]:
    """True if the last check did not find the master's file, or one of its derivatives', with its recorded bytes."""
    derivative = aliased(Derivative)
    return or_(
        LOST_MASTER,
        Master.id.in_(
            select(derivative.master_id).where(derivative.file_fault.is_not(None), derivative.file_fault.in_(_MISSING))
        ),
    )


FILE_MISSING = "file missing"
"""The status of a master without a current derivative, because a file of it is missing or changed."""

RESTORED: ColumnElement[bool] = Master.current_restored_id.is_not(None)
UNRESTORED: ColumnElement[bool] = and_(Master.current_restored_id.is_(None), Master.view.in_(RESTORABLE_VIEWS))
STYLED: ColumnElement[bool] = Master.current_styled_id.is_not(None)
FAILED: ColumnElement[bool] = and_(Master.last_task_status.is_not(None), Master.last_task_status == TaskStatus.FAILED)
REFUSED: ColumnElement[bool] = Master.refusal.is_not(None)
_withdrawn = aliased(Derivative)
WITHDRAWN: ColumnElement[bool] = Master.id.in_(select(_withdrawn.master_id).where(_withdrawn.withdrawn_at.is_not(None)))
LOST: ColumnElement[bool] = _lost()
STALE: ColumnElement[bool] = Master.is_stale == true()

STATUSES: dict[str, ColumnElement[bool]] = {
    "unrestored": UNRESTORED,
    "restored": RESTORED,
    "stale": STALE,
    "styled": STYLED,
    "failed": FAILED,
    "refused": REFUSED,
    "withdrawn": WITHDRAWN,
    "lost": LOST,
}
"""The values of the query field ``status``."""

STATUS: Case[str] = case(
    (FAILED, "failed"),
    (STALE, "stale"),
    (RESTORED, "restored"),
    (WITHDRAWN, "withdrawn"),
    (LOST, FILE_MISSING),
    (REFUSED, "refused"),
    (UNRESTORED, "unrestored"),
)
"""The status of a master as a column: the first one that is true; NULL for a view that is restored only on request."""

REVIEW: Case[Decision] = case(
    (RESTORED, newest_decision(Master.current_restored_id)),
    (
        # Not an EXISTS: PostgreSQL would evaluate it for all masters before it returns the first row.
        select(Derivative.id)
        .where(
            Derivative.master_id == Master.id,
            Derivative.kind == DerivativeKind.RESTORED,
            Derivative.withdrawn_at.is_(None),
            newest_decision(Derivative.id) == Decision.REJECTED,
        )
        .limit(1)
        .scalar_subquery()
        .is_not(None),
        Decision.REJECTED.value,
    ),
)
"""The newest review of a master's current restored derivative; ``rejected`` if rejections leave none current.

Decisions about withdrawn derivatives don't count.
"""

RESTORABLE_FIRST: Case[int] = case((Master.view.in_(RESTORABLE_VIEWS), 0), else_=1)
"""Sort key of an item's masters, before their sequence: the first one represents the item in a list."""
