"""Starting the command line: help of every command, quick answers, errors as one message and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from psycopg.errors import DuplicatePreparedStatement
from sqlalchemy.exc import ProgrammingError

from archive.cli.main import COMMANDS, cli, run
from tests.small_archive import SmallArchive, command

pytestmark = pytest.mark.slow


def _every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name in COMMANDS:
        found.append((name,))
        group = cli.get_command(click.Context(cli), name)
        if isinstance(group, click.Group):
            found += [(name, below) for below in group.commands]
    return found


@pytest.mark.parametrize("words", _every_command(), ids=" ".join)
def test_help_says_what_it_does_with_an_example_and_exit_statuses(words: tuple[str, ...]) -> None:
    answer = command(*words, "--help")

    assert answer.code == 0
    assert "Example" in answer.output
    assert "Exit status:" in answer.output
    assert "archive" in answer.output.split("Example")[1]


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "1906.1"], ["db", "current"], ["model", "list"]])
def test_questions_never_import_torch(restored: SmallArchive, arguments: list[str]) -> None:
    script = (
        "import sys; from archive.cli.main import run; code = run(sys.argv[1:]); "
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    subprocess.run(
        [sys.executable, "-c", script, "--home", str(restored.home), *arguments],
        check=True,
        cwd=Path(__file__).parents[3],
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("query", [None, "status:restored", "creator:Anna"])
def test_a_list_is_quick_because_it_loads_little(restored: SmallArchive, query: str | None) -> None:
    """The aim is under 0.6 s, which ``benchmarks/startup.py`` measures; what is loaded is the same on every machine."""
    script = (
        "import sys; from archive.cli.main import run; code = run(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "--home", str(restored.home), "list", *([query] if query else [])],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    loaded = set(ended.stderr.split())

    assert {"archive", "click", "sqlalchemy"} <= loaded
    slow = {
        "PIL",
        "alembic",
        "edtf",
        "imagecodecs",
        "jinja2",
        "numpy",
        "psycopg",
        "scipy",
        "skimage",
        "tifffile",
        "tqdm",
    }
    assert not loaded & (slow | {"restoration", "safetensors", "torch", "tqdm"})


def test_home_is_taken_before_and_after_the_command(small: SmallArchive) -> None:
    assert command("--home", small.home, "list").code == 0
    assert command("list", "--home", small.home).code == 0


def test_home_comes_from_the_environment(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_HOME", str(small.home))

    assert command("list").code == 0


def test_home_is_the_nearest_folder_upward(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    below = small.home / "derivatives" / "1"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert command("list").code == 0


def test_without_a_home_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = command("list")

    assert answer.code == 1
    assert "archive init" in answer.errors
    assert "Traceback" not in answer.errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["list", "--format", "xml"],
        ["list", "--fields", "accession_number,colour"],
        ["list", "nosuchfield:1"],
        ["list", "date:[1930 TO"],
        ["show", "not-there"],
        ["restore", "--model", "not-there"],
        ["restore", "--strength", "2"],
        ["restore", "--view", "front"],
        ["restore", "--until", "25:00"],
        ["restore", "--plan", "--until", "06:00"],
        ["review", "not-there", "--accept"],
        ["review", "not-there"],
        ["show", "\udcff"],
        ["list", "\udcff"],
        ["list", "--limit", "99999999999999999999"],
        ["restore", "--model", "\udcff"],
        ["verify", "--older-than", "9999999999"],
        ["verify", "--limit", "99999999999999999999"],
        ["batch", "show", "77"],
        ["batch", "show", "99999999999999999999"],
        ["batch", "show", "-1"],
        ["batch", "resume", "99999999999999999999"],
        ["batch", "resume", "77", "--until", "soon"],
        ["model", "show", "not-there"],
        ["ingest", "not-there"],
    ],
    ids=lambda arguments: " ".join(arguments).encode("ascii", "backslashreplace").decode(),
)
def test_wrong_usage_exits_2_with_a_message_and_no_traceback(small: SmallArchive, arguments: list[str]) -> None:
    answer = small.run(*arguments)

    assert answer.code == 2
    assert answer.errors
    assert answer.output == ""
    assert "Traceback" not in answer.errors


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--reject", "--accept", "--reason", "both"],
        ["--accept", "--derivative", "99999999999999999999"],
        ["--accept", "--reviewer", "\udcff"],
    ],
)
def test_a_review_that_is_not_understood_decides_nothing(restored: SmallArchive, options: list[str]) -> None:
    answer = restored.run("review", "1906.1", "--reviewer", "A. Curator", *options)

    assert answer.code == 2
    assert "Error: " in answer.errors
    assert restored.show("1906.1")["derivatives"][0]["review"] is None


def test_a_path_may_contain_undecodable_bytes(small: SmallArchive, tmp_path: Path) -> None:
    folder = tmp_path / "scans-\udcff"
    folder.mkdir()

    assert "0 added" in small.done("ingest", folder).output


def test_ctrl_c_exits_130(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("archive.catalogue.listings.list_items", interrupt)

    assert small.run("list").code == 130


def test_a_fault_of_the_software_is_not_hidden(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_arguments: object, **_options: object) -> None:
        raise LookupError("a fault")

    monkeypatch.setattr("archive.catalogue.listings.list_items", break_down)

    with pytest.raises(LookupError):
        run(["--home", str(small.home), "list"])


def test_a_connection_pooler_that_loses_prepared_statements_is_named(
    small: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_arguments: object, **_options: object) -> None:
        lost = DuplicatePreparedStatement('prepared statement "_pg3_0" already exists')
        raise ProgrammingError("SELECT 1", None, lost)

    monkeypatch.setattr("archive.catalogue.listings.list_items", lose)
    answer = small.run("list")
    assert answer.code == 1
    assert "Add ?prepare_threshold=none to the URL" in answer.errors


def test_a_reader_that_has_seen_enough_ends_it_quietly(restored: SmallArchive) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "archive", "--home", str(restored.home), "list"],
        cwd=Path(__file__).parents[3],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)

    assert ended.stderr == b""
    assert ended.returncode == 0


def test_a_database_that_is_not_there_is_one_message(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    answer = small.run("list")

    assert answer.code == 1
    assert "Traceback" not in answer.errors
