"""Who may do what, on every route that there is."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

import pytest
from starlette.routing import Route

from archive.accounts import add_account, remove_account
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Role
from archive.web.application import ENDPOINTS
from archive.web.guarded_endpoint import MAXIMUM_FORM_BYTES, Endpoint
from archive.web.login_sessions import SESSION_SECONDS, LoginSessions, LoginThrottle
from archive.web.security_middleware import MOST_IN_FLIGHT, SECURITY_HEADERS
from tests.archive.web.conftest import MakeServer, Server

PUBLIC = {"GET /", "GET /login", "POST /login", "POST /logout", "POST /language", "GET /static/{name}", "GET /health"}
EXAMPLES = {
    "item_id": "1",
    "derivative_id": "1",
    "queue_id": "1",
    "batch_id": "1",
    "identifier": "master-1",
    "region": "full",
    "size": "max",
    "rotation": "0",
    "quality_format": "default.jpg",
    "name": "style.css",
    "path:path": "anything/else",
}


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def _example(endpoint: Endpoint) -> str:
    return re.sub(r"\{([a-z_:]+)\}", lambda match: EXAMPLES[match[1]], endpoint.path)


def test_every_route_of_the_application_is_an_endpoint(server: Server) -> None:
    routes = [route for route in server.application.routes if isinstance(route, Route)]
    assert len(routes) == len(server.application.routes)
    assert sorted(str(route.name) for route in routes) == sorted(map(_name, ENDPOINTS))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=_name)
def test_nothing_is_reached_without_a_session(server: Server, endpoint: Endpoint) -> None:
    browser = server.browser()
    for accept in ("text/html", "application/json"):
        answer = browser.request(endpoint.method, _example(endpoint), headers={"accept": accept})
        if _name(endpoint) in PUBLIC - {"GET /"}:
            assert endpoint.role is None
        elif accept == "text/html" and endpoint.method == "GET":
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        else:
            assert answer.status_code == 401
        assert "1906" not in answer.text
        for name, value in SECURITY_HEADERS.items():
            if name != "cache-control":
                assert answer.headers[name] == value


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.method == "POST"], ids=_name)
def test_every_change_needs_the_token_of_a_page(server: Server, endpoint: Endpoint) -> None:
    browser = server.logged_in()
    path = _example(endpoint)
    token = browser.csrf_token()
    assert browser.post(path).status_code == 403
    assert browser.post(path, data={"csrf_token": "0" * 64}).status_code == 403
    assert browser.post(path, data={"csrf_token": server.logged_in(name="B").csrf_token()}).status_code == 403
    foreign = browser.post(path, data={"csrf_token": token}, headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403


@pytest.mark.parametrize(
    "endpoint", [each for each in ENDPOINTS if each.role in (Role.REVIEWER, Role.MANAGER)], ids=_name
)
def test_viewers_and_read_only_servers_change_nothing(make_server: MakeServer, endpoint: Endpoint) -> None:
    for server, role in ((make_server(), Role.VIEWER), (make_server(read_only=True), Role.MANAGER)):
        browser = server.logged_in(role)
        token = browser.csrf_token("/")
        answer = browser.request(endpoint.method, _example(endpoint), data={"csrf_token": token})
        assert answer.status_code == 403


def test_the_token_logs_one_browser_in(server: Server) -> None:
    first, second = server.browser(), server.browser()
    path = server.state.address.partition(":8600")[2]
    answer = first.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "1906.1" in first.get("/").text
    assert second.get(path).status_code == 401
    assert server.announced == [f"Logged in. For another browser: {server.state.address}"]
    assert second.get(server.state.address.partition(":8600")[2]).status_code == 303


def test_no_token_is_issued_where_a_trusted_header_names_the_user(make_server: MakeServer) -> None:
    server = make_server(trusted_header="X-Remote-User", trusted_proxy=ip_network("10.0.0.5"))
    assert server.state.address == "http://127.0.0.1:8600/"
    assert server.state.sessions.token is None
    for token in ("", "None"):
        assert server.browser(address="10.0.0.5").get("/", params={"token": token}).status_code == 401
    assert server.announced == []


def test_sessions_end_at_logout_and_by_themselves(server: Server) -> None:
    browser = server.logged_in()
    token = browser.csrf_token()
    session = browser.cookies[server.state.cookie]
    browser.post("/logout", data={"csrf_token": token})
    browser.cookies.set(server.state.cookie, session)
    assert browser.get("/items/1", headers={"accept": "application/json"}).status_code == 401

    now = [0.0]
    sessions = LoginSessions(clock=lambda: now[0])
    identifier = sessions.start(server.state.owner, by_token=True)
    assert sessions.find(identifier) is not None
    now[0] = SESSION_SECONDS + 1.0
    assert sessions.find(identifier) is None


def test_accounts_log_in_and_lose_access_when_they_are_removed(server: Server, catalogue: Catalogue) -> None:
    add_account(catalogue, "anna", Role.REVIEWER, "correct horse battery")
    browser = server.browser()
    for name, password in (("anna", "wrong horse battery"), ("nobody", "correct horse battery")):
        answer = browser.post(
            "/login", data={"name": name, "password": password, "csrf_token": browser.csrf_token("/login")}
        )
        assert answer.status_code == 401
    token = browser.csrf_token("/login")
    answer = browser.post("/login", data={"name": "anna", "password": "correct horse battery", "csrf_token": token})
    assert answer.status_code == 303
    assert "anna, reviewer" in browser.get("/").text
    remove_account(catalogue, "anna")
    assert browser.get("/items/1").status_code == 401


def _stop_clock_of_throttle(server: Server) -> None:
    """No time passes for the delays after failed logins."""
    server.state.throttle._clock = lambda: 100.0


def test_failed_logins_wait_longer_and_longer(server: Server, catalogue: Catalogue) -> None:
    now = [100.0]
    throttle = LoginThrottle(clock=lambda: now[0])
    waits = []
    for _ in range(14):
        throttle.failed("name:anna")
        waits.append(throttle.seconds_to_wait("name:anna", "address:1.2.3.4"))
    assert waits[:4] == [0, 0, 0, 2]
    assert waits == sorted(waits)
    assert waits[-1] == 300
    throttle.succeeded("name:anna")
    assert throttle.seconds_to_wait("name:anna") == 0

    _stop_clock_of_throttle(server)
    browser = server.browser()
    token = browser.csrf_token("/login")
    codes = [
        browser.post("/login", data={"name": "anna", "password": "x" * 12, "csrf_token": token}).status_code
        for _ in range(5)
    ]
    assert codes == [401, 401, 401, 401, 429]


def test_the_header_counts_only_from_the_proxy(make_server: MakeServer, catalogue: Catalogue) -> None:
    add_account(catalogue, "anna", Role.REVIEWER, None)
    server = make_server(trusted_header="X-Remote-User", trusted_proxy=ip_network("10.0.0.5"))
    proxy, other = server.browser(address="10.0.0.5"), server.browser(address="10.0.0.6")
    header = {"x-remote-user": "anna", "accept": "text/html"}
    assert "anna, reviewer" in proxy.get("/", headers=header).text
    assert other.get("/", headers=header).status_code == 303
    assert proxy.get("/", headers={"accept": "text/html"}).status_code == 303
    assert "zoe, viewer" in proxy.get("/", headers={"x-remote-user": "zoe"}).text
    page = proxy.get("/queues", headers=header)
    token = re.findall(r'name="csrf-token" content="([0-9a-f]+)"', page.text)[0]
    forged = proxy.post("/derivatives/1/review", data={"decision": "accepted"}, headers=header)
    assert forged.status_code == 403
    sent = proxy.post("/derivatives/1/review", data={"decision": "accepted", "csrf_token": token}, headers=header)
    assert sent.status_code == 303


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_in_the_header_may_have_an_umlaut(make_server: MakeServer, catalogue: Catalogue, encoding: str) -> None:
    add_account(catalogue, "Jörg Müller", Role.REVIEWER, None)
    server = make_server(trusted_header="X-Remote-User", trusted_proxy=ip_network("10.0.0.5"))
    header = {b"x-remote-user": "Jörg Müller".encode(encoding)}
    assert "Jörg Müller, reviewer" in server.browser(address="10.0.0.5").get("/", headers=header).text


def test_a_trusted_proxy_says_how_and_from_where_it_was_reached(make_server: MakeServer, catalogue: Catalogue) -> None:
    add_account(catalogue, "anna", Role.REVIEWER, "correct horse battery")
    server = make_server(trusted_proxy=ip_network("10.0.0.5"))
    forwarded = {"host": "archive.example", "x-forwarded-proto": "https", "x-forwarded-for": "spoofed, 192.0.2.7"}
    for address, scheme in (("10.0.0.5", "https"), ("10.0.0.6", "http")):
        browser = server.browser(address=address)
        form = browser.get("/login", headers=forwarded)
        token = re.findall(r'name="csrf-token" content="([0-9a-f]+)"', form.text)[0]
        browser.cookies.set("archive_login", form.cookies["archive_login"])
        fields = {"name": "anna", "password": "correct horse battery", "csrf_token": token}
        answer = browser.post("/login", data=fields, headers=forwarded)
        assert answer.status_code == 303
        for cookie in (form.headers["set-cookie"], answer.headers["set-cookie"]):
            assert ("Secure" in cookie) == (scheme == "https")
        browser.cookies.set(server.state.cookie, answer.cookies[server.state.cookie])
        info = browser.get("/iiif/3/master-1/info.json", headers=forwarded).json()
        assert info["id"] == f"{scheme}://archive.example/iiif/3/master-1"
    _stop_clock_of_throttle(server)
    for _ in range(4):
        server.state.throttle.failed("address:192.0.2.7")
    for address, status in (("10.0.0.5", 429), ("10.0.0.6", 401)):
        browser = server.browser(address=address)
        fields = {"name": "bo", "password": "a wrong password", "csrf_token": browser.csrf_token("/login")}
        assert browser.post("/login", data=fields, headers=forwarded).status_code == status


def test_accounts_without_a_password_can_not_log_in_by_one(server: Server, catalogue: Catalogue) -> None:
    add_account(catalogue, "anna", Role.MANAGER, None)
    browser = server.browser()
    for password in ("", "None"):
        fields = {"name": "anna", "password": password, "csrf_token": browser.csrf_token("/login")}
        assert browser.post("/login", data=fields).status_code == 401


@pytest.mark.parametrize(("role", "hidden"), [(Role.VIEWER, {2, 3}), (Role.REVIEWER, {3}), (Role.MANAGER, set())])
def test_items_are_seen_only_by_those_who_may(server: Server, role: Role, hidden: set[int]) -> None:
    queue = server.logged_in()
    assert queue.submit("/queues", query="review:none", sort_by="accession_number")[0] == 303
    browser = server.logged_in(role)
    for number in range(1, 5):
        expected = 404 if number in hidden else 200
        for path in (
            f"/items/{number}",
            f"/derivatives/{number}",
            f"/derivatives/{number}/changes",
            f"/iiif/3/master-{number}/info.json",
            f"/iiif/3/derivative-{number}/full/max/0/default.jpg",
            f"/iiif/3/difference-{number}/full/max/0/default.png",
            f"/views/derivative-{number}",
        ):
            assert browser.get(path).status_code == expected, path
        for path in ("/", "/queues/1/grid", "/?query=accession_number:1906.*"):
            assert (f"1906.{number}" in browser.get(path).text) == (number not in hidden), path
        if role is not Role.VIEWER:
            status, _ = browser.submit(f"/derivatives/{number}/review", decision="accepted")
            assert status == (404 if number in hidden else 303)
            place = {"x": "0", "y": "0", "width": "5", "height": "5"}
            status, _ = browser.submit(f"/derivatives/{number}/comments", text="hm", **place)
            assert status == (404 if number in hidden else 303)
    assert f" of {4 - len(hidden)}<" in browser.get("/queues/1").text


def test_hosts_that_are_not_this_machine_are_refused(make_server: MakeServer) -> None:
    local, proxied = make_server(), make_server(trusted_header="X-User", trusted_proxy=ip_network("10.0.0.5"))
    for host in ("evil.example", "127.0.0.1.evil.example:8600", "[::2]:8600", ""):
        assert local.browser().get("/login", headers={"host": host}).status_code == 400
        if host:
            assert proxied.browser().get("/login", headers={"host": host}).status_code == 200
    for host in ("127.0.0.1:8600", "localhost", "[::1]:8600"):
        assert local.browser().get("/login", headers={"host": host}).status_code == 200


def test_forms_and_requests_at_once_are_limited(server: Server) -> None:
    browser = server.logged_in()
    token = browser.csrf_token()
    large = {"reason": "x" * MAXIMUM_FORM_BYTES, "decision": "rejected"}
    headers = {"x-csrf-token": token}
    assert browser.post("/derivatives/1/review", data=large, headers=headers).status_code == 413
    middleware: Any = server.application.middleware_stack
    while not hasattr(middleware, "_in_flight"):
        middleware = middleware.app
    middleware._in_flight = MOST_IN_FLIGHT
    assert browser.get("/").status_code == 503
    middleware._in_flight = 0
    assert browser.get("/").status_code == 200


def test_pages_do_not_trust_what_the_catalogue_holds(server: Server) -> None:
    for path in ("/", "/items/1", "/derivatives/1"):
        text = server.logged_in().get(path).text
        assert "<in summer>" not in text
        assert "in summer" in text


def test_a_language_is_remembered_and_leads_nowhere_else(server: Server) -> None:
    browser = server.logged_in()
    token = browser.csrf_token()
    for target, expected in (("/batches", "/batches"), ("//evil.example", "/"), ("https://evil.example", "/")):
        answer = browser.post("/language", data={"language": "de", "next": target, "csrf_token": token})
        assert answer.headers["location"] == expected
    assert '<html lang="de">' in browser.get("/batches").text
