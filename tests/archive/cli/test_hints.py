"""What commands say to people who mistyped something, or who begin: the next step."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.small_archive import MODEL, SmallArchive, command, write_scan


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("restor",), "'restore'"),
        (("batch", "shwo"), "Did you mean 'show'?"),
        (("view",), "Did you mean 'review'?"),
        (("model", "aproved"), "Commands: add, alias, compare"),
        (("restore", "--strenght", "1"), "--strength"),
        (("restore", "--repair", "nois"), "Did you mean 'noise'?"),
        (("list", "--fields", "titel"), "Did you mean 'title'"),
        (("list", "--format", "jsn"), "'json'"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest_ones(
    small: SmallArchive, words: tuple[str, ...], hint: str
) -> None:
    answer = small.run(*words)
    assert (answer.code, answer.output) == (2, "")
    assert hint in answer.errors


@pytest.mark.parametrize("verb", ["restore", "list", "verify", "review"])
def test_several_accession_numbers_are_answered_with_a_query_that_works(restored: SmallArchive, verb: str) -> None:
    answer = restored.run(verb, "1906.1", "1906.2")
    assert answer.code == 2
    query = "accession_number:(1906.1 OR 1906.2)"
    assert shlex.quote(query) in answer.errors
    assert len(restored.done("list", query, "--format", "json").json()) == 2


def test_an_unquoted_query_is_answered_with_the_quoted_one(small: SmallArchive) -> None:
    answer = small.run("restore", "collection:Lange", "AND", "date:1930")
    assert answer.code == 2
    assert "quotation marks: 'collection:Lange AND date:1930'" in answer.errors


def test_items_without_derivatives_are_not_an_empty_catalogue(small: SmallArchive) -> None:
    assert "no items yet" in small.done("list", "--rows", "derivatives").errors
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)

    answer = small.done("list", "--rows", "derivatives").errors
    assert answer == "the items found have no derivatives. Run `archive restore` to make them\n"
    assert (
        "`archive restore accession_number:a`"
        in small.done("list", "accession_number:a", "--rows", "derivatives").errors
    )
    assert "matches the query" in small.done("list", "accession_number:b", "--rows", "derivatives").errors


def test_a_folder_instead_of_a_query_is_answered_with_the_command_for_folders(
    small: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scan(small.scans / "a.tif")
    monkeypatch.chdir(small.home)
    for path in ("../scans", str(small.scans), "../scans/"):
        answer = small.run("restore", path)
        assert answer.code == 2
        assert f"`archive ingest {path}`" in answer.errors

    monkeypatch.chdir(small.scans.parent)
    assert "These are files or folders" in small.run("restore", "scans/a.tif", "scans").errors
    answer = small.done("restore", "scans")  # may be a word, so that it is looked for
    assert "it is a folder" in answer.output
    assert "`archive ingest scans`" in answer.output
    small.done("ingest", small.scans)
    assert "ingest" not in small.done("restore", "nowhere").output


def test_a_rerun_or_restore_without_tasks_says_why(small: SmallArchive) -> None:
    for verb in ("restore", "rerun"):
        assert "no items yet. Add scans with `archive ingest`" in small.done(verb).output
    write_scan(small.scans / "a.tif")
    (small.scans / "items.csv").write_text("filename,accession_number,polarity\na.tif,1906.1,negative\n")
    small.done("ingest", small.scans)

    query = "accession_number:1906.*"
    told = "no master found has a current restored derivative (1 without). Run `archive restore"
    assert f"{told}`" in small.done("rerun").output
    assert f"{told} {shlex.quote(query)}`" in small.done("rerun", query).output
    assert "no master matches the query 'collection:Nobody'" in small.done("rerun", "collection:Nobody").output

    assert "Nothing to do: every master found is left out\nLeft out:\n" in small.done("restore").output
    small.done("restore", "--unsuited")
    small.done("model", "alias", MODEL, "9.0", "trial")
    found = small.done("rerun", query, "--model", f"{MODEL}@trial").output
    assert f"every master found has a result by {MODEL}@9.0. Current derivatives: 1 by {MODEL}@9.0" in found


def test_a_package_says_which_items_have_no_derivative(small: SmallArchive, tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_scan(small.scans / f"{name}.tif", seed=number)
    small.done("ingest", small.scans)
    query = "accession_number:*"
    package = ("package", query, "--layout", "bagit")
    answer = small.done(*package, "--output", tmp_path / "bag")
    assert "2 of 2 items without a current derivative: only their scans are packaged" in answer.errors
    assert f"`archive restore {shlex.quote(query)}`" in answer.errors
    assert "without" not in small.done(*package, "--contents", "masters", "--output", tmp_path / "scans-bag").errors
    refused = small.run(*package, "--contents", "derivatives", "--output", tmp_path / "derivatives-bag")
    assert refused.code == 2
    assert "no item found has a current derivative for this layout (2 without)" in refused.errors
    assert f"`archive restore {shlex.quote(query)}`, or package the scans with `--contents masters`" in refused.errors

    small.done("restore", "accession_number:a")
    some = small.done(*package, "--contents", "derivatives", "--output", tmp_path / "some")
    assert "1 of 2 items without a current derivative: nothing of them is packaged" in some.errors
    assert "without" not in small.done("package", "accession_number:a", *package[2:], "--output", tmp_path / "a").errors


def test_a_new_home_is_followed_by_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARCHIVE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    write_scan(tmp_path / "scans" / "a.tif")
    errors = command("init", "my museum").errors
    (line,) = [line for line in errors.splitlines() if line.startswith("Next")]
    _, *words = shlex.split(line.split("`")[1])
    assert words[-1] == "FOLDER"
    assert command(*words[:-1], "scans").code == 0

    monkeypatch.chdir(tmp_path / "my museum")
    assert "`archive ingest FOLDER`" in command("init").errors


def test_init_says_if_the_home_existed_or_lies_in_another_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARCHIVE_HOME", raising=False)
    home = tmp_path / "museum"
    first = command("init", home)
    assert (first.code, "existed" in first.errors, "lies in" in first.errors) == (0, False, False)
    again = command("init", home)
    assert (again.code, again.output.splitlines()[0]) == (0, f"home: {home}")
    assert "The home existed already and is kept." in again.errors
    assert f"The home lies in another home, {home}." in command("init", home / "inner").errors
    monkeypatch.chdir(home)
    assert "lies in" not in command("init", Path("..") / "beside").errors


def test_an_alias_is_removed_and_the_approved_one_is_moved_instead(small: SmallArchive) -> None:
    small.done("model", "alias", MODEL, "9.0", "trial")
    assert "trial" in small.done("model", "list").output
    assert small.done("model", "alias", MODEL, "9.0", "@trial", "--remove").output == (
        f"{MODEL}@trial is removed; it was {MODEL}@9.0\n"
    )
    assert "trial" not in small.done("model", "list").output
    refused = small.run("model", "alias", MODEL, "9.0", "approved", "--remove")
    assert refused.code == 2
    assert f"`archive model alias {MODEL} VERSION approved`" in refused.errors


def test_before_models_are_loaded_they_are_named(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    loading = f"Loading {MODEL}@9.0 …"
    planned = small.done("restore", "--plan")
    assert loading not in planned.errors
    run = small.done("batch", "resume", "1")
    assert loading in run.errors
    assert loading not in run.output
    assert "Loading" not in small.done("batch", "resume", "1").errors  # no task is open
