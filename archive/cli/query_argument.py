"""The QUERY of a command, and hints for words and paths that are not one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import Any, Final

import click

_OPERATORS: Final = {"AND", "OR", "NOT"}
_MOST_NAMED: Final = 3  # words in an example


class QueryType(click.ParamType[str]):
    """A query. What is clearly the path of something that exists is refused with the command for it."""

    name = "query"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        reads_as_path = value.startswith(("/", "./", "../")) or value.endswith("/") or value in (".", "..")
        if reads_as_path and (hint := describe_path(value)):
            self.fail(f"{value!r} is not a query: {hint}", param, ctx)
        return str(value)


def describe_path(text: str) -> str | None:
    """What to do with ``text`` if it is the path of a file or folder, not a query; None if nothing exists there."""
    if not os.path.exists(text):  # noqa: PTH110 - Path.exists raises an error for very long texts
        return None
    what, scans = ("folder", "scans in it") if os.path.isdir(text) else ("file", "scan")  # noqa: PTH112
    return f"it is a {what}. To add the {scans}, run `archive ingest {shlex.quote(text)}`"


def refuse_several_queries(context: click.Context, words: Sequence[str]) -> None:
    """Refuses the ``words`` of a command that takes one query.

    Raises:
        click.UsageError: always; it says how to write them as one query.
    """
    given = words[:_MOST_NAMED]
    if all(map(os.path.exists, words)):
        hint = f"These are files or folders. To add scans, run `archive ingest {shlex.join(given)}`"
    elif any(word in _OPERATORS or ":" in word for word in words):
        hint = f"Put it in quotation marks: {shlex.quote(' '.join(words))}"
    else:
        items = shlex.quote(f"accession_number:({' OR '.join(given)})")
        hint = f"For several items write {items}, for words of a title {shlex.quote(' '.join(given))}"
    context.fail(f"QUERY is one argument, but {len(words)} were given: {' '.join(given)}. {hint}")
