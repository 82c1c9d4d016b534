"""Waiting for a database that is away or locked for a while, instead of losing a night for it."""

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
"""What is raised where the database, not the question, is the trouble: gone, restarting, locked."""


def retry_while_unavailable(catalogue: Catalogue, action: Callable[[], Result]) -> Result:
    """The result of ``action``, one whole transaction, tried again while the database is away.

    The pauses grow. After ``database_wait_seconds`` of the settings the error is raised. An action may have been
    committed although its answer was lost: it must bear to be done again.

    Raises:
        OperationalError, InterfaceError: the database did not come back in time, or its disk is full.
    """
    give_up_at = time.monotonic() + catalogue.settings.database_wait_seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except DATABASE_UNAVAILABLE as error:
            if is_disk_full(error) or time.monotonic() + pause > give_up_at:
                raise
            _log.warning("the catalogue's database can't be used, trying again: %s", error.orig)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def is_disk_full(error: DBAPIError) -> bool:
    """Whether the database has no room to write in, which waiting does not change."""
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode == sqlite3.SQLITE_FULL
    return getattr(error.orig, "sqlstate", None) == "53100"
