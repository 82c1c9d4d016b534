"""``archive serve``."""

from __future__ import annotations

import ipaddress

import click

from archive.cli.logging_setup import emit
from archive.cli.options import Context, command, pass_context


@command(
    "serve",
    examples=(
        "archive serve",
        "archive serve --port 0 --read-only",
        "archive serve --trusted-header X-Remote-User --trusted-proxy 10.0.0.5",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", default=8600, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--trusted-header", metavar="NAME", help="Header in which the trusted proxy names the user.")
@click.option(
    "--trusted-proxy",
    metavar="ADDRESS",
    help="Address or network of a reverse proxy whose headers count: --trusted-header, X-Forwarded-Proto and "
    "X-Forwarded-For.",
)
@click.option("--read-only", is_flag=True, help="Refuse decisions, comments and all other changes.")
@pass_context
def serve(
    context: Context, *, host: str, port: int, trusted_header: str | None, trusted_proxy: str | None, read_only: bool
) -> None:
    """Review in the browser.

    The first line of the output is the address to open, with a token that logs one browser in as manager; with
    --trusted-header none is issued. Without --host, only this machine can reach the server. For a team, add accounts
    with `archive user add`, or put the server behind a reverse proxy that logs people in and names them in a header.
    Press Ctrl-C to stop the server.
    """
    if trusted_header is not None and trusted_proxy is None:
        raise click.UsageError("--trusted-header needs --trusted-proxy: anybody else could send that header, too")
    try:
        proxy = ipaddress.ip_network(trusted_proxy) if trusted_proxy else None
    except ValueError as error:
        raise click.BadParameter(
            f"{trusted_proxy!r} is not an IP address or network", param_hint="--trusted-proxy"
        ) from error
    try:
        from archive.web.server import serve as run_server
        from archive.web.server_state import ServerOptions
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the web server needs the package {error.name}. In the project folder, run "
            "`.venv/bin/python -m pip install --constraint constraints.txt --editable '.[web]'`"
        ) from error
    if host not in ("127.0.0.1", "localhost", "::1"):
        emit("Other machines can reach this server without encryption. Put a reverse proxy with HTTPS before it.")
    options = ServerOptions(
        host=host, port=port, trusted_header=trusted_header, trusted_proxy=proxy, read_only=read_only
    )
    catalogue = context.catalogue()
    run_server(
        catalogue,
        options,
        owner=catalogue.settings.operator,
        ready=click.echo,
        announce=emit,
    )
