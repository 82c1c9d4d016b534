"""Suggests a mapping file for a museum's table, from its headers and values."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from archive.catalogue.polarity_words import names_negative
from archive.ingest.access_words import ACCESS_WORDS, suggests_restriction
from archive.ingest.column_mapping import fold_value
from archive.ingest.column_names import fold_header, is_identifier, match_column
from archive.ingest.date_rules import read_date
from archive.ingest.field_definitions import CHOICES, COLUMNS
from archive.ingest.printing_processes import RECOGNISED_WORDS, is_recognised, translate_printing_processes
from archive.ingest.table_reader import open_table

_ROWS_READ = 5000
_MOST_CHOICES = 30
_IMAGE_NAME = re.compile(r".+\.(?:tiff?|jpe?g|jp2|png|gif|bmp|webp|dng|psd)", re.IGNORECASE)
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-][12]\d{3}")
_URI = re.compile(r"(?:https?://\S+|ark:/\S+|doi:\S+|hdl:\S+|urn:\S+)", re.IGNORECASE)
_CHOICE_WORDS: Mapping[str, Mapping[str, str]] = {
    "view": {
        "recto": "recto|front|vorderseite|vorne|avers|face|anverso|frente|voorzijde|r|v0|bildseite|vs",
        "verso": "verso|back|rückseite|hinten|revers|dos|reverso|dorso|achterzijde|v|rs",
        "detail": "detail|detailaufnahme|ausschnitt|détail|detalle",
        "mount": "mount|karton|montage|passepartout|support|montura|montering",
        "target": "target|farbkarte|colour chart|color chart|mire|carta de color|kleurkaart",
    },
    "access": ACCESS_WORDS,
    "polarity": {
        "positive": "positive|positiv|positif|positivo|positief|print|abzug",
        "negative": "negative|negativ|négatif|negativo|negatief|neg",
    },
}

_YES = frozenset(["yes", "y", "true", "ja", "wahr", "oui", "vrai", "sí", "si", "verdadero", "waar"])
_NO = frozenset(["no", "n", "false", "nein", "falsch", "non", "faux", "falso", "nee", "onwaar"])
_BLOCKING_HEADER = re.compile(
    r"sperr|restrict|restring|restrei|confid|vertraul|vertrouw|embargo|closed|gesloten|beperk"
)
"""Headers of access, folded, whose yes keeps a photograph closed."""
_NEGATED_HEADER = re.compile(r"\bun\w|\b(not|no|nicht|non|kein\w*|pas|sans|sin|niet|geen|aufgehoben|lifted|expired)\b")
_CERTAIN_HEADER = 0.8


@dataclass(frozen=True, kw_only=True)
class ColumnSuggestion:
    """The probable meaning of a column."""

    header: str
    target: str
    """One of the catalogue's columns, ``identifiers`` or ``extra``."""
    certainty: float
    """In [0, 1]."""
    reason: str
    samples: Sequence[str]
    values: Mapping[str, str | None] = field(default_factory=dict)
    """The museum's values with the catalogue's; None where that is unknown, empty where the value is left out."""
    day_first: bool | None = None


@dataclass(frozen=True, kw_only=True)
class MappingSuggestion:
    """The suggestions for a table, one per column, and notes on how it was read."""

    table: Path
    columns: Sequence[ColumnSuggestion]
    notes: Sequence[str]

    def as_object(self) -> dict[str, Any]:
        """The suggestion as plain JSON values."""
        return {
            "table": str(self.table),
            "columns": [
                {
                    "header": each.header,
                    "target": each.target,
                    "certainty": each.certainty,
                    "reason": each.reason,
                    "samples": list(each.samples),
                    "values": dict(each.values),
                }
                for each in self.columns
            ],
            "notes": list(self.notes),
        }


def suggest_mapping(table: Path, *, sheet: str | None = None) -> MappingSuggestion:
    """Suggests a mapping for a table, from its first 5,000 rows.

    Raises:
        IngestError: the table can't be read.
    """
    opened = open_table(table, sheet=sheet, known={fold_header(name) for name in COLUMNS})
    values: list[Counter[str]] = [Counter() for _ in opened.headers]
    for _, cells in islice(opened.rows, _ROWS_READ):
        for counted, cell in zip(values, cells, strict=False):
            if cell:
                counted[cell] += 1
    by_header = {header: counted for header, counted in zip(opened.headers, values, strict=True) if header}
    columns = _without_rivals([_guess(header, counted) for header, counted in by_header.items()])
    notes = list(opened.notes)
    if next(opened.rows, None) is not None:
        notes.append(f"Only the first {_ROWS_READ:,} rows were read: values that occur later only are not listed.")
    notes += _access_notes(columns, by_header)
    return MappingSuggestion(table=table, columns=[*columns, *_polarity_by_process(columns, by_header)], notes=notes)


def _access_notes(columns: Sequence[ColumnSuggestion], values: Mapping[str, Counter[str]]) -> Iterator[str]:
    """Says that every item comes in as open if no column gives the access, and which rights say otherwise."""
    by_target = {each.target: each.header for each in columns}
    if "access" in by_target:
        return
    yield "No column holds the access: every item comes in as open, so it is exported and published."
    rights = by_target.get("rights", "")
    restricting = {value: count for value, count in values.get(rights, {}).items() if suggests_restriction(value)}
    if not restricting:
        return
    yield f"But values of {_one_line(rights)!r} may restrict access. Add a column with open, restricted or sensitive."
    yield "Or map this one to access too, and translate all of its values in [values.access]: others are restricted."
    for value, count in islice(restricting.items(), _MOST_CHOICES):
        yield f"  {_one_line(value[:80])} ({count:,} x)"
    if len(restricting) > _MOST_CHOICES:
        yield f"  and {len(restricting) - _MOST_CHOICES:,} more"


def _polarity_by_process(
    columns: Sequence[ColumnSuggestion], values: Mapping[str, Counter[str]]
) -> Iterator[ColumnSuggestion]:
    """The polarity from the column of the process, if no column gives it and some processes are those of negatives."""
    by_target = {each.target: each for each in columns}
    process = by_target.get("process")
    if process is None or "polarity" in by_target:
        return
    found = {value: names_negative(value) for value in values[process.header]}
    if any(is_negative is not False for is_negative in found.values()):
        yield ColumnSuggestion(
            header=process.header,
            target="polarity",
            certainty=0.8,
            reason="no column holds the polarity, and its values name negatives",
            samples=[value[:60] for value, is_negative in found.items() if is_negative][:3],
            values={
                value: "negative" if is_negative else None
                for value, is_negative in found.items()
                if is_negative is not False
            },
        )


def _guess(header: str, values: Counter[str]) -> ColumnSuggestion:
    samples = [value[:60] for value, _ in values.most_common(3)]
    match = match_column(header)
    target, certainty, reason = "extra", 0.5, "no column of ours has a name like it"
    if match is not None:
        target, certainty, reason = match.column, match.certainty, match.reason
    elif is_identifier(header):
        target, certainty, reason = "identifiers", 0.9, f"{header!r} is a usual name of an identifier"
    share = {
        "filename": _share(values, lambda value: _IMAGE_NAME.fullmatch(value) is not None),
        "identifiers": _share(values, lambda value: _URI.fullmatch(value) is not None),
        "date": _share(islice(values, 200), lambda value: read_date(value, day_first=True, is_edtf=False).is_sure),
    }
    for name, threshold in (("filename", 0.8), ("identifiers", 0.8), ("date", 0.0)):
        if share[name] > threshold and target == name:
            certainty, reason = min(1.0, certainty + 0.1), f"{reason}; its values look like it ({share[name]:.0%})"
        elif share[name] > 0.8 and target == "extra" and name != "date":
            target, certainty, reason = name, 0.7, f"its values look like it ({share[name]:.0%})"
    if target in ("filename", "date") and values and share[target] < 0.5:
        certainty, reason = certainty / 2, f"{reason}; but few of its values look like it ({share[target]:.0%})"
    choices = _choices(target, header, values)
    if target == "process" and (choices or any(map(is_recognised, values))):  # surer than a column of the material
        certainty, reason = min(1.0, certainty + 0.05), f"{reason}; its values name printing processes"
    return ColumnSuggestion(
        header=header,
        target=target,
        certainty=round(certainty, 2),
        reason=reason,
        samples=samples,
        values=choices,
        day_first=_day_first(values) if target == "date" else None,
    )


def _share(values: Iterable[str], looks_like_it: Any) -> float:
    found = [looks_like_it(value) for value in values]
    return sum(found) / len(found) if found else 0.0


def _choices(target: str, header: str, values: Counter[str]) -> dict[str, str | None]:
    """The museum's values of a column, each with the catalogue's; values that are right as they are need no entry."""
    if target == "process":
        return translate_printing_processes(values)
    words = _CHOICE_WORDS.get(target)
    if words is None or len(values) > _MOST_CHOICES:
        return {}
    ours = {fold_value(word): name for name, spellings in words.items() for word in spellings.split("|")}
    if target == "access" and _is_plain(header):
        blocks = _BLOCKING_HEADER.search(fold_header(header)) is not None
        ours |= dict.fromkeys(_YES, "restricted" if blocks else "open")
        ours |= dict.fromkeys(_NO, "open" if blocks else "restricted")
    return {value: ours.get(fold_value(value)) for value in values if fold_value(value) not in set(CHOICES[target])}


def _is_plain(header: str) -> bool:
    """Whether it is certain what yes and no mean below the header; a wrong guess would open closed photographs."""
    match = match_column(header)
    is_certain = match is not None and match.certainty >= _CERTAIN_HEADER
    return is_certain and _NEGATED_HEADER.search(fold_header(header)) is None


def _day_first(values: Iterable[str]) -> bool | None:
    """The order of day and month in numbers such as 25/12/1906, if some of them are possible in one order only."""
    found = [(int(match[1]), int(match[2])) for value in values if (match := _SLASHED.fullmatch(value.strip()))]
    if any(first > 12 for first, _ in found) and not any(second > 12 for _, second in found):
        return True
    if any(second > 12 for _, second in found) and not any(first > 12 for first, _ in found):
        return False
    return None


def _without_rivals(guesses: Sequence[ColumnSuggestion]) -> list[ColumnSuggestion]:
    """The guesses with only the most certain one for each of the catalogue's columns.

    The other columns are kept as extra metadata.
    """
    best: dict[str, ColumnSuggestion] = {}
    for guess in guesses:
        if guess.target in COLUMNS and (guess.target not in best or guess.certainty > best[guess.target].certainty):
            best[guess.target] = guess
    kept = []
    for guess in guesses:
        rival = best.get(guess.target)
        if rival is None or rival is guess:
            kept.append(guess)
            continue
        reason = f"it could be {guess.target} too, but {rival.header!r} is surer"
        kept.append(
            ColumnSuggestion(header=guess.header, target="extra", certainty=0.5, reason=reason, samples=guess.samples)
        )
    return kept


def write_suggestion(suggestion: MappingSuggestion) -> str:
    """The mapping file, with a comment on each column: its certainty and the reason."""
    return "\n".join(_lines(suggestion)) + "\n"


def _lines(suggestion: MappingSuggestion) -> Iterator[str]:
    yield f"# A mapping for {suggestion.table.name}, suggested from its headers and values. Check each line, then:"
    yield f"#   archive ingest SCANS --metadata {suggestion.table.name} --mapping THIS_FILE --dry-run"
    yield from (f"# {note}" for note in suggestion.notes)
    mapped = [each for each in suggestion.columns if each.target in COLUMNS]
    yield ""
    yield "[columns]  # ours = theirs"
    if not any(each.target == "filename" for each in mapped):
        yield "# No column holds file names. Name it here, or make them below from others:"
        yield '# filename = "..."'
    for each in sorted(mapped, key=lambda each: COLUMNS.index(each.target)):
        yield f"{each.target} = {_quoted(each.header)}  # {_why(each)}"
    if not any(each.target == "filename" for each in mapped):
        yield ""
        yield "# [templates]"
        yield '# filename = "{Inventory No.}_{Side}.tif"'
    for each in mapped:
        if each.values:
            yield ""
            yield from _value_table(each)
    yield from _further_tables(suggestion)
    extra = [each for each in suggestion.columns if each.target == "extra"]
    if extra:
        yield ""
        yield "# Kept as extra metadata, and found with extra.NAME:word:"
        yield from (f"#   {_one_line(each.header)}: {_why(each)}" for each in extra)


def _value_table(column: ColumnSuggestion) -> Iterator[str]:
    if column.target == "process":
        yield f"[values.process]  # theirs = ours; restoration leaves out: {', '.join(RECOGNISED_WORDS)}"
        advice = "not certain: state the process if it is one of these"
    else:
        yield f"[values.{column.target}]  # theirs = ours: {', '.join(CHOICES[column.target])}"
        advice = "not known: state which of ours it is"
        if column.target == "polarity":
            yield '# "" leaves the value out: restoration takes such a scan for a positive.'
            yield "# If the same column is the process, values that are not listed are left out too."
    for value, ours in column.values.items():
        line = f"{_quoted(value)} = {_quoted('?' if ours is None else ours)}"
        yield line if ours is not None else f"# {line}  # {advice}"


def _further_tables(suggestion: MappingSuggestion) -> Iterator[str]:
    identifiers = [each for each in suggestion.columns if each.target == "identifiers"]
    if identifiers:
        yield ""
        yield "[identifiers]  # kept, and found with identifier:VALUE"
        for each in identifiers:
            yield f"{_scheme(each.header)} = {_quoted(each.header)}  # {_why(each)}"
    day_first = next((each.day_first for each in suggestion.columns if each.target == "date"), None)
    yield ""
    if day_first is None:
        yield "# [dates]  # needed if dates are written as 5/12/1906"
        yield "# day_first = true"
    else:
        yield "[dates]"
        yield f"day_first = {str(day_first).lower()}  # some dates can only be in this order"


def _why(suggestion: ColumnSuggestion) -> str:
    samples = ", ".join(f"'{each}'" for each in suggestion.samples[:2])
    shown = f"such as {samples}" if samples else "empty"
    return _one_line(f"{suggestion.certainty:.0%} sure: {suggestion.reason}; {shown}")


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _quoted(text: str) -> str:
    """A TOML basic string; JSON strings are a subset of them."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _scheme(header: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", fold_header(header))[:64].strip("_") or "id"
