"""Limits on the in-flight tasks and the memory of one worker process."""

from __future__ import annotations

MAX_IN_FLIGHT_TASKS = 3
"""One is read, one restored and one scored at the same time."""

MAX_IN_FLIGHT_PIXELS = 150_000_000
"""All in-flight masters together; a larger master runs alone.

Memory per picture grows with its width, and some formats can only be decoded as a whole.
"""

WORKER_MEMORY_BYTES = 3 * 1024**3
"""The maximum memory of one worker, as ``benchmarks/memory.py`` checks. All workers together must fit into the
machine's memory.
"""
