"""Records an inspected scan in the catalogue: adds or updates its master and item, or explains the refusal."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.events import record_event
from archive.catalogue.query.text_index import index_item_words
from archive.catalogue.schema.tables import Item, Master, Root
from archive.catalogue.schema.vocabularies import Access, EventType, View
from archive.catalogue.schema.vocabularies import Outcome as EventOutcome
from archive.errors import IngestError
from archive.ingest.checksum_verification import ChecksumMismatchError
from archive.ingest.file_discovery import Scan
from archive.ingest.metadata_updates import (
    SequenceTakenError,
    free_sequence,
    next_free_sequence,
    rename_item,
    take_picture_area,
    update_item,
    update_master,
)
from archive.ingest.row_matching import FileMetadata
from archive.ingest.stated_sequences import StatedSequences
from archive.ingest.table_problems import ProblemKind, TableProblem
from archive.ingest.temporary_storage import StoredSet
from archive.storage import publish_once
from restoration.image import ImageInfo


class ChangedError(IngestError):
    """The catalogue has other bytes under the file's path. ``renamed``: it has the file's bytes under another path."""

    def __init__(self, message: str, *, renamed: bool) -> None:
        super().__init__(message)
        self.renamed = renamed


@dataclass(frozen=True, kw_only=True)
class RecordedFile:
    """The recorded file with a scan's bytes, if it is another file, and its state."""

    stored: str
    accession_number: str
    problem: str | None
    """None if it has the bytes; else the problem as text."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """The path under which a master will be recorded, and the copy to publish there first."""

    stored: str  # absolute, as in the catalogue; of a copy relative to the home
    temporary: Path | None = None
    final: Path | None = None


@dataclass(frozen=True, kw_only=True)
class FileOutcome:
    """The result for one file."""

    action: Literal["added", "unchanged", "duplicate", "moved", "updated"]
    detail: str
    notes: list[tuple[str, str]] = field(default_factory=list)
    problems: tuple[TableProblem, ...] = ()
    """Cells of its row that can't be applied."""


def accession_number(path: Path, entry: FileMetadata) -> str:
    """The accession number of a new scan: from its row, else its file's stem (accents composed)."""
    if entry.row is not None and entry.row.accession_number is not None:
        return entry.row.accession_number
    return unicodedata.normalize("NFC", path.stem)


class Recorder:
    """Records scans one by one, each in the caller's session; remembers what this run has seen."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        is_stated: Callable[[str], bool],
        has_row: Callable[[str], bool],
        told_by: str = "",
    ) -> None:
        """Starts a run.

        Args:
            catalogue: where it is recorded.
            is_stated: whether the run's rows, refused ones too, name an accession number.
            has_row: whether the file with a path on this machine has a row.
            told_by: the mapping by which rows were read, in words, for events.
        """
        self._catalogue = catalogue
        self._is_stated = is_stated
        self._has_row = has_row
        self._told_by = told_by
        self._problems: list[TableProblem] = []
        self._sequences = StatedSequences(catalogue)
        self._confirmed = StoredSet()
        self._described = StoredSet()

    def is_confirmed(self, sha256: str) -> bool:
        """Whether the recorded file with these bytes was read or recorded in this run."""
        return sha256 in self._confirmed

    def record(
        self, session: Session, scan: Scan, entry: FileMetadata, holder: RecordedFile | None, place: Destination
    ) -> FileOutcome:
        """Records one scan.

        Raises:
            ChangedError: the catalogue holds other bytes under the scan's path.
            IngestError: the scan or its row can't be recorded.
            StorageError: its copy can't be published.
        """
        self._problems = []
        if entry.reference is not None:
            entry = replace(entry, reference=Path(self._catalogue.stored_path(entry.reference)))
        # The first picture in a file stands for all of them: they came together, and stay together.
        stored = self._catalogue.stored_path(scan.path)
        if stored != str(scan.path):
            _relocate(session, scan.path, stored)
        here = session.scalar(select(Master).where(Master.path == stored, Master.page == 1))
        known = session.scalar(select(Master).where(Master.sha256 == scan.sha256, Master.page == 1))
        if here is not None and here is not known:
            raise _changed(here, known)
        if known is None:
            outcome = self._add(session, scan, entry, place)
        elif known is here:
            outcome = self._describe(session, known, entry, "unchanged", f"held as {known.item.accession_number!r}")
        elif self._still_held(known, holder):
            outcome = self._second(session, known, scan, entry)
        else:
            outcome = self._move(session, known, scan, entry, holder, place)
        changes = [] if known is None else self._judge_again(session, scan) + self._found_again(session, scan)
        if changes and outcome.action in ("unchanged", "duplicate"):
            outcome = replace(outcome, action="updated", detail="; ".join(changes))
        if scan.sums:
            detail = f"{scan.path}: {'; '.join(each.confirmation() for each in scan.sums)}"
            self._record_check(session, scan.sha256, EventOutcome.SUCCESS, detail)
        self._confirmed.add(scan.sha256)
        return replace(outcome, problems=tuple(self._problems))

    def record_difference(self, session: Session, path: Path, error: ChecksumMismatchError) -> None:
        """Records an event if the catalogue has the bytes, that a file with them doesn't match its checksum."""
        self._record_check(session, error.sha256, EventOutcome.FAILURE, f"{path}: {error}")

    def _record_check(self, session: Session, sha256: str, outcome: EventOutcome, detail: str) -> None:
        at = self._catalogue.now(session)
        for master in session.scalars(select(Master).where(Master.sha256 == sha256).order_by(Master.page)):
            record_event(session, EventType.FIXITY_CHECK, outcome=outcome, detail=detail, master=master, at=at)

    def _judge_again(self, session: Session, scan: Scan) -> list[str]:
        """Updates whether this software supports known masters that another version inspected."""
        refusals = {info.page: info.refusal for info in scan.pictures or ()}
        changes = []
        for master in session.scalars(select(Master).where(Master.sha256 == scan.sha256).order_by(Master.page)):
            now = refusals.get(master.page, master.unsupported)
            if now != master.unsupported:
                change = f"kind: {master.unsupported or 'can be restored'} -> {now or 'can be restored'}"
                master.unsupported = master.refusal = now
                at = self._catalogue.now(session)
                record_event(session, EventType.METADATA_MODIFICATION, detail=change, master=master, at=at)
                changes.append(change)
        return changes

    def _found_again(self, session: Session, scan: Scan) -> list[str]:
        """Removes the mark from masters that a check had found missing or changed: their bytes are here."""
        at = self._catalogue.now(session)
        marked = select(Master).where(Master.sha256 == scan.sha256, Master.file_fault.is_not(None))
        changes = []
        for master in session.scalars(marked.order_by(Master.page)):
            change = f"file: {master.file_fault} -> found again"
            master.file_fault = None
            detail = f"{scan.path}: found again, as recorded"
            record_event(session, EventType.FIXITY_CHECK, detail=detail, master=master, at=at)
            changes.append(change)
        return changes

    def _still_held(self, known: Master, holder: RecordedFile | None) -> bool:
        if known.sha256 in self._confirmed:
            return True
        if holder is None or holder.stored != known.path:
            raise IngestError("it was recorded by another run meanwhile: ingest again")
        return holder.problem is None

    def _second(self, session: Session, known: Master, scan: Scan, entry: FileMetadata) -> FileOutcome:
        """Handles a second file with the bytes of an existing recorded file.

        Its row is ignored if the recorded file has a row too, or if another row was used already.
        """
        path = self._catalogue.path_of(known.path)
        held = f"the bytes of {path}, held as {known.item.accession_number!r}"
        is_free = known.is_copy or (entry.row is not None and not self._has_row(str(path)))
        if is_free and scan.sha256 not in self._described:
            return self._describe(session, known, entry, "unchanged", held)
        notes = [] if entry.row is None else [(entry.row.where, f"not used: {scan.path} has {held}")]
        return FileOutcome(action="duplicate", detail=held, notes=notes)

    def _describe(
        self, session: Session, master: Master, entry: FileMetadata, action: Literal["unchanged", "moved"], detail: str
    ) -> FileOutcome:
        """Updates a known master and its item from its row."""
        self._described.add(master.sha256)
        if entry.row is None:
            return FileOutcome(action=action, detail=detail)
        item = master.item
        of_item = rename_item(session, item, entry.row, self._is_stated) + update_item(session, item, entry.facts)
        at = self._catalogue.now(session)
        of_master = update_master(session, master, entry, stated=self._sequences, at=at, problems=self._problems)
        for changes, about in ((of_item, None), (of_master, master)):
            if changes:
                text = f"{entry.row.where}{self._told_by}: {'; '.join(changes)}"
                record_event(session, EventType.METADATA_MODIFICATION, detail=text, item=item, master=about, at=at)
        changes = of_item + of_master
        if changes and action == "unchanged":
            return FileOutcome(action="updated", detail="; ".join(changes))
        return FileOutcome(action=action, detail="; ".join([detail, *changes]))

    def _move(
        self,
        session: Session,
        known: Master,
        scan: Scan,
        entry: FileMetadata,
        holder: RecordedFile | None,
        place: Destination,
    ) -> FileOutcome:
        before = self._catalogue.path_of(known.path)
        _settle(place, scan)
        root, at = self._root(session, scan), self._catalogue.now(session)
        problem = holder.problem if holder is not None else None
        detail = f"from {before} ({problem}) to {self._catalogue.path_of(place.stored)}"
        for master in session.scalars(select(Master).where(Master.sha256 == scan.sha256).order_by(Master.page)):
            master.path, master.root = place.stored, root
            record_event(session, EventType.RELOCATION, detail=detail, item=known.item, master=master, at=at)
        return self._describe(session, known, entry, "moved", detail)

    def _add(self, session: Session, scan: Scan, entry: FileMetadata, place: Destination) -> FileOutcome:
        if scan.pictures is None:
            raise IngestError("the catalogue changed meanwhile: ingest again")
        number = accession_number(scan.path, entry)
        item = session.scalar(select(Item).where(Item.accession_number == number))
        if item is not None and (entry.row is None or entry.row.accession_number is None):
            raise _ambiguous(session, item)
        at = self._catalogue.now(session)
        is_new = item is None
        if item is None:
            item = Item(accession_number=number, access=Access.OPEN, extra={}, created_at=at)
            session.add(item)
            session.flush()
        stated = update_item(session, item, entry.facts)
        embedded, source = _take_embedded(session, item, scan.pictures[0])
        changes = stated + embedded
        if changes and not is_new:
            text = f"with {scan.path}: {'; '.join(changes)}"
            record_event(session, EventType.METADATA_MODIFICATION, detail=text, item=item, at=at)
        root, sequences, notes = self._root(session, scan), [], list[tuple[str, str]]()
        for info in scan.pictures:
            master = self._new_master(session, item, scan, entry, info)
            master.path, master.root, master.ingested_at = place.stored, root, at
            session.add(master)
            which = f", picture {info.page} of {len(scan.pictures)}" if len(scan.pictures) > 1 else ""
            notices = [f"it won't be restored: {info.refusal}"] if info.refusal else []
            notices += [*info.problems, *source]
            source = []  # it is that of the first picture
            told = f"{entry.row.where}{self._told_by}" if entry.row is not None else ""
            found = f"from {scan.path}{which}, SHA-256 {scan.sha256}"
            detail = "; ".join(filter(None, [found, told, f"checked: {scan.checked}", *notices]))
            record_event(session, EventType.INGESTION, detail=detail, item=item, master=master, at=at)
            notes += [(f"{scan.path}{which}", notice) for notice in notices]
            sequences.append(str(master.sequence))
        _settle(place, scan)
        self._described.add(scan.sha256)
        return FileOutcome(
            action="added", detail=f"as {number!r}, sequence {' and '.join(sequences)}, {master.view}", notes=notes
        )

    def _new_master(self, session: Session, item: Item, scan: Scan, entry: FileMetadata, info: ImageInfo) -> Master:
        """The master of one picture in a file; a row's picture area and sequence apply to the first picture."""
        row = entry.row
        if info.page > 1:
            entry = replace(entry, row=None, reference=None)
        master = Master(
            item_id=item.id,
            sequence=self._sequence(session, item, entry),
            view=row.view if row is not None and row.view is not None else View.RECTO,
            page=info.page,
            sha256=scan.sha256,
            size=scan.size,
            format=info.format,
            width=info.width,
            height=info.height,
            bits_per_sample=info.bits_per_sample,
            samples_per_pixel=info.samples_per_pixel,
            ppi=info.resolution.ppi if info.resolution is not None else None,
            icc_profile=_clean(info.icc_description),
            reference_path=None if entry.reference is None else str(entry.reference),
            captured_at=_clean(info.captured_at),
            captured_by=_clean(info.captured_by),
            unsupported=info.refusal,
            refusal=info.refusal,
        )
        if entry.row is not None:
            take_picture_area(entry.row, master, self._problems)
        return master

    def _sequence(self, session: Session, item: Item, entry: FileMetadata) -> int:
        """The sequence in a row, else the first one that is neither taken nor stated by another row."""
        if entry.row is not None and (stated := entry.row.sequence) is not None:
            at, free = self._catalogue.now(session), next_free_sequence(session, item)
            try:
                free_sequence(session, item, stated, entry, stated=self._sequences, at=at, free=free)
            except SequenceTakenError as error:
                self._problems.append(entry.row.problem(ProblemKind.SEQUENCE, "sequence", str(stated), str(error)))
            else:
                return stated
        taken = entry.facts.reserved | set(session.scalars(select(Master.sequence).where(Master.item_id == item.id)))
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    def _root(self, session: Session, scan: Scan) -> Root:
        folder, path = Path(self._catalogue.stored_path(scan.root)), Path(self._catalogue.stored_path(scan.path))
        if not path.is_relative_to(folder):  # a folder within the ingested one was recorded elsewhere
            folder = path.parent
        root = session.scalar(select(Root).where(Root.path == str(folder)))
        if root is None:
            root = Root(path=str(folder))
            session.add(root)
        return root


def _settle(place: Destination, scan: Scan) -> None:
    """Publishes a copy before a row refers to it."""
    if place.temporary is not None and place.final is not None:
        publish_once(place.temporary, place.final, sha256=scan.sha256)


def _take_embedded(session: Session, item: Item, info: ImageInfo) -> tuple[list[str], list[str]]:
    """Sets title and description from the text in the file if nothing else states them.

    Returns:
        The changes, and a notice that names their source; both are empty if nothing was set.
    """
    changes, names = list[str](), list[str]()
    for name, value in (("title", _clean(info.title)), ("description", _clean(info.description))):
        if value is not None and getattr(item, name) is None:
            setattr(item, name, value)
            changes.append(f"{name} (from the text in the file): (empty) -> {value}")
            names.append(name)
    if changes:
        index_item_words(session, item)
    are = "come" if len(names) > 1 else "comes"
    return changes, [f"{' and '.join(names)} {are} from the text in the file (IPTC or XMP)"] if names else []


def _clean(text: str | None) -> str | None:
    """Embedded text that every database accepts: without NUL characters and lone surrogates."""
    if text is None:
        return None
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip() or None


def _relocate(session: Session, local: Path, stored: str) -> None:
    """Corrects masters that were recorded under their path on this machine, before the folder was in ``[roots]``."""
    if session.scalar(select(Master.id).where(Master.path == stored).limit(1)) is None:
        session.execute(update(Master).where(Master.path == str(local)).values(path=stored))


def _changed(here: Master, known: Master | None) -> ChangedError:
    message = (
        f"its bytes are not those that were ingested from this path as {here.item.accession_number!r} "
        f"(SHA-256 {here.sha256}): bring the master back, or give the new scan a name of its own"
    )
    return ChangedError(message, renamed=known is not None)


def _ambiguous(session: Session, item: Item) -> IngestError:
    held = session.scalar(select(Master.path).where(Master.item_id == item.id).order_by(Master.sequence).limit(1))
    return IngestError(
        f"its stem is the accession number {item.accession_number!r}, which the catalogue holds with {held}. It may be "
        "another view of it or another photograph: say so in a row of items.csv with accession_number and view"
    )
