"""Requests to stop: the first one lets in-flight tasks finish, the second one stops immediately."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


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

    It has no effect outside the main thread, where signals can't be handled.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        """``on_first`` is called by the signal handler at the first SIGINT."""
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

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.ask()
        self.raise_if_immediate()
        self._on_first()
