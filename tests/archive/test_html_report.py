"""The report: one file that needs no network, shows before and after, and keeps what isn't open out of sight."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from playwright.sync_api import sync_playwright

from archive.catalogue import Catalogue
from archive.errors import QueryError, StorageError, UsageError
from archive.report import change_map, mean_gain, quality_gains, write_report
from archive.report.change_map import repairs_damage
from archive.settings import load_settings
from tests.small_archive import MODEL, SmallArchive, command, write_model, write_scan

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class _Elements(HTMLParser):
    """Collects all elements with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def archive(tmp_path: Path) -> SmallArchive:
    """An open item with a clean reference and a restricted one, both restored."""
    small = SmallArchive(home=tmp_path / "home", scans=tmp_path / "scans")
    assert command("init", small.home).code == 0
    small.done("model", "add", write_model(tmp_path / "model"))
    small.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
    write_scan(small.scans / "a.tif", seed=1)
    write_scan(small.scans / "b.tif", seed=2)
    write_scan(small.scans / "references" / "a.tif", seed=3)
    (small.scans / "items.csv").write_text(
        "filename,accession_number,title,access,reference,rights,date\n"
        "a.tif,1906.1,<script>alert('1906')</script>,open,references/a.tif,CC0,ca. 1906\n"
        "b.tif,1906.2,Hidden,restricted,,CC0,\n",
        encoding="utf-8",
    )
    small.done("ingest", small.scans)
    small.done("restore")
    return small


@pytest.fixture
def catalogue(archive: SmallArchive) -> Catalogue:
    return Catalogue.open(load_settings(archive.home))


def _written(catalogue: Catalogue, path: Path, query: str | None = None, *, include_restricted: bool = False) -> str:
    write_report(catalogue, query, path, include_restricted=include_restricted)
    return path.read_text(encoding="utf-8")


def test_it_loads_nothing_from_elsewhere(catalogue: Catalogue, tmp_path: Path) -> None:
    text = _written(catalogue, tmp_path / "report.html")
    page = _Elements(text)

    assert not page.named("link")
    assert all("src" not in attributes for attributes in page.named("script"))
    assert all(re.match("data:image/(jpeg|png);base64,", str(image["src"])) for image in page.named("img"))
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"base64,[^\"]+", "", text))
    assert "@import" not in text


def test_it_shows_before_and_after_under_a_slider_for_keyboards_and_readers(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    page = _Elements(_written(catalogue, tmp_path / "report.html"))

    assert [image["class"] for image in page.named("img") if "class" in image] == ["before", "after", "changes"]
    assert all(image["alt"] for image in page.named("img"))
    (slider,) = page.named("input")
    assert slider["type"] == "range"
    assert slider["aria-label"]
    assert "← only afteronly before →" in page.text
    assert page.named("html")[0]["lang"] == "en"


def test_it_has_the_date_in_the_words_of_the_table(catalogue: Catalogue, tmp_path: Path) -> None:
    assert " · ca. 1906" in _Elements(_written(catalogue, tmp_path / "report.html")).text


def test_the_report_shows_a_change_map_with_its_figures_as_text(
    archive: SmallArchive, catalogue: Catalogue, tmp_path: Path
) -> None:
    page = _Elements(_written(catalogue, tmp_path / "report.html"))
    (image,) = [each for each in page.named("img") if each.get("class") == "changes"]
    text = " ".join(page.text.split())
    (share,) = [
        score["value"]
        for score in archive.show("1906.1")["derivatives"][0]["quality"]
        if score["metric"] == "changed_share"
    ]
    told = f"{100 * share:.1f} % of the picture changed by more than 8 of 255 levels; no filled-in place was found."

    assert told in text
    assert str(image["alt"]).endswith(told)
    with _decoded(str(image["src"])) as shown:
        assert (shown.format, shown.size) == ("PNG", (48, 40))
    assert "filled in hardly changed changed by more than 4 8 16 32 of 255 levels, on average" in text
    assert "stood out by more than 24 of 255 levels" in text
    assert "was not asked to repair damage" not in text


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_damage_that_was_filled_in_is_marked_and_said_where_nobody_asked_for_it(
    archive: SmallArchive,
    catalogue: Catalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_asked_for: bool,
) -> None:
    monkeypatch.setattr(change_map, "repairs_damage", lambda _: is_asked_for)
    (derivative,) = archive.show("1906.1")["derivatives"]
    clean = np.full((40, 48, 3), 100, np.uint8)
    scratched = clean.copy()
    scratched[:, 20] = 220
    # The files' digests are not looked at here, only what they show.
    tifffile.imwrite(archive.scans / "a.tif", scratched, photometric="rgb")
    path = Path(derivative["path"])
    path.chmod(0o644)
    tifffile.imwrite(path, clean, photometric="rgb")
    page = _Elements(_written(catalogue, tmp_path / "report.html"))
    (image,) = [each for each in page.named("img") if each.get("class") == "changes"]
    with _decoded(str(image["src"])) as shown:
        colours = np.asarray(shown.convert("RGB"))

    assert (colours[:, 20] == (0xE6, 0x61, 0x00)).all()
    assert (np.ptp(np.delete(colours, range(11, 30), axis=1).astype(int), axis=2) == 0).all(), "grey where not changed"
    assert "2.08 % was filled in" in str(image["alt"])
    assert ("was not asked to repair damage" in page.text) == (not is_asked_for)


@pytest.mark.parametrize(
    ("parameters", "does"),
    [({}, True), ({"repair": ["noise", "damage"]}, True), ({"repair": ["noise"]}, False), ({"repair": "noise"}, False)],
)
def test_a_recipe_without_a_repair_parameter_repairs_damage_too(parameters: dict[str, object], does: bool) -> None:
    stage = {"task": "restoration", "model": MODEL, "version": "1.0", "parameters": parameters}
    style = {"task": "style", "model": "autumn", "version": "1.0", "parameters": {}}

    assert repairs_damage({"stages": [stage, style]}) is does


def test_it_says_digitally_restored_by_what_how_well_and_what_happened(catalogue: Catalogue, tmp_path: Path) -> None:
    text = " ".join(_Elements(_written(catalogue, tmp_path / "report.html")).text.split())

    assert f"Digitally restored by {MODEL} 9.0 (strength 1)" in text
    assert "psnr of the derivative against the clean reference (how good it is)" in text
    assert "psnr of the derivative against the master (how much was changed)" in text
    assert "structural_similarity" in text
    assert "ingestion" in text
    assert "derivation" in text
    assert "Rights: CC0" in text


def test_the_scores_are_in_one_line_and_the_table_is_folded_away(catalogue: Catalogue, tmp_path: Path) -> None:
    text = _written(catalogue, tmp_path / "report.html")
    (line,) = re.findall(r'<p class="scores">(.*)</p>', text)
    assert re.fullmatch(
        r"PSNR [\d.]+ dB \(scan [\d.]+ dB\), SSIM [\d.]+ \(scan [\d.]+\) against the clean reference · "
        r"PSNR [\d.]+ dB, SSIM [\d.]+ against the scan",
        line,
    )
    assert text.index("<details>\n<summary>All scores") < text.index("<caption>Quality scores")


def test_it_shows_places_at_100_per_cent_unless_they_are_left_out(
    archive: SmallArchive, catalogue: Catalogue, tmp_path: Path
) -> None:
    page = _Elements(_written(catalogue, tmp_path / "report.html"))
    crops = [image for image in page.named("img") if str(image["alt"]).endswith(("most detail", "digitally restored"))]
    scan = tifffile.imread(archive.scans / "a.tif")
    with _decoded(str(next(image["src"] for image in crops if "most detail" in str(image["alt"])))) as shown:
        assert np.array_equal(np.asarray(shown), scan)  # it is smaller than a crop

    small = tmp_path / "small.html"
    archive.done("report", "--output", small, "--no-crops")
    assert "At 100 %" not in small.read_text(encoding="utf-8")
    assert small.stat().st_size < (tmp_path / "report.html").stat().st_size


def test_several_pictures_have_a_list_of_contents_with_thumbnails(
    archive: SmallArchive, catalogue: Catalogue, tmp_path: Path
) -> None:
    archive.done("review", "1906.2", "--accept")
    page = _Elements(_written(catalogue, tmp_path / "report.html", include_restricted=True))
    lines = [line for line in page.named("li") if "data-number" in line]
    assert [(line["data-number"], line["data-review"], "data-filled" in line) for line in lines] == [
        ("1", "none", False),
        ("2", "accepted", False),
    ]
    assert "<script>" in str(lines[0]["data-words"])
    assert {link["href"] for link in page.named("a")} == {"#h1", "#h2"}
    thumbnails = [image for image in page.named("img") if image.get("loading") == "lazy"]
    with _decoded(str(thumbnails[1]["src"])) as shown:
        assert (shown.format, shown.size) == ("JPEG", (48, 40))


def test_what_a_spreadsheet_says_is_text_and_not_html(catalogue: Catalogue, tmp_path: Path) -> None:
    page = _Elements(_written(catalogue, tmp_path / "report.html"))

    assert len(page.named("script")) == 1
    assert "<script>alert('1906')</script>" in page.text


def test_only_open_items_enter_unless_asked(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "report.html"

    assert "Hidden" not in _written(catalogue, path)
    shown = _written(catalogue, path, include_restricted=True)
    assert "Hidden" in shown
    assert "access: restricted" in shown


def test_a_query_chooses(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "report.html"

    assert write_report(catalogue, "accession_number:1906.1", path) == (1, 1, 0, 0)
    assert write_report(catalogue, "accession_number:nothing", path) == (0, 0, 0, 0)
    assert "No restored photograph was found" in path.read_text(encoding="utf-8")
    with pytest.raises(QueryError):
        write_report(catalogue, "nosuchfield:1", path)


def test_an_unreadable_picture_is_replaced_by_its_error(catalogue: Catalogue, archive: SmallArchive) -> None:
    (archive.scans / "a.tif").unlink()
    text = _written(catalogue, archive.home / "report.html")

    assert "can’t be shown" in text
    assert "data:image" not in text
    assert list(archive.home.glob(".*")) == []


def test_an_unfinished_report_leaves_nothing_behind(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    _written(catalogue, folder / "report.html")

    assert [path.name for path in folder.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("scans/a.tif", UsageError),
        ("home/catalogue.db", UsageError),
        ("report", UsageError),
        ("thesis.html", StorageError),
        ("link.html", StorageError),
    ],
)
def test_no_file_but_a_report_is_written_over(
    catalogue: Catalogue, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    (tmp_path / "thesis.html").write_text("<!DOCTYPE html>\n<title>Mine</title>", encoding="utf-8")
    (tmp_path / "link.html").symlink_to(tmp_path / "scans" / "a.tif")
    path = tmp_path / name
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(error):
        write_report(catalogue, None, path)

    assert (path.read_bytes() if path.exists() else None) == before
    assert path.is_symlink() == (name == "link.html")


def test_a_report_takes_the_place_of_an_earlier_one(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "report.HTM"
    first = _written(catalogue, path)

    assert _written(catalogue, path, include_restricted=True) != first


def test_gains_are_those_against_the_clean_reference(catalogue: Catalogue, archive: SmallArchive) -> None:
    (gain,) = quality_gains(catalogue, None)
    scores = {
        (score["metric"], score["image"]): score["value"]
        for score in archive.show("1906.1")["derivatives"][0]["quality"]
        if score["compared_with"] == "reference"
    }

    assert gain.accession_number == "1906.1"
    assert (gain.psnr_before, gain.psnr_after) == (scores["psnr", "source"], scores["psnr", "derivative"])
    assert mean_gain([gain]) == (1, gain.psnr_after - gain.psnr_before, gain.ssim_after - gain.ssim_before)
    assert mean_gain([]) is None


def _decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def _in_chromium(page: Path, *options: str) -> str:
    """Opens the page in headless Chromium; returns what it prints."""
    assert CHROMIUM is not None
    profile = page.with_suffix(".profile")
    command_line = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    done = subprocess.run([*command_line, *options, page.as_uri()], capture_output=True, check=True, timeout=600)
    return done.stdout.decode()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_runs_the_script_and_positions_the_slider(catalogue: Catalogue, tmp_path: Path) -> None:
    _written(catalogue, tmp_path / "report.html")
    page = _in_chromium(tmp_path / "report.html", "--dump-dom")

    assert '<html lang="en" class="live">' in page
    assert 'style="--cut: 50%;"' in page


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_picture_can_be_dragged_and_the_contents_filtered(
    archive: SmallArchive, catalogue: Catalogue, tmp_path: Path
) -> None:
    archive.done("review", "1906.2", "--accept")
    _written(catalogue, tmp_path / "report.html", include_restricted=True)
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=600_000)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(600_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "report.html").as_uri())
        pair, slider = page.locator(".pair").first, page.locator(".slider input").first
        pair.scroll_into_view_if_needed()
        box, width = pair.bounding_box(), page.evaluate("document.querySelector('main').clientWidth")
        assert box is not None
        assert box["width"] == pytest.approx(min(width, 0.92 * 900 * 48 / 40), abs=1)
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
        page.mouse.up()
        page.mouse.move(box["x"], box["y"] + 20)
        assert float(slider.input_value()) == pytest.approx(25, abs=1)
        cut = pair.evaluate("pair => parseFloat(pair.style.getPropertyValue('--cut'))")
        assert cut == pytest.approx(25, abs=1)
        slider.fill("0")
        assert (
            pair.evaluate("pair => getComputedStyle(pair.querySelector('.over')).clipPath") == "inset(0px 0px 0px 0%)"
        )

        page.locator("[name=review]").select_option("accepted")
        assert page.locator("[role=status]").inner_text() == "1 of 2 shown"
        assert [each.is_visible() for each in page.locator("article").all()] == [False, True]
        page.locator("[name=review]").select_option("")
        page.locator("[name=words]").fill("hid")
        assert [each.is_visible() for each in page.locator(".contents li").all()] == [False, True]
        page.emulate_media(media="print")
        before, after = (page.locator(f"img.{side}").nth(1).bounding_box() for side in ("before", "after"))
        assert before is not None
        assert after is not None
        assert before["x"] + before["width"] <= after["x"]
        assert not page.locator(".slider").nth(1).is_visible()
        browser.close()
    assert errors == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_the_pictures(catalogue: Catalogue, tmp_path: Path) -> None:
    _written(catalogue, tmp_path / "report.html")
    screenshot = tmp_path / "page.png"
    _in_chromium(tmp_path / "report.html", "--window-size=1000,1200", f"--screenshot={screenshot}")

    with Image.open(screenshot) as image:
        assert image.size == (1000, 1200)
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 1000
