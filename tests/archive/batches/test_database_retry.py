"""How long a transaction is repeated while the database is unavailable."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from archive.batches.running import database_retry
from archive.batches.running.database_retry import retry_while_unavailable

# `workshop` is made in conftest.py.


class Clock:
    """A clock that only ``sleep`` moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(database_retry, "time", clock)
    return clock


def _unavailable() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("database is locked"))


def test_a_transaction_that_failed_after_a_long_time_is_repeated(workshop: Any, clock: Clock) -> None:
    calls: list[float] = []

    def slow_then_done() -> str:
        calls.append(clock.seconds)
        if len(calls) == 1:
            clock.seconds += 10 * workshop.catalogue.settings.database_wait_seconds
            raise _unavailable()
        return "done"

    assert retry_while_unavailable(workshop.catalogue, slow_then_done) == "done"
    assert len(calls) == 2


def test_the_error_is_raised_when_the_database_stays_unavailable(workshop: Any, clock: Clock) -> None:
    def never_done() -> None:
        raise _unavailable()

    with pytest.raises(OperationalError, match="locked"):
        retry_while_unavailable(workshop.catalogue, never_done)
    wait = workshop.catalogue.settings.database_wait_seconds
    assert wait / 2 < clock.seconds <= wait
