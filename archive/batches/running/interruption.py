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
SIGTERM: Final = "SIGTERM"
SIGHUP: Final = "SIGHUP (closed terminal)"
_REASONS: Final = {signal.SIGINT: CTRL_C, signal.SIGTERM: SIGTERM, signal.SIGHUP: SIGHUP}


class StopRequest:
    """A request to stop, which any thread may make. As a context manager it does nothing more."""

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Interruption(StopRequest):
    """Ctrl-C as a stop request: the first SIGINT inside the context sets ``requested``, the second stops immediately.

    Inside a :class:`Termination`, SIGTERM and SIGHUP do the same.

    It has no effect outside the main thread, where signals can't be handled.
    """

    def __init__(self, on_first: Callable[[str], None] = lambda _by: None) -> None:
        """``on_first`` is called by the signal handler at the first signal, with :data:`CTRL_C`, :data:`SIGTERM` or
        :data:`SIGHUP`.
        """
        super().__init__()
        self._on_first = on_first
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._before: signal._HANDLER = signal.SIG_DFL

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and self.requested:
            return  # only another signal stops at once
        self.ask()
        self.raise_if_immediate()
        self._on_first(_REASONS[signal.Signals(number)])


class Termination:
    """SIGTERM and SIGHUP as Ctrl-C: inside the context they have the same effect, and are remembered as the reason.

    A SIGHUP that is ignored, as under ``nohup``, stays ignored. A SIGHUP and the signal before or after it count as
    one, because the end of a session sends several of them. After a SIGHUP, output to a terminal that is gone is
    discarded. It has no effect outside the main thread, where signals can't be handled.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self.reason = CTRL_C
        """What interrupted the run, if something did."""
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._before: dict[signal.Signals, signal._HANDLER] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
            for number in (signal.SIGTERM, signal.SIGHUP):
                if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        received = signal.Signals(number)
        if received == signal.SIGHUP:
            self._discard_output_to_lost_terminals()
        before, self._received = self._received, received
        if before is None:
            self.reason = _REASONS[received]
        elif signal.SIGHUP in (before, received):
            if signal.SIGTERM in (before, received):
                self._received = signal.SIGTERM  # so that the next one stops at once
            return
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # such as in a background job of a shell, where Ctrl-C is ignored
            raise KeyboardInterrupt
        on_ctrl_c(number, frame)

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
