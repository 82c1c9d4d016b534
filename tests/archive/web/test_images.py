"""The IIIF Image API over the view pyramids of real files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from archive.views.iiif_request import MAXIMUM_AREA, RequestError, describe_image, parse_request
from tests.archive.web.conftest import Browser, Server
from tests.fake_models import wait_until
from tests.small_archive import SmallArchive, change_one_byte

PICTURE = "/iiif/3/derivative-1"  # 700 x 50 px


def _image(browser: Browser, path: str) -> Image.Image:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def test_a_picture_is_described_with_its_tiles(server: Server) -> None:
    browser = server.logged_in()
    leads = browser.get(PICTURE)
    assert (leads.status_code, leads.headers["location"]) == (303, f"{PICTURE}/info.json")
    answer = browser.get(f"{PICTURE}/info.json")
    assert answer.headers["access-control-allow-origin"] == "*"
    info = answer.json()
    assert info["id"] == f"http://127.0.0.1:8600{PICTURE}"
    assert (info["type"], info["profile"], info["width"], info["height"]) == ("ImageService3", "level2", 700, 50)
    assert info["tiles"] == [{"width": 512, "height": 512, "scaleFactors": [1, 2]}]
    linked = browser.get(f"{PICTURE}/info.json", headers={"accept": "application/ld+json"})
    assert linked.headers["content-type"].startswith("application/ld+json")


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ("full/max/0/default.jpg", (700, 50)),
        ("square/max/0/color.png", (50, 50)),
        ("10,20,100,20/max/0/default.png", (100, 20)),
        ("pct:50,0,50,100/max/0/default.jpg", (350, 50)),
        ("650,0,100,50/max/0/default.jpg", (50, 50)),  # cut at the edge
        ("full/350,/0/default.jpg", (350, 25)),
        ("full/,10/0/default.jpg", (140, 10)),
        ("full/pct:10/0/default.jpg", (70, 5)),
        ("full/!100,100/0/default.jpg", (100, 7)),
        ("full/20,30/90/default.jpg", (30, 20)),
        ("full/max/180/gray.jpg", (700, 50)),
        ("full/max/!270/default.png", (50, 700)),
        ("full/350,/0/bitonal.png", (350, 25)),
        ("512,0,188,50/188,50/0/default.jpg", (188, 50)),
    ],
)
def test_regions_sizes_and_rotations(server: Server, parameters: str, size: tuple[int, int]) -> None:
    image = _image(server.logged_in(), f"{PICTURE}/{parameters}")
    assert image.size == size
    assert image.mode == ("L" if "gray" in parameters or "bitonal" in parameters else "RGB")


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ("0,0,0,0/max/0/default.jpg", 400),
        ("700,0,10,10/max/0/default.jpg", 400),
        ("1.5,0,10,10/max/0/default.jpg", 400),
        ("full/701,/0/default.jpg", 400),
        ("full/pct:101/0/default.jpg", 400),
        ("full/0,/0/default.jpg", 400),
        ("full/,/0/default.jpg", 400),
        ("full/^max/0/default.jpg", 501),
        ("full/max/45/default.jpg", 501),
        ("full/max/400/default.jpg", 400),
        ("full/max/0/sepia.jpg", 400),
        ("full/max/0/default.tif", 400),
        ("full/max/0/default", 400),
    ],
)
def test_wrong_requests_say_so(server: Server, parameters: str, status: int) -> None:
    assert server.logged_in().get(f"{PICTURE}/{parameters}").status_code == status


def test_pixels_are_those_of_the_file(server: Server, archive: SmallArchive) -> None:
    browser = server.logged_in()
    with Image.open(archive.scans / "a.tif") as scan:
        wanted = np.asarray(scan.convert("RGB"), dtype=float)
    whole = np.asarray(_image(browser, "/iiif/3/master-1/full/max/0/default.png"), dtype=float)
    assert np.abs(whole - wanted).mean() < 4  # JPEG of quality 95, without subsampling
    part = np.asarray(_image(browser, "/iiif/3/master-1/100,10,200,30/max/90/default.png"), dtype=float)
    assert np.array_equal(part, np.rot90(whole[10:40, 100:300], -1))
    half = np.asarray(_image(browser, "/iiif/3/master-1/full/350,25/0/default.png"), dtype=float)
    assert np.abs(half - whole.reshape(25, 2, 350, 2, 3).mean(axis=(1, 3))).mean() < 4


def test_the_difference_is_grey_where_nothing_changed(server: Server) -> None:
    browser = server.logged_in()
    before, after = (
        np.asarray(_image(browser, f"/iiif/3/{name}/full/max/0/default.png"), dtype=float)
        for name in ("master-1", "derivative-1")
    )
    shown = np.asarray(_image(browser, "/iiif/3/difference-1/full/max/0/default.png"), dtype=float)
    expected = np.clip(127.5 + 4 * (after - before), 0, 255)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.8

    def changes() -> Any:
        return browser.get("/derivatives/1/changes").json()

    wait_until(lambda: (answer := changes())["ready"] or not 0 <= answer["share"] < 1)
    made = changes()
    assert made["overlay"].startswith("data:image/png;base64,")
    assert set(made["places"]) == {"filled", "smoothed", "changed"}


def test_a_view_is_made_again_and_never_of_other_bytes(server: Server, archive: SmallArchive) -> None:
    browser = server.logged_in()
    wait_until(lambda: browser.get("/views/master-4").json()["ready"])
    kept = [path for path in (archive.home / "views").rglob("*") if path.is_file()]
    assert [path.suffix for path in kept] == [".tif"]
    (master,) = (archive.home / "masters" / "1906.4").iterdir()
    change_one_byte(master)
    assert browser.get("/iiif/3/master-4/full/max/0/default.jpg").status_code == 200
    kept[0].unlink()
    server.views._open.clear()
    answer = browser.get("/iiif/3/master-4/full/max/0/default.jpg", headers={"accept": "application/json"})
    assert answer.status_code == 409
    assert "SHA-256" in answer.json()["error"]


def test_large_answers_are_refused() -> None:
    side = 40_000
    description = describe_image("https://example.org/1", side, side)
    assert description["maxArea"] == MAXIMUM_AREA
    assert all(size["width"] * size["height"] <= MAXIMUM_AREA for size in description["sizes"])
    whole = parse_request("full", "max", "0", "default", "jpg", width=side, height=side)
    assert whole.size[0] * whole.size[1] <= MAXIMUM_AREA
    with pytest.raises(RequestError):
        parse_request("full", "20000,20000", "0", "default", "jpg", width=side, height=side)


PART = st.text(st.sampled_from("0123456789,.:!^pctfulmaxsqr-%/\\ \x00é"), min_size=1, max_size=24)
NUMBER = st.one_of(st.integers(-10, 10**12).map(str), st.floats().map(str))


@given(region=PART | st.lists(NUMBER, min_size=4, max_size=4).map(",".join), size=PART, rotation=PART | NUMBER)
def test_any_request_is_worked_out_or_refused(region: str, size: str, rotation: str) -> None:
    try:
        found = parse_request(region, size, rotation, "default", "jpg", width=3000, height=2000)
    except RequestError:
        return
    assert 0 <= found.x < found.x + found.width <= 3000
    assert 0 <= found.y < found.y + found.height <= 2000
    assert 1 <= found.size[0] <= found.width
    assert 1 <= found.size[1] <= found.height
