"""The ASGI application: all endpoints, guarded, within the security middleware."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

from archive.web import image_api, pages_batches, pages_items, pages_login, pages_queues
from archive.web.security_middleware import SecurityMiddleware
from archive.web.server_state import ServerState

ENDPOINTS = (
    *pages_login.ENDPOINTS,
    *pages_items.ENDPOINTS,
    *image_api.ENDPOINTS,
    *pages_queues.ENDPOINTS,
    *pages_batches.ENDPOINTS,
    *pages_login.CATCH_ALL,
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def create_application(state: ServerState) -> Starlette:
    """The application of one server."""
    return Starlette(
        routes=[endpoint.route(state) for endpoint in ENDPOINTS],
        middleware=[Middleware(SecurityMiddleware, allowed_hosts=_allowed_hosts(state))],
    )


def _allowed_hosts(state: ServerState) -> frozenset[str] | None:
    """The names of this machine if no other can reach the server; None, which allows any, if one can."""
    only_here = state.options.host in ("127.0.0.1", "localhost", "::1") and state.options.trusted_proxy is None
    return _LOOPBACK if only_here else None
