"""What holds for every export and package: whose names are in it, and which items are not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.small_archive import SmallArchive

_TABLES = [
    (("export", "--format", form, "--rows", rows), f"x.{form}")
    for form in ("csv", "xlsx", "jsonl")
    for rows in ("items", "masters", "derivatives")
]
_DOCUMENTS = [
    (("export", "--format", "premis"), "x.xml"),
    (("export", "--format", "prov"), "x.json"),
    (("export", "--format", "prov"), "x.provn"),
    (("export", "--format", "iiif"), "iiif"),
    (("package", "--layout", "bagit"), "bag"),
    (("package", "--layout", "archivematica"), "transfer"),
]
_FORMS = [*_TABLES, *_DOCUMENTS]
forms = pytest.mark.parametrize(
    ("command", "name"), _FORMS, ids=[f"{form[2]} {form[-1]} {name}" for form, name in _FORMS]
)


def read_everything(output: Path) -> str:
    """The text of all files but pictures, and the names of all."""
    files = [output] if output.is_file() else sorted(path for path in output.rglob("*") if path.is_file())
    names = [str(path.relative_to(output)) for path in files]
    return "\n".join([*names, *(_read(path) for path in files if path.suffix != ".tif")])


def _read(path: Path) -> str:
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            return "\n".join(book.read(name).decode() for name in book.namelist())
    return path.read_text(encoding="utf-8")


@forms
def test_the_people_who_ran_and_approved_are_named(
    museum: SmallArchive, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    museum.done(*command, "--output", tmp_path / name)
    text = read_everything(tmp_path / name)

    assert "B. Operator" in text, "who ran the restoration"
    assert "C. Reviewer" in text, "who accepted it"


@forms
def test_restricted_and_sensitive_items_enter_only_when_asked_for(
    museum: SmallArchive, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    answer = museum.done(*command, "--output", tmp_path / f"open-{name}")
    text = read_everything(tmp_path / f"open-{name}")
    assert "1906.1" in text
    for secret in ("1906.2", "1906.3", "A house", "A grave", "b.tif", "c.tif"):
        assert secret not in text
    assert "2 items are left out: access is not open. Add --include-restricted to include them." in answer.errors

    museum.done(*command, "--include-restricted", "--output", tmp_path / f"all-{name}")
    text = read_everything(tmp_path / f"all-{name}")
    assert "1906.2" in text
    assert "1906.3" in text
