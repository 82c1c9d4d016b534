"""Exact text and wildcards, compared by code point in the same way on SQLite and PostgreSQL."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Boolean, ColumnElement, String, and_, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement, SQLColumnExpression
from sqlalchemy.sql.operators import OperatorType

# Wildcards in a pattern: any characters, and one character. They are surrogates, which UTF-8 can't encode, so that no
# stored text contains them.
ANY_CHARACTERS = "\ud800"
ONE_CHARACTER = "\ud801"

_LAST = chr(0x10FFFF)  # the highest code point, which is not a character
_WILD = re.compile(f"[{ANY_CHARACTERS}{ONE_CHARACTER}]")
_ESCAPED_OR_WILD = re.compile(r"\\(.)|([*?])", re.DOTALL)


def from_lucene(word: str) -> str:
    """Converts a word of a query to a pattern: ``*`` and ``?`` are wildcards unless escaped by a backslash."""
    return _ESCAPED_OR_WILD.sub(lambda found: found[1] or (ANY_CHARACTERS if found[2] == "*" else ONE_CHARACTER), word)


def has_wildcard(pattern: str) -> bool:
    """Whether the pattern contains a wildcard."""
    return ANY_CHARACTERS in pattern or ONE_CHARACTER in pattern


def starts_with_wildcard(pattern: str) -> bool:
    """Whether the pattern starts with a wildcard, so that no index finds its matches."""
    return pattern[:1] in (ANY_CHARACTERS, ONE_CHARACTER)


def regex(pattern: str) -> re.Pattern[str]:
    """The pattern as a Python regular expression."""
    wild = {ANY_CHARACTERS: ".*", ONE_CHARACTER: "."}
    return re.compile("".join(wild.get(character) or re.escape(character) for character in pattern), re.DOTALL)


def matches(column: SQLColumnExpression[Any], pattern: str) -> ColumnElement[bool]:
    """Whether the text in ``column`` matches ``pattern``, with case and accents; false for NULL."""
    if pattern == ANY_CHARACTERS:
        return column.is_not(None)
    found = _like_pattern(column, pattern) if has_wildcard(pattern) else column == pattern
    # Omitted for columns without NULL, because databases limit the number of conditions.
    return and_(column.is_not(None), found) if getattr(column, "nullable", True) else found


def _like_pattern(column: SQLColumnExpression[Any], pattern: str) -> ColumnElement[bool]:
    start = _WILD.split(pattern)[0]
    forms = (_glob(pattern), _like(pattern), start, start + _LAST)
    return _Like(column, *map(_text, forms))


class _Like(FunctionElement[bool]):
    """A pattern match. Its clauses: the text, the pattern for SQLite's GLOB and for LIKE, a lower and an upper bound.

    The bounds follow from the pattern; with them any database can use an index to find texts with the same prefix.
    """

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> _Like:  # noqa: ARG002
        """Returns itself: SQLAlchemy would add ``= 1`` on SQLite, which prevents the use of an index."""
        return self


@compiles(_Like, "sqlite")
def _compile_glob(element: _Like, compiler: SQLCompiler, **options: Any) -> str:
    text, glob, _, low, high = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text} BETWEEN {low} AND {high} AND {text} GLOB {glob})"  # SQLite's LIKE ignores case


@compiles(_Like)
def _compile_like(element: _Like, compiler: SQLCompiler, **options: Any) -> str:
    text, _, like, low, high = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text} BETWEEN {low} AND {high} AND {text} LIKE {like})"


def _text(value: str) -> ColumnElement[str]:
    return bindparam(None, value, String())


def _glob(pattern: str) -> str:
    wild = {ANY_CHARACTERS: "*", ONE_CHARACTER: "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(wild.get(character, character) for character in pattern)


def _like(pattern: str) -> str:
    wild = {ANY_CHARACTERS: "%", ONE_CHARACTER: "_", "%": r"\%", "_": r"\_", "\\": r"\\"}
    return "".join(wild.get(character, character) for character in pattern)
