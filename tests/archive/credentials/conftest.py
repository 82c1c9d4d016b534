"""An archive whose derivatives were signed by a museum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive.cli.credentials import PASSPHRASE_VARIABLE
from archive.credentials.credentials_folder import FOLDER_VARIABLE, Credentials, load
from tests.small_archive import MODEL, SmallArchive, command, write_model, write_scan

TAKEN_AT = "2010:09:22 10:12:24"
PASSPHRASE = "open sesame"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class Signed:
    """An archive whose derivatives were signed, with the credentials and the copies."""

    archive: SmallArchive
    credentials: Credentials
    folder: Path

    @property
    def copy(self) -> Path:
        return next(self.folder.glob("A_*.tif"))

    @property
    def derivative(self) -> Path:
        return Path(self.archive.show("A")["derivatives"][0]["path"])


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    folder = tmp_path_factory.mktemp("signed")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(FOLDER_VARIABLE, str(folder / "credentials"))
        environment.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
        archive = SmallArchive(home=folder / "home", scans=folder / "scans")
        assert command("init", archive.home).code == 0
        archive.done("model", "add", write_model(folder / "model", ends=2))
        archive.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
        archive.scans.mkdir()
        _write_scan_with_exif(archive.scans / "A.jpg")
        write_scan(archive.scans / "B.tif", seed=2, bits=16, grey=True)
        (archive.scans / "items.csv").write_text("filename,access\nA.jpg,open\nB.tif,restricted\n")
        archive.done("ingest", archive.scans)
        archive.done("restore", "--texture", "0")
        assert command("credentials", "init", "--organisation", "City Museum").code == 0
        archive.done("credentials", "sign", "--output", folder / "copies")
        credentials = load(folder / "credentials", passphrase=PASSPHRASE)
        yield Signed(archive=archive, credentials=credentials, folder=folder / "copies")


def _write_scan_with_exif(path: Path) -> None:
    """A JPEG, as Pillow writes no EXIF directory into a TIFF."""
    exif = Image.Exif()
    exif.get_ifd(34665)[36867] = TAKEN_AT
    pixels = np.random.default_rng(1).integers(60, 190, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=exif, dpi=(300, 300), quality=95)
