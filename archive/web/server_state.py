"""The options and the state of one server, which all its pages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from archive.accounts import Account
from archive.catalogue import Catalogue
from archive.views.view_store import ViewStore
from archive.web.login_sessions import LoginSessions, LoginThrottle


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The options with which the server was started."""

    host: str = "127.0.0.1"
    port: int = 8600
    trusted_header: str | None = None
    trusted_proxy: IPv4Network | IPv6Network | None = None
    read_only: bool = False

    def is_trusted_proxy(self, address: str) -> bool:
        """Whether a connection from ``address`` comes from the trusted proxy."""
        if self.trusted_proxy is None:
            return False
        try:
            return ip_address(address) in self.trusted_proxy
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """One per server."""

    catalogue: Catalogue
    options: ServerOptions
    owner: Account
    """The account that the token logs in: the person who started the server, as manager."""
    views: ViewStore
    announce: Callable[[str], None]
    """Prints a message on the terminal."""
    sessions: LoginSessions = field(init=False)
    throttle: LoginThrottle = field(default_factory=LoginThrottle)

    def __post_init__(self) -> None:
        # A proxy that names the user needs no token, and the address with it would lie in the log of the service.
        sessions = LoginSessions(issues_tokens=self.options.trusted_header is None)
        object.__setattr__(self, "sessions", sessions)

    @property
    def cookie(self) -> str:
        """The session cookie's name; browsers don't keep the cookies of two ports apart."""
        return f"archive_session_{self.options.port}"

    @property
    def address(self) -> str:
        """The server's address, with its one-time token unless a trusted header names the user."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        address = f"http://{host}:{self.options.port}/"
        return address if self.sessions.token is None else f"{address}?token={self.sessions.token}"
