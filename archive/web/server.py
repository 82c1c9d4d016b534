"""Runs the application with uvicorn on a socket that is bound first, so that its address can be told."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

import uvicorn

from archive.accounts import Account
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Role
from archive.errors import ServerError
from archive.views.view_store import ViewStore
from archive.web.application import create_application
from archive.web.server_state import ServerOptions, ServerState

_CONNECTIONS = 256


def serve(
    catalogue: Catalogue,
    options: ServerOptions,
    *,
    owner: str,
    ready: Callable[[str], None],
    announce: Callable[[str], None],
) -> None:
    """Serves until it is interrupted.

    Args:
        catalogue: what is served.
        options: ``port`` 0 takes a free port.
        owner: the name of whoever logs in by the token.
        ready: is called with :attr:`ServerState.address`, once the server accepts connections.
        announce: is called with a further address after each use of a token.

    Raises:
        ServerError: the address can't be used.
    """
    with _listen(options.host, options.port) as listener:
        options = replace(options, port=listener.getsockname()[1])
        views = ViewStore(catalogue.settings)
        state = ServerState(
            catalogue=catalogue,
            options=options,
            owner=Account(name=owner, role=Role.MANAGER),
            views=views,
            announce=announce,
        )
        config = uvicorn.Config(
            create_application(state),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=3,
            lifespan="off",
        )
        ready(state.address)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            views.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        # Python adds the address to the reason, in a further parenthesis.
        reason = str(error.strerror).partition(" (")[0] if isinstance(error, OSError) else "no such port"
        raise ServerError(f"{host}:{port} can't be used ({reason}): name another with --host or --port") from error
