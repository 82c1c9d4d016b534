"""The page about JSON answers agrees with the answers: each key is on it with its type, and no other key."""

from __future__ import annotations

import re
import runpy
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from archive.cli.credentials import PASSPHRASE_VARIABLE
from archive.credentials.credentials_folder import FOLDER_VARIABLE
from archive.display_labels import DERIVATIVE_ROW_FIELDS
from archive.export.table_rows import FIELDS
from archive.settings import DATABASE_VARIABLE, HOME_VARIABLE, OPERATOR_VARIABLE
from tests.json_scenario import Answers, Scenario

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
_TABLE = "| key | type | meaning |\n"
_REFERENCE = re.compile(r"\[\w[\w ]*\]\(#(?P<anchor>[\w-]+)\)")
_TYPE_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", type(None): "null"}


def _sections() -> dict[str, dict[str, str]]:
    """The type of each key, by the headings of the page."""
    sections: dict[str, dict[str, str]] = {}
    for section in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        for table in text.split(_TABLE)[1:]:
            for row in table.partition("\n\n")[0].splitlines()[1:]:
                _, keys, kind, *_ = row.split("|")
                sections.setdefault(title, {}).update(dict.fromkeys(re.findall(r"`([^`]+)`", keys), kind.strip()))
    return sections


SECTIONS = _sections()
COMMANDS = [title for title in SECTIONS if title.startswith("archive ")]


class _Documented(NamedTuple):
    """A key on the page: its type, its section, and its name there."""

    kind: str
    section: str
    name: str


def _expanded(title: str) -> dict[str, _Documented]:
    """The keys of a section, with those of the parts that it refers to."""
    keys: dict[str, _Documented] = {}
    for key, kind in SECTIONS[title].items():
        if (found := _REFERENCE.search(kind)) is None:
            keys[key] = _Documented(kind, title, key)
            continue
        (part,) = (each for each in SECTIONS if each.lower().replace(" ", "-") == found["anchor"])
        is_array = kind.startswith("array of objects: ")
        if key != "[]":
            keys[key] = _Documented("array of objects" if is_array else _REFERENCE.sub("object", kind), title, key)
        keys |= {f"{key}{'[]' if is_array else ''}.{inner}": each for inner, each in _expanded(part).items()}
    return keys


def _walk(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The path and the type of each key in an answer."""
    if isinstance(value, dict):
        for name, inner in value.items():
            key = f"{path}.{name}" if path else name
            yield key, _type_name(inner)
            yield from _walk(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, f"{path}[]")


def _type_name(value: Any) -> str:
    if not isinstance(value, list):
        return _TYPE_NAMES[type(value)]
    return " ".join(["array", *{f"of {_type_name(each)}s" for each in value}])


def _is_allowed(found: str, documented: str) -> bool:
    allowed = documented.split(" or ")
    if documented == "any" or found in allowed or (found == "integer" and "number" in allowed):
        return True
    return found == "array" and any(each.startswith("array") for each in allowed)


def _documented_key(path: str, documented: dict[str, _Documented]) -> str | None:
    if path in documented:
        return path
    patterns = ((key, re.escape(key).replace(r"\*", ".+")) for key in documented if "*" in key)
    return next((key for key, pattern in patterns if re.fullmatch(pattern, path)), None)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("json")
    with pytest.MonkeyPatch.context() as environment:
        for name in (HOME_VARIABLE, DATABASE_VARIABLE):
            environment.delenv(name, raising=False)
        environment.setenv(OPERATOR_VARIABLE, "An Operator")
        environment.setenv(FOLDER_VARIABLE, str(folder / "credentials"))
        environment.setenv(PASSPHRASE_VARIABLE, "open sesame")
        return Scenario(folder).run()


def _paths(answers: Answers, command: str) -> dict[str, set[str]]:
    """The types of each key in the answers of a command."""
    found: dict[str, set[str]] = defaultdict(set)
    for answer in answers[command]:
        for path, kind in _walk(answer):
            found[path].add(kind)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_of_an_answer_is_on_the_page_with_its_type(answers: Answers, command: str) -> None:
    documented = _expanded(command)
    for path, kinds in _paths(answers, command).items():
        key = _documented_key(path, documented)
        assert key is not None, f"{path} is not on the page"
        wrong = [kind for kind in kinds if not _is_allowed(kind, documented[key].kind)]
        assert wrong == [], (path, documented[key])


def test_every_key_on_the_page_is_in_an_answer(answers: Answers) -> None:
    missing = {(title, key) for title, keys in SECTIONS.items() for key in keys if key != "[]"}
    for command in COMMANDS:
        documented = _expanded(command)
        for path in _paths(answers, command):
            key = _documented_key(path, documented)
            if key is not None:
                missing.discard((documented[key].section, documented[key].name))

    assert missing == set()


def test_every_command_that_answers_in_json_is_on_the_page(answers: Answers) -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))
    with_json = {
        name
        for name, command, _ in script["commands"]()
        for option in command.params
        if "--format" in option.opts and isinstance(option.type, click.Choice)
        if {"json", "jsonl"} & set(option.type.choices)
    }

    assert {title.partition(" --")[0] for title in COMMANDS} == with_json
    assert set(COMMANDS) == answers.keys()


def test_the_page_names_the_values_of_derivatives_as_lists_and_exports_do() -> None:
    (table,) = re.findall(r"\| value \|\n\| --- \| --- \| --- \|\n((?:\|.*\n)+)", PAGE)
    rows = [[re.findall(r"`([a-z_.0-9]+)`", cell) for cell in row.split("|")[1:3]] for row in table.splitlines()]

    assert {listed[0] for listed, _ in rows} <= set(DERIVATIVE_ROW_FIELDS)
    assert {exported[0].partition(".")[0] for _, exported in rows} <= set(FIELDS["derivatives"])
