"""Scans with checksums: files that differ are refused, and the history records the comparison."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Event, Item, Master
from archive.catalogue.schema.vocabularies import EventType, Outcome
from archive.errors import IngestError
from archive.ingest import IngestReport

Take = Callable[..., IngestReport]
WriteRows = Callable[[str], Path]
MakeScan = Callable[..., Path]

NAMES = ("a.tif", "box 7/Müller*.tif", " two\nlines\\.tif")


def checks(catalogue: Catalogue) -> list[tuple[str, str, str]]:
    """Of each fixity check: accession number, outcome, detail."""
    with catalogue.reading() as session:
        found = session.execute(
            select(Item.accession_number, Event.outcome, Event.detail)
            .select_from(Event)
            .join(Master, Master.id == Event.master_id)
            .join(Item)
            .where(Event.type == EventType.FIXITY_CHECK)
            .order_by(Item.accession_number, Event.id)
        )
        return [(number, str(outcome), str(detail)) for number, outcome, detail in found]


def digest(path: Path, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


def write_sums(folder: Path, *names: str, algorithm: str = "sha256") -> Path:
    manifest = folder / "SUMS"
    manifest.write_text("".join(f"{digest(folder / name, algorithm)}  {name}\n" for name in names), encoding="utf-8")
    return manifest


def counted(catalogue: Catalogue) -> int:
    with catalogue.reading() as session:
        return session.scalar(select(func.count(Master.id))) or 0


@pytest.mark.parametrize("program", ["sha256sum", "md5sum"])
@pytest.mark.parametrize("options", [[], ["--binary"], ["--tag"]], ids=["text", "binary", "tagged"])
def test_what_the_programs_write_is_read(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take, program: str, options: list[str]
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    for seed, name in enumerate(NAMES):
        make_scan(name, seed)
    written = subprocess.run([program, *options, *NAMES], cwd=scans, check=True, capture_output=True).stdout
    (scans / "SUMS").write_bytes(written)

    report = take(manifest=scans / "SUMS")
    assert (report.added, report.checked, list(report.failures), list(report.missing)) == (3, 3, [], [])
    assert list(report.files_without_sums) == []
    algorithm, told = ("sha256", "SHA-256") if program == "sha256sum" else ("md5", "MD5")
    first = scans / "a.tif"
    assert checks(catalogue)[-1] == ("a", "success", f"{first}: {told} {digest(first, algorithm)}, as in SUMS line 1")


def test_both_kinds_absolute_names_and_windows_line_ends_are_taken_in_one_file(
    scans: Path, make_scan: MakeScan, take: Take, tmp_path: Path
) -> None:
    one, two, three = (make_scan(name, seed) for seed, name in enumerate(("a.tif", "box/b.tif", "c.tif")))
    manifest = tmp_path / "sums.txt"
    lines = [
        "# delivered on a Monday",
        "",
        f"{digest(one).upper()} *scans\\a.tif",
        f"{digest(two, 'md5')}  ./scans/box/b.tif",
        f"{digest(three)}  {three}",
        f"MD5 (scans/c.tif) = {digest(three, 'md5')}",
    ]
    manifest.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    report = take(manifest=manifest)
    assert (report.added, report.checked, list(report.failures), list(report.missing)) == (3, 3, [], [])


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_scan_that_differs_is_refused_with_both_sums_and_the_others_are_taken(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take, algorithm: str
) -> None:
    make_scan("a.tif", 1)
    damaged = make_scan("b.tif", 2)
    manifest = write_sums(scans, "a.tif", "b.tif", algorithm=algorithm)
    stated = digest(damaged, algorithm)
    with damaged.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))

    dry = take(manifest=manifest, dry_run=True)
    report = take(manifest=manifest)
    assert (report.added, report.checked) == (1, 1)
    [(path, reason)] = report.failures
    assert path == str(damaged)
    assert digest(damaged, algorithm) in reason
    assert f"SUMS line 2 says {stated}" in reason
    assert list(dry.failures) == list(report.failures)
    assert f"{damaged}: refused: {reason}" in dry.lines
    assert any("as in SUMS line 1" in line for line in dry.lines)
    assert counted(catalogue) == 1


def test_both_sums_of_a_file_must_agree(scans: Path, make_scan: MakeScan, take: Take) -> None:
    scan = make_scan("a.tif", 1)
    (scans / "SUMS").write_text(f"{digest(scan)}  a.tif\n{'0' * 32}  a.tif\n")
    assert "its MD5 is" in take(manifest=scans / "SUMS").failures[0][1]


def test_missing_files_and_unlisted_scans_are_reported(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take
) -> None:
    for seed, name in enumerate(("a.tif", "gone.tif", "box/elsewhere.tif")):
        make_scan(name, seed)
    manifest = write_sums(scans, "a.tif", "gone.tif", "box/elsewhere.tif")
    with manifest.open("a") as file:
        file.write(f"{'0' * 64}  {'long' * 100}.tif\n")
    (scans / "gone.tif").unlink()
    new = make_scan("new.tif", 9)
    report = take(scans / "a.tif", new, manifest=manifest)
    assert (report.added, report.checked, list(report.failures)) == (2, 1, [])
    assert report.missing[0] == f"SUMS line 2: {scans / 'gone.tif'}"
    assert len(report.missing) == 2
    assert list(report.files_without_sums) == [str(new)]
    assert any("1 of" in note and "lie outside the paths given" in note for _, note in report.notes)
    assert counted(catalogue) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.tif", "no line of sha256sum or md5sum"),
        (f"{'0' * 64} a.tif", "no line of sha256sum or md5sum"),
        (f"{'0' * 40}  a.tif", "a checksum of 40 digits is neither SHA-256"),
        (f"MD5 (a.tif) = {'0' * 64}", "a checksum of 64 digits is not a valid MD5 checksum"),
        (rf"\{'0' * 64}  a\t.tif", r"\t is not a valid escape"),
        (f"{'0' * 64}  a\0.tif", "no line of sha256sum or md5sum"),
    ],
)
def test_a_line_that_is_not_understood_stops_all_before_anything_is_ingested(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take, line: str, reason: str
) -> None:
    make_scan("a.tif", 1)
    manifest = write_sums(scans, "a.tif")
    with manifest.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(IngestError) as caught:
        take(manifest=manifest)
    assert f"{manifest} line 2" in str(caught.value)
    assert reason in str(caught.value)
    assert counted(catalogue) == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xfea\0"], ids=["empty", "UTF-16"])
def test_a_file_that_is_not_a_manifest_is_refused(
    scans: Path, make_scan: MakeScan, take: Take, tmp_path: Path, content: bytes
) -> None:
    make_scan("a.tif", 1)
    (tmp_path / "SUMS").write_bytes(content)
    with pytest.raises(IngestError, match=r"lists no file|not UTF-8"):
        take(manifest=tmp_path / "SUMS")


def test_a_manifest_in_the_wrong_folder_is_refused(
    scans: Path, make_scan: MakeScan, take: Take, tmp_path: Path
) -> None:
    make_scan("a.tif", 1)
    misplaced = write_sums(scans, "a.tif").rename(tmp_path / "SUMS")
    with pytest.raises(IngestError, match="lists none of the files in the paths given"):
        take(manifest=misplaced)


def test_a_spreadsheet_that_differs_stops_all(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    write_rows("filename,title\na.tif,Mill\n")
    manifest = write_sums(scans, "a.tif", "items.csv")
    assert take(manifest=manifest, dry_run=True).checked == 2
    write_rows("filename,title\na.tif,Mull\n")
    with pytest.raises(IngestError, match=r"items\.csv: its SHA-256 is .*SUMS line 2"):
        take(manifest=manifest)
    assert counted(catalogue) == 0


def test_a_reference_that_differs_is_refused(
    scans: Path, make_scan: MakeScan, write_rows: WriteRows, take: Take
) -> None:
    make_scan("a.tif", 1)
    make_scan("clean.tif", 2)
    write_rows("filename,reference\na.tif,clean.tif\n")
    manifest = write_sums(scans, "a.tif", "clean.tif")
    make_scan("clean.tif", 3)
    report = take(manifest=manifest)
    assert [Path(path).name for path, _ in report.failures] == ["clean.tif"]


@pytest.mark.parametrize("copy", [False, True])
def test_sums_that_come_later_are_compared_with_what_the_catalogue_holds(
    catalogue: Catalogue, scans: Path, make_scan: MakeScan, take: Take, copy: bool
) -> None:
    scan = make_scan("a.tif", 1)
    take(copy=copy)
    assert checks(catalogue) == []
    manifest = write_sums(scans, "a.tif")
    assert take(copy=copy, manifest=manifest).checked == 1
    assert [outcome for _, outcome, _ in checks(catalogue)] == [Outcome.SUCCESS]

    manifest.write_text(f"{'0' * 64}  a.tif\n")
    assert take(copy=copy, manifest=manifest, dry_run=True).failures
    assert len(checks(catalogue)) == 1
    assert len(take(copy=copy, manifest=manifest).failures) == 1
    _, outcome, detail = checks(catalogue)[-1]
    assert outcome == Outcome.FAILURE
    assert digest(scan) in detail
    assert "0" * 64 in detail
