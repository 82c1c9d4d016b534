"""Makes rows for scans without one, from their file names and the mapping's pattern."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from archive.catalogue.schema.vocabularies import View
from archive.ingest.column_mapping import ColumnMapping, FileNamePattern, fold_value
from archive.ingest.metadata_rows import Row
from archive.ingest.temporary_storage import open_temporary_database, to_bytes, to_text

_TABLE = "CREATE TABLE name (path BLOB, number BLOB, sequence INTEGER, view INTEGER)"
_VIEWS = list(View)


def rows_of_names(
    mapping: ColumnMapping, files: Iterable[Path], *, is_stated: Callable[[str, int], bool]
) -> Iterator[Row]:
    """A row for each file whose name matches the mapping's pattern, in the order of the scans.

    Args:
        mapping: with the pattern; without one there are no rows.
        files: those that no row names.
        is_stated: whether another row states this sequence of an accession number.

    Where two names of a photograph share a sequence, as recto and verso of one sheet do, it only orders its scans.
    """
    if mapping.files is None:
        return
    with closing(open_temporary_database(_TABLE)) as database:
        database.executemany("INSERT INTO name VALUES (?, ?, ?, ?)", _readable_names(mapping.files, files))
        names = database.execute(
            "SELECT number, path, sequence, view FROM name ORDER BY number, ifnull(sequence, 0), ifnull(view, ?), path",
            (_VIEWS.index(View.RECTO),),
        )
        for stored, of_item in groupby(names, key=itemgetter(0)):
            scans, number = list(of_item), to_text(stored)
            stated = [sequence for _, _, sequence, _ in scans]
            is_clear = len(set(stated)) == len(stated) and not any(each and is_stated(number, each) for each in stated)
            for _, path, sequence, view in scans:
                yield Row(
                    sheet=mapping.path,
                    line=0,
                    filename=to_text(path).replace("\0", "/"),
                    accession_number=number,
                    sequence=sequence if is_clear else None,
                    view=None if view is None else _VIEWS[view],
                )


def _readable_names(
    names: FileNamePattern, files: Iterable[Path]
) -> Iterator[tuple[bytes, bytes, int | None, int | None]]:
    """Path, accession number, sequence and index of the view of each file that matches the pattern.

    Folders are separated by NUL, which sorts paths folder by folder.
    """
    for path in files:
        if (parts := _read(names, path)) is not None:
            number, sequence, view = parts
            stored = to_bytes(path).replace(b"/", b"\0")
            yield stored, to_bytes(number), sequence, None if view is None else _VIEWS.index(view)


def _read(names: FileNamePattern, path: Path) -> tuple[str, int | None, View | None] | None:
    found = names.pattern.fullmatch(unicodedata.normalize("NFC", path.stem))
    if found is None or not found["accession_number"]:
        return None
    groups = found.groupdict()
    sequence, view = groups.get("sequence"), groups.get("view")
    if view is not None and fold_value(view) not in names.views and view.casefold() not in set(View):
        return None
    number = int(sequence) if sequence and sequence.isdecimal() and 0 < int(sequence) <= 999_999 else None
    side = None if view is None else names.views.get(fold_value(view)) or View(view.casefold())
    return found["accession_number"], number, side
