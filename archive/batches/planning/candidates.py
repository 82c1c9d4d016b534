"""Candidate masters: the masters that a plan considers, read from the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from archive.catalogue.schema.tables import Item, Master
from archive.catalogue.schema.vocabularies import FileFault, Polarity, View

_ROWS_AT_A_TIME = 5_000  # bounds memory and the number of round trips


class Candidate(NamedTuple):
    """The columns of a master that planning needs."""

    id: int
    accession_number: str
    sequence: int
    view: View
    width: int
    height: int
    unsupported: str | None
    file_fault: FileFault | None  # that the last check found
    samples_per_pixel: int
    bits_per_sample: int
    refusal: str | None
    polarity: Polarity | None
    process: str | None
    collection: str | None
    date_earliest: int | None  # yyyymmdd

    @property
    def name(self) -> str:
        """Such as ``1906.12 (2)``."""
        return f"{self.accession_number} ({self.sequence})"


ExclusionRule = Callable[[Candidate], str | None]
"""Returns the reason for leaving a master out, or None."""


def read_candidates(session: Session, wanted: ColumnElement[bool]) -> Iterator[Candidate]:
    """Reads the wanted masters in the order of lists, in chunks."""
    statement = (
        select_master_ids(wanted)
        .with_only_columns(
            Master.id,
            Item.accession_number,
            Master.sequence,
            Master.view,
            Master.width,
            Master.height,
            Master.unsupported,
            Master.file_fault,
            Master.samples_per_pixel,
            Master.bits_per_sample,
            Master.refusal,
            Item.polarity,
            Item.process,
            Item.collection,
            Item.date_earliest,
        )
        .order_by(Item.accession_number, Master.sequence)
    )
    for row in session.execute(statement, execution_options={"yield_per": _ROWS_AT_A_TIME}):
        yield Candidate._make(row)


def select_master_ids(wanted: ColumnElement[bool]) -> Select[Any]:
    """Selects the ids of the wanted masters, joined to their items."""
    return select(Master.id).join(Item, Master.item_id == Item.id).where(wanted)


def select_master_count(wanted: ColumnElement[bool]) -> Select[tuple[int]]:
    """Selects the number of wanted masters."""
    return select_master_ids(wanted).with_only_columns(func.count(Master.id))
