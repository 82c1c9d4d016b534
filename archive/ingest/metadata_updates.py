"""Updates a known item and master from a row, with an event that lists each field's old and new value.

An empty cell changes nothing: a spreadsheet with three columns doesn't erase the other fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.catalogue.edtf_dates import date_range
from archive.catalogue.events import record_event
from archive.catalogue.other_identifiers import set_identifiers
from archive.catalogue.query.text_index import TEXT_FIELDS, index_item_words
from archive.catalogue.schema.picture_area import PictureArea
from archive.catalogue.schema.tables import Item, Master
from archive.catalogue.schema.vocabularies import Access, EventType, Polarity
from archive.errors import IngestError
from archive.ingest.column_names import fold_header
from archive.ingest.metadata_rows import Row
from archive.ingest.row_matching import FileMetadata, ItemMetadata
from archive.ingest.stated_sequences import StatedSequences
from archive.ingest.table_problems import ProblemKind, TableProblem


class SequenceTakenError(IngestError):
    """The sequence in a row belongs to another master."""


def update_item(session: Session, item: Item, facts: ItemMetadata) -> list[str]:
    """Sets the stated fields of an item; returns ``field: old -> new`` of each changed value."""
    changes = []
    words_before = {name: getattr(item, name) for name in TEXT_FIELDS}, item.extra
    for column, value in facts.item.items():
        if column not in ("date", "date_text") and not _would_open(item, column, facts):
            changes += _set(item, column, _typed(column, value))
    if "date_text" in facts.item:
        changes += _set_date(item, facts.item["date_text"], facts.item.get("date"))
    for name, value in facts.extra.items():
        if item.extra.get(name) != value:
            changes.append(_change(name, item.extra.get(name), value))
            item.extra = {**item.extra, name: value}
    for name in [name for name in item.extra if fold_header(name) in facts.mapped_headers]:
        changes.append(f"{name}: {item.extra[name]} -> (mapped)")
        item.extra = {other: value for other, value in item.extra.items() if other != name}
    for scheme, values in facts.identifiers.items():
        if (before := set_identifiers(session, item, scheme, values)) is not None:
            changes.append(_change(scheme, "; ".join(before) or None, "; ".join(values)))
    if words_before != ({name: getattr(item, name) for name in TEXT_FIELDS}, item.extra):
        index_item_words(session, item)
    return changes


def _would_open(item: Item, column: str, facts: ItemMetadata) -> bool:
    """Whether an unreadable access value, which counts as restricted, would open a sensitive item."""
    return column == "access" and facts.has_doubtful_access and item.access is Access.SENSITIVE


def _set_date(item: Item, text: str, edtf: str | None) -> list[str]:
    """Sets a date's text and EDTF; without EDTF, the date is unknown or could not be parsed."""
    changes = _set(item, "date", edtf)
    of_text = _set(item, "date_text", text)
    item.date_earliest, item.date_latest = (None, None) if edtf is None else date_range(edtf)
    return changes + (of_text if text != edtf else [])


def update_master(
    session: Session,
    master: Master,
    entry: FileMetadata,
    *,
    stated: StatedSequences,
    at: datetime,
    problems: list[TableProblem],
) -> list[str]:
    """Sets the stated fields of a known master; returns ``field: old -> new`` of each changed value.

    A sequence that belongs to another master, and a picture area that exceeds the picture, are ignored and added to
    ``problems``.
    """
    row, changes = entry.row, []
    if row is None:
        return []
    if row.sequence is not None and row.sequence != master.sequence:
        before = master.sequence
        # Out of the way, since no two may have the same number at any moment.
        master.sequence = max(next_free_sequence(session, master.item), row.sequence + 1)
        session.flush()
        try:
            free_sequence(session, master.item, row.sequence, entry, stated=stated, at=at, free=before)
        except SequenceTakenError as error:
            problems.append(row.problem(ProblemKind.SEQUENCE, "sequence", str(row.sequence), str(error)))
            master.sequence = before
        else:
            master.sequence = row.sequence
            changes.append(_change("sequence", before, row.sequence))
    if row.view is not None:
        changes += _set(master, "view", row.view)
    if row.picture_area is not None and _check_picture_area(row, master, problems):
        changes += _set(master, "picture_area", PictureArea(*astuple(row.picture_area)))
    if entry.reference is not None:
        changes += _set(master, "reference_path", str(entry.reference))
    return changes


def rename_item(session: Session, item: Item, row: Row, is_stated: Callable[[str], bool]) -> list[str]:
    """Gives an item the accession number in the row of one of its masters, if it differs.

    The item keeps its id and all related records. The renaming is refused if the new number belongs to another item, or
    if other rows still state the present number (``is_stated``).

    Raises:
        IngestError: the renaming is refused.
    """
    wanted, present = row.accession_number, item.accession_number
    if wanted is None or wanted == present:
        return []
    if session.scalar(select(Item.id).where(Item.accession_number == wanted)) is not None:
        raise IngestError(
            f"{row.where}, column accession_number: the catalogue holds this scan as {present!r}, and {wanted!r} is "
            "another item. An item can be renamed here, but its scans can't be given to another"
        )
    if is_stated(present):
        raise IngestError(
            f"{row.where}, column accession_number: the catalogue holds this scan as {present!r}, which other rows "
            f"still name. Name {wanted!r} in all rows of the item, or in none"
        )
    item.accession_number = wanted
    return [_change("accession_number", present, wanted)]


def free_sequence(
    session: Session,
    item: Item,
    sequence: int,
    entry: FileMetadata,
    *,
    stated: StatedSequences,
    at: datetime,
    free: int,
) -> None:
    """Gives the master with the ``sequence`` of another master's row the number ``free`` instead.

    This happens, and is recorded as an event, only if its own row states another number, which it gets in its turn.

    Raises:
        SequenceTakenError: the number is its own.
    """
    taken = session.scalar(select(Master).where(Master.item_id == item.id, Master.sequence == sequence))
    if taken is None or entry.row is None:
        return
    if stated.find(taken, entry.facts) in (None, sequence):
        raise SequenceTakenError(
            f"of {item.accession_number!r} is taken by {taken.path}. Give another number, or none for the next free "
            "one; to change numbers round, state both scans' new ones"
        )
    taken.sequence = free
    detail = f"{_change('sequence', sequence, free)}, since {entry.row.where} gives its number to another scan"
    record_event(session, EventType.METADATA_MODIFICATION, detail=detail, item=item, master=taken, at=at)


def next_free_sequence(session: Session, item: Item) -> int:
    """The number after the highest of an item's masters."""
    return (session.scalar(select(func.max(Master.sequence)).where(Master.item_id == item.id)) or 0) + 1


def take_picture_area(row: Row, master: Master, problems: list[TableProblem]) -> None:
    """Sets a master's picture area from a row; an area that exceeds the picture is a problem instead."""
    if row.picture_area is not None and _check_picture_area(row, master, problems):
        master.picture_area = PictureArea(*astuple(row.picture_area))


def _check_picture_area(row: Row, master: Master, problems: list[TableProblem]) -> bool:
    area, width, height = row.picture_area, master.width, master.height
    if area is None or (area.x + area.width <= width and area.y + area.height <= height):
        return True
    advice = f"(x y w h) reaches out of the picture of {width}x{height} px"
    problems.append(row.problem(ProblemKind.PICTURE_AREA, "picture_area", str(PictureArea(*astuple(area))), advice))
    return False


def _typed(column: str, value: str) -> str:
    if column == "polarity":
        return Polarity(value)
    return Access(value) if column == "access" else value


def _set(row: Item | Master, name: str, value: Any) -> list[str]:
    before = getattr(row, name)
    if before == value:
        return []
    setattr(row, name, value)
    return [_change(name, before, value)]


def _change(name: str, before: Any, after: Any) -> str:
    return f"{name}: {'(empty)' if before is None else before} -> {'(empty)' if after is None else after}"
