"""What the pages show of withdrawn derivatives, of access, and of decisions made in the grid."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Review
from archive.catalogue.schema.vocabularies import Role
from archive.review_queue import DECIDED_IN_GRID, open_queue
from tests.archive.web.conftest import Browser, Server
from tests.small_archive import SmallArchive


def _german(server: Server, role: Role = Role.MANAGER) -> Browser:
    browser = server.logged_in(role)
    browser.headers["accept-language"] = "de"
    return browser


def _decisions(catalogue: Catalogue) -> list[tuple[int, str, str | None]]:
    with catalogue.reading() as session:
        rows = session.execute(select(Review.derivative_id, Review.decision, Review.reason).order_by(Review.id))
        return [(row[0], row[1].value, row[2]) for row in rows]


def test_a_withdrawn_derivative_is_named_and_neither_shown_nor_decided(
    server: Server, archive: SmallArchive, catalogue: Catalogue
) -> None:
    queue = open_queue(catalogue, "review:none", "accession_number")
    archive.done(
        "withdraw", "1906.1", "--derivative", "1", "--reason", "a wish of the family", "--reviewer", "B. Keeper"
    )
    browser = _german(server)
    item, derivative = browser.get("/items/1").text, browser.get("/derivatives/1").text
    for page in (item, derivative):
        assert "zurückgezogen" in page
        assert "B. Keeper" in page
        assert "a wish of the family" in page
        assert "derivative-1/" not in page
    assert "picture_viewer" not in derivative
    assert "openseadragon" not in derivative
    assert "/derivatives/1/review" not in derivative
    assert "/derivatives/1/withdraw" not in derivative
    assert "zurückgezogen" in browser.get("/").text
    assert "1906.1<" not in browser.get(f"/queues/{queue}/grid").text
    entries = browser.post(f"/queues/{queue}/next", data={"csrf_token": browser.csrf_token()}).json()["entries"]
    assert [each["picture"]["accession_number"] for each in entries] == ["1906.2", "1906.3"]
    assert browser.submit("/derivatives/1/review", decision="accepted")[0] == 400


def test_a_manager_withdraws_with_a_reason_and_a_reviewer_cannot(server: Server, archive: SmallArchive) -> None:
    file = archive.show("1906.1")["derivatives"][0]["path"]
    manager, reviewer = server.logged_in(), server.logged_in(Role.REVIEWER)
    assert "/derivatives/1/withdraw" in manager.get("/derivatives/1").text
    assert "/derivatives/1/withdraw" not in reviewer.get("/derivatives/1").text
    assert reviewer.submit("/derivatives/1/withdraw", reason="a wish")[0] == 403
    assert manager.submit("/derivatives/1/withdraw", reason=" ")[0] == 400
    status, page = manager.submit("/derivatives/1/withdraw", reason="a wish")
    shown = archive.show("1906.1")["derivatives"][0]
    assert status == 200
    assert "still hold the picture" in page
    assert (shown["withdrawn"]["reason"], shown["withdrawn"]["person"]) == ("a wish", "A. Curator")
    assert shown["path"] == file
    assert not archive.home.joinpath(file).exists()


def test_a_withdrawal_whose_file_cannot_be_deleted_says_so_in_the_language_of_the_page(
    server: Server, archive: SmallArchive
) -> None:
    path = archive.home / archive.show("1906.1")["derivatives"][0]["path"]
    path.unlink()
    path.mkdir()  # a folder can't be deleted as a file, not even by root
    status, page = _german(server).submit("/derivatives/1/withdraw", reason="a wish")
    assert status >= 400
    assert f"{path} kann nicht gelöscht werden (englische Meldung): " in page
    assert "archive verify" in page


def test_restricted_and_sensitive_pictures_are_marked_everywhere(server: Server, catalogue: Catalogue) -> None:
    queue = open_queue(catalogue, "access:sensitive", "accession_number")
    browser = _german(server)
    for path in ("/", "/items/3", "/derivatives/3", f"/queues/{queue}/grid"):
        assert "⚠ sensibel" in browser.get(path).text, path
    for path in ("/items/1", "/derivatives/1"):
        assert "⚠" not in browser.get(path).text, path
    answer = browser.post(f"/queues/{queue}/next", data={"csrf_token": browser.csrf_token()}).json()
    picture: dict[str, Any] = answer["entries"][0]["picture"]
    assert picture["access"] == "sensibel"
    assert picture["facts"] == [["Datum", "190X"], ["Rechte", "CC0"]]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_the_items_have_filters_that_the_role_can_use(server: Server, role: Role) -> None:
    browser = server.logged_in(role)
    page = browser.get("/").text
    for query in ("status%3Aunrestored", "status%3Arefused", "status%3Awithdrawn"):
        assert f"/?query={query}" in page
        assert browser.get(f"/?query={query}").status_code == 200
    assert ("Restricted or sensitive" in page) is (role is Role.REVIEWER)
    found = browser.get("/?query=access:restricted+OR+access:sensitive").text
    assert ("1906.2" in found) is (role is Role.REVIEWER)


def test_a_rejection_is_asked_for_its_reason_on_the_page(server: Server, catalogue: Catalogue) -> None:
    browser = _german(server)
    page = browser.get("/derivatives/1").text
    assert '<button name="reason" value="too smooth">zu glatt</button>' in page
    status, answer = browser.submit("/derivatives/1/review", decision="rejected")
    assert (status, "Eine Ablehnung braucht einen Grund" in answer) == (400, True)
    assert browser.submit("/derivatives/1/review", decision="rejected", reason="too smooth")[0] == 303
    assert _decisions(catalogue) == [(1, "rejected", "too smooth")]
    assert "<q>zu glatt</q>" in browser.get("/derivatives/1").text
    assert "abgelehnt, SHA-256" in browser.get("/items/1").text


def test_decisions_in_the_grid_say_so_and_can_be_undone_there(server: Server, catalogue: Catalogue) -> None:
    queue = open_queue(catalogue, "review:none", "accession_number")
    browser = server.logged_in()
    answer = browser.post(
        f"/queues/{queue}/accept", data={"shown": "1,2,4", "after": "0", "csrf_token": browser.csrf_token()}
    )
    address = answer.headers["location"]
    page = browser.get(address).text
    assert "Accepted together: 3" in page
    assert "Smoothed share: " in page
    assert "A street &lt;in summer&gt;" in page
    assert _decisions(catalogue) == [(number, "accepted", DECIDED_IN_GRID) for number in (1, 2, 4)]
    assert f": {DECIDED_IN_GRID}" in browser.get("/items/1").text
    # Another decision that came later stays.
    assert server.logged_in(name="B. Keeper").submit("/derivatives/4/review", decision="accepted")[0] == 303
    assert browser.submit(f"/queues/{queue}/undo", accepted="1,2,4", after="0")[0] == 303
    undone = [(number, "undone", DECIDED_IN_GRID) for number in (1, 2)]
    assert _decisions(catalogue)[3:] == [(4, "accepted", None), *undone]
    assert "Accepted together" not in browser.get(f"/queues/{queue}/grid?after=0&accepted=1,2").text


def test_a_query_with_a_mistake_is_explained_in_german(server: Server) -> None:
    browser = _german(server)
    for answer in (browser.get("/?query=colour:red"), browser.get("/batches?plan=colour:red")):
        assert answer.status_code == 400
        assert "Die Abfrage hat einen Fehler beim Zeichen 1" in answer.text
