"""A home with restored photographs to export: two sides, a review, a restricted and a sensitive item."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archive.catalogue import Catalogue
from archive.settings import load_settings
from tests.small_archive import MODEL, SmallArchive, command, write_model, write_scan

SCHEMAS_VARIABLE = "ARCHIVE_TEST_SCHEMAS"


@pytest.fixture
def schemas() -> Path:
    """The folder with the schemas of the formats, which come from elsewhere."""
    if SCHEMAS_VARIABLE not in os.environ:
        pytest.skip(f"{SCHEMAS_VARIABLE} is not set")
    return Path(os.environ[SCHEMAS_VARIABLE])


@pytest.fixture(scope="session")
def museum(tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    """1906.1 (recto and verso, accepted, a formula and markup in its texts), 1906.2 restricted, 1906.3 sensitive,
    1906.4 not restored. It is shared, so tests must not change it."""
    folder = tmp_path_factory.mktemp("museum")
    home, scans = folder / "home", folder / "scans"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ARCHIVE_HOME", raising=False)
        patch.delenv("ARCHIVE_DATABASE_URL", raising=False)
        patch.setenv("ARCHIVE_OPERATOR", "B. Operator")
        assert command("init", home).code == 0
        archive = SmallArchive(home=home, scans=scans)
        archive.done("model", "add", write_model(folder / "model"))
        archive.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
        for number, name in enumerate(("box 1/a_r.tif", "box 1/a_v.tif", "b.tif", "c.tif", "d.tif")):
            write_scan(scans / name, seed=number, grey=number == 2)
        (scans / "items.csv").write_text(
            "filename,accession_number,sequence,view,title,creator,date,polarity,access,rights,Shelf,ARK\n"
            "box 1/a_r.tif,1906.1,1,recto,=HYPERLINK(1) <in & out>,Anna Pérez,1906~,positive,open,CC0,A 1,ark:/99/x1\n"
            "box 1/a_v.tif,1906.1,2,verso,,,,,,,,\n"
            "b.tif,1906.2,1,recto,A house,Anna Pérez,190X,positive,restricted,In copyright,,\n"
            "c.tif,1906.3,1,recto,A grave,Anna Pérez,190X,positive,sensitive,,,\n"
            "d.tif,1906.4,1,recto,A street,,,negative,open,CC BY 4.0,,\n",
            encoding="utf-8",
        )
        (folder / "mapping.toml").write_text('[identifiers]\nark = "ARK"\n', encoding="utf-8")
        archive.done("ingest", scans, "--metadata", scans / "items.csv", "--mapping", folder / "mapping.toml")
        archive.done("restore")
        archive.done("review", "1906.1", "--accept", "--reviewer", "C. Reviewer", "--reason", "true to the print")
        archive.done("restore", "accession_number:1906.1", "--strength", "0.5")
        rejected = archive.show("1906.1")["derivatives"][-1]["id"]
        reason = ("--reason", "too soft")
        archive.done(
            "review", "1906.1", "--reject", "--derivative", str(rejected), *reason, "--reviewer", "C. Reviewer"
        )
    return archive


@pytest.fixture
def museum_catalogue(museum: SmallArchive) -> Catalogue:
    return Catalogue.open(load_settings(museum.home))
