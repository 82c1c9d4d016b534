"""The pages in a real browser, against a real server process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from sqlalchemy import select

from archive.accounts import add_account
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Agent, Review
from archive.catalogue.schema.vocabularies import Role
from tests.conftest import CHROMIUM
from tests.small_archive import SmallArchive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = (Path(__file__).parent / "vendored" / "axe.min.js").read_text(encoding="utf-8")
TIMEOUT_MS = 600_000  # of every wait in the browser; it is only reached when a test fails, also on a slow machine
expect.set_options(timeout=TIMEOUT_MS)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
PAGES = (
    *("/", "/items/1", "/derivatives/1", "/derivatives/4", "/queues", "/queues/1", "/queues/1/grid", "/batches"),
    *("/batches/1", "/login", "/?query=colour:red"),
)


class RunningServer:
    """``archive serve`` in a process of its own."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "archive", "--home", str(home), "serve", "--port", "0"]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # A test run in the background ignores Ctrl-C, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.base = self.address.partition("/?")[0]

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(600)


@pytest.fixture
def running(archive: SmallArchive) -> Iterator[RunningServer]:
    server = RunningServer(archive.home)
    yield server
    if server.process.poll() is None:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, running: RunningServer) -> Iterator[Page]:
    """A page that was logged in by the token; errors in its scripts fail the test."""
    yield from _logged_in(chromium, running.address)


def _logged_in(chromium: Browser, address: str, **options: Any) -> Iterator[Page]:
    options = {"viewport": {"width": 1366, "height": 768}, "reduced_motion": "reduce", **options}
    context = chromium.new_context(**options)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(address)
    yield page
    context.close()
    assert problems == []


def _wait_for_picture(page: Page, accession_number: str) -> None:
    expect(page.locator("#entry-title")).to_have_text(accession_number)
    page.wait_for_selector("#viewer[data-shown]")


def _wait_for_progress(page: Page, text: str) -> None:
    expect(page.locator("#progress-text")).to_have_text(text)


def _reviews(catalogue: Catalogue) -> list[tuple[int, str, str | None]]:
    with catalogue.reading() as session:
        rows = session.execute(select(Review.derivative_id, Review.decision, Review.reason).order_by(Review.id))
        return [(row[0], row[1].value, row[2]) for row in rows]


def test_a_queue_is_decided_by_the_keyboard(page: Page, running: RunningServer, catalogue: Catalogue) -> None:
    page.goto(f"{running.base}/queues?query=review:none")
    expect(page.locator("#query")).to_be_focused()  # a browser focuses only after the page is loaded
    page.keyboard.press("Enter")
    _wait_for_picture(page, "1906.1")
    page.keyboard.press("a")
    _wait_for_progress(page, "1 of 4")
    _wait_for_picture(page, "1906.2")
    page.keyboard.press("r")
    page.keyboard.press("3")
    _wait_for_progress(page, "2 of 4")
    _wait_for_picture(page, "1906.3")
    page.keyboard.press("s")
    _wait_for_picture(page, "1906.4")
    page.keyboard.press("a")
    _wait_for_progress(page, "3 of 4")
    page.keyboard.press("u")
    _wait_for_picture(page, "1906.4")
    _wait_for_progress(page, "2 of 4")
    expected = [(1, "accepted", None), (2, "rejected", "too smooth"), (4, "accepted", None), (4, "undone", None)]
    assert _reviews(catalogue) == expected


def test_a_picture_is_compared_in_every_mode(page: Page, running: RunningServer) -> None:
    page.goto(f"{running.base}/derivatives/1")
    page.wait_for_selector("#viewer[data-shown='1']")
    for key, mode in (("v", "side_by_side"), ("d", "difference"), ("d", "side_by_side"), ("x", "slider")):
        page.keyboard.press(key)
        page.wait_for_selector(f"#viewer[data-mode={mode}]")
    page.keyboard.down("b")
    expect(page.locator("#viewer")).to_have_class("viewer shows-scan")
    page.keyboard.up("b")
    expect(page.locator("#viewer")).to_have_class("viewer")
    page.keyboard.press("c")
    expect(page.locator(".legend.changes")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("m")
    page.locator("#comment-text").fill("the railing")
    page.get_by_role("button", name="Save the comment").click()
    expect(page.locator("#comments")).to_contain_text("the railing")


_ARE_LOADED = """
(count) => {
  const { world } = OpenSeadragon.getViewer(document.querySelector(".after .canvas"));
  const images = Array.from({ length: world.getItemCount() }, (_, number) => world.getItemAt(number));
  return images.length === count && images.every((image) => image.getFullyLoaded());
}
"""
_TWO_FRAMES = "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"


def _screenshot(page: Page, *, images: int) -> bytes:
    """The result, once the viewer has loaded and drawn this number of images, shown or not."""
    page.wait_for_function(_ARE_LOADED, arg=images)
    page.evaluate(_TWO_FRAMES)
    return page.locator(".pane.after").screenshot()


_DRAWS_NOTHING_FOR_TEN_FRAMES = """
() => {
  const { world } = OpenSeadragon.getViewer(document.querySelector(".after .canvas"));
  window.stillFrames = world.needsDraw() ? 0 : (window.stillFrames ?? 0) + 1;
  return window.stillFrames >= 10;
}
"""


def test_the_slider_draws_nothing_while_nothing_changes(page: Page, running: RunningServer) -> None:
    page.goto(f"{running.base}/derivatives/1")
    page.wait_for_selector("#viewer[data-shown='1']")
    for key, mode in (("d", "difference"), ("x", "slider")):
        page.keyboard.press(key)
        page.wait_for_selector(f"#viewer[data-mode={mode}]")
    page.wait_for_function(_DRAWS_NOTHING_FOR_TEN_FRAMES, polling="raf")


def test_a_late_answer_does_not_replace_what_is_shown(page: Page, running: RunningServer) -> None:
    held: list[Route] = []
    page.route("**/views/difference-1", lambda route: held.append(route), times=1)
    page.goto(f"{running.base}/derivatives/1")
    page.wait_for_selector("#viewer[data-shown='1']")
    page.keyboard.press("d")
    while not held:
        page.wait_for_timeout(50)
    page.keyboard.press("x")
    before = _screenshot(page, images=2)  # scan and derivative
    held[0].continue_()
    assert _screenshot(page, images=3) == before  # the difference came late and is not shown


def test_a_failed_change_map_is_requested_again(page: Page, running: RunningServer) -> None:
    page.route("**/changes", lambda route: route.fulfill(body="no JSON"), times=1)
    page.goto(f"{running.base}/derivatives/1")
    page.wait_for_selector("#viewer[data-shown='1']")
    page.keyboard.press("c")
    expect(page.locator(".preparing")).to_contain_text("can't be shown")
    page.keyboard.press("g")
    expect(page.locator(".announce")).not_to_be_empty()
    expect(page.locator(".preparing")).to_be_hidden()


def test_two_reviewers_share_a_queue(
    page: Page, chromium: Browser, running: RunningServer, catalogue: Catalogue
) -> None:
    add_account(catalogue, "anna", Role.MANAGER, "correct horse battery")
    page.goto(f"{running.base}/queues?query=review:none")
    page.get_by_role("button", name="Open").click()
    _wait_for_picture(page, "1906.1")  # the second is claimed too, to be fetched ahead
    for other in _logged_in(chromium, f"{running.base}/login"):
        other.get_by_label("Name").fill("anna")
        other.get_by_label("Password").fill("correct horse battery")
        other.get_by_role("button", name="Log in").click()
        expect(other.locator(".who")).to_contain_text("anna")
        other.goto(page.url)
        _wait_for_picture(other, "1906.3")
        page.keyboard.press("a")
        _wait_for_picture(page, "1906.2")
        other.keyboard.press("a")
        _wait_for_picture(other, "1906.4")
        expect(other.locator("#progress-text")).to_have_text("2 of 4")
    with catalogue.reading() as session:
        names = session.execute(select(Review.derivative_id, Agent.name).join(Agent).order_by(Review.derivative_id))
        assert [(row[0], row[1] == "anna") for row in names] == [(1, False), (3, True)]


def test_only_what_was_shown_in_the_grid_is_accepted_together(
    page: Page, running: RunningServer, catalogue: Catalogue
) -> None:
    page.goto(f"{running.base}/queues?query=review:none")
    page.get_by_role("button", name="Open").click()
    _wait_for_picture(page, "1906.1")
    page.get_by_role("link", name="Grid").click()
    expect(page.locator("#shown-count")).to_have_text("4 of 4 undecided shown")
    page.get_by_role("button", name="Accept all on this page").click()
    expect(page.locator("#accept-text")).to_have_text("Accept these 4 pictures?")
    page.get_by_role("button", name="Cancel").click()
    assert _reviews(catalogue) == []
    page.get_by_role("button", name="Accept all on this page").click()
    page.locator("#accept-question .accept").click()
    expect(page.locator(".badge.accepted")).to_have_count(4)
    expect(page.locator("#shown-count")).to_have_text("0 of 0 undecided shown")
    assert sorted(each[0] for each in _reviews(catalogue)) == [1, 2, 3, 4]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".badge.accepted")).to_have_count(0)
    expect(page.locator("#shown-count")).to_have_text("4 of 4 undecided shown")


def test_a_rejection_is_given_its_reason_in_place(page: Page, running: RunningServer, catalogue: Catalogue) -> None:
    page.goto(f"{running.base}/derivatives/1")
    page.locator("summary", has_text="Reject").click()
    page.locator(".choice").get_by_role("button", name="Reject").click()  # the empty field asks for a reason
    assert _reviews(catalogue) == []
    page.get_by_role("button", name="too smooth").click()
    expect(page.locator(".badge.rejected")).to_be_visible()
    assert _reviews(catalogue) == [(1, "rejected", "too smooth")]


def test_a_large_smoothed_place_is_shown_at_actual_size_and_not_as_a_difference(
    page: Page, running: RunningServer
) -> None:
    place = {"x": 0, "y": 0, "width": 700, "height": 50}
    places = {"smoothed": [place], "filled": [], "changed": []}
    answer = {"ready": True, "overlay": "data:,", "places": places}
    page.route("**/changes", lambda route: route.fulfill(json=answer))
    page.set_viewport_size({"width": 390, "height": 844})  # the picture is wider than the window
    page.goto(f"{running.base}/derivatives/1")
    page.wait_for_selector("#viewer[data-shown='1']")
    page.keyboard.press("v")
    page.keyboard.press("d")
    expect(page.locator(".legend.difference")).to_contain_text("four times amplified")
    page.keyboard.press("h")
    page.wait_for_selector("#viewer[data-mode=side_by_side]")
    expect(page.locator(".legend.difference")).to_be_hidden()
    expect(page.locator(".announce")).to_have_text("1 of 1")
    pane, marker = page.locator(".pane.after").bounding_box(), page.locator(".place").bounding_box()
    assert pane is not None
    assert marker is not None
    assert marker["width"] >= place["width"]
    assert marker["x"] < pane["x"]
    assert marker["x"] + marker["width"] > pane["x"] + pane["width"]


def test_the_note_of_a_comment_does_not_cover_the_labels(page: Page, running: RunningServer) -> None:
    page.goto(f"{running.base}/derivatives/1")
    page.wait_for_selector("#viewer[data-shown='1']")
    page.keyboard.press("m")
    form = page.locator("#comment-form").bounding_box()
    label = page.locator(".pane.after .tag.left").bounding_box()
    assert form is not None
    assert label is not None
    assert form["y"] + form["height"] <= label["y"]


def test_no_page_is_wider_than_a_phone(chromium: Browser, running: RunningServer, archive: SmallArchive) -> None:
    archive.done("withdraw", "1906.4", "--derivative", "4", "--reason", "a wish")
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "locale": "de-DE"}
    for page in _logged_in(chromium, running.address, **phone):
        page.goto(f"{running.base}/queues?query=review:none")
        page.get_by_role("button", name="Öffnen").click()
        for path in PAGES:
            page.goto(running.base + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
            for button in page.locator("button:visible, .button:visible").all():
                box = button.bounding_box()
                assert box is not None, path
                assert box["x"] >= 0, path
                assert box["x"] + box["width"] <= 390, path
        page.goto(f"{running.base}/queues/1")
        _wait_for_picture(page, "1906.1")
        page.locator("[data-key=reject]").tap()
        expect(page.get_by_text("Warum?")).to_be_visible()
        expect(page.get_by_text("Drücken Sie eine Ziffer.")).to_be_hidden()
        break  # the page of a mistaken query is answered with 400, which the browser calls an error


def test_every_page_is_accessible_in_light_and_dark(
    chromium: Browser, running: RunningServer, archive: SmallArchive
) -> None:
    archive.done("withdraw", "1906.4", "--derivative", "4", "--reason", "a wish")
    found: list[str] = []
    address = running.address
    for context_page in _logged_in(chromium, address):
        context_page.goto(f"{running.base}/queues?query=review:none")
        context_page.get_by_role("button", name="Open").click()
        _wait_for_picture(context_page, "1906.1")
        for scheme in ("light", "dark"):
            context_page.emulate_media(color_scheme=scheme)
            for path in PAGES:
                context_page.goto(running.base + path)
                if path in ("/derivatives/1", "/queues/1"):
                    context_page.wait_for_selector("#viewer[data-shown]")
                context_page.evaluate(AXE)
                context_page.evaluate(
                    "() => document.querySelectorAll('details').forEach(each => { each.open = true })"
                )
                if path == "/queues/1/grid":
                    expect(context_page.locator("#ask-accept")).to_be_enabled(timeout=30_000)
                    context_page.locator("#ask-accept").click()
                result = context_page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", WCAG)
                found += [
                    f"{scheme} {path}: {violation['id']} {node['target']} {node.get('failureSummary', '')}"
                    for violation in result["violations"]
                    for node in violation["nodes"]
                ]
        break
    assert found == []


def test_an_answered_decision_outlives_the_server(
    page: Page, running: RunningServer, archive: SmallArchive, catalogue: Catalogue
) -> None:
    answered = page.evaluate(
        """async () => {
            const token = document.querySelector('meta[name="csrf-token"]').content;
            const headers = {accept: "application/json", "x-csrf-token": token};
            const answers = [];
            for (let number = 0; number < 12; number++) {
                const fields = {decision: number % 2 ? "rejected" : "accepted", reason: `no ${number}`};
                const body = new URLSearchParams(fields);
                const answer = await fetch(`/derivatives/${1 + number % 4}/review`, {method: "POST", headers, body});
                answers.push(answer.status);
            }
            return answers;
        }"""
    )
    running.stop(signal.SIGKILL)
    assert answered == [200] * 12
    assert [reason for _, _, reason in _reviews(catalogue)] == [f"no {number}" for number in range(12)]


def test_the_server_ends_by_ctrl_c(running: RunningServer) -> None:
    assert running.address.startswith("http://127.0.0.1:")
    assert "/?token=" in running.address
    assert running.stop() in (0, 130)


_OPEN_IN_A_VIEWER = """
(tileSource) => new Promise((resolve, reject) => {
  const element = document.body.appendChild(document.createElement("div"));
  Object.assign(element.style, { position: "fixed", inset: "0", zIndex: "9" });
  const viewer = OpenSeadragon({ element, tileSources: tileSource, drawer: "canvas", showNavigationControl: false });
  viewer.addHandler("open-failed", (event) => reject(new Error(event.message)));
  viewer.addHandler("open", () => {
    const image = viewer.world.getItemAt(0);
    const drawn = () => resolve(viewer.drawer.canvas.toDataURL());
    image.addHandler("fully-loaded-change", () => viewer.addOnceHandler("animation-finish", drawn));
    image.addHandler("fully-loaded-change", () => viewer.viewport.zoomBy(0.9));
  });
})
"""


def test_a_viewer_opens_scan_and_derivative_of_an_exported_manifest(
    page: Page, archive: SmallArchive, running: RunningServer, tmp_path: Path
) -> None:
    archive.done("export", "--format", "iiif", "--output", tmp_path / "iiif", "--base-url", running.base)
    manifest = json.loads((tmp_path / "iiif" / "manifests" / "1906.1.json").read_text(encoding="utf-8"))
    choice = manifest["items"][0]["items"][0]["items"][0]["body"]
    page.goto(f"{running.base}/derivatives/1")  # a page that has the viewer's script
    page.wait_for_selector("#viewer[data-shown='1']")
    shown = [page.evaluate(_OPEN_IN_A_VIEWER, f"{each['service'][0]['id']}/info.json") for each in choice["items"]]

    assert [each["label"]["none"][0][:18] for each in choice["items"]] == ["Digitally restored", "Scan"]
    assert len(set(shown)) == 2, "the scan and the derivative look different"
