"""The output of an export: a file that appears complete or not at all, or standard output."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from archive.errors import StorageError
from archive.storage import flush_file, publish, require_parent, temporary_path

STANDARD_OUTPUT = Path("-")


@contextmanager
def open_output(output: Path, suffixes: tuple[str, ...]) -> Iterator[BinaryIO]:
    """A binary file that gets its name when the block ends without an error.

    Args:
        output: the file, or ``-`` for standard output. An earlier export there is replaced.
        suffixes: the endings of this format's files; an existing file with another ending is not replaced.

    Raises:
        StorageError: ``output`` is a folder, or a file that can't be an export, or the parent of its folder is missing.
    """
    check_output(output, suffixes)
    if output == STANDARD_OUTPUT:
        yield from _standard_output()
        return
    temporary = temporary_path(output.absolute(), "export")
    try:
        with temporary.open("wb") as file:
            yield file
        flush_file(temporary)
        publish(temporary, output.absolute(), replace=True)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(output: Path, suffixes: tuple[str, ...]) -> None:
    """Refuses an output that :func:`open_output` would refuse.

    Raises:
        StorageError: ``output`` is a folder, or a file that can't be an export, or the parent of its folder is missing.
    """
    if output == STANDARD_OUTPUT:
        return
    require_parent(output.absolute().parent)
    if output.is_dir():
        raise StorageError(f"{output} is a folder. Name the file to write, such as {output / f'export{suffixes[0]}'}")
    if output.exists() and output.suffix.lower() not in suffixes:
        raise StorageError(
            f"{output} exists and its name does not end with {' or '.join(suffixes)}, so it is not replaced. "
            "Name another file"
        )


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
