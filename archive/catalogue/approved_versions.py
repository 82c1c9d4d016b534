"""What changes when another version of a model becomes the approved one: the current derivatives of its masters.

The alias is moved by one short transaction, which records since when it is not applied. Then the masters follow, a few
in each transaction, so that batches and reviewers can write meanwhile. Until all have followed, some are judged by the
former version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic, sleep

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, select, update
from sqlalchemy.orm import Session

from archive.catalogue.current_derivative import update_current_where
from archive.catalogue.schema.tables import Derivative, Master, Model, ModelAlias, ModelVersion, RecipeStage
from archive.catalogue.schema.vocabularies import APPROVED
from archive.catalogue.sessions import Catalogue
from archive.chunks import chunks
from archive.progress_reporting import Progress

_CHUNK_MASTERS = 2_000  # in a transaction
_PAUSE_SECONDS = 0.01  # between transactions: SQLite's other writers look for a free lock now and then
_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_BEFORE_NOTICE = 2.0
_LONGEST_WAIT_SECONDS = 600.0

_log = logging.getLogger(__name__)


def apply_approved_version(catalogue: Catalogue, model_id: int, progress: Progress) -> None:
    """Decides again which derivatives are current, and which masters stale, after a model's approved version changed.

    It concerns the masters of which the model made a derivative. If the alias is applied already, nothing happens; an
    interrupted run is completed by another one. Transactions that began before the alias was moved judge by the former
    version, so their end is waited for. If they last too long, a warning says so, and the alias stays marked as not
    applied.
    """
    with catalogue.reading() as session:
        alias = session.get_one(ModelAlias, (model_id, APPROVED))
        moved_at = alias.unapplied_since
        if moved_at is None:
            return
    others_have_ended = _wait_for_writers(catalogue)
    if not (_update_masters(catalogue, model_id, progress) and others_have_ended):
        _log.warning(
            "other transactions of the database server have been running for %.0f s. Repeat the command when they have "
            "ended, so that their results, too, are judged by the approved version",
            _LONGEST_WAIT_SECONDS,
        )
        return
    with catalogue.session() as session:
        # Unless somebody has moved it again.
        same = (ModelAlias.model_id == model_id, ModelAlias.alias == APPROVED, ModelAlias.unapplied_since == moved_at)
        session.execute(update(ModelAlias).where(*same).values(unapplied_since=None))


def unapplied_versions(session: Session) -> list[dict[str, str]]:
    """Lists the model and the version of each approved version by which not all masters are judged yet."""
    found = session.execute(
        select(Model.name, ModelVersion.version)
        .join(ModelAlias, ModelAlias.model_id == Model.id)
        .join(ModelVersion, ModelVersion.id == ModelAlias.version_id)
        .where(ModelAlias.unapplied_since.is_not(None))
        .order_by(Model.name)
    )
    return [{"model": name, "version": version} for name, version in found]


def masters_of_model(model_id: int) -> ColumnElement[bool]:
    """The masters of which a model made a derivative."""
    by_model = (
        select(RecipeStage.recipe_id)
        .join(ModelVersion, ModelVersion.id == RecipeStage.version_id)
        .where(ModelVersion.model_id == model_id)
    )
    return Master.id.in_(select(Derivative.master_id).where(Derivative.recipe_id.in_(by_model)))


def _wait_for_writers(catalogue: Catalogue) -> bool:
    """Waits until each transaction that has written something by now has ended; returns whether it was long enough.

    SQLite has one writer at a time.
    """
    if catalogue.engine.dialect.name != "postgresql":
        return True
    oldest, next_one = (
        cast(cast(each(func.pg_current_snapshot()), Text), BigInteger)
        for each in (func.pg_snapshot_xmin, func.pg_snapshot_xmax)
    )
    with catalogue.reading() as session:
        limit = session.scalars(select(next_one)).one()

    def have_ended() -> bool:
        with catalogue.reading() as session:
            return session.scalars(select(oldest)).one() >= limit

    return _wait_until(have_ended)


def _update_masters(catalogue: Catalogue, model_id: int, progress: Progress) -> bool:
    """Applies the rules to all masters of a model; returns False if some stayed locked by others for too long."""
    with catalogue.reading() as session:
        pending = session.scalars(select(Master.id).where(masters_of_model(model_id)).order_by(Master.id)).all()
    if not pending:
        return True

    def update_pending() -> bool:
        nonlocal pending
        pending = [
            skipped
            for chunk in chunks(pending, _CHUNK_MASTERS)
            for skipped in _update_unlocked(catalogue, chunk, progress)
        ]
        return not pending

    progress.start(len(pending), "masters")
    try:
        return _wait_until(update_pending)
    finally:
        progress.finish()


def _update_unlocked(catalogue: Catalogue, ids: Sequence[int], progress: Progress) -> set[int]:
    """Applies the rules to masters, except those that others have locked, to avoid deadlocks, and returns these."""
    with catalogue.session() as session:
        unlocked = select(Master.id).where(Master.id.in_(ids)).with_for_update(skip_locked=True)
        updated = session.scalars(unlocked).all()
        update_current_where(session, Master.id.in_(updated))
    progress.advance(len(updated))
    sleep(_PAUSE_SECONDS)
    return set(ids).difference(updated)


def _wait_until(condition: Callable[[], bool]) -> bool:
    """Calls ``condition`` until it is true; returns False if it stays false for too long."""
    since, has_told = None, False
    while not condition():
        since = since or monotonic()
        if monotonic() - since > _LONGEST_WAIT_SECONDS:
            return False
        if monotonic() - since > _SECONDS_BEFORE_NOTICE and not has_told:
            _log.warning("waiting for other transactions of the database server to end")
            has_told = True
        sleep(_SECONDS_BETWEEN_LOOKS)
    return True
