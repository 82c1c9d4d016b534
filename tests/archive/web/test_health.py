"""The health check for load balancers, on both databases."""

from __future__ import annotations

import psycopg

from archive.catalogue import Catalogue
from archive.settings import Settings
from archive.web.server_state import ServerOptions
from tests.archive.web.conftest import Server


def test_the_health_check_needs_no_login_and_says_whether_the_database_answers(settings: Settings) -> None:
    server = Server(Catalogue.open(settings), ServerOptions())
    for accept in ("*/*", "text/html"):
        answer = server.browser().get("/health", headers={"accept": accept})
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert "set-cookie" not in answer.headers
    _stop_database(settings)
    answer = server.browser().get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})
    assert "set-cookie" not in answer.headers
    server.views.close()


def _stop_database(settings: Settings) -> None:
    """Takes the SQLite file away, or makes the PostgreSQL server refuse connections to the database."""
    if settings.sqlite_path is not None:
        settings.sqlite_path.unlink()
        return
    name, _, options = settings.database_url.removeprefix("postgresql+psycopg:///").partition("?")
    with psycopg.connect(f"postgresql:///postgres?{options}", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
