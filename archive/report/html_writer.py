"""Writes HTML files from templates; a page replaces only an earlier page of this software."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from archive import SOFTWARE_NAME, __version__
from archive.errors import StorageError, UsageError
from archive.html_templates import html_templates
from archive.whole_files import whole_file

_SUFFIXES = (".html", ".htm")
_MARK = b'<meta name="generator" content="archive-restoration report">'
_MARK_WITHIN_BYTES = 512


def write_page(output: Path, template: str, **values: Any) -> None:
    """Renders the template to ``output``, piece by piece; an error leaves no file.

    Raises:
        UsageError: ``output`` isn't named as an HTML file.
        StorageError: the file can't be written, or exists and is not a page of this software.
    """
    check_output(output)
    filled = html_templates("templates").get_template(template)
    parts = filled.generate(software=f"{SOFTWARE_NAME} {__version__}", **values)
    _write(parts, output)


@contextmanager
def rendered_parts(output: Path, template: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[Iterator[str]]:
    """Renders the template for each of ``entries`` to a temporary file beside ``output``, for a page around them.

    So a page can begin with facts that are known only after all entries are read, with one of them in memory at a time.

    Raises:
        StorageError: the file can't be written.
    """
    filled = html_templates("templates").get_template(template)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile("w+", encoding="utf-8", errors="backslashreplace", dir=output.parent) as spool:
            for values in entries:
                spool.writelines(filled.generate(**values))
            spool.seek(0)
            yield iter(spool)
    except OSError as error:
        raise StorageError(f"the report {output} can't be written: {error.strerror}") from error


def check_output(output: Path) -> None:
    """Refuses to overwrite anything but a page of this software, such as a master or the catalogue.

    Raises:
        UsageError: ``output`` isn't named as an HTML file.
        StorageError: it exists and is not a page of this software, or can't be read.
    """
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
    try:
        with whole_file(output) as file:
            file.writelines(part.encode("utf-8", "backslashreplace") for part in parts)
    except OSError as error:
        raise StorageError(f"the report {output} can't be written: {error.strerror}") from error
