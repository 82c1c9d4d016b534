"""Adoption of trial results: a full run that asks for the recipe of a trial lets its derivatives count."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import count_from_now
from archive.catalogue.events import record_event
from archive.catalogue.schema.tables import Derivative
from archive.catalogue.schema.vocabularies import EventType


def adopt_trial_results(catalogue: Catalogue, session: Session, derivative_ids: Sequence[int]) -> None:
    """Lets derivatives that a trial made count from now on, because a full run asks for their recipe."""
    at = catalogue.now(session)
    for derivative in session.scalars(select(Derivative).where(Derivative.id.in_(derivative_ids))).all():
        detail = "made by a trial; counts from now on, because a full run asked for its recipe"
        record_event(session, EventType.METADATA_MODIFICATION, detail=detail, derivative=derivative, at=at)
    count_from_now(session, Derivative.id.in_(derivative_ids), at)
