from __future__ import annotations

import os
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.catalogue import Catalogue
from archive.cli.ingest import ingest_object, print_ingest
from archive.cli.output_formats import print_json_object
from archive.errors import IngestError
from archive.ingest import group_problems, ingest, write_problems
from archive.ingest.table_problems import ProblemKind, TableProblem
from archive.ingest.temporary_storage import StoredList, StoredSet, open_temporary_database, report_full_storage


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_memory_does_not_grow_with_files_rows_and_problems(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A captured output would grow.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        monkeypatch.setattr(sys, "stderr", nowhere)
        peak_of_ingest(catalogue, tmp_path / "warm-up", 50)  # what is loaded once
        few, many = (peak_of_ingest(catalogue, tmp_path / str(count), count) for count in (500, 1100))
    assert many - few < 600 * 1000  # bytes; it was 4,800 for each file with everything in memory


def peak_of_ingest(catalogue: Catalogue, folder: Path, count: int) -> int:
    """The most bytes that Python's objects take in a dry run with ``count`` files and twice as many rows."""
    folder.mkdir()
    rows = ["filename,accession_number,date,view,Box"]
    for number in range(count):
        (folder / f"scan {number:05d}.tif").touch()  # empty files are refused: only tables and lists are measured
        (folder / f".hidden {number:05d}").touch()
        name = f"scan {number:05d}.tif" if number % 3 else f"SCAN {number:05d}"
        rows.append(f"{name},1906.{number // 2},around midsummer {number},top,{number}")
    rows += [f"gone {number}.tif,x {number},,," for number in range(count)]
    (folder / "items.csv").write_text("\n".join(rows), encoding="utf-8")
    tracemalloc.start()
    try:
        report = ingest(catalogue, (folder,), dry_run=True)
        print_ingest(report)
        print_json_object(ingest_object(report))
        with (folder / "problems.csv").open("w", encoding="utf-8", newline="") as file:
            write_problems(file, report.problems, {"refused": report.failures})
        assert (len(report.failures), len(report.rows_without_files)) == (count, count)
        assert len(report.problems) >= 2 * count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_stored_list_keeps_values_and_order() -> None:
    values = StoredList[tuple[int, str]]()
    expected = [(number, f"\udcff {number}") for number in range(250)]
    values += expected[:100]
    values.extend(iter(expected[100:249]))
    values.append(expected[249])
    assert (len(values), list(values)) == (250, expected)
    assert (values[0], values[-1], values[98:102]) == (expected[0], expected[-1], expected[98:102])
    with pytest.raises(IndexError):
        values[250]


def test_a_stored_set_tells_what_is_new() -> None:
    values = StoredSet()
    assert (values.add("a"), values.add("a"), values.add("\udcff")) == (True, False, True)
    assert ("a" in values, "b" in values) == (True, False)


def problems() -> Iterator[TableProblem]:
    for line, value in enumerate(["top", "up", "top", "down", "top", "up"], start=2):
        yield TableProblem(
            kind=ProblemKind.VALUE, table="t.csv", line=line, column="view", value=value, advice="is wrong"
        )
    yield TableProblem(kind=ProblemKind.DATE_AS_TEXT, table="t.csv", line=2, column="date", value="?", advice="unclear")


def test_equal_problems_are_grouped_with_their_first_rows() -> None:
    grouped = [
        (
            group.kind,
            group.count,
            group.distinct,
            [(each.problem.value, each.count, each.lines) for each in group.entries],
        )
        for group in group_problems(problems(), places=2)
    ]
    assert grouped == [
        (ProblemKind.DATE_AS_TEXT, 1, 1, [("?", 1, [2])]),
        (ProblemKind.VALUE, 6, 3, [("top", 3, [2, 4]), ("up", 2, [3, 7]), ("down", 1, [5])]),
    ]


def test_a_full_folder_for_temporary_files_is_explained() -> None:
    database = open_temporary_database("CREATE TABLE t (value BLOB)")
    database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(IngestError, match="TMPDIR"), report_full_storage():
        database.execute("INSERT INTO t VALUES (zeroblob(200000))")
    database.close()
