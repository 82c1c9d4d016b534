"""Requests to stop: the first one lets in-flight tasks finish, the second one stops immediately."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self

CTRL_C: Final = "Ctrl-C"
_REASONS: Final = {signal.SIGINT: CTRL_C, signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP (closed terminal)"}


class StopRequest:
    """A request to stop, which any thread may make."""

    def __init__(self) -> None:
        self.requested = False
        self.immediate = False

    def ask(self) -> None:
        """Requests to finish in-flight tasks; the second call requests to stop immediately."""
        self.immediate = self.requested
        self.requested = True

    def raise_if_immediate(self) -> None:
        """Raises KeyboardInterrupt if an immediate stop was requested."""
        if self.immediate:
            raise KeyboardInterrupt

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While tasks are in flight: the first request doesn't raise an error."""
        yield


class Interruption(StopRequest):
    """Ctrl-C, SIGTERM and SIGHUP as stop requests inside the context.

    The first signal sets :attr:`requested`; outside :meth:`deferred` it raises KeyboardInterrupt, as the second one
    does everywhere. A SIGHUP never is the second one, and neither is the SIGTERM that the end of a session sends with
    it. After a SIGHUP, output to a terminal that is gone is discarded. A SIGHUP that is ignored, as under ``nohup``,
    stays ignored.

    It has no effect outside the main thread, where signals can't be handled.
    """

    def __init__(self, on_first: Callable[[str], None] = lambda _reason: None) -> None:
        """``on_first`` is called by the signal handler at the first signal inside :meth:`deferred`, with the reason."""
        super().__init__()
        self.reason = CTRL_C
        """The first signal, if there was one."""
        self._on_first = on_first
        self._is_deferred = False
        self._received: set[signal.Signals] = set()
        self._before: dict[signal.Signals, signal._HANDLER] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
            for number in _REASONS:
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        before, self._is_deferred = self._is_deferred, True
        try:
            yield
        finally:
            self._is_deferred = before

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        received = signal.Signals(number)
        if received == signal.SIGHUP:
            self._discard_output_to_lost_terminals()
        if not self._counts(received):
            return
        if not self.requested:
            self.reason = _REASONS[received]
        self.ask()
        if self.immediate or not self._is_deferred:
            raise KeyboardInterrupt
        self._on_first(self.reason)

    def _counts(self, received: signal.Signals) -> bool:
        """Whether a signal is a request of its own: the end of a session sends SIGHUP more than once, and SIGTERM."""
        is_new = received not in self._received
        self._received.add(received)
        if received == signal.SIGHUP:
            return not self.requested
        return not (received == signal.SIGTERM and is_new and signal.SIGHUP in self._received)

    def _discard_output_to_lost_terminals(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:
            if not os.isatty(stream):  # a write would fail with EIO
                os.dup2(nowhere, stream)
        os.close(nowhere)


@contextmanager
def keeping_sigterm_handler() -> Iterator[None]:
    """Puts back the handler of SIGTERM if a library replaces it inside the context."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
