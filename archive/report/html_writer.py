"""HTML files: templates, and a writer that puts a page in the place of an earlier one and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from jinja2 import Environment, PackageLoader, StrictUndefined

from archive import SOFTWARE_NAME, __version__
from archive.errors import StorageError, UsageError

_SUFFIXES = (".html", ".htm")
_MARK = b'<meta name="generator" content="archive-restoration report">'
_MARK_WITHIN_BYTES = 512


def write_page(output: Path, template: str, **values: Any) -> None:
    """Fills the template into ``output``, piece by piece; what is not finished leaves nothing behind.

    Raises:
        UsageError: ``output`` isn't named as an HTML file.
        StorageError: the file can't be written, or exists and is not a page of this software.
    """
    _refuse_what_is_no_page(output)
    templates = Environment(
        loader=PackageLoader("archive"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["moment"] = _moment
    parts = templates.get_template(template).generate(software=f"{SOFTWARE_NAME} {__version__}", **values)
    _write(parts, output)


def _refuse_what_is_no_page(output: Path) -> None:
    """So that a slip of the hand can't cost a master or the catalogue."""
    if output.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"a report is an HTML file, and {output} isn't named as one: end the name in .html")
    try:
        with output.open("rb") as file:
            if _MARK in file.read(_MARK_WITHIN_BYTES):
                return
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"the report {output} can't be written: {error.strerror}") from error
    raise StorageError(
        f"{output} exists and is not a report, so it is not overwritten. Name another file, or move it away."
    )


def _write(parts: Iterator[str], output: Path) -> None:
    partial = output.with_name(f".{output.name}.{uuid4().hex}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(parts)
        partial.replace(output)
    except OSError as error:
        raise StorageError(f"the report {output} can't be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _moment(iso: str) -> str:
    """``2026-11-21 03:35 UTC``."""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
