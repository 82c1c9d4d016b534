"""What a command shows before it changes something, and the question whether it should."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from archive.cli.logging_setup import emit


def is_interactive() -> bool:
    """Whether standard input and output are both terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str = "Continue?", *, default: bool = True) -> bool:
    """Asks on standard error; an empty answer is ``default``."""
    return click.confirm(question, default=default, err=True)


def show_lines(lines: Iterable[str], *, err: bool) -> None:
    """Writes lines on standard error or on standard output."""
    for line in lines:
        if err:
            emit(line)
        else:
            click.echo(line)
