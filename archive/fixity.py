"""Fixity checks: compares the bytes of masters, derivatives and weights with the digests in the catalogue.

A missing or changed file is marked until a later check finds it as recorded; a marked derivative is not current. Files
that were never checked come first, then those that were checked longest ago. Every check is recorded as an event. Files
are read outside of transactions and the results committed every few files, so that an interrupted check can be
continued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, exists, false, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import lock_masters, update_current_derivatives
from archive.catalogue.events import record_event
from archive.catalogue.query.file_predicates import FIRST_OF_FILE, HAS_FILE, IS_COPY
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.tables import Derivative, Event, Item, Master, Model, ModelVersion, RecipeStage, Root
from archive.catalogue.schema.vocabularies import EventType, FileFault, Outcome
from archive.chunks import chunks
from archive.progress_reporting import NoProgress, Progress
from archive.storage import DERIVATIVES, MASTERS, FileProblem, check_file, check_root, weights_path

_PAGE = 1000  # files that are looked up at a time
_CHUNK = 20  # files between two commits

Kind = Literal["master", "derivative", "weights"]
_KINDS: tuple[Kind, ...] = ("master", "derivative", "weights")


class AbsentFolder(NamedTuple):
    """A folder that is missing or holds none of its files, as when its disk or share is not mounted."""

    path: Path
    kind: Literal["master", "derivative"]
    files: int
    """Those of the verification; they were neither checked nor marked."""


class BrokenFile(NamedTuple):
    """A file that differs from its catalogue record."""

    kind: Kind
    path: Path
    problem: Literal["missing", "changed", "unreadable", "damaged"]


@dataclass(kw_only=True)
class FixityReport:
    """The result of a verification."""

    checked: int = 0
    broken: list[BrokenFile] = field(default_factory=list)
    absent_folders: list[AbsentFolder] = field(default_factory=list)


class _Due(NamedTuple):
    """A file to check."""

    kind: Kind
    id: int
    stored: str
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The scope of one verification."""

    query: str | None
    before: datetime
    """Files with a later check are skipped."""
    weights: dict[int, Path]
    """The copies of weights in the home, by the id of their version."""
    absent_root_ids: set[int] = field(default_factory=set)
    """Folders of masters that are absent; their files are skipped."""
    absent_in_home: set[str] = field(default_factory=set)
    """The same for :data:`MASTERS` and :data:`DERIVATIVES` in the home."""


def verify_files(
    catalogue: Catalogue,
    query: str | None = None,
    *,
    older_than_days: int | None = None,
    limit: int | None = None,
    mark_missing: bool = False,
    find_damage: Callable[[Path], str | None] | None = None,
    progress: Progress | None = None,
) -> FixityReport:
    """Reads files and compares them with their digests.

    Files are skipped if a whole folder of them is absent: their disk or share may not be mounted.

    Args:
        catalogue: what is checked.
        query: only the masters that it matches, and their derivatives; without it everything, weights too.
        older_than_days: only what was last checked longer ago than this, or never.
        limit: at most so many files.
        mark_missing: also mark the files of absent folders as missing.
        find_damage: decodes an image whose bytes are as recorded and tells what is broken in it, if anything.
        progress: receives each file.

    Raises:
        QueryError: the query has a mistake.
    """
    report = FixityReport()
    with catalogue.reading() as session:
        started = catalogue.now(session)
        wanted = _Wanted(
            query=query,
            before=started if older_than_days is None else started - timedelta(days=older_than_days),
            weights=_copied_weights(catalogue, session) if query is None else {},
        )
        if not mark_missing:
            report.absent_folders += _find_absent_roots(catalogue, session, wanted)
            report.absent_folders += _find_absent_in_home(catalogue, session, wanted)
        total = session.scalar(select(func.count()).select_from(union_all(*_due(wanted)).limit(limit).subquery())) or 0
    progress = progress or NoProgress()
    progress.start(total, "files")
    try:
        while page := _next_page(catalogue, wanted, _PAGE if limit is None else min(_PAGE, limit - report.checked)):
            for chunk in chunks(page, _CHUNK):
                _check(catalogue, chunk, started, report, progress, find_damage)
    finally:
        progress.finish()
    return report


def _due(wanted: _Wanted) -> list[Select[*tuple[Any, ...]]]:
    """Selects, for one kind, the number, id, stored path, digest and last check of the files that are due."""
    masters: Select[*tuple[Any, ...]] = select(
        literal(0).label("kind"), Master.id, Master.path, Master.sha256, Master.verified_at.label("checked")
    ).where(FIRST_OF_FILE)
    derivatives: Select[*tuple[Any, ...]] = select(
        literal(1).label("kind"),
        Derivative.id,
        Derivative.path,
        Derivative.sha256,
        Derivative.verified_at.label("checked"),
    ).where(HAS_FILE)
    if wanted.absent_root_ids:
        masters = masters.where(or_(Master.root_id.not_in(wanted.absent_root_ids), IS_COPY))
    if MASTERS in wanted.absent_in_home:
        masters = masters.where(~IS_COPY)
    if DERIVATIVES in wanted.absent_in_home:
        derivatives = derivatives.where(false())
    if wanted.query is not None:
        matching = select(Master.id).join(Item).where(parse_condition(wanted.query))
        masters = masters.where(Master.path.in_(matching.with_only_columns(Master.path)))
        derivatives = derivatives.where(Derivative.master_id.in_(matching))
    last_check = (
        select(func.max(Event.at))
        .where(Event.version_id == ModelVersion.id, Event.type == EventType.FIXITY_CHECK)
        .scalar_subquery()
    )
    weights: Select[*tuple[Any, ...]] = select(
        literal(2).label("kind"),
        ModelVersion.id,
        literal("").label("path"),
        ModelVersion.weights_sha256.label("sha256"),
        last_check.label("checked"),
    ).where(ModelVersion.id.in_(wanted.weights))
    return [
        files.where(or_(checked.is_(None), checked < wanted.before))
        for files, checked in (
            (masters, Master.verified_at),
            (derivatives, Derivative.verified_at),
            (weights, last_check),
        )
    ]


def _oldest_due(wanted: _Wanted, limit: int) -> Select[*tuple[Any, ...]]:
    """The first ``limit`` files that are due, the oldest check first; as many of each kind are read in order."""
    first: list[Select[*tuple[Any, ...]]] = []
    for files in _due(wanted):
        _, row_id, _, _, checked = files.selected_columns
        first += (
            files.where(checked.is_(None)).order_by(row_id),
            files.where(checked.is_not(None)).order_by(checked, row_id),
        )
    oldest = union_all(*(select(some.limit(limit).subquery()) for some in first)).subquery()
    kind, row_id, _, _, checked = oldest.columns
    return select(oldest).order_by(checked.nulls_first(), kind, row_id).limit(limit)


def _next_page(catalogue: Catalogue, wanted: _Wanted, limit: int) -> list[_Due]:
    """The next files; those that were checked already have a later check by now."""
    with catalogue.reading() as session:
        rows = session.execute(_oldest_due(wanted, limit)).all()
    return [
        _Due(
            kind=_KINDS[kind],
            id=row_id,
            stored=stored,
            path=wanted.weights[row_id] if _KINDS[kind] == "weights" else catalogue.path_of(stored),
            sha256=sha256,
        )
        for kind, row_id, stored, sha256, _ in rows
    ]


def _check(
    catalogue: Catalogue,
    chunk: list[_Due],
    started: datetime,
    report: FixityReport,
    progress: Progress,
    find_damage: Callable[[Path], str | None] | None,
) -> None:
    """Reads a few files, then records the results in one transaction."""
    found: list[tuple[_Due, FileProblem | None]] = []
    for due in chunk:
        problem = check_file(due.path, due.sha256)
        if problem is None and find_damage is not None and due.kind != "weights":
            damage = find_damage(due.path)
            problem = None if damage is None else FileProblem("damaged", f"it has the bytes as recorded, but {damage}")
        found.append((due, problem))
        progress.advance(note=due.path.name)
    with catalogue.session() as session:
        _lock_masters_of(session, chunk)
        at = max(catalogue.now(session), started)  # a clock that is set back must not make a file due again
        recorded = [(due, problem) for due, problem in found if _record(session, due, problem, at)]
    report.checked += len(recorded)
    report.broken += [
        BrokenFile(due.kind, due.path, problem.problem) for due, problem in recorded if problem is not None
    ]


def _lock_masters_of(session: Session, chunk: list[_Due]) -> None:
    paths = {kind: [due.stored for due in chunk if due.kind == kind] for kind in _KINDS}
    of_derivatives = select(Derivative.master_id).where(Derivative.path.in_(paths["derivative"]))
    lock_masters(session, or_(Master.path.in_(paths["master"]), Master.id.in_(of_derivatives)))


def _record(session: Session, due: _Due, problem: FileProblem | None, at: datetime) -> bool:
    """Records one check; False if the file was moved meanwhile, so that it is checked again, or was withdrawn."""
    abouts: list[dict[str, Any]]
    if due.kind == "weights":
        abouts = [{"version": session.get_one(ModelVersion, due.id)}]
    else:
        rows: Sequence[Master | Derivative]
        if due.kind == "master":
            rows = session.scalars(select(Master).where(Master.path == due.stored, Master.sha256 == due.sha256)).all()
        else:
            is_expected = (Derivative.path == due.stored, Derivative.withdrawn_at.is_(None))
            rows = session.scalars(select(Derivative).where(*is_expected)).all()
        for row in rows:
            row.verified_at = at
            _mark(session, row, problem)
        abouts = [{due.kind: row} for row in rows]
    for about in abouts:
        record_event(
            session,
            EventType.FIXITY_CHECK,
            outcome=Outcome.SUCCESS if problem is None else Outcome.FAILURE,
            detail=f"{due.path}: {'as recorded' if problem is None else problem.detail}",
            at=at,
            **about,
        )
    return bool(abouts)


def _mark(session: Session, row: Master | Derivative, trouble: FileProblem | None) -> None:
    """Marks a missing or changed file, or removes the mark; an unreadable file keeps its present mark."""
    if trouble is not None and trouble.problem not in ("missing", "changed"):
        return
    fault = None if trouble is None else FileFault(trouble.problem)
    if row.file_fault is fault:
        return
    row.file_fault = fault
    if isinstance(row, Derivative):
        update_current_derivatives(session, session.get_one(Master, row.master_id))


def _copied_weights(catalogue: Catalogue, session: Session) -> dict[int, Path]:
    """The weights that belong in the home: those of versions that made a derivative."""
    used = exists().where(RecipeStage.version_id == ModelVersion.id, RecipeStage.recipe_id == Derivative.recipe_id)
    versions = session.execute(select(ModelVersion.id, Model.name, ModelVersion.version, used).join(Model))
    paths = {}
    for version_id, name, version, is_used in versions:
        path = catalogue.path_of(weights_path(name, version))
        if is_used or path.parent.is_dir():
            paths[version_id] = path
    return paths


def _find_absent_roots(catalogue: Catalogue, session: Session, wanted: _Wanted) -> Iterator[AbsentFolder]:
    """The absent folders from which wanted masters were ingested; notes them in ``wanted``; see :func:`check_root`."""
    condition = parse_condition(wanted.query)
    for root in session.scalars(select(Root).order_by(Root.path)).all():
        masters = select(Master.path).join(Item).where(Master.root_id == root.id, ~IS_COPY, condition)
        if not _is_absent(catalogue, session, root.path, masters.distinct()):
            continue
        if number := _count(session, masters):
            wanted.absent_root_ids.add(root.id)
            yield AbsentFolder(Path(root.path), "master", number)


def _find_absent_in_home(catalogue: Catalogue, session: Session, wanted: _Wanted) -> Iterator[AbsentFolder]:
    """The folders of the home with none of their files, if a query wants some; notes them in ``wanted``."""
    # Any file shows that the folder is there, not only one of those that the query selects.
    kinds: tuple[tuple[str, Literal["master", "derivative"], Select[Any]], ...] = (
        (MASTERS, "master", select(Master.path).where(IS_COPY).distinct()),
        (DERIVATIVES, "derivative", select(Derivative.path).where(HAS_FILE)),
    )
    matching = select(Master.id).join(Item).where(parse_condition(wanted.query))
    for folder, kind, files in kinds:
        if not _is_absent(catalogue, session, folder, files):
            continue
        of_query = Master.id.in_(matching) if kind == "master" else Derivative.master_id.in_(matching)
        if number := _count(session, files.where(of_query)):
            wanted.absent_in_home.add(folder)
            yield AbsentFolder(catalogue.path_of(folder), kind, number)


def _is_absent(catalogue: Catalogue, session: Session, folder: str, stored: Select[Any]) -> bool:
    with session.execute(stored, execution_options={"yield_per": _PAGE}) as rows:
        return check_root(catalogue.path_of(folder), (catalogue.path_of(row.path) for row in rows)) is not None


def _count(session: Session, rows: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(rows.subquery())) or 0
