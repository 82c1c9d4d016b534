"""A PostgreSQL server for one benchmark, on a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.postgresql_server import running_postgresql


@contextmanager
def temporary_postgresql() -> Iterator[Callable[[str], str]]:
    """Context of a server; its value creates an empty database of a name and returns its URL."""
    # The socket's path may not be longer than about 100 characters.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, running_postgresql(Path(folder)) as server:

        def create(name: str) -> str:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            return f"postgresql+psycopg:///{name}?host={folder}&user=postgres"

        yield create
