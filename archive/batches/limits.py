"""Limits on the tasks that one process has in flight."""

from __future__ import annotations

MAX_IN_FLIGHT_TASKS = 3
"""One task is read, one is restored and one is scored at the same time."""
