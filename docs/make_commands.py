"""Writes the help of every command into ``docs/reference/commands.md``. Run it as ``python docs/make_commands.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from archive.cli.main import cli

TARGET = Path(__file__).parent / "reference" / "commands.md"
WIDTH = 100

OPENING = """\
# Commands

The help of every command, as `archive COMMAND --help` prints it. This page is written by `docs/make_commands.py`.

Answers go to standard output; progress and errors go to standard error. Exit codes: 0 all done, 1 failed, 2 wrong
usage, 3 done but some failed or some fixity is broken, 130 interrupted.
"""


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command with its whole name and a context to ask it for help in, groups before what is in them."""
    yield from _below(cli, click.Context(cli, info_name="archive", terminal_width=WIDTH, max_content_width=WIDTH))


def page() -> str:
    """The whole page."""
    sections = [
        f"\n## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n" for name, command, context in commands()
    ]
    return OPENING + "".join(sections)


def _below(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _below(below, click.Context(below, info_name=name, parent=context))


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
