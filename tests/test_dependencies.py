"""``pyproject.toml`` lists what the packages import, so that an installed wheel has all that it needs."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = {
    "web": ("archive/web/", "archive/accounts.py"),
    "ray": ("archive/batches/running/ray_supervisor.py",),
}
"""The files that need an optional group of dependencies; commands import them only when they are used."""


def _imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(re.split(r"[^A-Za-z0-9._-]", each)[0]) for each in requirements}


@pytest.mark.parametrize("package", ["archive", "restoration", "migrations"])
def test_every_import_is_of_a_declared_dependency(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = _names(project["dependencies"])
    extras = {extra: _names(project["optional-dependencies"][extra]) for extra in EXTRAS}
    distributions = packages_distributions()
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        place = path.relative_to(ROOT).as_posix()
        optional = {name for extra, places in EXTRAS.items() if place.startswith(places) for name in extras[extra]}
        for name in set(_imported(path)) - sys.stdlib_module_names - {"archive", "restoration"}:
            # A package that is not installed counts as the distribution of its name.
            found = {canonicalize_name(each) for each in distributions.get(name, [name])}
            assert found & (declared | optional), f"{place} imports {name}, which no dependency brings"
