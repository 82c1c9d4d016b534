"""Bulk review: one decision on all derivatives that a query selects, or the decisions of a table."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.listings import select_derivatives
from archive.catalogue.schema.tables import Derivative, Item, Master
from archive.catalogue.schema.vocabularies import Decision
from archive.csv_formulas import unescape_formula
from archive.display_labels import DECISION_FIELDS
from archive.errors import ArchiveError, IngestError, UsageError
from archive.ingest.column_names import fold_header
from archive.ingest.metadata_rows import place_word
from archive.ingest.table_reader import Table, open_table
from archive.progress_reporting import NoProgress, Progress
from archive.review import record_decision

_WORDS = {
    "accepted": Decision.ACCEPTED,
    "accept": Decision.ACCEPTED,
    "rejected": Decision.REJECTED,
    "reject": Decision.REJECTED,
}
_COLUMNS = {fold_header(name): name for name in DECISION_FIELDS}


@dataclass(frozen=True, kw_only=True)
class PlannedDecision:
    """One decision that is to be recorded."""

    accession_number: str
    sequence: int
    derivative_id: int
    batch_id: int
    decision: Decision
    reason: str | None
    reviewer: str
    before: Decision | None
    """The decision that it replaces."""


@dataclass(kw_only=True)
class ReviewPlan:
    """The decisions to record, and the number of those that are omitted because they are recorded already."""

    decisions: list[PlannedDecision] = field(default_factory=list)
    decided_before: int = 0
    notes: list[str] = field(default_factory=list)
    """Notes on how the table of decisions was read, such as its encoding."""

    @property
    def batches(self) -> Mapping[int, int]:
        """The number of derivatives by batch."""
        return dict(sorted(Counter(each.batch_id for each in self.decisions).items()))

    @property
    def changed(self) -> int:
        """The number of derivatives that had another decision before."""
        return sum(each.before is not None for each in self.decisions)

    def add(self, planned: PlannedDecision) -> None:
        """Adds a decision, unless it stands already."""
        if planned.before is planned.decision:
            self.decided_before += 1
        else:
            self.decisions.append(planned)


@dataclass(kw_only=True)
class ReviewOutcome:
    """The number of recorded decisions, and the failed ones: accession number and reason."""

    recorded: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def plan_for_query(
    catalogue: Catalogue, query: str, *, decision: Decision, reason: str | None, reviewer: str
) -> ReviewPlan:
    """Plans one decision on all derivatives that the query selects, else on the current restored ones of its masters.

    Withdrawn derivatives are left out.

    Raises:
        UsageError: a rejection without a reason, or no reviewer.
        QueryError: the query has a mistake.
    """
    _check(decision, reason, reviewer, "the decision")
    plan = ReviewPlan()
    with catalogue.reading() as session:
        chosen = select_derivatives(query).where(Derivative.withdrawn_at.is_(None)).order_by(None)
        for row in _known(session, Derivative.id.in_(chosen)):
            plan.add(_planned(row, decision, reason, reviewer))
    return plan


def plan_from_file(catalogue: Catalogue, path: Path, *, sheet: str | None = None, reviewer: str) -> ReviewPlan:
    """Plans the decisions of a table, as ``archive list --rows derivatives --format csv`` writes it.

    Columns: accession_number, decision (accepted or rejected; rows without one are ignored), and optionally
    derivative, sequence, reason, reviewer. Without a derivative, the row is about the current restored one.

    Args:
        catalogue: the catalogue.
        path: a CSV file with any usual separator and encoding, or an Excel workbook.
        sheet: which sheet of a workbook; else the first.
        reviewer: the reviewer of rows that name none.

    Raises:
        UsageError: the table can't be read, a column is missing, or rows have mistakes; the message lists them all, and
            nothing is recorded.
    """
    plan = ReviewPlan()
    mistakes: list[str] = []
    with catalogue.reading() as session:
        for where, row in _read_rows(path, sheet, plan.notes, mistakes):
            if not row.get("decision"):
                continue
            try:
                plan.add(_from_row(session, row, where, reviewer))
            except UsageError as error:
                mistakes.append(str(error))
    if mistakes:
        raise UsageError("nothing was recorded:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
    return plan


def record_plan(catalogue: Catalogue, plan: ReviewPlan, progress: Progress | None = None) -> ReviewOutcome:
    """Records the decisions one by one; one that fails does not stop the others."""
    outcome, progress = ReviewOutcome(), progress or NoProgress()
    progress.start(len(plan.decisions), "decisions")
    try:
        for each in plan.decisions:
            try:
                record_decision(
                    catalogue,
                    each.accession_number,
                    decision=each.decision,
                    derivative_id=each.derivative_id,
                    reason=each.reason,
                    reviewer=each.reviewer,
                )
                outcome.recorded += 1
            except ArchiveError as error:
                outcome.failures.append((each.accession_number, str(error)))
            progress.advance(note=each.accession_number)
    finally:
        progress.finish()
    return outcome


def _read_rows(
    path: Path, sheet: str | None, notes: list[str], mistakes: list[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The place of each row, such as ``decisions.csv, line 2``, and its cells by the names of :data:`DECISION_FIELDS`.

    ``notes`` gets what a person should know, ``mistakes`` each row with more cells than columns.
    """
    try:
        with _file_to_reread(path) as file:
            table = open_table(file, sheet=sheet, known=_COLUMNS)
            index = _find_columns(path, table)
            width = None if (unit := place_word(path)) == "row" else table.width
            for number, cells in table.rows:
                where = f"{path.name}, {unit} {number}"
                if width is not None and any(cells[width:]):
                    mistakes.append(
                        f"{where}: {len(cells)} cells under {width} columns. Put text that holds the separator in "
                        "quotation marks"
                    )
                    continue
                yield where, {name: cells[at] for name, at in index.items() if at < len(cells)}
            notes += table.notes
    except IngestError as error:
        raise UsageError(str(error)) from error


def _find_columns(path: Path, table: Table) -> dict[str, int]:
    """The positions of the columns of decisions that the table has."""
    if twice := [header for fold, header in table.repeated.items() if fold in _COLUMNS]:
        raise UsageError(f"{path} has more than one column {', '.join(twice)}. Keep one of them, or rename one")
    folded = [fold_header(header) for header in table.headers]
    index = {name: folded.index(fold) for fold, name in _COLUMNS.items() if fold in folded}
    if missing := [name for name in ("accession_number", "decision") if name not in index]:
        raise UsageError(
            f"{path} has no column {' and no column '.join(missing)}. A file of decisions has the columns "
            f"{', '.join(DECISION_FIELDS)}"
        )
    return index


@contextmanager
def _file_to_reread(path: Path) -> Iterator[Path]:
    """``path``, or a temporary copy of a pipe, which can be read only once: the table's encoding is detected first."""
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder, path.open("rb") as pipe:
        copy = Path(folder) / path.name
        with copy.open("wb") as file:
            shutil.copyfileobj(pipe, file)
        yield copy


def _from_row(session: Session, row: Mapping[str, str], where: str, reviewer: str) -> PlannedDecision:
    decision = _WORDS.get(row["decision"].lower())
    if decision is None:
        raise UsageError(f"{where}: {row['decision']!r} is not a decision. Write accepted or rejected")
    reason = unescape_formula(row.get("reason", "")) or None
    reviewer = unescape_formula(row.get("reviewer", "")) or reviewer
    _check(decision, reason, reviewer, where)
    number = row["accession_number"]
    wanted: list[Any] = [Item.accession_number.in_((number, unescape_formula(number)))]
    for name, column in (("sequence", Master.sequence), ("derivative", Derivative.id)):
        if text := row.get(name):
            if not text.isdecimal() or len(text) > 18:
                raise UsageError(f"{where}: {text!r} is not a valid {name}. Write a whole number")
            wanted.append(column == int(text))
    if not row.get("derivative"):
        wanted.append(Derivative.id == Master.current_restored_id)
    found = list(_known(session, *wanted))
    if len(found) != 1:
        what = "no such derivative" if not found else "several masters have a current restored derivative"
        raise UsageError(f"{where}: {row['accession_number']}: {what}. Give its number in the column derivative")
    return _planned(found[0], decision, reason, reviewer)


def _known(session: Session, *wanted: Any) -> Iterator[Any]:
    rows = (
        select(
            Item.accession_number,
            Master.sequence,
            Derivative.id,
            Derivative.batch_id,
            newest_decision(Derivative.id).label("before"),
        )
        .select_from(Derivative)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(*wanted)
        .order_by(Item.accession_number, Master.sequence, Derivative.id)
    )
    yield from session.execute(rows)


def _planned(row: Any, decision: Decision, reason: str | None, reviewer: str) -> PlannedDecision:
    return PlannedDecision(
        accession_number=row.accession_number,
        sequence=row.sequence,
        derivative_id=row.id,
        batch_id=row.batch_id,
        decision=decision,
        reason=reason,
        reviewer=reviewer,
        before=row.before,
    )


def _check(decision: Decision, reason: str | None, reviewer: str, where: str) -> None:
    if decision is Decision.REJECTED and not (reason or "").strip():
        raise UsageError(f"{where}: a rejection needs a reason, so that it can be understood later")
    if not reviewer.strip():
        raise UsageError(f"{where}: a review is a person's decision: name the reviewer")
