"""Homes for tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_archive import MODEL, SmallArchive, command, write_model, write_scan


@pytest.fixture
def small(tmp_path: Path) -> SmallArchive:
    """An empty home whose approved model is a tiny one, version 9.0."""
    home = tmp_path / "home"
    assert command("init", home).code == 0
    archive = SmallArchive(home=home, scans=tmp_path / "scans")
    archive.scans.mkdir()
    archive.done("model", "add", write_model(tmp_path / "model"))
    archive.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
    return archive


@pytest.fixture
def restored(small: SmallArchive) -> SmallArchive:
    """A home with two restored items, 1906.1 and 1906.2, of which the second has a restricted access."""
    write_scan(small.scans / "a.tif", seed=1)
    write_scan(small.scans / "b.tif", seed=2, bits=16, grey=True)
    (small.scans / "items.csv").write_text(
        "filename,accession_number,title,creator,date,access,rights\n"
        "a.tif,1906.1,A street <in summer>,Anna Pérez,1906~,open,CC0\n"
        "b.tif,1906.2,A house,Anna Pérez,190X,restricted,CC0\n",
        encoding="utf-8",
    )
    small.done("ingest", small.scans)
    small.done("restore")
    return small


@pytest.fixture
def museum(tmp_path: Path, database_url: str) -> SmallArchive:
    """Three restored items, A, B and C, by version 9.0 in batch 1."""
    home = tmp_path / "museum"
    assert command("init", home, "--database", database_url).code == 0
    archive = SmallArchive(home=home, scans=tmp_path / "scans")
    archive.done("model", "add", write_model(tmp_path / "model"))
    archive.done("model", "alias", MODEL, "9.0", "approved")
    for seed, name in enumerate("ABC"):
        write_scan(archive.scans / f"{name}.tif", seed=seed)
    archive.done("ingest", archive.scans)
    archive.done("restore")
    return archive
