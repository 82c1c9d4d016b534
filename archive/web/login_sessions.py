"""Login sessions of browsers: one-time tokens, session cookies, CSRF tokens, and delays after failed logins.

Sessions live in memory: they end with the server, at logout, or after :data:`SESSION_SECONDS`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from archive.accounts import Account

SESSION_SECONDS = 12 * 3600
_MOST_SESSIONS = 10_000
_FREE_ATTEMPTS = 3
_LONGEST_DELAY_SECONDS = 300.0
_FORGET_FAILURES_SECONDS = 3600.0
Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class LoginSession:
    """A browser that is logged in."""

    account: Account
    by_token: bool
    """Whether it logged in with the token of the terminal; otherwise, with an account of the catalogue."""
    expires: float


class LoginSessions:
    """All login sessions of one server."""

    def __init__(self, clock: Clock = time.monotonic, *, issues_tokens: bool = True) -> None:
        """Without ``issues_tokens`` no one-time token exists, and nobody can log in with one."""
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, LoginSession] = OrderedDict()
        self._token = secrets.token_urlsafe(24) if issues_tokens else None

    @property
    def token(self) -> str | None:
        """The one-time token that is valid now, if tokens are issued."""
        return self._token

    def use_token(self, token: str) -> bool:
        """Whether ``token`` is the one-time token. If it is, a new token replaces it."""
        with self._lock:
            if self._token is None or not hmac.compare_digest(token.encode(), self._token.encode()):
                return False
            self._token = secrets.token_urlsafe(24)
            return True

    def start(self, account: Account, *, by_token: bool) -> str:
        """Starts a session and returns the value of its cookie."""
        identifier = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock()
            self._sessions[identifier] = LoginSession(account=account, by_token=by_token, expires=now + SESSION_SECONDS)
            while len(self._sessions) > _MOST_SESSIONS or next(iter(self._sessions.values())).expires < now:
                self._sessions.popitem(last=False)
        return identifier

    def find(self, identifier: str) -> LoginSession | None:
        """The session of a cookie's value; None if it ended or expired."""
        with self._lock:
            found = self._sessions.get(identifier)
        return found if found is not None and found.expires > self._clock() else None

    def end(self, identifier: str) -> None:
        """Ends a session."""
        with self._lock:
            self._sessions.pop(identifier, None)

    def csrf_token(self, bound_to: str) -> str:
        """The token that every form must contain; valid only together with ``bound_to``, a cookie's value or a name."""
        return hmac.new(self._secret, bound_to.encode(), hashlib.sha256).hexdigest()

    def is_csrf_token(self, token: str, bound_to: str) -> bool:
        """Whether ``token`` is that of :meth:`csrf_token`."""
        return hmac.compare_digest(token.encode(), self.csrf_token(bound_to).encode())


class LoginThrottle:
    """Delays logins after failed ones, by name and by address: after a few, the delay doubles with each failure."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def seconds_to_wait(self, *keys: str) -> float:
        """How long a login with these names or addresses must wait; 0 if it may be tried now."""
        now = self._clock()
        with self._lock:
            return max(0.0, *(self._next(key) - now for key in keys))

    def failed(self, *keys: str) -> None:
        """Counts a failed login."""
        now = self._clock()
        with self._lock:
            for key in keys:
                count, at = self._failures.pop(key, (0, now))
                self._failures[key] = (1 if now - at > _FORGET_FAILURES_SECONDS else count + 1, now)
            while len(self._failures) > _MOST_SESSIONS:
                self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forgets the failures after a login."""
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)

    def _next(self, key: str) -> float:
        count, at = self._failures.get(key, (0, 0.0))
        if count <= _FREE_ATTEMPTS:
            return 0.0
        return at + min(_LONGEST_DELAY_SECONDS, 2.0 ** (count - _FREE_ATTEMPTS))
