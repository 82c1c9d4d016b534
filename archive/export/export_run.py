"""Running an export: from a query to a file or a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from archive.catalogue import Catalogue
from archive.errors import UsageError
from archive.export.copies_folder import CopiesFolder, check_removable
from archive.export.csv_file import read_csv_header, write_csv
from archive.export.derivative_copies import (
    NO_FILES,
    DerivativeChoice,
    FileHandover,
    HandedOverFiles,
    hand_over_files,
)
from archive.export.iiif import (
    COLLECTION,
    DEFAULT_BASE_URL,
    FILES,
    IIIF_CONTENTS,
    check_earlier_iiif,
    derivatives_in_manifest,
    write_iiif,
)
from archive.export.item_records import ItemRecord, count_items, count_restricted, current_derivatives, stream_items
from archive.export.jsonl_file import read_first_keys, write_jsonl
from archive.export.output_file import STANDARD_OUTPUT, OutputForm, check_output, hold_output, open_output, text_writer
from archive.export.output_folder import prepare_folder
from archive.export.premis import is_premis_export, write_premis
from archive.export.prov import is_prov_json_export, is_prov_n_export, write_prov_json, write_prov_n
from archive.export.table_rows import COPY_FIELDS, FIELDS, RowKind, are_own_fields, derivatives_in_rows, make_rows
from archive.export.xlsx_file import is_xlsx_export, write_xlsx
from archive.storage import require_parent

TableFormat = Literal["csv", "xlsx", "jsonl"]
DocumentFormat = Literal["premis", "prov", "iiif"]

_PROV_N = ".provn"
_DOCUMENTS = {
    "premis": OutputForm(description="PREMIS export", suffixes=(".xml",), recognise=is_premis_export),
    "prov": OutputForm(description="PROV-JSON export", suffixes=(".json", _PROV_N), recognise=is_prov_json_export),
    _PROV_N: OutputForm(description="PROV-N export", suffixes=(_PROV_N,), recognise=is_prov_n_export),
}


@dataclass(kw_only=True)
class ExportCounts:
    """The numbers of exported and omitted items."""

    items: int = 0
    rows: int = 0
    files: int = 0
    """Copies of derivatives that are handed over with it."""
    restricted: int = 0
    """Items that the query finds and that were left out, because their access is not open."""


def export_table(
    catalogue: Catalogue,
    query: str | None,
    form: TableFormat,
    output: Path,
    *,
    rows: RowKind = "items",
    fields: Sequence[str] | None = None,
    include_restricted: bool = False,
    byte_order_mark: bool = False,
    handover: FileHandover | None = None,
) -> ExportCounts:
    """Writes one row per item, master or derivative.

    Args:
        catalogue: what is exported.
        query: which masters, whose items are exported; None for all.
        form: the file's format.
        output: the file, or ``-`` for standard output.
        rows: what a row is about; rows of masters and derivatives are of the masters that the query finds.
        fields: which, in which order; None for all of :data:`archive.export.table_rows.FIELDS`.
        include_restricted: also items whose access is restricted or sensitive.
        byte_order_mark: start a CSV with one, by which Excel recognises UTF-8.
        handover: also copies of the current derivatives that the rows are about, in the folder :func:`files_folder`.

    Raises:
        QueryError: the query has a mistake.
        UsageError: a field is not one of these rows, or an Excel sheet can't hold them.
        StorageError: the file can't be written.
        FixityError: derivatives to be handed over are missing or changed.
    """
    known = FIELDS[rows] if handover is None else (*FIELDS[rows], *COPY_FIELDS)
    chosen = tuple(fields or known)
    if unknown := [field for field in chosen if field not in known]:
        raise UsageError(f"rows of {rows} have no {', '.join(unknown)}. Their fields are {', '.join(known)}")
    output_form = _table_form(form, chosen)
    check_output(output, output_form)
    choose = partial(derivatives_in_rows, kind=rows)
    with hold_output(output):
        copies = _hand_over(catalogue, query, form, output, choose, handover, include_restricted)
        counts = ExportCounts(files=len(copies.digests))
        with catalogue.publishing() as session:
            counts.restricted = 0 if include_restricted else count_restricted(session, query)
            records = _counted(stream_items(session, query, include_restricted=include_restricted), counts)
            found = (row for record in records for row in make_rows(catalogue, record, rows, copies))
            numbered = _count_rows(found, counts)
            with open_output(output, output_form) as file:
                if form == "xlsx":
                    write_xlsx(numbered, chosen, file)
                else:
                    write = write_csv if form == "csv" else write_jsonl
                    with text_writer(file, "utf-8-sig" if byte_order_mark else "utf-8") as text:
                        write(numbered, chosen, text)
        copies.publish()
    return counts


def export_documents(
    catalogue: Catalogue,
    query: str | None,
    form: DocumentFormat,
    output: Path,
    *,
    base_url: str | None = None,
    include_restricted: bool = False,
    handover: FileHandover | None = None,
) -> ExportCounts:
    """Writes PREMIS, PROV or IIIF about whole items: all masters of each item that has a matching one.

    Args:
        catalogue: what is exported.
        query: which masters, whose items are exported; None for all.
        form: ``prov`` is PROV-N if the file ends with ``.provn``, else PROV-JSON.
        output: the file, or ``-`` for standard output; of IIIF a folder.
        base_url: of IIIF, the address at which the folder will be published.
        include_restricted: also items whose access is restricted or sensitive.
        handover: also copies of the current derivatives, in the folder :func:`files_folder`; of IIIF the restored ones.

    Raises:
        QueryError: the query has a mistake.
        UsageError: PREMIS of nothing, or IIIF to standard output.
        StorageError: the file or folder can't be written.
        FixityError: derivatives to be handed over are missing or changed.
    """
    if form == "iiif" and output == STANDARD_OUTPUT:
        raise UsageError("IIIF is written as a folder of files. Name one with --output DIR")
    if form == "iiif":
        require_parent(output)
    else:
        check_output(output, _document_form(form, output))
    choose = derivatives_in_manifest if form == "iiif" else current_derivatives
    with hold_output(output):
        if form == "iiif":
            _check_iiif_folder(output, with_copies=handover is not None)
        copies = _hand_over(catalogue, query, form, output, choose, handover, include_restricted)
        counts = ExportCounts(files=len(copies.digests))
        with catalogue.publishing() as session:  # signatures of the copies are events that it sees
            counts.restricted = 0 if include_restricted else count_restricted(session, query)
            records = _counted(stream_items(session, query, include_restricted=include_restricted), counts)
            if form == "iiif":
                write_iiif(records, output, base_url or DEFAULT_BASE_URL, copies)
            else:
                with open_output(output, _document_form(form, output)) as file, text_writer(file) as text:
                    if form == "premis":
                        write_premis(records, text)
                    elif output.suffix.lower() == _PROV_N:
                        write_prov_n(records, text)
                    else:
                        write_prov_json(records, text)
        copies.publish()
    return counts


def _check_iiif_folder(folder: Path, *, with_copies: bool) -> None:
    prepare_folder(folder, IIIF_CONTENTS)
    check_earlier_iiif(folder)
    if not with_copies:
        check_removable(files_folder(folder, "iiif"))


def files_folder(output: Path, form: TableFormat | DocumentFormat) -> Path:
    """The folder of the copies of derivatives that are handed over with an export to ``output``."""
    return output / FILES if form == "iiif" else output.with_name(f"{output.stem}-files")


def _table_form(form: TableFormat, fields: Sequence[str]) -> OutputForm:
    """The form of a table with ``fields``, which replaces a table with the same fields or with all."""
    if form == "xlsx":
        return OutputForm(description="Excel export", suffixes=(".xlsx",), recognise=is_xlsx_export)
    if form == "csv":
        return OutputForm(
            description="CSV export with all or the same fields",
            suffixes=(".csv",),
            recognise=lambda file: are_own_fields(read_csv_header(file), fields),
        )
    return OutputForm(
        description="JSON lines export with all or the same fields",
        suffixes=(".jsonl", ".ndjson"),
        recognise=lambda file: are_own_fields(read_first_keys(file), tuple(dict.fromkeys(fields))),
    )


def _document_form(form: DocumentFormat, output: Path) -> OutputForm:
    return _DOCUMENTS[_PROV_N if form == "prov" and output.suffix.lower() == _PROV_N else form]


def _hand_over(
    catalogue: Catalogue,
    query: str | None,
    form: TableFormat | DocumentFormat,
    output: Path,
    choose: DerivativeChoice,
    handover: FileHandover | None,
    include_restricted: bool,
) -> HandedOverFiles:
    if handover is None:
        return NO_FILES
    with catalogue.reading() as session:
        handover.progress.start(count_items(session, query, include_restricted=include_restricted), "items")
    folder = CopiesFolder(files_folder(output, form), COLLECTION if form == "iiif" else output.name)
    try:
        return hand_over_files(catalogue, query, folder, choose, handover, include_restricted=include_restricted)
    finally:
        handover.progress.finish()


def _counted(records: Iterator[ItemRecord], counts: ExportCounts) -> Iterator[ItemRecord]:
    for record in records:
        counts.items += 1
        yield record


def _count_rows(rows: Iterator[dict[str, object]], counts: ExportCounts) -> Iterator[dict[str, object]]:
    for row in rows:
        counts.rows += 1
        yield row
