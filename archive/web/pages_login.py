"""What is reached without a session: pages to log in and out, the language, static files, and the health check."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from math import ceil

from starlette.responses import JSONResponse, RedirectResponse, Response

from archive.accounts import check_password
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Role
from archive.errors import HomeError
from archive.web.guarded_endpoint import Call, Endpoint, error_page
from archive.web.login_sessions import SESSION_SECONDS
from archive.web.static_files import static_files
from archive.web.translations import known_languages

_LOG = logging.getLogger(__name__)


def login_page(call: Call) -> Response:
    """The form for accounts."""
    return _login_page(call, "")


def login(call: Call) -> Response:
    """Logs an account in; after failed attempts, the next one has to wait."""
    name = call.field("name")
    keys = f"name:{name}", f"address:{call.address}"
    wait = call.state.throttle.seconds_to_wait(*keys)
    if wait > 0:
        answer = error_page(call, 429, call.texts("error.throttled", seconds=ceil(wait)))
        answer.headers["retry-after"] = str(ceil(wait))
        return answer
    account = check_password(call.state.catalogue, name, call.form.get("password", "")[: call.MAXIMUM_TEXT])
    if account is None:
        call.state.throttle.failed(*keys)
        return _login_page(call, call.texts("login.failed"), status=401)
    call.state.throttle.succeeded(*keys)
    answer = RedirectResponse("/", 303)
    set_session_cookie(call, answer, call.state.sessions.start(account, by_token=False))
    return answer


def log_in_by_token(call: Call, token: str) -> Response:
    """Logs a browser in that opens the address on the terminal."""
    address = f"address:{call.address}"
    if call.state.throttle.seconds_to_wait(address) > 0 or not call.state.sessions.use_token(token):
        call.state.throttle.failed(address)
        return _login_page(call, call.texts("login.token_used"), status=401)
    call.state.announce(f"Logged in. For another browser: {call.state.address}")
    answer = RedirectResponse("/", 303)
    set_session_cookie(call, answer, call.state.sessions.start(call.state.owner, by_token=True))
    return answer


def logout(call: Call) -> Response:
    """Ends the session."""
    call.state.sessions.end(call.session_id)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(call.state.cookie)
    return answer


def set_language(call: Call) -> Response:
    """Remembers a language."""
    answer = RedirectResponse(_path_here(call.form.get("next", "/")), 303)
    if (language := call.field("language")) in known_languages():
        answer.set_cookie("archive_language", language, max_age=365 * 86400, samesite="strict")
    return answer


def static_file(call: Call) -> Response:
    """A style sheet or script."""
    found = static_files().get(str(call.request.path_params["name"]))
    if found is None:
        return error_page(call, 404, call.texts("error.not_found"))
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(found.content, media_type=found.media_type, headers=headers)


def health(call: Call) -> Response:
    """Whether the database answers and has the schema that this software needs; for load balancers and monitoring."""
    try:
        Catalogue.open(call.state.catalogue.settings)
    except HomeError as error:
        _LOG.warning("health check: %s", error)
        return JSONResponse({"status": "unavailable"}, 503)
    return JSONResponse({"status": "ok"})


def nothing_here(call: Call) -> Response:
    """Any other path."""
    return error_page(call, 404, call.texts("error.not_found"))


def set_session_cookie(call: Call, answer: Response, session_id: str) -> None:
    """Sets the session cookie. If the browser uses HTTPS, it sends the cookie over HTTPS only."""
    answer.set_cookie(
        call.state.cookie,
        session_id,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=call.scheme == "https",
    )


def _login_page(call: Call, problem: str, *, status: int = 200) -> Response:
    bound_to = call.request.cookies.get("archive_login", "") or secrets.token_urlsafe(16)
    call = replace(call, account=None, session_id=f"login:{bound_to}")
    answer = call.page("login.html", status=status, problem=problem)
    answer.set_cookie("archive_login", bound_to, httponly=True, samesite="strict", secure=call.scheme == "https")
    return answer


def _path_here(text: str) -> str:
    """``text`` if it is a path on this server, otherwise the start page."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_path else "/"


ENDPOINTS = (
    Endpoint(path="/login", page=login_page, role=None),
    Endpoint(path="/login", page=login, method="POST", role=None),
    Endpoint(path="/logout", page=logout, method="POST", role=None),
    Endpoint(path="/language", page=set_language, method="POST", role=None),
    Endpoint(path="/static/{name}", page=static_file, role=None),
    Endpoint(path="/health", page=health, role=None),
)
CATCH_ALL = (
    Endpoint(path="/{path:path}", page=nothing_here),
    Endpoint(path="/{path:path}", page=nothing_here, method="POST", role=Role.VIEWER),
)
