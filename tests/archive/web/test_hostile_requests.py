"""Requests with fuzzed paths, parameters, fields and headers meet no fault, and reach no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.catalogue import Catalogue
from archive.settings import create_home
from archive.web.application import ENDPOINTS
from archive.web.guarded_endpoint import CSRF_HEADER
from archive.web.server_state import ServerOptions
from tests.archive.web.conftest import Server
from tests.catalogue_rows import add_batch, add_derivative, add_item, add_version

HOSTILE = st.text(max_size=30) | st.sampled_from(
    ["", "..", "../../etc/passwd", "%2e%2e%2f", "-1", "0", "9" * 18, "9" * 40, "1e9", "'; --", "\x00", "é", "*"]
)
QUERIES = st.sampled_from(
    ["id:" + "9" * 30, "batch:[* TO 1e400]", "(" * 300, "title:*", "date:[5 TO", "a OR " * 90, "\x00", "review:none"]
)
VALID = st.sampled_from(
    ["1", "2", "master-1", "derivative-4", "full", "max", "0", "default.jpg", "accepted", "style.css"]
)
PARAMETERS = ("query", "after", "with", "plan", "token")
FIELDS = (
    *("name", "password", "language", "next", "decision", "reason", "other_reason", "text"),
    *("x", "y", "width", "height", "query", "sort_by", "first", "skipped", "shown", "after"),
)
HEADERS = ("accept", "accept-language", "host", "x-remote-user", "x-forwarded-proto", "x-forwarded-for", "cookie")


MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def postgresql_server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    """A server whose catalogue has four derivatives without files."""
    catalogue = Catalogue.open(create_home(tmp_path / "home", database=database_url))
    with catalogue.session() as session:
        version, batch = add_version(session, approved=True), add_batch(session)
        for number in range(1, 5):
            item = add_item(session, f"1906.{number}", title="A street")
            add_derivative(session, item.masters[0], version, batch=batch)
    server = Server(catalogue, ServerOptions())
    yield server
    server.views.close()


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_hostile_requests_meet_no_fault_and_no_other_file(server: Server, data: Any) -> None:
    _send_hostile_request(server, data)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@MANY
@given(data=st.data())
def test_hostile_requests_meet_no_fault_on_postgresql(postgresql_server: Server, data: Any) -> None:
    _send_hostile_request(postgresql_server, data)


def _send_hostile_request(server: Server, data: Any) -> None:
    endpoint = data.draw(st.sampled_from(ENDPOINTS))
    value = HOSTILE | QUERIES | VALID
    path = re.sub(
        r"\{[a-z_:]+\}", lambda _: quote(data.draw(value), safe=data.draw(st.sampled_from(["", "/%?."]))), endpoint.path
    )
    headers = data.draw(
        st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(["e;q=x", "https", "::", "a" * 5000]))
    )
    browser = data.draw(st.sampled_from([server.browser(), server.logged_in()]))
    if data.draw(st.booleans()):
        headers[CSRF_HEADER] = server.state.sessions.csrf_token(browser.cookies.get(server.state.cookie, "login:"))
    answer = browser.request(
        data.draw(st.sampled_from([endpoint.method, "PUT"])),
        path,
        params=data.draw(st.dictionaries(st.sampled_from(PARAMETERS), value)),
        data=data.draw(st.dictionaries(st.sampled_from(FIELDS), value)),
        headers=headers,
    )
    assert answer.status_code < 500, answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/?query=%00", "/?after=a%00b", "/report?query=%00", "/queues?query=a%00"])
def test_null_characters_are_refused(server: Server, path: str) -> None:
    assert server.logged_in().get(path).status_code == 400
