"""How long a museum's table takes against as many files, and how much memory.

    python -m benchmarks.table_ingest [--rows N,N,...] [--encoding NAME] [--keep FOLDER]

Writes a table as a German collection system exports it (semicolons, Windows-1252, backslashes, dates as people write
them, twelve further columns) with a mapping, and an empty file for each row, a thousand in a folder. Then
``archive ingest --dry-run`` runs in a process of its own. Prints time, processor time and peak memory (maximum resident
set). Empty files are refused, so that what is measured is the table, the matching and the listing.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from archive.catalogue.schema import migration
from archive.settings import create_home

_HEADERS = ("Inventar-Nr.", "Datei", "Seite", "Titel", "Fotograf", "Datierung", "Zugang", "ARK", "Sammlung")
_FURTHER = 12
_DATES = (
    "ca. 1906",
    "12.05.1906",
    "vor 1910",
    "1906-1910",
    "o.J.",
    "Mai 1906",
    "um 1900",
    "19. Jh.",
    "[1906]",
    "1906?",
)
_MAPPING = """\
columns = {filename = "Datei", accession_number = "Inventar-Nr.", view = "Seite", title = "Titel", \
creator = "Fotograf", date = "Datierung", access = "Zugang", collection = "Sammlung"}
values.view = {"Vorderseite" = "recto", "Rückseite" = "verso"}
values.access = {"frei" = "open", "gesperrt" = "restricted"}
identifiers.ark = "ARK"
"""
_FILES_IN_A_FOLDER = 1000


def main() -> None:
    """Build the folders, ingest, and print a table."""
    parser = argparse.ArgumentParser(description="Times the ingest of large tables.")
    parser.add_argument("--rows", default="50000,500000", help="sizes of the tables")
    parser.add_argument("--encoding", default="cp1252", help="of the tables")
    parser.add_argument("--keep", type=Path, help="where the folders are built, or were")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="table-")))
        print("| rows | seconds | of processor | peak memory, MB |\n|" + " --- |" * 4)
        for rows in map(int, arguments.rows.split(",")):
            _build(folder / str(rows), rows, arguments.encoding)
            seconds, processor, peak = _measure(folder / str(rows))
            print(f"| {rows:,} | {seconds:.1f} | {processor:.1f} | {peak / 1e6:.0f} |", flush=True)


def _build(folder: Path, rows: int, encoding: str) -> None:
    """The home, the table, its mapping and the files, where they aren't there already."""
    if (folder / "mapping.toml").exists():
        return
    folder.mkdir(parents=True)
    migration.upgrade(create_home(folder / "home", database=None))
    with (folder / "export.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow([*_HEADERS, *(f"Feld {number}" for number in range(_FURTHER))])
        writer.writerows(_rows(rows))
    for number in range(rows):
        path = folder / "scans" / _name(number).replace("\\", "/")
        if number % _FILES_IN_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.touch()
    (folder / "mapping.toml").write_text(_MAPPING, encoding="utf-8")


def _rows(count: int) -> Iterator[list[str]]:
    """Two scans of each photograph."""
    for number in range(count):
        item, is_back = divmod(number, 2)
        further = [f"Angabe {number % (7 + field)} zu Feld {field}" for field in range(_FURTHER)]
        yield [
            f"{1900 + item % 40}.{item}",
            _name(number),
            "Rückseite" if is_back else "Vorderseite",
            f"Mühle Nr. {item} am Bach",
            f"Müller, Jörg {item % 300}",
            _DATES[item % len(_DATES)],
            "gesperrt" if item % 50 == 0 else "frei",
            f"ark:/99999/x{item}",
            f"Nachlass {item // 5000}",
            *further,
        ]


def _name(number: int) -> str:
    folder, _ = divmod(number, _FILES_IN_A_FOLDER)
    return f"Kasten_{folder:04d}\\scan_{number:07d}.tif"


def _measure(folder: Path) -> tuple[float, float, int]:
    """Seconds, seconds of processor time, and peak memory in bytes."""
    command = ("ingest", folder / "scans", "--metadata", folder / "export.csv", "--mapping", folder / "mapping.toml")
    started = time.perf_counter()
    with (folder / "answer.txt").open("w") as answer:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "archive", "--home", folder / "home", *command, "--dry-run"],
            stdout=answer,
            stderr=answer,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3, process.returncode  # the empty files
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
