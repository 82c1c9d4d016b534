"""The mapping file, which assigns a museum's columns to fields of the catalogue."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archive.catalogue.schema.vocabularies import View
from archive.errors import IngestError
from archive.ingest.column_names import fold_header, nearest
from archive.ingest.field_definitions import CHOICES, COLUMNS, check_value

_TABLES = ("columns", "templates", "constants", "values", "identifiers", "dates", "lists", "files")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_GROUPS = ("accession_number", "sequence", "view")
_LONGEST_SCHEME = 64


@dataclass(frozen=True, kw_only=True)
class FileNamePattern:
    """The pattern by which file names give metadata for scans without a row."""

    pattern: re.Pattern[str]
    """It must match the whole name without its extension."""
    views: Mapping[str, View] = field(default_factory=dict)
    """The view by the text of the group ``view``, folded."""


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """A validated mapping file. Headers are those of the museum, folded."""

    path: Path
    text: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """The museum's header by the catalogue's column."""
    templates: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The catalogue's value by its column and the museum's value, folded."""
    identifiers: Mapping[str, str] = field(default_factory=dict)
    """The museum's header by scheme, such as ark."""
    day_first: bool | None = None
    separator: str | None = None
    files: FileNamePattern | None = None

    @property
    def sha256(self) -> str:
        """The digest of the file's text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def headers(self) -> list[str]:
        """All headers that occur in the mapping, as written."""
        in_templates = [name for template in self.templates.values() for name in template_headers(template)]
        return list(dict.fromkeys([*self.columns.values(), *in_templates, *self.identifiers.values()]))

    @property
    def is_polarity_of_process(self) -> bool:
        """Whether one column holds the process and, where it names a negative, the polarity."""
        polarity, process = (self.columns.get(name) for name in ("polarity", "process"))
        return polarity is not None and process is not None and fold_header(polarity) == fold_header(process)

    @property
    def mapped(self) -> set[str]:
        """The catalogue's columns that the mapping sets."""
        return {*self.columns, *self.templates, *self.constants}


def template_headers(template: str) -> list[str]:
    """The headers in a template, as written."""
    return [name.strip() for name in _PLACEHOLDER.findall(template)]


def fill_template(template: str, cells: Mapping[str, str]) -> str | None:
    """The template filled with the cells by folded header; None if one of them is empty."""
    names = template_headers(template)
    if any(not cells.get(fold_header(name)) for name in names):
        return None
    return _PLACEHOLDER.sub(lambda found: cells[fold_header(found[1])], template)


def fold_value(value: str) -> str:
    """A value as value tables compare it: case and surrounding spaces are ignored."""
    return " ".join(value.casefold().split())


def read_mapping(path: Path) -> ColumnMapping:
    """Reads and validates a mapping file.

    Raises:
        IngestError: it can't be read, or says something that can't be done; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise IngestError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise IngestError(f"{path} is not a mapping file in UTF-8: `archive mapping suggest` writes one") from error
    except tomllib.TOMLDecodeError as error:
        raise IngestError(f"{path} is not a valid TOML file: {error}. `archive mapping suggest` writes one") from error
    try:
        return _checked(path, text, content)
    except ValueError as error:
        raise IngestError(f"{path}: {error}") from error


def _checked(path: Path, text: str, content: Mapping[str, Any]) -> ColumnMapping:
    _check_names(content, _TABLES, "table")
    for name in _TABLES:
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"[{name}] must be a table")  # noqa: TRY004 - a message for the user
    columns = _texts(content, "columns", known=COLUMNS)
    templates = _texts(content, "templates", known=COLUMNS)
    constants = _texts(content, "constants", known=tuple(name for name in COLUMNS if name != "filename"))
    for one, other in (
        (("columns", columns), ("templates", templates)),
        (("columns", columns), ("constants", constants)),
    ):
        if twice := sorted(set(one[1]) & set(other[1])):
            raise ValueError(f"{twice[0]} is in [{one[0]}] and in [{other[0]}]: keep one of them")
    for name, value in constants.items():
        _check(name, value, "constants")
    for name, template in templates.items():
        if not template_headers(template):
            raise ValueError(f"[templates] {name}: {template!r} names no column; write it as {{Column}}_{{Column}}.tif")
    identifiers = _texts(content, "identifiers")
    for scheme in identifiers:
        if not re.fullmatch(rf"[\w.-]{{1,{_LONGEST_SCHEME}}}", scheme):
            raise ValueError(f"[identifiers] {scheme!r} is not a valid name: use letters, digits, - and _")
    return ColumnMapping(
        path=path,
        text=text,
        columns=columns,
        templates=templates,
        constants=constants,
        values=_value_tables(content.get("values", {})),
        identifiers=identifiers,
        day_first=_setting(content, "dates", "day_first", bool),
        separator=_setting(content, "lists", "separator", str),
        files=_file_names(content.get("files", {})),
    )


def _check_names(content: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for name in content:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {near!r}? " if near else ""
            raise ValueError(f"{name!r} is not a known {what}. {hint}Known: {', '.join(known)}")


def _texts(content: Mapping[str, Any], table: str, known: tuple[str, ...] | None = None) -> dict[str, str]:
    entries = content.get(table, {})
    if known is not None:
        _check_names(entries, known, f"column in [{table}]")
    for name, value in entries.items():
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"[{table}] {name} must be text in quotation marks")
    return {name: value.strip() for name, value in entries.items()}


def _check(name: str, value: str, table: str) -> Any:
    """The validated value of a column."""
    try:
        return check_value(name, value)
    except ValueError as error:
        raise ValueError(f"[{table}] {name}: {value!r} {error}") from error


def _value_tables(content: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    _check_names(content, COLUMNS, "column in [values]")
    tables: dict[str, dict[str, str]] = {}
    for name, entries in content.items():
        if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
            raise ValueError(f'[values.{name}] must be a table of texts, such as "Vorderseite" = "recto"')
        for value in entries.values():
            if name in CHOICES and (value or name != "polarity"):  # an empty one leaves the museum's polarity out
                _check(name, value, f"values.{name}")
        tables[name] = {fold_value(theirs): ours for theirs, ours in entries.items()}
    return tables


def _setting(content: Mapping[str, Any], table: str, name: str, kind: type[Any]) -> Any:
    entries = content.get(table, {})
    _check_names(entries, (name,), f"entry of [{table}]")
    value = entries.get(name)
    if value is not None and (not isinstance(value, kind) or value == ""):
        wanted = "true or false" if kind is bool else "text in quotation marks"
        raise ValueError(f"[{table}] {name} must be {wanted}")
    return value


def _file_names(content: Mapping[str, Any]) -> FileNamePattern | None:
    _check_names(content, ("pattern", "views"), "entry of [files]")
    pattern = content.get("pattern")
    if pattern is None:
        return None
    try:
        compiled = re.compile(str(pattern))
    except re.error as error:
        raise ValueError(f"[files] pattern is not a valid regular expression: {error}") from error
    if "accession_number" not in compiled.groupindex:
        raise ValueError("[files] pattern needs a group (?P<accession_number>...)")
    _check_names(compiled.groupindex, _GROUPS, "group in [files] pattern")
    views = content.get("views", {})
    if not isinstance(views, dict):
        raise ValueError("[files.views] must be a table")  # noqa: TRY004 - a message for the user
    checked = {fold_value(key): _check("view", str(value), "files.views") for key, value in views.items()}
    return FileNamePattern(pattern=compiled, views=checked)
