"""Endpoints: the one way in which a route is made, so that none can forget login, role, CSRF token or error pages.

A page is a plain function from :class:`Call` to a response; it runs in a thread. What it raises of the expected errors
becomes an answer with a status; a view that is still being made is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import parse_qsl

from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from archive.accounts import Account, find_account
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Role
from archive.errors import ArchiveError, FixityError, NotFoundError, UsageError
from archive.views.iiif_request import RequestError
from archive.views.view_store import ViewPendingError
from archive.web.page_templates import render_page
from archive.web.server_state import ServerState
from archive.web.translations import Texts, choose_language

MAXIMUM_FORM_BYTES = 64 * 1024
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
_VIEW_WAIT_SECONDS = 20.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A checked request, as a page gets it."""

    state: ServerState
    request: Request
    account: Account | None
    session_id: str
    """The session cookie's value, or the name behind a trusted header; else the value of the cookie for logging in."""
    form: Mapping[str, str]
    texts: Texts

    @property
    def user(self) -> Account:
        """The account; pages that need a role always have one."""
        assert self.account is not None  # noqa: S101
        return self.account

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue, written to on behalf of the account."""
        catalogue = self.state.catalogue
        return replace(catalogue, settings=replace(catalogue.settings, operator=self.user.name))

    @property
    def csrf_token(self) -> str:
        return self.state.sessions.csrf_token(self.session_id)

    @property
    def wants_json(self) -> bool:
        return "application/json" in self.request.headers.get("accept", "")

    def may(self, role: Role) -> bool:
        """Whether the account may do what ``role`` may, on a server that takes changes."""
        return self.user.may(role) and not (self.state.options.read_only and role is not Role.VIEWER)

    def number(self, name: str) -> int:
        """A whole number of the path.

        Raises:
            NotFoundError: no id is like that.
        """
        text = str(self.request.path_params[name])
        if not text.isascii() or not text.isdecimal() or len(text) > 18:
            raise NotFoundError(f"No {name.replace('_', ' ')} {text!r}.")
        return int(text)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page of a template."""
        return render_page(self.texts, template, status=status, call=self, **values)


Page = Callable[[Call], Response]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A route with what it asks for."""

    path: str
    page: Page
    method: Literal["GET", "POST"] = "GET"
    role: Role | None = Role.VIEWER
    """Who may; None is for everybody, also without a session."""

    def route(self, state: ServerState) -> Route:
        """The route, guarded."""

        async def guarded(request: Request) -> Response:
            return await _answer(self, state, request)

        name = f"{self.method} {self.path}"
        return Route(self.path, guarded, methods=[self.method], name=name)


async def _answer(endpoint: Endpoint, state: ServerState, request: Request) -> Response:
    account, session_id = await run_in_threadpool(_identify, state, request)
    language = choose_language(request.cookies.get("archive_language"), request.headers.get("accept-language"))
    call = Call(state=state, request=request, account=account, session_id=session_id, form={}, texts=Texts(language))
    if endpoint.role is not None and account is None:
        return _not_logged_in(call)
    if endpoint.role is not None and account is not None and not account.may(endpoint.role):
        return error_page(call, 403, call.texts("error.role", role=endpoint.role.value))
    if endpoint.method == "POST":
        if state.options.read_only and endpoint.role is not None:
            return error_page(call, 403, call.texts("error.read_only"))
        form = await _read_form(request)
        if form is None:
            return error_page(call, 413, call.texts("error.too_large"))
        sent = request.headers.get(CSRF_HEADER) or form.get(CSRF_FIELD, "")
        is_foreign = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if is_foreign or not state.sessions.is_csrf_token(sent, session_id):
            return error_page(call, 403, call.texts("error.forged"))
        call = replace(call, form=form)
    return await _run(endpoint.page, call)


async def _run(page: Page, call: Call) -> Response:
    give_up = time.monotonic() + _VIEW_WAIT_SECONDS
    while True:
        try:
            return await run_in_threadpool(page, call)
        except ViewPendingError as pending:
            if time.monotonic() > give_up:
                answer = error_page(call, 503, call.texts("error.view_pending", share=f"{pending.share:.0%}"))
                answer.headers["retry-after"] = "5"
                return answer
            await asyncio.sleep(0.1)
        except RequestError as error:
            return error_page(call, error.status, str(error))
        except NotFoundError as error:
            return error_page(call, 404, str(error))
        except UsageError as error:
            return error_page(call, 400, str(error))
        except FixityError as error:
            return error_page(call, 409, str(error))
        except ArchiveError as error:
            return error_page(call, 500 if call.account is None else 409, str(error))
        except OperationalError as error:
            _LOG.warning("the database can't be used: %s", error.orig)
            return error_page(call, 503, call.texts("error.database"))


def error_page(call: Call, status: int, message: str) -> Response:
    """An error as a page, or as JSON where that is asked for."""
    if call.wants_json:
        return JSONResponse({"error": message}, status)
    return call.page("error.html", status=status, status_code=status, message=message)


def _not_logged_in(call: Call) -> Response:
    is_page = call.request.method == "GET" and "text/html" in call.request.headers.get("accept", "")
    return RedirectResponse("/login", 303) if is_page else error_page(call, 401, call.texts("error.login"))


def _identify(state: ServerState, request: Request) -> tuple[Account | None, str]:
    """The account behind a request, and what its CSRF token is bound to."""
    options = state.options
    address = request.client.host if request.client else None
    if options.trusted_header and options.is_trusted_proxy(address):
        name = request.headers.get(options.trusted_header, "").strip()
        if name:
            found = find_account(state.catalogue, name) or Account(name=name, role=Role.VIEWER)
            return found, f"header:{name}"
    cookie = request.cookies.get(state.cookie, "")
    session = state.sessions.find(cookie)
    if session is None:
        return None, f"login:{request.cookies.get('archive_login', '')}"
    if session.is_local:
        return session.account, cookie
    # An account that was removed, or whose role was changed, is so at once.
    return find_account(state.catalogue, session.account.name), cookie


async def _read_form(request: Request) -> dict[str, str] | None:
    """The fields of a form, the first of each name; None where it is too large."""
    size = 0
    chunks = []
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAXIMUM_FORM_BYTES:
            return None
        chunks.append(chunk)
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        return {}
    return dict(reversed(_pairs(b"".join(chunks))))


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=2000)
    except ValueError:
        return []
