"""Parser of the query language: converts Lucene syntax, as in Solr, to a query tree."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from luqum import tree
from luqum.exceptions import ParseError
from luqum.thread import parse as parse_lucene
from sqlalchemy import ColumnElement, true

from archive.catalogue.query import wildcards
from archive.catalogue.query.field_values import Bounds, Field, Term
from archive.catalogue.query.fields import FIELDS, FREE_TEXT, ExactField, TextField
from archive.catalogue.query.identifier_and_extra_fields import FIELD_NAMES, find_field
from archive.catalogue.query.query_tree import And, Condition, Not, Or, QueryNode, about_one_derivative, to_sql
from archive.catalogue.query.text_index import fold_words
from archive.errors import QueryError

# The largest query that both databases evaluate within seconds: a word costs 5, an accession number 1.
MAX_QUERY_COST = 400
MAX_QUERY_DEPTH = 25
MAX_QUERY_LENGTH = 50_000

_ALL = Condition(predicate=true(), is_indexed=False)
_POSITION = re.compile(r"at position (\d+)")
_OPEN_BRACKET = re.compile(r"[\[{][^\]}]*$")
_DIGIT = re.compile(r"\d")
_OPERATOR = re.compile(r"(AND|OR)\b")
_OPERATORS = ("AND", "OR", "NOT")


def parse_condition(text: str | None) -> ColumnElement[bool]:
    """The query as a condition on ``select(Master).join(Item)``; None or an empty text matches everything.

    Raises:
        QueryError: the query has a mistake; the message gives the position and the known values.
    """
    return to_sql(parse_tree(text))


def parse_tree(text: str | None) -> QueryNode:
    """The query tree of a query; see :func:`parse_condition`."""
    if text is None or not text.strip():
        return _ALL
    if len(text) > MAX_QUERY_LENGTH:
        raise QueryError(f"the query has {len(text)} characters, more than {MAX_QUERY_LENGTH}: ask in several queries")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _query_error(text, error.start, "this character is not valid text") from error
    if (position := text.find("\0")) >= 0:
        raise _query_error(text, position, "this character can't be in any text of the catalogue")
    try:
        parsed = parse_lucene(text)
    except ParseError as error:
        found = _POSITION.search(str(error))
        raise _query_error(text, int(found[1]) if found else None, _syntax_advice(text, found)) from error
    except (ArithmeticError, ValueError) as error:  # a degree after ~ or ^ that is not a number
        raise _query_error(text, None, "there is a ~ or ^ with something other than a number after it") from error
    return about_one_derivative(_Translator(text).translate(parsed, FREE_TEXT, 0))


def explain_empty_result(text: str) -> str | None:
    """A hint for the user why a valid query finds nothing, or None."""
    if not text.strip():
        return None
    parsed = parse_lucene(text)
    if isinstance(parsed, tree.Word) and _DIGIT.search(parsed.value):
        return f"it was looked for in title and description; ask for the item with accession_number:{parsed.value}"
    words = parsed.operands if isinstance(parsed, tree.UnknownOperation) else ()
    is_plain = all(isinstance(each, tree.Word) and each.value.upper() not in _OPERATORS for each in words)
    if words and is_plain and _DIGIT.search(text):
        return (
            "the words were looked for in title and description; "
            f'if they are an accession number, ask for accession_number:"{text.strip()}"'
        )
    without_operator = (node for node in _descendants(parsed) if isinstance(node, tree.UnknownOperation))
    for node in without_operator:
        for one, following in itertools.pairwise(node.operands):
            match one, following:
                case tree.SearchField(), tree.Word(value=word) if word.upper() in _OPERATORS:
                    return f"{word!r} was looked for as a word; operators are written in capitals: {word.upper()}"
                case tree.SearchField(name=name, expr=tree.Word(value=value)), tree.Word(value=word):
                    return (
                        f"{word!r} was looked for in title and description, not in {name}; "
                        f'if it belongs to the value, quote the whole: {name}:"{value} {word}"'
                    )
    match parsed:
        case tree.SearchField(name="model" | "style" as name):
            return f"{name} is about current results; add AND batch:* to find derivatives that are not current, too"
        case tree.SearchField(name=name, expr=tree.Word(value=value) as word) if (
            isinstance(FIELDS.get(name), ExactField) and not word.has_wildcard()
        ):
            return f"{name} is compared as a whole and with case; for a part of it ask for {name}:*{value}*"
    return None


def _descendants(node: tree.Item) -> Iterator[tree.Item]:
    yield node
    for child in node.children:
        yield from _descendants(child)


@dataclass
class _Translator:
    """Translates the parser's tree of one query to query nodes."""

    text: str
    cost: int = 0

    def translate(self, node: tree.Item, field: Field, depth: int) -> QueryNode:
        """The query node of ``node``; values that name no field belong to ``field``."""
        if depth > MAX_QUERY_DEPTH:
            raise self._query_error(node, f"the query is nested more than {MAX_QUERY_DEPTH} deep")
        match node:
            case tree.SearchField():
                return self._translate_field(node, depth)
            case tree.Group() | tree.FieldGroup():
                return self.translate(node.expr, field, depth + 1)
            case tree.OrOperation():
                return Or(operands=tuple(self.translate(each, field, depth + 1) for each in node.operands))
            case tree.AndOperation() | tree.UnknownOperation():
                return And(operands=tuple(self.translate(each, field, depth + 1) for each in node.operands))
            case tree.Plus():
                return self.translate(node.a, field, depth + 1)
            case tree.Prohibit(a=tree.Word()) if field.takes_negative:
                return self._translate_value(node, field)
            case tree.Not() | tree.Prohibit():
                return Not(operand=self.translate(node.a, field, depth + 1))
        return self._translate_value(node, field)

    def _translate_field(self, node: tree.SearchField, depth: int) -> QueryNode:
        name = node.name
        if name == "*" and isinstance(node.expr, tree.Word) and node.expr.value == "*":  # Solr's syntax for everything
            return _ALL
        field = find_field(re.sub(r"\\(.)", r"\1", name))
        if field is None:
            quoted = "" if name.replace("_", "").isalpha() else "Put a value with a colon in quotation marks. "
            alike = difflib.get_close_matches(name, FIELD_NAMES, n=1)
            meant = f"Did you mean {alike[0]!r}? " if alike else ""
            raise self._query_error(node, f"No field {name!r}. {meant}{quoted}Known fields: {', '.join(FIELD_NAMES)}")
        if isinstance(node.expr, (tree.Prohibit, tree.Plus, tree.Not)):
            is_number = field.takes_negative and isinstance(node.expr.a, tree.Word)
            if isinstance(node.expr, tree.Not) or not is_number:
                raise self._query_error(node.expr, _operator_advice(self.text, name, node.expr))
        return self.translate(node.expr, field, depth + 1)

    def _translate_value(self, node: tree.Item, field: Field) -> QueryNode:
        self._add_cost(node, field)
        try:
            match node:
                case tree.Range():
                    return field.within(
                        Bounds(
                            low=self._bound(node.low),
                            high=self._bound(node.high),
                            includes_low=node.include_low,
                            includes_high=node.include_high,
                        )
                    )
                case tree.From():
                    return field.within(Bounds(low=self._bound(node.a), includes_low=node.include))
                case tree.To():
                    return field.within(Bounds(high=self._bound(node.a), includes_high=node.include))
                case tree.Word(value="TO"):
                    raise ValueError('a range has brackets, such as [1900 TO 1910]; the word itself is quoted: "TO"')  # noqa: TRY301
                case tree.Word(value="*"):
                    return _ALL if field is FREE_TEXT else field.present()
                case tree.Word() | tree.Phrase() | tree.Prohibit():
                    return field.equals(self._term(node))
            raise ValueError(_unsupported(node))  # noqa: TRY301
        except ValueError as error:
            raise self._query_error(node, str(error)) from error

    def _add_cost(self, node: tree.Item, field: Field) -> None:
        words = len(fold_words(node.value)) if isinstance(field, TextField) and isinstance(node, tree.Term) else 1
        self.cost += field.cost * words
        if self.cost > MAX_QUERY_COST:
            raise self._query_error(node, "here the query becomes too much for one: ask in several")

    def _bound(self, node: tree.Item) -> Term | None:
        if isinstance(node, tree.Word) and node.value == "*":
            return None
        return self._term(node)

    def _term(self, node: tree.Item) -> Term:
        match node:
            case tree.Prohibit():
                inner = self._term(node.a)
                return Term(text=f"-{inner.text}", pattern=f"-{inner.pattern}")
            case tree.Phrase():
                text = re.sub(r"\\(.)", r"\1", node.value[1:-1], flags=re.DOTALL)
                return Term(text=text, pattern=text)
            case tree.Word():
                text = re.sub(r"\\(.)", r"\1", node.value, flags=re.DOTALL)
                return Term(text=text, pattern=wildcards.from_lucene(node.value))
        raise ValueError(_unsupported(node))

    def _query_error(self, node: tree.Item, message: str) -> QueryError:
        return _query_error(self.text, node.pos, message)


def _operator_advice(text: str, name: str, value: tree.Prohibit | tree.Plus | tree.Not) -> str:
    """What to write instead of an operator between a field and its value, as in ``creator:-Anna``.

    ``text`` is the query. Lucene calls this a syntax error.
    """
    written, operand = (text[node.pos : node.pos + node.size].strip() for node in (value, value.a))
    if isinstance(value, tree.Plus):
        meant = f"Without it, write {name}:{operand}"
    else:
        meant = f"To exclude the value, write NOT {name}:{operand}"
    if isinstance(value, tree.Not) or not isinstance(value.a, tree.Word):
        return f"an operator can't stand between a field and its value. {meant}"
    as_value = f"\\{written}" if value.a.has_wildcard() else f'"{written}"'
    return f"is {written[0]} a part of the value? Then write {name}:{as_value}. {meant}"


def _unsupported(node: tree.Item) -> str:
    match node:
        case tree.Fuzzy():
            return f'~ after a word is not supported; a date with ~ must be quoted: "{node.term.value}~"'
        case tree.Proximity():
            return '~ after a phrase is not supported; the ~ of a date goes inside the quotation marks: "1906~"'
        case tree.Boost():
            return "^ is not supported: lists are ordered by accession number, not by how well an item fits"
        case tree.Regex():
            return "/regular expressions/ are not supported: use * and ?, or put the value in quotation marks"
    return "this is not understood here: put a value with special characters in quotation marks"


def _syntax_advice(text: str, found: re.Match[str] | None) -> str:
    if found is None:
        return "the query ends too early: a value, a closing bracket or a quotation mark is missing"
    position = int(found[1])
    if _OPEN_BRACKET.search(text[:position]):
        return "a range is written [1900 TO 1910]; any other value with brackets goes in quotation marks"
    if operator := _OPERATOR.match(text, position):
        return f"{operator[0]} needs something on both sides; the word itself is quoted"
    if text[position] == '"':
        return "this quotation mark is not closed"
    return f"{text[position]!r} is not understood here: put a value with special characters in quotation marks"


def _query_error(text: str, position: int | None, message: str) -> QueryError:
    if position is None:
        return QueryError(f"the query {text[:200]!r} has a mistake: {message}")
    return QueryError(
        f"the query has a mistake at character {position + 1}, {text[position : position + 30]!r}: {message}"
    )
