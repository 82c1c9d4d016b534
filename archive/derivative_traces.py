"""Traces of derivatives: what still shows them after their files are deleted, as far as the catalogue knows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative, Event
from archive.catalogue.schema.vocabularies import EventType
from archive.storage import SAMPLES

_SHEET_NAME = re.compile(r"batch-([0-9]+)_.*\.html", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What a person still has to check."""

    contact_sheets: tuple[Path, ...] = ()
    """Contact sheets of the batches that made the derivatives, which may show parts of them."""
    signed_copies: tuple[str, ...] = ()
    """What the events say about signed copies that were handed over."""


def find_traces(catalogue: Catalogue, session: Session, of_derivatives: ColumnElement[bool]) -> Traces:
    """The traces of the derivatives for which ``of_derivatives`` holds, by batch and by time."""
    batch_ids = set(session.scalars(select(Derivative.batch_id).where(of_derivatives).distinct()))
    sheets = []
    for path in (catalogue.settings.home / SAMPLES).glob("batch-*.html"):
        match = _SHEET_NAME.fullmatch(path.name)
        if match is not None and int(match[1]) in batch_ids:
            sheets.append((int(match[1]), path))
    signatures = (
        select(Event.detail)
        .where(Event.type == EventType.SIGNATURE, Event.derivative_id.in_(select(Derivative.id).where(of_derivatives)))
        .order_by(Event.id)
    )
    return Traces(
        contact_sheets=tuple(path for _, path in sorted(sheets)),
        signed_copies=tuple(map(str, session.scalars(signatures))),
    )
