"""HTML files: templates, and a writer that puts a page in the place of an earlier one and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from archive import SOFTWARE_NAME, __version__
from archive.errors import StorageError, UsageError
from archive.html_templates import html_templates

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
    found = html_templates("templates").get_template(template)
    parts = found.generate(software=f"{SOFTWARE_NAME} {__version__}", **values)
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
