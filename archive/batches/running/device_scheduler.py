"""The device's turn: of several pictures that are worked on at once, which one it works on next."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import PriorityQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

Result = TypeVar("Result")

_AFTER_ALL_OTHERS = 1 << 62


class DeviceScheduler(Generic[Result]):
    """While it is entered, one thread that does what it is given, one thing at a time, the first picture's first.

    So the first picture is through soonest, and those behind it fill the time in which it is read, written and scored.
    It is always the same thread, since torch keeps threads and memory for each one that it is called from.
    """

    def __init__(self) -> None:
        # Calls of equal priority are ordered by arrival, so that calls are never compared.
        self._waiting: PriorityQueue[tuple[int, int, Callable[[], Result] | None, Future[Result]]] = PriorityQueue()
        self._arrivals = itertools.count()
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put(_AFTER_ALL_OTHERS, None)
        self._thread.join()

    def run(self, place: int, call: Callable[[], Result]) -> Result:
        """Runs ``call`` after all waiting calls of a lower ``place``; returns its result or raises its error."""
        return self._put(place, call).result()

    def _put(self, place: int, call: Callable[[], Result] | None) -> Future[Result]:
        answer: Future[Result] = Future()
        self._waiting.put((place, next(self._arrivals), call, answer))
        return answer

    def _run(self) -> None:
        while True:
            *_, call, answer = self._waiting.get()
            if call is None:
                return
            try:
                answer.set_result(call())
            except BaseException as error:  # it is the caller's
                answer.set_exception(error)
            del call, answer  # else the last picture's memory is held until the next one's turn
