"""Output formats: tables that fit the terminal, JSON, JSON lines and CSV, written as a stream."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import click

from archive.display_labels import format_number

# Column widths are computed from the first rows, so that a catalogue of any size is printed while it is read.
_ROWS_MEASURED = 500
_NARROWEST_COLUMN = 6
_GAP = "  "
_EMPTY = "–"


def print_rows(rows: Iterable[Mapping[str, Any]], fields: Sequence[str], form: str) -> None:
    """Prints ``fields`` of each row as ``table``, ``json`` (one array), ``jsonl`` or ``csv``, as a stream."""
    chosen = ({field: row[field] for field in fields} for row in rows)
    if form == "table":
        print_table(chosen, fields)
    elif form == "csv":
        print_csv(chosen, fields)
    elif form == "jsonl":
        for row in chosen:
            click.echo(as_json(row))
    else:
        print_json_array(chosen)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON in the form that every command writes: unescaped Unicode, no NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def print_json_array(rows: Iterable[Mapping[str, Any]]) -> None:
    """Prints one JSON array with one row per line."""
    _write_json_array(rows, indent="")
    click.echo()


def print_json_object(answer: Mapping[str, Any]) -> None:
    """Prints one JSON object. The value of a key may be an iterator of rows: an array, printed as a stream."""
    separator = "{\n"
    for key, value in answer.items():
        click.echo(f"{separator}  {as_json(key)}: ", nl=False)
        if isinstance(value, Iterator):
            _write_json_array(value, indent="    ")
        else:
            click.echo(as_json(value, indent=2).replace("\n", "\n  "), nl=False)
        separator = ",\n"
    click.echo("\n}")


def _write_json_array(rows: Iterable[Mapping[str, Any]], *, indent: str) -> None:
    separator = "[\n"
    for row in rows:
        click.echo(separator + indent + as_json(row), nl=False)
        separator = ",\n"
    click.echo("[]" if separator == "[\n" else f"\n{indent[2:]}]", nl=False)


def print_csv(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> None:
    """Prints CSV with a header line. Text that could be a formula gets ``'`` in front, as in exports."""
    from archive.csv_formulas import escape_formula

    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: escape_formula(cell) if isinstance(cell, str) else cell for key, cell in row.items()})
        click.echo(buffer.getvalue(), nl=False)
        buffer.seek(0)
        buffer.truncate()
    click.echo(buffer.getvalue(), nl=False)


def print_table(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> None:
    """Prints a text table. On a terminal the widest columns are cut until a row fits; in a pipe nothing is cut."""
    lines = ([_cell(field, row[field]) for field in fields] for row in rows)
    headings = [field.replace("_", " ") for field in fields]
    first = list(islice(lines, _ROWS_MEASURED))
    widths = [max(map(cell_width, column)) for column in zip(headings, *first, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if room is not None:
        needed = [max(map(cell_width, column)) for column in zip(*first, strict=True)] or widths
        widths = fit_column_widths(widths, needed, room - len(_GAP) * (len(fields) - 1))
    for line in chain([headings, ["─" * width for width in widths]], first, lines):
        shown = (pad_cell(text, width, cut=room is not None) for text, width in zip(line, widths, strict=True))
        click.echo(_GAP.join(shown).rstrip())


def fit_column_widths(widths: Sequence[int], needed: Sequence[int], room: int) -> list[int]:
    """``widths`` reduced until they add up to ``room``, none below a readable minimum.

    First it removes width that only headings need (beyond ``needed``), then it cuts the widest columns.
    """
    result = list(widths)
    for floors in ([max(_NARROWEST_COLUMN, width) for width in needed], [_NARROWEST_COLUMN] * len(result)):
        while sum(result) > room:
            spare = [width if width > floor else 0 for width, floor in zip(result, floors, strict=True)]
            if not any(spare):
                break
            result[spare.index(max(spare))] -= 1
    return result


def pad_cell(text: str, width: int, *, cut: bool) -> str:
    """``text`` padded to ``width`` terminal cells, or cut there with an ellipsis."""
    if cut and cell_width(text) > width:
        while cell_width(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - cell_width(text))


def cell_width(text: str) -> int:
    """The width of a text in terminal cells: two per wide character, none per combining character."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def escape_control_characters(text: str) -> str:
    """``text`` with control characters escaped, so that a name can't break a line or control the terminal."""
    return "".join(
        character if unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp") else _escaped(character)
        for character in text
    )


def pluralise(n: int, one: str, many: str | None = None) -> str:
    """``1 master``, ``2 masters``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def format_duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def command_for_query(command: str, query: str | None) -> str:
    """A command to run on the same query, quoted for the shell: ``archive restore 'collection:Lange'``."""
    return command if query is None else escape_control_characters(f"{command} {shlex.quote(query)}")


def describe_unapplied_version(*, model: str, version: str) -> str:
    """What to do about an approved version by which not all masters are judged yet."""
    return (
        f"{model}@{version} was approved, but some masters are still judged by the former version. Unless that command "
        f"is still running, repeat `archive model alias {model} {version} approved`"
    )


def describe_empty_result(query: str | None, what: str = "nothing in the catalogue") -> str:
    """A message that no ``what`` matches the query, with a hint if there is one."""
    if query is None:
        return "the catalogue has no items yet. Add scans with `archive ingest`"
    from archive.catalogue.query.lucene_parser import explain_empty_result
    from archive.cli.query_argument import describe_path

    explained = describe_path(query) or explain_empty_result(query)
    return escape_control_characters(f"{what} matches the query {query!r}{f': {explained}' if explained else ''}")


def _cell(field: str, value: Any) -> str:
    if value is None or value == "":
        return _EMPTY
    if isinstance(value, float):
        return format_number(field, value)
    return escape_control_characters(str(value))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
