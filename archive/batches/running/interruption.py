"""Requests to stop: the first one lets in-flight tasks finish, the second one stops immediately."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class StopRequest:
    """Whether the work was asked to stop; any thread may ask. As a context manager it does nothing more."""

    def __init__(self) -> None:
        self.asked = False
        self.immediate = False

    def ask(self) -> None:
        """Asks to finish in-flight tasks; asked again, to stop at once."""
        self.immediate = self.asked
        self.asked = True

    def raise_if_immediate(self) -> None:
        """Raises KeyboardInterrupt once it was asked to stop at once."""
        if self.immediate:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Interruption(StopRequest):
    """Ctrl-C as a request: while it is entered, the first SIGINT only asks and the second raises KeyboardInterrupt.

    Outside of the main thread, where signals can't be handled, it changes nothing.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        """``on_first`` is called by the first one, from within the signal handler."""
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
