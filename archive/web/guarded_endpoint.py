"""Endpoints: the only way to make a route, so that no route can lack the checks of session, role and CSRF token.

A page is a plain function from :class:`Call` to a response, and runs in a thread. Expected errors that it raises become
answers with a status. If it needs a view that is still being made, it is called again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl

from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from archive.accounts import Account, find_account
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Role
from archive.errors import ArchiveError, NotFoundError, QueryError, UsageError
from archive.views.iiif_request import RequestError
from archive.views.view_store import ViewPendingError
from archive.web.page_templates import render_page
from archive.web.server_state import ServerState
from archive.web.stored_values import query_mistake
from archive.web.translations import Texts, choose_language

MAXIMUM_FORM_BYTES = 64 * 1024
_MAXIMUM_FIELDS = 100
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
_VIEW_WAIT_SECONDS = 20.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A checked request, the argument of a page."""

    MAXIMUM_TEXT: ClassVar[int] = 2000
    """Characters of a field at most."""

    state: ServerState
    request: Request
    account: Account | None
    session_id: str
    """What the CSRF token is bound to: the session cookie, the name in a trusted header, or the cookie of the login."""
    form: Mapping[str, str]
    texts: Texts

    @property
    def user(self) -> Account:
        """The account; a page whose endpoint names a role always has one."""
        assert self.account is not None  # noqa: S101
        return self.account

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue, to be changed on behalf of the account."""
        return self.state.catalogue.on_behalf_of(self.user.name)

    @property
    def csrf_token(self) -> str:
        return self.state.sessions.csrf_token(self.session_id)

    @property
    def wants_json(self) -> bool:
        return "application/json" in self.request.headers.get("accept", "")

    @property
    def scheme(self) -> str:
        """``http`` or ``https``, as the browser uses it: a trusted proxy says so in ``X-Forwarded-Proto``."""
        forwarded = self.request.headers.get("x-forwarded-proto", "")
        return forwarded if self._is_from_proxy and forwarded in ("http", "https") else self.request.url.scheme

    @property
    def address(self) -> str:
        """The browser's IP address: a trusted proxy adds it to ``X-Forwarded-For`` as the last one."""
        forwarded = self.request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return forwarded if self._is_from_proxy and forwarded else _address(self.request)

    @property
    def _is_from_proxy(self) -> bool:
        return self.state.options.is_trusted_proxy(_address(self.request))

    def field(self, name: str) -> str:
        """A field of the form without spaces around it; empty if it is missing.

        Raises:
            UsageError: it is longer than :data:`MAXIMUM_TEXT`, or has a null character, which PostgreSQL refuses.
        """
        return self._text(name, self.form.get(name, ""))

    def parameter(self, name: str) -> str:
        """A parameter of the address; otherwise like :meth:`field`."""
        return self._text(name, self.request.query_params.get(name, ""))

    def _text(self, name: str, text: str) -> str:
        text = text.strip()
        if len(text) > self.MAXIMUM_TEXT:
            raise UsageError(f"{name} has {len(text)} characters. Use at most {self.MAXIMUM_TEXT}")
        if "\0" in text:
            raise UsageError(f"{name} has a null character. Remove it")
        return text

    @property
    def this_page(self) -> str:
        """The path to load this page again, for another language; the start page if a form was sent or a token used."""
        url = self.request.url
        if self.request.method != "GET" or "token" in self.request.query_params:
            return "/"
        return f"{url.path}?{url.query}" if url.query else url.path

    def may(self, role: Role) -> bool:
        """Whether the account has at least ``role``, and the server takes changes if the role is for changes."""
        return self.user.may(role) and not (self.state.options.read_only and role is not Role.VIEWER)

    def number(self, name: str) -> int:
        """An id in the path.

        Raises:
            NotFoundError: it is not a number that can be an id.
        """
        text = str(self.request.path_params[name])
        if not text.isascii() or not text.isdecimal() or len(text) > 18:
            raise NotFoundError(f"No {name.replace('_', ' ')} {text!r}.")
        return int(text)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Renders a template, which gets this call as ``call``."""
        return render_page(self.texts, template, status=status, call=self, **values)


Page = Callable[[Call], Response]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A route with the role that it requires."""

    path: str
    page: Page
    method: Literal["GET", "POST"] = "GET"
    role: Role | None = Role.VIEWER
    """The role that is required; None means that no session is required."""

    def route(self, state: ServerState) -> Route:
        """The route, with its checks."""

        async def guarded(request: Request) -> Response:
            return await _answer(self, state, request)

        name = f"{self.method} {self.path}"
        return Route(self.path, guarded, methods=[self.method], name=name)


async def _answer(endpoint: Endpoint, state: ServerState, request: Request) -> Response:
    texts = Texts(choose_language(request.cookies.get("archive_language"), request.headers.get("accept-language")))
    call = Call(state=state, request=request, account=None, session_id="", form={}, texts=texts)
    try:
        account, session_id = await run_in_threadpool(_identify, state, request)
    except OperationalError as error:
        return _database_error(call, error)
    call = replace(call, account=account, session_id=session_id)
    if endpoint.role is not None and account is None:
        return login_required(call)
    if endpoint.role is not None and account is not None and not account.may(endpoint.role):
        return error_page(call, 403, call.texts("error.role", role=call.texts(f"role.{endpoint.role.value}")))
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
        except QueryError as error:
            return error_page(call, 400, query_mistake(call.texts, error))
        except UsageError as error:
            return error_page(call, 400, str(error))
        except ArchiveError as error:
            return error_page(call, 409, str(error))
        except OperationalError as error:
            return _database_error(call, error)


def _database_error(call: Call, error: OperationalError) -> Response:
    _LOG.warning("the database can't be used: %s", error.orig)
    return error_page(call, 503, call.texts("error.database"))


def error_page(call: Call, status: int, message: str) -> Response:
    """An error as a page, or as JSON if the request accepts JSON."""
    if call.wants_json:
        return JSONResponse({"error": message}, status)
    return call.page("error.html", status=status, status_code=status, message=message)


def login_required(call: Call) -> Response:
    """The answer without a session: the way to the login page, or an error to a script."""
    is_page = call.request.method == "GET" and "text/html" in call.request.headers.get("accept", "")
    return RedirectResponse("/login", 303) if is_page else error_page(call, 401, call.texts("error.login"))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _decode(value: str) -> str:
    """The value of a header, which Starlette has decoded as Latin-1, as UTF-8 if its bytes are UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value


def _identify(state: ServerState, request: Request) -> tuple[Account | None, str]:
    """The account of a request, and what its CSRF token is bound to."""
    options = state.options
    if options.trusted_header and options.is_trusted_proxy(_address(request)):
        name = _decode(request.headers.get(options.trusted_header, "")).strip()
        if name:
            found = find_account(state.catalogue, name) or Account(name=name, role=Role.VIEWER)
            return found, f"header:{name}"
    cookie = request.cookies.get(state.cookie, "")
    session = state.sessions.find(cookie)
    if session is None:
        return None, f"login:{request.cookies.get('archive_login', '')}"
    if session.by_token:
        return session.account, cookie
    # Read again, so that a removed account or another role counts at once.
    return find_account(state.catalogue, session.account.name), cookie


async def _read_form(request: Request) -> dict[str, str] | None:
    """The fields of a form, the first of each name; None if it is too large."""
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
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAXIMUM_FIELDS)
    except ValueError:
        return []
