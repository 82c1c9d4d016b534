"""Selects the derivatives for signed copies, and the copies' file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Derivative, Item, Master
from archive.catalogue.schema.vocabularies import Access


@dataclass(frozen=True, kw_only=True)
class HandoverList:
    """The derivatives, as ids with file names, in the order of lists; and how many were left out."""

    derivatives: tuple[tuple[int, str], ...]
    not_open: int


def current_derivatives(catalogue: Catalogue, query: str | None, *, include_restricted: bool = False) -> HandoverList:
    """The current restored derivatives of the masters that ``query`` matches.

    Items whose access is not open are left out and counted, unless they are asked for.

    Raises:
        QueryError: the query has a mistake.
    """
    statement = (
        select(Derivative.id, Derivative.path, Item.access)
        .join(Master, Master.current_restored_id == Derivative.id)
        .join(Item, Item.id == Master.item_id)
        .where(parse_condition(query))
        .order_by(Item.accession_number, Master.sequence)
    )
    with catalogue.reading() as session:
        rows = session.execute(statement).all()
    wanted = [row for row in rows if include_restricted or row.access is Access.OPEN]
    return HandoverList(
        derivatives=tuple((row.id, PurePosixPath(row.path).name) for row in wanted), not_open=len(rows) - len(wanted)
    )
