"""The output of an export: a file that appears complete or not at all, or standard output."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from archive.errors import StorageError
from archive.file_locks import hold_path
from archive.storage import require_parent
from archive.whole_files import whole_file

STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class OutputForm:
    """What an export writes into one file, and how an earlier export of the same form is recognised."""

    description: str
    """The form in words, such as ``PREMIS export``."""
    suffixes: tuple[str, ...]
    """The endings of its files' names."""
    recognise: Callable[[BinaryIO], bool]
    """Whether a file, which is open at its start, is such an export; it reads only as much as this needs."""


@contextmanager
def open_output(output: Path, form: OutputForm) -> Iterator[BinaryIO]:
    """A binary file that gets its name when the block ends without an error.

    Args:
        output: the file, or ``-`` for standard output. An earlier export there is replaced.
        form: of the export; an existing file that is not an earlier export of this form is not replaced.

    Raises:
        StorageError: ``output`` is a folder, or a file that is not an export, or the parent of its folder is missing.
    """
    check_output(output, form)
    if output == STANDARD_OUTPUT:
        yield from _standard_output()
        return
    with whole_file(output) as file:
        yield file


def hold_output(output: Path) -> AbstractContextManager[None]:
    """Lets no other process export to ``output`` until the block ends; standard output needs no lock.

    Raises:
        StorageError: another process is writing it.
    """
    return nullcontext() if output == STANDARD_OUTPUT else hold_path(output.absolute())


def check_output(output: Path, form: OutputForm) -> None:
    """Refuses an output that :func:`open_output` would refuse.

    Raises:
        StorageError: ``output`` is a folder, or a file that is not an export, or the parent of its folder is missing.
    """
    if output == STANDARD_OUTPUT:
        return
    require_parent(output.absolute().parent)
    if output.is_dir():
        example = output / f"export{form.suffixes[0]}"
        raise StorageError(f"{output} is a folder. Name the file to write, such as {example}")
    if not output.exists():
        return
    if output.suffix.lower() not in form.suffixes:
        raise StorageError(
            f"{output} exists and its name does not end with {' or '.join(form.suffixes)}, so it is not replaced. "
            "Name another file"
        )
    if not _is_empty_or_export(output, form):
        raise StorageError(
            f"{output} exists and is not an earlier {form.description}, so it is not replaced. "
            "Name another file, or move it away"
        )


def begins_with(file: BinaryIO, head: str) -> bool:
    """Whether a file, which is open at its start, begins with this text in UTF-8."""
    expected = head.encode()
    return file.read(len(expected)) == expected


def _is_empty_or_export(output: Path, form: OutputForm) -> bool:
    """Whether nothing is lost when ``output`` is replaced: an export of no rows may be an empty file."""
    if not output.is_file():
        return False
    try:
        with output.open("rb") as file:
            return output.stat().st_size == 0 or form.recognise(file)
    except OSError as error:
        raise StorageError(f"{output} can't be read: {error.strerror}. Name another file") from error


@contextmanager
def text_writer(file: BinaryIO, encoding: str = "utf-8") -> Iterator[TextIO]:
    """A text layer on a binary file, which stays open; line ends are not converted."""
    text = io.TextIOWrapper(cast("io.BytesIO", file), encoding=encoding, errors="backslashreplace", newline="")
    try:
        yield text
        text.flush()
    finally:
        with suppress(OSError, ValueError):
            text.detach()


def _standard_output() -> Iterator[BinaryIO]:
    binary = getattr(sys.stdout, "buffer", None)
    if binary is not None:
        yield binary
        binary.flush()
        return
    collected = io.BytesIO()  # a standard output of text only, as when it is captured
    yield collected
    sys.stdout.write(collected.getvalue().decode())
