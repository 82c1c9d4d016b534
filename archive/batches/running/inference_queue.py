"""Inference scheduler: runs the calls of several in-flight tasks on one device, by priority."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import PriorityQueue
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_AFTER_ALL_OTHERS = 1 << 62


class InferenceScheduler:
    """Context manager with one thread that runs calls one at a time, the lowest priority number first.

    The task submitted first finishes first; the others use the device while that one needs no device. All
    calls run in the same thread, because torch keeps threads and memory for each thread that calls it.
    """

    def __init__(self) -> None:
        # Calls of equal priority are ordered by arrival, so that calls are never compared.
        self._waiting: PriorityQueue[tuple[int, int, Callable[[], Any] | None, Future[Any]]] = PriorityQueue()
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

    def run(self, priority: int, call: Callable[[], Result]) -> Result:
        """Runs ``call`` after all waiting calls with a lower ``priority``; returns its result or raises its error."""
        return self._put(priority, call).result()

    def _put(self, priority: int, call: Callable[[], Result] | None) -> Future[Result]:
        answer: Future[Result] = Future()
        self._waiting.put((priority, next(self._arrivals), call, answer))
        return answer

    def _run(self) -> None:
        while True:
            *_, call, answer = self._waiting.get()
            if call is None:
                return
            try:
                answer.set_result(call())
            except BaseException as error:  # raised in the caller's thread
                answer.set_exception(error)
            del call, answer  # otherwise they keep the last picture's memory until the next call
