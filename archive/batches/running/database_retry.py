"""Database retry: repeats a transaction with backoff while the database is unavailable or locked."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from archive.catalogue import Catalogue

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)
"""The errors of a database that is unreachable, restarting or locked, as opposed to errors of the statement."""


def retry_while_unavailable(catalogue: Catalogue, action: Callable[[], Result]) -> Result:
    """Returns the result of ``action``, one whole transaction, which is retried while the database is unavailable.

    The pauses grow. When the setting ``database_wait_seconds`` has passed since the first error, the error is raised.
    ``action`` must be idempotent: it may have been committed although its reply was lost.

    Raises:
        OperationalError, InterfaceError: the database stayed unavailable, or its disk is full.
    """
    give_up_at = None
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except DATABASE_UNAVAILABLE as error:
            if give_up_at is None:
                give_up_at = time.monotonic() + catalogue.settings.database_wait_seconds
            if is_disk_full(error) or time.monotonic() + pause > give_up_at:
                raise
            _log.warning("the catalogue's database is unavailable, trying again: %s", error.orig)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def is_disk_full(error: DBAPIError) -> bool:
    """Whether the database's disk is full, so that a retry can't succeed."""
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode == sqlite3.SQLITE_FULL
    return getattr(error.orig, "sqlstate", None) == "53100"
