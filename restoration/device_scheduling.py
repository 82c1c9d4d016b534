"""How calls reach a device that several pictures share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class DeviceScheduler(Protocol):
    """Runs a call once, when the device is free, in any thread; returns its result or raises its error."""

    def __call__(self, call: Callable[[], Result], /) -> Result: ...


def run_immediately(call: Callable[[], Result], /) -> Result:
    """The scheduler for a device without other users: runs the call at once."""
    return call()
