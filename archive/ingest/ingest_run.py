"""The steps of an ingest: find the files, match them with rows, then examine and record each one.

Each scan is examined outside of any transaction and recorded in a transaction of its own. So an interrupted ingest
keeps what it has recorded, blocks nobody, and can be repeated. A dry run examines all scans first, then records them in
one transaction that is rolled back: the same code decides, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.schema.identifier_and_mapping_tables import ColumnMappingText
from archive.catalogue.schema.tables import Master
from archive.errors import IngestError, StorageError
from archive.file_locks import hold_path
from archive.ingest.checksum_manifest import match_checksums, read_manifest
from archive.ingest.checksum_verification import Checksum, ChecksumMismatchError, digest_and_compare
from archive.ingest.column_mapping import ColumnMapping, read_mapping
from archive.ingest.discovered_files import DiscoveredFiles
from archive.ingest.file_discovery import Check, Scan, absolute_path, discover_files, printable_path
from archive.ingest.file_inspection import InspectedFile, NotAnImageError, inspect_file
from archive.ingest.ingest_report import IngestReport
from archive.ingest.metadata_rows import Row, read_spreadsheet
from archive.ingest.recorder import ChangedError, Destination, FileOutcome, Recorder, accession_number
from archive.ingest.row_matching import FileMetadata, MatchedRows, match_rows
from archive.ingest.row_table import RowTable
from archive.ingest.table_reader import WORKBOOK_SUFFIXES
from archive.ingest.temporary_storage import StoredList
from archive.progress_reporting import NoProgress, Progress
from archive.storage import copy_to_temporary, is_full, master_copy_path
from restoration.errors import ImageError

_OF_ONE_FILE = (IngestError, StorageError, ImageError, OSError)
"""What is wrong with one file; anything else is wrong with the archive, and stops the ingest."""

_TABLE_SUFFIXES = (*WORKBOOK_SUFFIXES, ".csv", ".tsv", ".xls", ".ods")
_UNREAD_TABLE = "a table that was not read: to use its rows, name it with --metadata"

_Work = Iterable[tuple[Path, Path, FileMetadata]]
"""Files, each with the folder that it was found from and what is stated of it."""


def ingest(
    catalogue: Catalogue,
    paths: Sequence[Path],
    *,
    metadata: Path | None = None,
    mapping: Path | None = None,
    sheet: str | None = None,
    manifest: Path | None = None,
    check: Check = Check(),  # noqa: B008  (frozen)
    copy: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """Adds scans to the catalogue, with their metadata from a museum's table.

    Args:
        catalogue: where they are recorded.
        paths: folders, which are searched to the bottom, and single files.
        metadata: the CSV or workbook to read instead of each items.csv that lies in an ingested folder.
        mapping: the file that says which of the table's columns is which of ours.
        sheet: which sheet of a workbook; else the first.
        manifest: a file of sha256sum or md5sum; files that it lists and that differ from it are refused.
        check: how deep new scans are checked for damage; broken ones are refused unless it accepts them.
        copy: bring new masters into the home; else they stay where they are and are referenced.
        dry_run: only report what would happen, file by file.
        progress: receives each file.

    Returns:
        What was done; a bad scan or row is one of its failures and doesn't stop the others.

    Raises:
        IngestError: a path, CSV or manifest can't be used at all, a folder went away meanwhile, or the disk of the home
            is full.
    """
    report = IngestReport(dry_run=dry_run)
    found = discover_files(paths, catalogue.settings.home)
    sums = _sums(manifest, found, report)
    sheets = [absolute_path(metadata)] if metadata is not None else [*found.sheets, *found.neighbours]
    _check_sheets(sheets, sums)
    chosen = _read_mapping(mapping, sheets)
    matched = match_rows(_read_rows(sheets, chosen, sheet, report), found, chosen)
    _report_findings(report, found, matched)
    if chosen is not None and not dry_run:
        _keep_mapping(catalogue, chosen)
    told_by = "" if chosen is None else f", by the mapping {chosen.path.name} (SHA-256 {chosen.sha256})"
    recorder = Recorder(catalogue, is_stated=matched.table.is_stated, has_row=matched.table.has_row, told_by=told_by)
    run = _Run(catalogue, recorder, report, sums, check=check, copy=copy, tables=sheets, has_rows=matched.has_rows)
    work = _list_work(catalogue, matched.table, run)
    progress = progress or NoProgress()
    progress.start(len(work), "files")
    try:
        files = ((Path(name), root) for name, root in work)
        run.take(((path, root, matched.describe(path)) for path, root in files), progress)
    finally:
        progress.finish()
    return report


class _Run:
    """One ingest under way."""

    def __init__(
        self,
        catalogue: Catalogue,
        recorder: Recorder,
        report: IngestReport,
        sums: Mapping[Path, Sequence[Checksum]] | None,
        *,
        check: Check,
        copy: bool,
        tables: Sequence[Path],
        has_rows: bool,
    ) -> None:
        self._tables = frozenset(tables)
        self._check = check
        self._catalogue = catalogue
        self._recorder = recorder
        self._report = report
        self._sums = sums
        self._copy = copy
        self._has_rows = has_rows
        self._token = uuid4().hex

    def take(self, work: _Work, progress: Progress) -> None:
        """Examines and records each file; in a dry run, all in a transaction that is rolled back."""
        evidence = self._examined(work, progress)
        if not self._report.dry_run:
            self._record_all(evidence, self._record)
            return
        gathered = StoredList[InspectedFile]()
        gathered += evidence
        with self._catalogue.trying() as session:

            def decide(evidence: InspectedFile) -> FileOutcome:
                with session.begin_nested():
                    return self._write(session, evidence, self._place(evidence))

            self._record_all(gathered, decide)

    def pass_over(self, path: Path, reason: str) -> None:
        """Counts a file that does not become a master; its checksum, if it has one, is verified nevertheless."""
        try:
            if sums := self._sums_of(path):
                digest_and_compare(path, sums)
                self._report.checked += 1
        except _OF_ONE_FILE as error:
            self._fail(path, error)
            return
        self._report.passed_over.append((str(path), reason))

    def _describe_other(self, path: Path) -> str:
        """What a file is that is not an image."""
        if path in self._tables:
            return "a spreadsheet"
        return _UNREAD_TABLE if path.suffix.lower() in _TABLE_SUFFIXES else "not an image"

    def _sums_of(self, path: Path) -> Sequence[Checksum]:
        return () if self._sums is None else self._sums.get(path, ())

    def _examined(self, work: _Work, progress: Progress) -> Iterator[InspectedFile]:
        """The inspection of each file, except of those that are skipped or fail."""
        for path, root, entry in work:
            try:
                evidence = inspect_file(
                    self._catalogue, self._recorder, path, root, entry, self._sums_of(path), self._check
                )
            except NotAnImageError:
                self.pass_over(path, self._describe_other(path))
            except _OF_ONE_FILE as error:
                self._fail(path, error)
                if isinstance(error, ChecksumMismatchError) and not self._report.dry_run:
                    with self._catalogue.session() as session:
                        self._recorder.record_difference(session, path, error)
                if not root.is_dir():
                    raise IngestError(
                        f"{root} went away: bring it back and ingest again; what is done is kept"
                    ) from error
            else:
                if entry.row is None and self._has_rows:
                    self._report.files_without_rows.append(str(path))
                if self._sums is not None and path not in self._sums:
                    self._report.files_without_sums.append(str(path))
                self._report.problems += evidence.problems
                yield evidence
            progress.advance(note=path.name)

    def _record_all(self, evidence: Iterable[InspectedFile], record: Callable[[InspectedFile], FileOutcome]) -> None:
        """Records the scans one after the other; a scan at the path of another one waits, as that may have moved.

        Files look like that after a renumbering: 002.tif is now 003.tif, and 001.tif is 002.tif.
        """
        waiting = self._try_each(evidence, record)
        while waiting:
            still = self._try_each((evidence for evidence, _ in waiting), record)
            if len(still) == len(waiting):
                break
            waiting = still
        for blocked, reason in waiting:
            self._report.failures.append((str(blocked.scan.path), reason))

    def _try_each(
        self, evidence: Iterable[InspectedFile], record: Callable[[InspectedFile], FileOutcome]
    ) -> StoredList[tuple[InspectedFile, str]]:
        """Records what can be recorded, and returns what has to wait, with the reason."""
        waiting = StoredList[tuple[InspectedFile, str]]()
        for one in evidence:
            try:
                self._count(one.scan, record(one))
            except ChangedError as error:
                if error.renamed:
                    waiting.append((one, str(error)))
                else:
                    self._fail(one.scan.path, error)
            except _OF_ONE_FILE as error:
                self._fail(one.scan.path, error)
            except IntegrityError:
                reason = "another run recorded it or its item in the same moment: ingest again"
                self._fail(one.scan.path, IngestError(reason))
        return waiting

    def _record(self, evidence: InspectedFile) -> FileOutcome:
        """Records one scan in a transaction of its own; a copy is flushed before it and published in it."""
        place = self._place(evidence)
        with ExitStack() as copying:
            if place.final is not None:
                scan = evidence.scan
                copying.enter_context(hold_path(place.final))
                copy, _ = copy_to_temporary(scan.path, place.final, self._token, sha256=scan.sha256)
                copying.callback(copy.unlink, missing_ok=True)
                place = replace(place, temporary=copy)
            with self._catalogue.session() as session:
                return self._write(session, evidence, place)

    def _write(self, session: Session, evidence: InspectedFile, place: Destination) -> FileOutcome:
        return self._recorder.record(session, evidence.scan, evidence.entry, evidence.holder, place)

    def _place(self, evidence: InspectedFile) -> Destination:
        """The path to record for a master that is new or moves."""
        scan, holder = evidence.scan, evidence.holder
        is_known = scan.pictures is None
        if not self._copy or (is_known and (holder is None or holder.problem is None)):
            return Destination(stored=self._catalogue.stored_path(scan.path))
        number = accession_number(scan.path, evidence.entry) if holder is None else holder.accession_number
        stored = master_copy_path(number, scan.sha256, scan.path.suffix)
        return Destination(stored=stored, final=None if self._report.dry_run else self._catalogue.path_of(stored))

    def _count(self, scan: Scan, outcome: FileOutcome) -> None:
        report = self._report
        report.notes += outcome.notes
        report.problems += outcome.problems
        report.checked += bool(scan.sums)
        match outcome.action:
            case "added":
                report.added += 1
            case "unchanged":
                report.unchanged += 1
            case "duplicate":
                report.duplicates += 1
            case "moved":
                report.moved += 1
            case "updated":
                report.updated += 1
        if report.dry_run or outcome.action not in ("unchanged", "duplicate"):
            told = [outcome.detail, *(each.confirmation() for each in scan.sums)]
            report.outcomes.append((str(scan.path), outcome.action, "; ".join(told)))

    def _fail(self, path: Path, error: Exception) -> None:
        if isinstance(error, OSError) and is_full(error):
            home = self._catalogue.settings.home
            raise IngestError(
                f"nothing more can be written to the disk of {home}: {error.strerror}. Make room, then ingest again; "
                "what is done is kept"
            ) from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = reason.removeprefix(f"{path}: ")  # which stands beside it anyway
        self._report.failures.append((str(path), reason))


def _read_rows(
    tables: Iterable[Path], mapping: ColumnMapping | None, sheet: str | None, report: IngestReport
) -> Iterator[Row]:
    for path in dict.fromkeys(tables):
        read = read_spreadsheet(path, mapping=mapping, sheet=sheet)
        yield from read.rows
        report.problems += read.problems
        report.notes += [("", note) for note in read.notes]


def _read_mapping(path: Path | None, sheets: Sequence[Path]) -> ColumnMapping | None:
    """The mapping file, if one is given.

    Raises:
        IngestError: it can't be used, or it is about a table and there is none.
    """
    if path is None:
        return None
    mapping = read_mapping(path)
    if mapping.files is None and not sheets:
        raise IngestError(f"{path} is about a table, and none was read: name the table with --metadata")
    return mapping


def _report_findings(report: IngestReport, found: DiscoveredFiles, matched: MatchedRows) -> None:
    """Reports what is known before the first scan is read: files left out, and rows that can't be used."""
    report.problems += matched.problems
    report.notes += [("", note) for note in matched.notes]
    report.passed_over += ((printable_path(path), "hidden") for path in found.hidden)
    report.failures += found.failures
    report.failures += ((printable_path(path), reason) for path, reason in matched.table.refused())
    report.rows_without_files += matched.without_files


def _list_work(catalogue: Catalogue, table: RowTable, run: _Run) -> StoredList[tuple[str, Path]]:
    """The files to ingest, each with its ingested folder; reference images are passed over.

    Files with rows come first, in the order of the rows: whoever wrote them has put the recto before the verso.
    """
    for path in _known_references(catalogue):
        table.add_reference(path, path)
    work = StoredList[tuple[str, Path]]()
    work += table.files()
    for name, root in table.files_without_row():
        if table.is_reference(name):
            run.pass_over(Path(name), "a reference")
        else:
            work.append((name, root))
    return work


def _keep_mapping(catalogue: Catalogue, mapping: ColumnMapping) -> None:
    """Stores the mapping's text, which events refer to by its digest."""
    with catalogue.session() as session:
        if session.scalar(select(ColumnMappingText.id).where(ColumnMappingText.sha256 == mapping.sha256)) is None:
            kept = ColumnMappingText(sha256=mapping.sha256, name=mapping.path.name, text=mapping.text)
            kept.first_used_at = catalogue.now(session)
            session.add(kept)


def _known_references(catalogue: Catalogue) -> Iterator[Path]:
    wanted = select(Master.reference_path).where(Master.reference_path.is_not(None)).distinct()
    with catalogue.reading() as session:
        for path in session.scalars(wanted.execution_options(yield_per=1000)):
            yield catalogue.path_of(path or "")


def _sums(
    manifest: Path | None, found: DiscoveredFiles, report: IngestReport
) -> Mapping[Path, Sequence[Checksum]] | None:
    """The checksums of each discovered file; None without a manifest."""
    if manifest is None:
        return None
    matched = match_checksums(read_manifest(absolute_path(manifest)), found)
    report.missing += matched.missing
    if matched.elsewhere:
        listed = f"{matched.elsewhere:,} of the files that {manifest} lists"
        report.notes.append(("", f"{listed} lie outside the paths given, or are hidden"))
    return matched.of_files


def _check_sheets(sheets: Iterable[Path], sums: Mapping[Path, Sequence[Checksum]] | None) -> None:
    """Compares the tables with their delivered checksums, before the ingest.

    Raises:
        IngestError: a table differs, so none of its rows can be trusted.
    """
    for sheet in sheets:
        if sums is not None and sheet in sums:
            try:
                digest_and_compare(sheet, sums[sheet])
            except ChecksumMismatchError as error:
                raise IngestError(f"{sheet}: {error}. Nothing was ingested") from error
