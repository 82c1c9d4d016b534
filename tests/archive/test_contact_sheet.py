"""Contact sheets: crops of a sample, pixel for pixel, that show only what may be shown."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from archive.report.preview_images import crop_data_url
from archive.settings import SETTINGS_NAME
from restoration.image import Area, Picture
from tests.small_archive import MODEL, SmallArchive, command, write_model, write_scan

_IMAGE = re.compile(r'<img src="data:image/png;base64,([^"]+)"[^>]*alt="(Before|After)')
_CAPTION = re.compile(r"(\d+) × (\d+) px at (\d+), (\d+)</figcaption>")


def _decoded(url: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(url.rpartition(",")[2]))) as image:
        return np.asarray(image)


def _pictures(page: str) -> list[NDArray[np.uint8]]:
    """Before, after, before, after …"""
    found = _IMAGE.findall(page)
    assert [side for _, side in found] == ["Before", "After"] * (len(found) // 2)
    return [_decoded(url) for url, _ in found]


def _areas(page: str) -> list[Area]:
    """The places that captions name."""
    return [
        Area(x=int(x), y=int(y), width=int(width), height=int(height)) for width, height, x, y in _CAPTION.findall(page)
    ]


@pytest.fixture
def archive(tmp_path: Path) -> SmallArchive:
    """Three masters: one of 8 bits with a picture area, one of 16 bits, and a restricted one."""
    small = SmallArchive(home=tmp_path / "home", scans=tmp_path / "scans")
    assert command("init", small.home).code == 0
    small.done("model", "add", write_model(tmp_path / "model"))
    small.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
    write_scan(small.scans / "a.tif", seed=1, width=900, height=700)
    write_scan(small.scans / "b.tif", seed=2, bits=16, grey=True)
    write_scan(small.scans / "c.tif", seed=3)
    (small.scans / "items.csv").write_text(
        "filename,accession_number,title,access,picture_area,collection\n"
        "a.tif,1906.1,A <b>street</b>,open,100 50 700 600,Lange\n"
        "b.tif,1906.2,A house,open,,Loans\n"
        "c.tif,1906.3,Hidden,restricted,,Loans\n",
        encoding="utf-8",
    )
    small.done("ingest", small.scans)
    return small


def _page(archive: SmallArchive, batch: int) -> str:
    (path,) = (archive.home / "samples").glob(f"batch-{batch}_*.html")
    return path.read_text(encoding="utf-8")


def test_crops_are_the_pixels_of_master_and_derivative_side_by_side(archive: SmallArchive) -> None:
    answer = archive.done("restore", "accession_number:1906.1", "--sample", "1")
    page = _page(archive, 1)
    item = archive.show("1906.1")
    before, after = (tifffile.imread(each["path"]) for each in (item["masters"][0], item["derivatives"][0]))
    pictures, areas = _pictures(page), _areas(page)
    assert (len(pictures), len(areas)) in ((4, 2), (6, 3))
    for place, area in enumerate(areas):
        assert 100 <= area.x <= 800 - area.width
        assert 50 <= area.y <= 650 - area.height
        window = np.s_[area.y : area.y + area.height, area.x : area.x + area.width]
        np.testing.assert_array_equal(pictures[2 * place], before[window])
        np.testing.assert_array_equal(pictures[2 * place + 1], after[window])
    assert str(archive.home / "samples") in answer.output


def test_each_master_is_shown_with_its_recipe_and_scores(archive: SmallArchive) -> None:
    archive.done("restore", "--sample", "3", "--seed", "7", "--strength", "0.5")
    page = _page(archive, 1)
    scores = {
        score["metric"]: score["value"]
        for score in archive.show("1906.2")["derivatives"][0]["quality"]
        if score["compared_with"] == "source"
    }
    assert f"{MODEL} 9.0 (strength 0.5)" in page
    assert f"{scores['psnr']:.2f} dB" in page
    assert f"{scores['ssim']:.4f}" in page
    assert "drawn with seed 7" in page
    assert "A &lt;b&gt;street&lt;/b&gt;" in page
    assert "1906.2 (1), most detail" in page


def test_only_open_items_are_shown_unless_asked_and_the_others_are_counted(archive: SmallArchive) -> None:
    answer = archive.done("restore", "--sample", "3")
    assert "2 masters" in next(line for line in answer.output.splitlines() if "contact sheet" in line)
    assert "1 master of the sample left out of the sheet" in answer.errors
    page = _page(archive, 1)
    assert "1 master is left out" in page
    assert "Hidden" not in page
    assert archive.show("1906.3")["derivatives"]  # it is restored like any other

    archive.done("restore", "--sample", "3", "--strength", "0.5", "--include-restricted")
    assert "Hidden" in _page(archive, 2)
    assert "access: restricted" in _page(archive, 2)


def test_a_query_which_may_name_persons_is_not_shown_where_names_are_withheld(archive: SmallArchive) -> None:
    query = 'NOT operator:"B. Operator"'
    archive.done("restore", query, "--sample", "1")
    assert "B. Operator" in _page(archive, 1)
    (archive.home / SETTINGS_NAME).write_text("publish_names = false\n")
    archive.done("restore", query, "--sample", "1", "--strength", "0.5")
    assert "B. Operator" not in _page(archive, 2)


def test_sheets_of_two_settings_show_the_same_places(archive: SmallArchive) -> None:
    for strength in ("1", "0.25"):
        archive.done("restore", "--sample", "2", "--seed", "3", "--strength", strength)
    first, second = _page(archive, 1), _page(archive, 2)
    assert _areas(first) == _areas(second)
    befores = [[picture.tobytes() for picture in _pictures(page)[::2]] for page in (first, second)]
    assert befores[0] == befores[1]


def test_a_planned_sample_gets_its_sheet_when_it_is_run_and_again_when_it_is_asked_for(archive: SmallArchive) -> None:
    planned = archive.done("restore", "--sample", "2", "--plan")
    assert "Sample: 2 of 3 masters, drawn with seed 0" in planned.output
    assert not (archive.home / "samples").exists()
    archive.done("batch", "resume", "1")
    (sheet,) = (archive.home / "samples").iterdir()
    sheet.unlink()
    assert str(sheet) in archive.done("batch", "resume", "1").output
    assert sheet.exists()


def test_a_dry_run_names_the_masters_and_writes_nothing(archive: SmallArchive) -> None:
    told = archive.done("restore", "--sample", "2", "--seed", "1", "--dry-run").output
    named = re.findall(r"^  (1906\.\d) \(1\)", told, re.MULTILINE)
    assert len(named) == 2
    assert archive.done("batch", "list", "--format", "json").json() == []
    archive.done("restore", "--sample", "2", "--seed", "1")
    assert [row["accession_number"] for row in archive.done("list", "batch:1", "--format", "json").json()] == named


def test_a_failed_master_is_listed_with_the_reason(archive: SmallArchive) -> None:
    (archive.scans / "b.tif").write_bytes(b"another file")
    assert archive.run("restore", "--sample", "3").code == 3
    page = _page(archive, 1)
    assert "It could not be restored" in page
    assert "SHA-256" in page
    assert _pictures(page)  # of the others


def test_an_unreadable_master_is_replaced_by_its_error(archive: SmallArchive) -> None:
    archive.done("restore", "--sample", "2")
    for scan in archive.scans.glob("*.tif"):
        scan.unlink()
    archive.done("batch", "resume", "1")
    assert "The crops can’t be shown" in _page(archive, 1)


def test_a_sheet_loads_nothing_from_elsewhere_and_a_run_without_a_sample_makes_none(archive: SmallArchive) -> None:
    archive.done("restore", "--sample", "1")
    page = _page(archive, 1)
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"base64,[^\"]+", "", page))
    assert "<link" not in page
    archive.done("restore")
    assert len(list((archive.home / "samples").iterdir())) == 1


@pytest.mark.parametrize(
    "options", [["--seed", "1"], ["--include-restricted"], ["--sample", "0"], ["--sample", "1", "--seed", "-1"]]
)
def test_a_seed_without_a_sample_is_wrong_usage(archive: SmallArchive, options: list[str]) -> None:
    assert archive.run("restore", *options).code == 2
    assert archive.done("batch", "list", "--format", "json").json() == []


def test_crops_show_colours_as_their_profile_means_them(tmp_path: Path) -> None:
    standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A colour space in which the first channel means sRGB's green and the second its red.
    swapped = standard.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    pixels = np.full((32, 32, 3), (200 * 257, 100 * 257, 50 * 257), np.uint16)
    tifffile.imwrite(tmp_path / "colour.tif", pixels, iccprofile=swapped, photometric="rgb")
    with Picture.open(tmp_path / "colour.tif") as picture:
        shown = _decoded(crop_data_url(picture, Area(x=8, y=4, width=10, height=6)))
    assert shown.shape == (6, 10, 3)
    assert np.abs(shown.astype(float) - (100, 200, 50)).max() < 3
