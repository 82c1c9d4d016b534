"""What changes when another version of a model becomes the approved one: the current derivatives of its masters."""

from __future__ import annotations

import logging
from time import monotonic, sleep

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, select, union
from sqlalchemy.orm import Session

from archive.catalogue.current_derivative import lock_masters, select_differing, update_current_where
from archive.catalogue.schema.tables import Derivative, Master, ModelVersion, RecipeStage
from archive.catalogue.sessions import Catalogue

_MASTERS_PER_TRANSACTION = 500
_LONGEST_WAIT_SECONDS = 600.0

_log = logging.getLogger(__name__)


def update_current_of_model(session: Session, model_id: int) -> None:
    """Applies the rules to all masters of which a model made a derivative, after its approved version changed.

    Transactions that change derivatives at the same time are not seen, and judge by the former version. So call
    :func:`correct_current_of_model` after the commit.
    """
    update_current_where(session, _masters_of(model_id))


def correct_current_of_model(catalogue: Catalogue, model_id: int) -> None:
    """Applies the rules to those masters of a model of which the stored result differs from them.

    First waits until all transactions that have written something by now have ended, because they may not know the
    present approved version. Locks few masters at a time.
    """
    _wait_for_writers(catalogue)
    with catalogue.reading() as session:
        ids = session.scalars(union(*select_differing(_masters_of(model_id)))).all()
    for start in range(0, len(ids), _MASTERS_PER_TRANSACTION):
        chunk = Master.id.in_(ids[start : start + _MASTERS_PER_TRANSACTION])
        with catalogue.session() as session:
            lock_masters(session, chunk)
            update_current_where(session, chunk)


def _wait_for_writers(catalogue: Catalogue) -> None:
    """Waits until each transaction that has written something by now has ended. SQLite has one writer at a time."""
    if catalogue.engine.dialect.name != "postgresql":
        return
    oldest, next_one = (
        cast(cast(each(func.pg_current_snapshot()), Text), BigInteger)
        for each in (func.pg_snapshot_xmin, func.pg_snapshot_xmax)
    )
    with catalogue.reading() as session:
        limit = session.scalars(select(next_one)).one()
    until = monotonic() + _LONGEST_WAIT_SECONDS
    while monotonic() < until:
        with catalogue.reading() as session:
            if session.scalars(select(oldest)).one() >= limit:
                return
        sleep(0.1)
    _log.warning(
        "other transactions of the database server have been running for %.0f s. Repeat the command when they have "
        "ended, so that their results, too, are judged by the approved version",
        _LONGEST_WAIT_SECONDS,
    )


def _masters_of(model_id: int) -> ColumnElement[bool]:
    """The masters of which a model made a derivative."""
    by_model = (
        select(RecipeStage.recipe_id)
        .join(ModelVersion, ModelVersion.id == RecipeStage.version_id)
        .where(ModelVersion.model_id == model_id)
    )
    return Master.id.in_(select(Derivative.master_id).where(Derivative.recipe_id.in_(by_model)))
