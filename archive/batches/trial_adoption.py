"""Adoption of trial results: a full run that asks for the recipe of a trial lets its derivatives count."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import count_from_now, lock_masters
from archive.catalogue.events import record_derivative_events
from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.vocabularies import EventType


def adopt_trial_results(catalogue: Catalogue, session: Session, derivative_ids: Sequence[int]) -> None:
    """Lets derivatives that a trial made count from now on, because a full run asks for their recipe.

    Those that were removed from the catalogue meanwhile are left out.
    """
    which = Derivative.id.in_(derivative_ids)
    lock_masters(session, Master.id.in_(select(Derivative.master_id).where(which)))
    present = session.scalars(select(Derivative.id).where(which).order_by(Derivative.id)).all()
    at = catalogue.now(session)
    detail = "made by a trial; counts from now on, because a full run asked for its recipe"
    record_derivative_events(session, EventType.METADATA_MODIFICATION, present, at=at, detail=detail)
    count_from_now(session, which, at)
