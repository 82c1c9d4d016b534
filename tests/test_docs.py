"""The documentation agrees with the software."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from archive.catalogue.edtf_dates import date_range
from archive.catalogue.query.identifier_and_extra_fields import FIELD_NAMES
from archive.catalogue.query.lucene_parser import parse_condition
from restoration.image import Picture

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_archive"
PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md") for path in ROOT.glob(pattern))


def _command_reference_script() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "docs" / "make_commands.py"))


def test_the_command_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    script = _command_reference_script()

    assert written == script["page"](), "run `make docs`"  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "image"), [("make_ageing_sheet", "explanation/ageing"), ("make_style_sheet", "how-to/styles")]
)
def test_an_example_image_is_up_to_date(script: str, image: str) -> None:
    made = runpy.run_path(str(ROOT / "docs" / f"{script}.py"))["make"]()
    with Image.open(ROOT / "docs" / f"{image}.jpg") as shown:
        assert shown.size == made.size
        difference = np.abs(np.asarray(shown, dtype=float) - np.asarray(made, dtype=float))

    assert difference.mean() < 5, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    known = {name: command for name, command, _ in _command_reference_script()["commands"]()}  # type: ignore[operator]
    for line in re.findall(r"archive [^`\n|]+", "\n".join(_code(page))):
        words = line.split()
        group = f"archive {words[1]} {words[2]}" if len(words) > 2 else ""
        name = group if group in known else f"archive {words[1]}"
        assert name in known or words[1].startswith(("-", "COMMAND")), f"{page.name}: {line}"
        options = {option for each in known.get(name, click.Command("")).params for option in each.opts} | {"--help"}
        for option in re.findall(r"(?<!\S)--[a-z-]+", line):
            assert option in options | {"--home", "--version"}, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_python_of_the_library_guide_is_python_and_names_what_exists() -> None:
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "use-the-library.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert blocks
    for block in blocks:
        compile(block, "library.md", "exec")
        imports = [line for line in block.splitlines() if line.startswith(("from ", "import "))]
        exec("\n".join(imports), {})  # noqa: S102


def test_the_query_reference_lists_every_field() -> None:
    (table,) = re.findall(r"\| field \| values \|\n\| --- \| --- \|\n((?:\|.*\n)+)", _query_reference())
    listed = [name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]

    assert sorted(listed) == sorted(FIELD_NAMES)


def test_the_example_queries_are_valid() -> None:
    (table,) = re.findall(r"\| query \| finds \|\n\| --- \| --- \|\n((?:\|.*\n)+)", _query_reference())
    queries = [query for row in table.splitlines() for query in re.findall(r"`([^`]+)`", row.split("|")[1])]

    assert len(queries) > 5
    for query in queries:
        parse_condition(query)


def _query_reference() -> str:
    return (ROOT / "docs" / "reference" / "queries.md").read_text(encoding="utf-8")


def _code(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    if page.name == "commands.md":
        return []
    blocks = re.findall(r"```(?:sh|text)?\n(.*?)```", text, flags=re.DOTALL)
    return [*blocks, *re.findall(r"`(archive [^`]+)`", text)]


def _sample_rows() -> list[dict[str, str]]:
    with (SAMPLES / "items.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_archive_is_what_its_script_makes(tmp_path: Path) -> None:
    runpy.run_path(str(SAMPLES / "make.py"))["make"](tmp_path)

    assert (tmp_path / "items.csv").read_bytes() == (SAMPLES / "items.csv").read_bytes()
    for made in sorted(path for path in tmp_path.rglob("*") if path.suffix in (".tif", ".png", ".jpg")):
        with Picture.open(made) as new, Picture.open(SAMPLES / made.relative_to(tmp_path)) as kept:
            assert (new.info.width, new.info.height) == (kept.info.width, kept.info.height)
            window = (0, 0, new.info.width, new.info.height)
            # Another machine's arithmetic may round a sample the other way.
            assert np.abs(new.read(*window) - kept.read(*window)).mean() < 0.5 / 255, made.name


def test_the_sample_archive_holds_what_an_archive_meets() -> None:
    rows = _sample_rows()
    kinds = set()
    for row in rows:
        with Picture.open(SAMPLES / row["filename"]) as picture:
            info = picture.info
            kinds.add((info.format, info.bits_per_sample, info.colour_channels))
            assert (info.icc_profile is not None) == (info.colour_channels == 3)
            assert info.resolution is not None
            assert info.resolution.ppi == pytest.approx(300, abs=1)
        if row["reference"]:
            with Image.open(SAMPLES / row["reference"]) as reference:
                assert reference.size == (info.width, info.height)

    assert {("TIFF", 8, 3), ("TIFF", 16, 3), ("TIFF", 16, 1), ("JPEG", 8, 3), ("JPEG", 8, 1), ("PNG", 16, 1)} <= kinds
    assert {row["view"] for row in rows} == {"recto", "verso", "detail"}
    assert any(row["picture_area"] for row in rows)
    assert 10 <= len(rows) <= 12
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 10_000_000


def test_every_sample_states_its_rights_a_date_and_that_its_ageing_is_simulated() -> None:
    for row in _sample_rows():
        assert row["rights"]
        assert date_range(row["date"])
        assert "simulated" in row["description"]
