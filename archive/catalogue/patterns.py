"""Exact text and wildcards, compared by code point in the same way on SQLite and PostgreSQL."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Boolean, ColumnElement, String, and_, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement, SQLColumnExpression

# In a pattern these stand for any characters and for one character. No stored text holds them: they are surrogates,
# which UTF-8 can't carry.
ANY = "\ud800"
ONE = "\ud801"

_ESCAPED_OR_WILD = re.compile(r"\\(.)|([*?])", re.DOTALL)


def from_lucene(word: str) -> str:
    """The pattern of a word of a query: ``*`` and ``?`` are wild unless after a backslash, which is taken off."""
    return _ESCAPED_OR_WILD.sub(lambda found: found[1] or (ANY if found[2] == "*" else ONE), word)


def is_wild(pattern: str) -> bool:
    """Whether the pattern holds a wildcard."""
    return ANY in pattern or ONE in pattern


def regex(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression for Python."""
    wild = {ANY: ".*", ONE: "."}
    return re.compile("".join(wild.get(character) or re.escape(character) for character in pattern), re.DOTALL)


def matches(column: SQLColumnExpression[Any], pattern: str) -> ColumnElement[bool]:
    """Whether the text in ``column`` is what ``pattern`` says, letter case and accents included; false for NULL."""
    if pattern == ANY:
        return column.is_not(None)
    if not is_wild(pattern):
        return and_(column.is_not(None), column == pattern)
    return and_(column.is_not(None), _Like(column, _text(_glob(pattern)), _text(_like(pattern))))


class _Like(FunctionElement[bool]):
    """Its clauses are the text, the pattern as SQLite's GLOB and the pattern as LIKE has it."""

    type = Boolean()
    inherit_cache = True


@compiles(_Like, "sqlite")
def _compile_glob(element: _Like, compiler: SQLCompiler, **options: Any) -> str:
    text, glob, _ = element.clauses  # SQLite's LIKE knows no letter case
    return f"{compiler.process(text, **options)} GLOB {compiler.process(glob, **options)}"


@compiles(_Like)
def _compile_like(element: _Like, compiler: SQLCompiler, **options: Any) -> str:
    text, _, like = element.clauses
    return f"{compiler.process(text, **options)} LIKE {compiler.process(like, **options)}"


def _text(value: str) -> ColumnElement[str]:
    return bindparam(None, value, String())


def _glob(pattern: str) -> str:
    wild = {ANY: "*", ONE: "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(wild.get(character, character) for character in pattern)


def _like(pattern: str) -> str:
    wild = {ANY: "%", ONE: "_", "%": r"\%", "_": r"\_", "\\": r"\\"}
    return "".join(wild.get(character, character) for character in pattern)
