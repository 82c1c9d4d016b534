"""Makes rows for scans without one, from their file names and the mapping's pattern."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from archive.catalogue.schema.vocabularies import View
from archive.ingest.column_mapping import ColumnMapping, FileNamePattern, fold_value
from archive.ingest.metadata_rows import Row


def rows_of_names(mapping: ColumnMapping, files: Sequence[Path], *, stated: set[tuple[str, int]]) -> Iterator[Row]:
    """A row for each file whose name matches the mapping's pattern, in the order of the scans.

    Args:
        mapping: with the pattern; without one there are no rows.
        files: those that no row names.
        stated: accession numbers with the sequences that other rows state for them.

    Where two names of a photograph share a sequence, as recto and verso of one sheet do, it only orders its scans.
    """
    if mapping.files is None:
        return
    read = [(path, *parts) for path in files if (parts := _read(mapping.files, path)) is not None]
    read.sort(key=lambda name: (name[1], name[2] or 0, list(View).index(name[3] or View.RECTO), name[0]))
    shared = Counter((number, sequence) for _, number, sequence, _ in read)
    unclear = {number for (number, sequence), n in shared.items() if n > 1 or (number, sequence) in stated}
    for path, number, sequence, view in read:
        yield Row(
            sheet=mapping.path,
            line=0,
            filename=str(path),
            accession_number=number,
            sequence=None if number in unclear else sequence,
            view=view,
        )


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
