"""Middleware for every request: security headers, allowed host names, a limit of requests in flight, and an answer
without a traceback if the application fails.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_IN_FLIGHT = 64
# The hash of the one style element that OpenSeadragon adds; no other inline style or script is allowed.
_OPENSEADRAGON_STYLE = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_OPENSEADRAGON_STYLE}; "
    "img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_LOG = logging.getLogger(__name__)


class SecurityMiddleware:
    """Wraps the application. A header that an answer sets itself is kept."""

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str] | None) -> None:
        """Only requests for ``allowed_hosts`` are answered, which prevents DNS rebinding; None allows any host name."""
        self._app = app
        self._allowed_hosts = allowed_hosts
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope)
        if answer is not None:
            await answer(scope, receive, send_with_headers)
            return
        self._in_flight += 1
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            _LOG.exception("a request failed: %s %s", scope["method"], scope["path"])
            if started:
                raise
            answer = PlainTextResponse("internal error: see the log of archive serve", 500)
            await answer(scope, receive, send_with_headers)
        finally:
            self._in_flight -= 1

    def _refusal(self, scope: MutableMapping[str, Any]) -> PlainTextResponse | None:
        if self._allowed_hosts is not None:
            host = Headers(scope=scope).get("host", "")
            name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
            if name.lower() not in self._allowed_hosts:
                return PlainTextResponse(f"this server does not answer to the host name {name!r}", 400)
        if self._in_flight >= MOST_IN_FLIGHT:
            return PlainTextResponse("too many requests at once", 503, {"retry-after": "1"})
        return None
