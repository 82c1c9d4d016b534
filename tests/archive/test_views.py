"""View pyramids and the store that makes and deletes them."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from archive.errors import ViewError
from archive.settings import Settings
from archive.storage import digest_file
from archive.views.change_overlay import change_overlay
from archive.views.pyramid import TILE_PX, Advance, Pyramid, write_pyramid
from archive.views.subjects import PictureFile, Subject
from archive.views.view_store import ViewPendingError, ViewStore, remove_views
from restoration.image import Picture, SrgbConversion
from tests.sample_images import ADOBE_RGB


def _ramp(height: int, width: int, channels: int, dtype: type = np.uint8) -> NDArray[Any]:
    ramp = np.linspace(0.1, 0.9, width)[None, :, None] * np.linspace(0.5, 1, height)[:, None, None]
    values = np.repeat(ramp, channels, axis=2) * np.iinfo(dtype).max
    return np.rint(values).astype(dtype).squeeze()


def _pyramid(picture: Picture, path: Path) -> Pyramid:
    shares: list[float] = []
    write_pyramid(picture, path, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return Pyramid(path)


@pytest.mark.parametrize(
    "shape", [(1, 1), (40, 48), (TILE_PX, TILE_PX), (TILE_PX + 1, 3), (3, 2 * TILE_PX + 5), (1300, 1033)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_is_the_picture_reduced(tmp_path: Path, shape: tuple[int, int], channels: int) -> None:
    source = np.atleast_2d(_ramp(*shape, channels)).reshape(*shape, channels)
    made = _pyramid(Picture.from_array(source), tmp_path / "view.tif")
    assert (made.height, made.width, made.is_grey) == (*shape, channels == 1)
    for number, level in enumerate(made.levels):
        scale = 1 << number
        assert (level.width, level.height) == (-(-shape[1] // scale), -(-shape[0] // scale))
        found = made.read(number, 0, 0, level.width, level.height).astype(float)
        repeated = np.pad(source, ((0, -shape[0] % scale), (0, -shape[1] % scale), (0, 0)), mode="edge")
        means = repeated.reshape(level.height, scale, level.width, scale, channels).mean(axis=(1, 3))
        assert np.abs(found - means).max() < 6
    assert max(made.levels[-1][:2]) <= TILE_PX
    assert tifffile.imread(tmp_path / "view.tif").shape[:2] == shape  # other software reads it too


def test_sixteen_bits_and_profiles_become_srgb(tmp_path: Path) -> None:
    grey = _pyramid(Picture.from_array(_ramp(64, 600, 1, np.uint16)), tmp_path / "grey.tif")
    row = grey.read(0, 0, 32, 512, 1)[0, :, 0].astype(int)
    assert len(set(row)) > 100  # no bands
    array = np.full((32, 32, 3), (128, 64, 200), np.uint8)
    wide = _pyramid(Picture.from_array(array, icc_profile=ADOBE_RGB), tmp_path / "wide.tif")
    conversion = SrgbConversion(ADOBE_RGB)
    expected = conversion.to_srgb((array / 255).astype(np.float32).transpose(2, 0, 1)[None])[0, :, 0, 0] * 255
    assert np.abs(wide.read(0, 0, 0, 32, 32)[16, 16] - expected).max() < 3
    assert np.abs(expected - array[0, 0]).max() > 5


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'catalogue.db'}")


def _subject(folder: Path, number: int) -> Subject:
    path = folder / f"{number}.tif"
    tifffile.imwrite(path, _ramp(80 + number, 90, 3), metadata=None)
    file = PictureFile(path=path, sha256=digest_file(path)[0])
    return Subject(
        identifier=f"master-{number}", accession_number=str(number), width=90, height=80 + number, files=(file,)
    )


def test_the_views_used_longest_ago_make_room(settings: Settings, tmp_path: Path) -> None:
    store = ViewStore(settings)
    subjects = [_subject(tmp_path, number) for number in range(4)]
    for subject in subjects[:3]:
        assert store.pyramid(subject, wait_seconds=60).height == subject.height
    kept = {path.stem: path for path in (tmp_path / "views").rglob("*.tif")}
    for age, subject in enumerate(subjects[:3]):
        os.utime(kept[subject.key], (1000 - age, 1000 - age))  # the first was used last
    store._limit = 2 * max(path.stat().st_size for path in kept.values())
    store.pyramid(subjects[3], wait_seconds=60)
    store.close()
    left = {path.stem for path in (tmp_path / "views").rglob("*.tif")}
    assert left == {subjects[0].key, subjects[3].key}


def test_a_picture_of_a_kind_that_is_not_restored_is_shown(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "cmyk.tif"
    tifffile.imwrite(path, np.full((40, 30, 4), (255, 0, 0, 0), np.uint8), photometric="separated")
    file = PictureFile(path=path, sha256=digest_file(path)[0])
    subject = Subject(identifier="master-1", accession_number="1", width=30, height=40, files=(file,))
    store = ViewStore(settings)
    pixels = store.pyramid(subject, wait_seconds=60).read(0, 0, 0, 30, 40)
    assert np.abs(pixels[20, 15].astype(int) - (0, 255, 255)).max() < 6
    store.close()


def test_a_damaged_view_is_recreated_and_a_missing_file_is_reported(settings: Settings, tmp_path: Path) -> None:
    store = ViewStore(settings)
    subject = _subject(tmp_path, 1)
    store.pyramid(subject, wait_seconds=60)
    (view,) = (tmp_path / "views").rglob("*.tif")
    view.write_bytes(b"half a vie")
    store._open.clear()
    with pytest.raises(ViewPendingError):
        store.pyramid(subject, wait_seconds=60)
    assert store.pyramid(subject, wait_seconds=60).width == 90
    lost = _subject(tmp_path, 2)
    lost.files[0].path.unlink()
    for _ in range(2):
        with pytest.raises(ViewError, match="can't be shown"):
            store.pyramid(lost, wait_seconds=60)
    store.close()


def test_views_are_removed_while_others_are_being_made(settings: Settings, tmp_path: Path) -> None:
    store = ViewStore(settings)
    store.pyramid(_subject(tmp_path, 1), wait_seconds=60)

    def build(path: Path, advance: Advance) -> None:
        with path.with_name("0.tiles").open("wb"):
            remove_views(settings)
        path.write_bytes(b"of a picture that must not be seen any more")

    with pytest.raises(ViewError):
        store.file("ab.view", build, wait_seconds=60)
    store.close()
    assert [path for path in (tmp_path / "views").rglob("*") if path.parent.name != "views"] == []


def test_several_processes_can_remove_all_views_at_once(settings: Settings, tmp_path: Path) -> None:
    for number in range(60):
        folder = tmp_path / "views" / "ab" / f".{number}.partial"
        folder.mkdir(parents=True)
        for name in range(20):
            (folder / f"{name}.tiles").write_bytes(b"half a view")
    removing = [multiprocessing.get_context("fork").Process(target=remove_views, args=(settings,)) for _ in range(3)]
    for process in removing:
        process.start()
    for process in removing:
        process.join()
    assert [process.exitcode for process in removing] == [0, 0, 0]
    assert list((tmp_path / "views" / "ab").iterdir()) == []


def test_what_a_killed_process_left_is_deleted_after_a_day(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "views" / "ab"
    old, new = folder / ".old.partial", folder / ".new.partial"
    for left in (old, new):
        left.mkdir(parents=True)
        (left / "0.tiles").write_bytes(b"half a view")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    store = ViewStore(settings)
    store.pyramid(_subject(tmp_path, 1), wait_seconds=60)
    store.close()
    assert [path.name for path in folder.iterdir()] == [".new.partial"]


def test_a_damaged_change_map_is_made_again(settings: Settings, tmp_path: Path) -> None:
    store = ViewStore(settings)
    files = tuple(_subject(tmp_path, number).files[0] for number in (0, 0))
    subject = Subject(identifier="difference-1", accession_number="1", width=90, height=80, files=files)
    made = change_overlay(store, settings, subject, wait_seconds=60)
    (view,) = (tmp_path / "views").rglob("*.changes")
    for damaged in (b"", b"no JSON\n" + made.png, view.read_bytes()[:-20]):
        view.write_bytes(damaged)
        with pytest.raises(ViewPendingError):
            change_overlay(store, settings, subject, wait_seconds=60)
        assert change_overlay(store, settings, subject, wait_seconds=60) == made
    store.close()
